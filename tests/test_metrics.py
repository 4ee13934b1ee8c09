import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from recon_anomaly.metrics import DECISION, RANKING, decision_metrics, pr_auc, ranking_metrics


@st.composite
def labelled_scores(draw):
    """Up to 15 scores with many ties, and labels of both classes."""
    scores = draw(st.lists(st.integers(-3, 3), min_size=2, max_size=15))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    labels[0], labels[-1] = 0, 1
    return np.array(labels), np.array(scores) / 2


def steps(labels, scores):
    """Return (recall, precision) at each score taken as threshold, from the highest down."""
    for threshold in sorted(set(scores.tolist()), reverse=True):
        found = labels[scores >= threshold]
        yield found.sum() / labels.sum(), found.mean()


@settings(deadline=None, max_examples=60)
@given(labelled_scores())
def test_auroc_is_the_share_of_pairs_in_the_right_order(data):
    """AUROC is the Mann-Whitney statistic over all pairs, ties counted by half."""
    labels, scores = data
    pairs = np.sign(scores[labels == 1][:, None] - scores[labels == 0])
    assert ranking_metrics(labels, scores)["auroc"] == pytest.approx((pairs.mean() + 1) / 2)


@settings(deadline=None, max_examples=60)
@given(labelled_scores())
def test_average_precision_is_a_sum_of_steps(data):
    """Average precision adds precision times the rise of recall, threshold by threshold."""
    labels, scores = data
    total, before = 0.0, 0.0
    for recall, precision in steps(labels, scores):
        total, before = total + (recall - before) * precision, recall
    assert ranking_metrics(labels, scores)["average_precision"] == pytest.approx(total)


@settings(deadline=None, max_examples=60)
@given(labelled_scores())
def test_pr_auc_is_a_sum_of_trapezia(data):
    """PR-AUC joins the points of the curve, from (0, 1) on, by straight lines."""
    labels, scores = data
    total, before = 0.0, (0.0, 1.0)
    for recall, precision in steps(labels, scores):
        total += (recall - before[0]) * (precision + before[1]) / 2
        before = recall, precision
    assert pr_auc(labels, scores) == pytest.approx(total)
    assert ranking_metrics(labels, scores)["pr_auc"] == pytest.approx(total)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_ranking(label):
    """Labels of one class give None for every figure, and no warning."""
    labels = np.full(4, label)
    assert ranking_metrics(labels, np.arange(4.0)) == dict.fromkeys(RANKING)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=20))
def test_decision_metrics_are_those_of_scikit_learn(pairs):
    """Counts add up, and each figure is scikit-learn's, or None where it has no denominator."""
    labels, anomalous = np.array(pairs).T
    found = decision_metrics(labels, anomalous.astype(bool))
    names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    assert [found[name] for name in names] == [
        pairs.count(pair) for pair in [(1, True), (0, True), (0, False), (1, False)]
    ]
    wanted = {
        "precision": sklearn_metrics.precision_score,
        "recall": sklearn_metrics.recall_score,
        "f1": sklearn_metrics.f1_score,
        "specificity": lambda y, p, **k: sklearn_metrics.recall_score(y, p, pos_label=0, **k),
    }
    assert set(wanted) == set(DECISION)
    for name, metric in wanted.items():
        figure = metric(labels, anomalous, zero_division=np.nan)
        if name in ("precision", "f1") and len(set(labels)) == 1:
            figure = np.nan
        assert found[name] == (None if np.isnan(figure) else pytest.approx(figure))


def test_decision_metrics_of_a_worked_case():
    """Two found, one false alarm, one missed and four passed give these figures."""
    labels = np.array([1, 1, 0, 1, 0, 0, 0, 0])
    anomalous = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    assert decision_metrics(labels, anomalous) == {
        "true_positives": 2,
        "false_positives": 1,
        "true_negatives": 4,
        "false_negatives": 1,
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 3),
        "specificity": 0.8,
        "f1": pytest.approx(2 / 3),
    }


def test_a_figure_without_a_denominator_is_none():
    """No alarm has no precision, and no good picture no specificity."""
    assert decision_metrics(np.array([1, 0]), np.array([False, False]))["precision"] is None
    assert decision_metrics(np.array([1, 1]), np.array([True, False]))["specificity"] is None


@pytest.mark.parametrize(("label", "known"), [(0, "specificity"), (1, "recall")])
def test_one_class_has_one_figure_of_decisions(label, known):
    """Good pictures alone have a specificity, anomalous ones a recall; precision and F1 need both."""
    found = decision_metrics(np.full(4, label), np.array([True, False, False, False]))
    shares = {"specificity": 0.75, "recall": 0.25}
    assert {name: found[name] for name in DECISION} == {
        name: shares[name] if name == known else None for name in DECISION
    }
