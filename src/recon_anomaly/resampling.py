"""Bootstrap: figures of many resamples of labelled pictures at once, and their percentile intervals.

Labels are 1 for anomalous and 0 for good; scores are anomaly scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import InputError
from .metrics import RANKING

__all__ = ["draw_resamples", "percentile_intervals", "resampled_decisions", "resampled_ranking"]


def draw_resamples(labels: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Return how often each picture is in each bootstrap sample, integers (resamples, n).

    Pictures are drawn with replacement; a sample without one of the classes that the labels have is
    drawn again.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        1 for anomalous, 0 for good.
    resamples : int
        How many samples.
    seed : int
        The same seed gives the same samples, so that intervals of several figures share theirs.

    Raises
    ------
    InputError
        When ``resamples`` is below 1.

    Examples
    --------
    >>> draw_resamples(np.array([0, 0, 1]), resamples=5).sum(1)
    array([3, 3, 3, 3, 3])
    """
    if resamples < 1:
        raise InputError(f"resamples={resamples}: at least 1 is wanted")
    labels = np.asarray(labels, bool)
    classes = [members for members in (labels, ~labels) if members.any()]
    rng = np.random.default_rng(seed)
    chances = np.full(len(labels), 1 / len(labels))
    counts = np.empty((0, len(labels)), int)
    while len(counts) < resamples:
        drawn = rng.multinomial(len(labels), chances, size=resamples - len(counts))
        whole = np.all([drawn[:, members].any(1) for members in classes], axis=0)
        counts = np.concatenate([counts, drawn[whole]])
    return counts


def percentile_intervals(
    figures: Mapping[str, np.ndarray], *, confidence: float = 0.95
) -> dict[str, tuple[float, float] | None]:
    """Return the percentile interval of each resampled figure.

    Parameters
    ----------
    figures : mapping of str to ndarray of shape (resamples,)
        From `resampled_ranking` or `resampled_decisions`; NaN where a resample has no such figure.
    confidence : float
        Share of the resampled figures inside the interval, in (0, 1).

    Returns
    -------
    dict
        (low, high) for each. Resamples without the figure are left out; where they are more than
        half, there is no interval: None. Where the classes are perfectly apart, so are they in every
        resample: the interval is then one point, and says less than it seems to.

    Raises
    ------
    InputError
        When ``confidence`` is not between 0 and 1.

    Examples
    --------
    >>> percentile_intervals({"f1": np.array([0.5, 0.6, 0.7])}, confidence=0.5)
    {'f1': (0.55, 0.65)}
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: a share between 0 and 1 is wanted")
    tail = (1 - confidence) / 2
    intervals: dict[str, tuple[float, float] | None] = {}
    for name, values in figures.items():
        known = values[~np.isnan(values)]
        intervals[name] = None
        if 2 * len(known) >= len(values):
            low, high = np.quantile(known, [tail, 1 - tail])
            intervals[name] = (float(low), float(high))
    return intervals


def resampled_ranking(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the ranking figures of many resamples at once, (resamples,) each.

    scikit-learn gives the same with ``sample_weight=counts[i]``, one resample at a time; with
    thousands of them for each cell of a bench that takes minutes, so here they share one sort.

    Parameters
    ----------
    labels, scores : ndarray of shape (n,)
        As everywhere here; with labels of one class all figures are NaN.
    counts : ndarray of shape (resamples, n)
        How often each picture is in each resample, from `draw_resamples`.
    """
    if len(np.unique(labels)) < 2:
        return {name: np.full(len(counts), np.nan) for name in RANKING}
    order = np.argsort(-scores)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # ties move together
    cumulated = np.cumsum(counts[:, order] * labels[order], axis=1)[:, ends]
    true = np.pad(cumulated, ((0, 0), (1, 0)))
    false = np.pad(np.cumsum(counts[:, order], axis=1)[:, ends], ((0, 0), (1, 0))) - true
    recall = true / true[:, -1:]
    false_rate = false / false[:, -1:]
    found = true + false
    precision = np.divide(true, found, out=np.ones_like(recall), where=found > 0)
    steps = np.diff(recall)
    return {
        "auroc": np.trapezoid(recall, false_rate),
        "average_precision": (steps * precision[:, 1:]).sum(1),
        "pr_auc": np.trapezoid(precision, recall),
    }


def resampled_decisions(
    labels: np.ndarray, anomalous: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the figures of fixed decisions in many resamples at once, (resamples,) each.

    Parameters
    ----------
    labels, anomalous : ndarray of shape (n,)
        What each picture is, and what it was called.
    counts : ndarray of shape (resamples, n)
        How often each picture is in each resample, from `draw_resamples`.

    Returns
    -------
    dict
        Precision, recall, specificity and F1; NaN wherever `decision_metrics` has None.

    Examples
    --------
    >>> labels, called = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> resampled_decisions(labels, called, np.array([[1, 1, 1, 1], [4, 0, 0, 0]]))["precision"]
    array([0.666...,     nan])
    """
    labels, anomalous = np.asarray(labels, bool), np.asarray(anomalous, bool)
    found = counts[:, labels & anomalous].sum(1)
    missed = counts[:, labels & ~anomalous].sum(1)
    false_alarms = counts[:, ~labels & anomalous].sum(1)
    good = counts[:, ~labels & ~anomalous].sum(1)
    both = (found + missed > 0) & (good + false_alarms > 0)

    def share(part: np.ndarray, whole: np.ndarray, known: np.ndarray | bool = True) -> np.ndarray:
        shares = np.full(len(counts), np.nan)
        np.divide(part, whole, out=shares, where=(whole > 0) & known)
        return shares

    return {
        "precision": share(found, found + false_alarms, both),
        "recall": share(found, found + missed),
        "specificity": share(good, good + false_alarms),
        "f1": share(2 * found, 2 * found + false_alarms + missed, both),
    }
