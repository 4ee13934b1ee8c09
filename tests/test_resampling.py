import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from recon_anomaly.errors import InputError
from recon_anomaly.metrics import DECISION, RANKING, decision_metrics, ranking_metrics
from recon_anomaly.resampling import (
    draw_resamples,
    percentile_intervals,
    resampled_decisions,
    resampled_ranking,
)


@st.composite
def labelled_scores(draw):
    """Up to 15 scores with many ties, and labels of both classes."""
    scores = draw(st.lists(st.integers(-3, 3), min_size=2, max_size=15))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    labels[0], labels[-1] = 0, 1
    return np.array(labels), np.array(scores) / 2


def ranking_intervals(labels, scores, *, resamples=1000, seed=0, confidence=0.95):
    """The intervals of the ranking figures."""
    counts = draw_resamples(labels, resamples=resamples, seed=seed)
    return percentile_intervals(resampled_ranking(labels, scores, counts), confidence=confidence)


@settings(deadline=None, max_examples=20)
@given(labelled_scores(), st.integers(0, 2**32 - 1))
def test_resampled_ranking_are_those_of_sample_weights(data, seed):
    """Each resample, ties and absent pictures and all, has scikit-learn's figures with its counts."""
    labels, scores = data
    drawn = np.random.default_rng(seed).multinomial(
        len(labels), np.full(len(labels), 1 / len(labels)), size=6
    )
    positives = drawn @ labels
    usable = drawn[(positives > 0) & (positives < len(labels))]
    counts = np.concatenate([usable, np.ones((1, len(labels)), int)])
    found = resampled_ranking(labels, scores, counts)
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


def test_resampled_ranking_do_not_depend_on_the_order():
    """Shuffling pictures, with their counts, leaves all figures as they are."""
    rng = np.random.default_rng(0)
    labels, scores = np.arange(30) % 2, rng.integers(0, 8, 30) / 8
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=5)
    order = rng.permutation(30)
    wanted = resampled_ranking(labels, scores, counts)
    found = resampled_ranking(labels[order], scores[order], counts[:, order])
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
    found = ranking_intervals(labels, scores, resamples=20000)["auroc"]
    # The end of an interval from 3000 resamples itself varies by about 5 % of a standard deviation.
    tolerance = 0.2 * wanted.standard_error
    assert found == pytest.approx(tuple(wanted.confidence_interval), abs=tolerance)


def test_bootstrap_intervals_hold_the_figures(overlapping):
    """Each interval holds the figure of the pictures themselves, and a lower confidence is narrower."""
    figures = ranking_metrics(*overlapping)
    wide = ranking_intervals(*overlapping)
    narrow = ranking_intervals(*overlapping, confidence=0.5)
    for name, figure in figures.items():
        assert wide[name][0] < narrow[name][0] < figure < narrow[name][1] < wide[name][1]


def test_bootstrap_intervals_repeat_with_their_seed(overlapping):
    """The same seed gives the same interval, and another seed another one; unsaid, there are 1000 of seed 0."""
    labels, _ = overlapping
    said = draw_resamples(labels, resamples=1000, seed=0)
    assert np.array_equal(draw_resamples(labels), said)
    assert said.dtype == int
    assert ranking_intervals(*overlapping) == ranking_intervals(*overlapping, seed=0)
    assert ranking_intervals(*overlapping) != ranking_intervals(*overlapping, seed=1)


def test_resamples_without_a_class_are_drawn_again():
    """Two pictures, half of whose resamples hold one class, keep a finite and exact interval."""
    labels = np.array([0, 1])
    assert (draw_resamples(labels, resamples=50) == 1).all()
    intervals = ranking_intervals(labels, np.array([0.0, 1.0]), resamples=50)
    assert intervals == dict.fromkeys(RANKING, (1.0, 1.0))


