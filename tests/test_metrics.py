import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from recon_anomaly.errors import InputError
from recon_anomaly.metrics import (
    RANKING,
    bootstrap_intervals,
    decision_metrics,
    pr_auc,
    ranking_metrics,
    resampled_figures,
)


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
    assert bootstrap_intervals(labels, np.arange(4.0)) == dict.fromkeys(RANKING)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=20))
def test_decision_metrics_are_those_of_scikit_learn(pairs):
    """Counts add up, and each figure that has a denominator is scikit-learn's."""
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
    for name, metric in wanted.items():
        figure = metric(labels, anomalous, zero_division=np.nan)
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
    assert decision_metrics(np.array([0, 0]), np.array([False, False]))["f1"] is None


@settings(deadline=None, max_examples=20)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_resampled_figures_are_those_of_sample_weights(data, seed):
    """Each resample, ties and absent pictures and all, has scikit-learn's figures with its counts."""
    labels, scores = data
    drawn = np.random.default_rng(seed).multinomial(
        len(labels), np.full(len(labels), 1 / len(labels)), size=6
    )
    positives = drawn @ labels
    usable = drawn[(positives > 0) & (positives < len(labels))]
    counts = np.concatenate([usable, np.ones((1, len(labels)), int)])
    found = resampled_figures(labels, scores, counts)
    assert set(found) == set(RANKING)
    for i, weights in enumerate(counts):
        precision, recall, _ = sklearn_metrics.precision_recall_curve(
            labels, scores, sample_weight=weights
        )
        wanted = {
            "auroc": sklearn_metrics.roc_auc_score(labels, scores, sample_weight=weights),
            "average_precision": sklearn_metrics.average_precision_score(
                labels, scores, sample_weight=weights
            ),
            "pr_auc": sklearn_metrics.auc(recall, precision),
        }
        assert {name: figures[i] for name, figures in found.items()} == pytest.approx(wanted)


def test_resampled_figures_do_not_depend_on_the_order():
    """Shuffling pictures, with their counts, leaves all figures as they are."""
    rng = np.random.default_rng(0)
    labels, scores = np.arange(30) % 2, rng.integers(0, 8, 30) / 8
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=5)
    order = rng.permutation(30)
    wanted = resampled_figures(labels, scores, counts)
    found = resampled_figures(labels[order], scores[order], counts[:, order])
    for name, figures in wanted.items():
        np.testing.assert_allclose(found[name], figures, rtol=1e-12)


@pytest.fixture
def overlapping():
    """60 good and 40 anomalous pictures whose scores overlap."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [60, 40])
    return labels, rng.normal(labels * 1.2)


def test_bootstrap_intervals_are_those_of_scipy(overlapping):
    """SciPy's percentile bootstrap of the Mann-Whitney statistic has the same interval."""
    labels, scores = overlapping

    def auroc(labels, scores):
        ranks = stats.rankdata(scores)
        n_positive = labels.sum()
        rank_sum = (ranks * labels).sum()
        below = rank_sum - n_positive * (n_positive + 1) / 2
        return below / (n_positive * (len(labels) - n_positive))

    wanted = stats.bootstrap(
        (labels, scores),
        auroc,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=3000,
        rng=np.random.default_rng(1),
    )
    found = bootstrap_intervals(labels, scores, resamples=20000)["auroc"]
    # The end of an interval from 3000 resamples itself varies by about 5 % of a standard deviation.
    tolerance = 0.2 * wanted.standard_error
    assert found == pytest.approx(tuple(wanted.confidence_interval), abs=tolerance)


def test_bootstrap_intervals_hold_the_figures(overlapping):
    """Each interval holds the figure of the pictures themselves, and a lower confidence is narrower."""
    figures = ranking_metrics(*overlapping)
    wide = bootstrap_intervals(*overlapping)
    narrow = bootstrap_intervals(*overlapping, confidence=0.5)
    for name, figure in figures.items():
        assert wide[name][0] < narrow[name][0] < figure < narrow[name][1] < wide[name][1]


def test_bootstrap_intervals_repeat_with_their_seed(overlapping):
    """The same seed gives the same interval, and another seed another one."""
    assert bootstrap_intervals(*overlapping) == bootstrap_intervals(*overlapping, seed=0)
    assert bootstrap_intervals(*overlapping) != bootstrap_intervals(*overlapping, seed=1)


def test_resamples_of_one_class_are_drawn_again():
    """Two pictures, half of whose resamples hold one class, keep a finite and exact interval."""
    intervals = bootstrap_intervals(np.array([0, 1]), np.array([0.0, 1.0]), resamples=50)
    assert intervals == dict.fromkeys(RANKING, (1.0, 1.0))


@pytest.mark.parametrize("params", [{"confidence": 0}, {"confidence": 1}, {"resamples": 0}])
def test_an_impossible_interval_is_refused(params, overlapping):
    """The error names what was given."""
    ((name, value),) = params.items()
    with pytest.raises(InputError, match=f"{name}={value}"):
        bootstrap_intervals(*overlapping, **params)


def test_resampled_f1_is_that_of_scikit_learn():
    """The interval of an F1 is the quantile of scikit-learn's F1 over the same resamples."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 40)
    scores = labels + rng.normal(size=40)
    found = bootstrap_intervals(labels, scores, thresholds={"f1": 0.5}, resamples=50, seed=3)
    counts = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=50)
    wanted = [
        sklearn_metrics.f1_score(labels, scores > 0.5, sample_weight=count) for count in counts
    ]
    assert found["f1"] == pytest.approx(tuple(np.quantile(wanted, [0.025, 0.975])))