def test_resamples_hold_both_classes_and_as_many_pictures():
    """Each of many resamples of a lopsided set has all its pictures and both classes."""
    labels = np.array([1] + [0] * 9)
    counts = draw_resamples(labels, resamples=300)
    assert counts.shape == (300, 10)
    assert (counts.sum(1) == 10).all()
    assert (counts[:, 0] > 0).all()
    assert (counts[:, 0] < 10).all()


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_intervals_of_its_own_figure_only(label):
    """Ranking figures have none; of the decisions, recall or specificity has, as scikit-learn's."""
    labels, scores = np.full(20, label), np.arange(20.0)
    assert ranking_intervals(labels, scores) == dict.fromkeys(RANKING)
    counts = draw_resamples(labels, resamples=60)
    found = percentile_intervals(resampled_decisions(labels, scores > 4.5, counts))
    rates = [
        sklearn_metrics.recall_score(labels, scores > 4.5, pos_label=label, sample_weight=count)
        for count in counts
    ]
    known = "recall" if label else "specificity"
    assert found.pop(known) == pytest.approx(tuple(np.quantile(rates, [0.025, 0.975])))
    assert found == dict.fromkeys(set(DECISION) - {known})


def test_one_resample_is_enough():
    """A single one is drawn as it would be before others."""
    labels = np.array([0, 0, 1, 1])
    assert np.array_equal(
        draw_resamples(labels, resamples=1), draw_resamples(labels, resamples=9)[:1]
    )


@pytest.mark.parametrize("resamples", [0, -1])
def test_no_resamples_are_refused(resamples):
    """The error names what was given."""
    with pytest.raises(InputError, match=f"resamples={resamples}"):
        draw_resamples(np.array([0, 1]), resamples=resamples)


@pytest.mark.parametrize("confidence", [0, 1])
def test_an_impossible_confidence_is_refused(confidence):
    """The error names what was given."""
    with pytest.raises(InputError, match=f"confidence={confidence}"):
        percentile_intervals({"f1": np.ones(3)}, confidence=confidence)


@settings(deadline=None, max_examples=30)
@given(labelled_scores(), st.sampled_from([-2.0, -0.25, 0.25, 2.0]), st.integers(0, 99))
def test_resampled_decisions_are_those_of_sample_weights(data, threshold, seed):
    """Each resample's precision, recall, specificity and F1 are scikit-learn's with its counts."""
    labels, scores = data
    called = scores > threshold
    counts = draw_resamples(labels, resamples=8, seed=seed)
    found = resampled_decisions(labels, called, counts)
    for i, weights in enumerate(counts):
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
            labels, called, labels=[0, 1], sample_weight=weights, zero_division=np.nan
        )
        wanted = {"precision": precision[1], "recall": recall[1]}
        wanted |= {"specificity": recall[0], "f1": f1[1]}
        got = {name: figures[i] for name, figures in found.items()}
        assert got == pytest.approx(wanted, nan_ok=True)


def test_resampled_decisions_have_gaps_where_the_figures_have():
    """A resample has NaN wherever the figures of the same pictures, written out, are None."""
    labels, called = np.array([0, 0, 1, 1]), np.array([False, True, False, True])
    counts = np.array([[4, 0, 0, 0], [2, 0, 2, 0], [0, 0, 3, 1], [1, 1, 1, 1], [0, 4, 0, 0]])
    found = resampled_decisions(labels, called, counts)
    for i, count in enumerate(counts):
        written_out = decision_metrics(np.repeat(labels, count), np.repeat(called, count))
        wanted = {name: written_out[name] for name in DECISION}
        got = {name: figures[i] for name, figures in found.items()}
        assert {
            name: None if np.isnan(figure) else figure for name, figure in got.items()
        } == wanted


@pytest.mark.parametrize(
    ("of", "known", "interval"),
    [
        (4, 4, (0.75, 2.25)),
        (4, 2, (0.25, 0.75)),
        (4, 1, None),
        (4, 0, None),
        (5, 3, (0.5, 1.5)),
        (5, 2, None),
    ],
)
def test_resamples_without_the_figure_are_left_out(of, known, interval):
    """The interval runs over the resamples that have the figure, if they are at least half."""
    values = np.arange(float(of))
    values[known:] = np.nan
    found = percentile_intervals({"precision": values}, confidence=0.5)["precision"]
    assert found == (None if interval is None else pytest.approx(interval))
