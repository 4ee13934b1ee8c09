"""Figures of a detector on labelled pictures, from scikit-learn, with bootstrap intervals.

Labels are 1 for anomalous and 0 for good; the anomalous class is the positive one. Scores are
anomaly scores: the higher, the more abnormal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
)

from .errors import InputError

__all__ = [
    "RANKING",
    "bootstrap_intervals",
    "decision_metrics",
    "pr_auc",
    "ranking_metrics",
    "resampled_figures",
]


def pr_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the precision-recall curve by the trapezoidal rule, as papers print it.

    It interpolates linearly between points, which is optimistic; `average_precision` does not.

    Examples
    --------
    >>> pr_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.7916
    """
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float(auc(recall, precision))


RANKING: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "auroc": roc_auc_score,
    "average_precision": average_precision_score,
    "pr_auc": pr_auc,
}


def ranking_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """Return the figures that need no threshold; None where the labels hold one class only.

    Examples
    --------
    >>> ranking_metrics(np.array([0, 1]), np.array([0.1, 0.2]))
    {'auroc': 1.0, 'average_precision': 1.0, 'pr_auc': 1.0}
    """
    both = len(np.unique(labels)) == 2
    return {
        name: float(metric(labels, scores)) if both else None for name, metric in RANKING.items()
    }


def decision_metrics(labels: np.ndarray, anomalous: np.ndarray) -> dict[str, float | int | None]:
    """Return the figures of decisions: counts, precision, recall, specificity and F1.

    Recall is the sensitivity. A figure without a denominator is None.

    Examples
    --------
    >>> decision_metrics(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))["f1"]
    0.8
    """
    good, false_alarms, missed, found = (
        int(count) for count in confusion_matrix(labels, anomalous, labels=[0, 1]).ravel()
    )

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return {
        "true_positives": found,
        "false_positives": false_alarms,
        "true_negatives": good,
        "false_negatives": missed,
        "precision": share(found, found + false_alarms),
        "recall": share(found, found + missed),
        "specificity": share(good, good + false_alarms),
        "f1": share(2 * found, 2 * found + false_alarms + missed),
    }


def bootstrap_intervals(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    thresholds: Mapping[str, float] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Return percentile intervals of figures, resampling pictures with replacement.

    Parameters
    ----------
    labels, scores : ndarray of shape (n,)
        As everywhere here.
    thresholds : mapping of str to float, optional
        Names of further figures: the F1 of calling anomalous what exceeds the threshold, which is
        held fixed.
    resamples : int
        Bootstrap samples; one that holds a single class is drawn again.
    confidence : float
        Share of the resampled figures inside the interval.
    seed : int
        Of the resampling.

    Returns
    -------
    dict
        (low, high) for each of ``RANKING`` and ``thresholds``; None where the labels hold one class
        only. Where the classes are perfectly apart, so are they in every resample: the interval is
        then one point, and says less than it seems to.

    Examples
    --------
    >>> labels, scores = np.array([0, 0, 1, 1] * 5), np.array([1, 2, 3, 4] * 5)
    >>> bootstrap_intervals(labels, scores)["auroc"]
    (1.0, 1.0)
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise InputError(
            f"confidence={confidence}, resamples={resamples}: (0, 1) and at least 1 are wanted"
        )
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        return dict.fromkeys([*RANKING, *(thresholds or {})])
    rng = np.random.default_rng(seed)
    chances = np.full(len(labels), 1 / len(labels))
    counts = np.empty((0, len(labels)), int)
    while len(counts) < resamples:
        drawn = rng.multinomial(len(labels), chances, size=resamples - len(counts))
        positives = drawn[:, labels].sum(1)
        counts = np.concatenate([counts, drawn[(positives > 0) & (positives < len(labels))]])
    tail = (1 - confidence) / 2
    found = resampled_figures(labels, scores, counts)
    for name, threshold in (thresholds or {}).items():
        found[name] = _resampled_f1(labels, scores > threshold, counts)
    return {
        name: (float(low), float(high))
        for name, figures in found.items()
        for low, high in [np.quantile(figures, [tail, 1 - tail])]
    }


def resampled_figures(
    labels: np.ndarray, scores: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the ranking figures of many resamples at once, (resamples,) each.

    scikit-learn gives the same with ``sample_weight=counts[i]``, one resample at a time; with
    thousands of them for each cell of a bench that takes minutes, so here they share one sort.

    Parameters
    ----------
    labels, scores : ndarray of shape (n,)
        As everywhere here.
    counts : ndarray of shape (resamples, n)
        How often each picture is in each resample.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # ties move together
    cumulated = np.cumsum(counts[:, order] * labels[order], axis=1)[:, ends]
    true = np.pad(cumulated, ((0, 0), (1, 0)))
    false = np.pad(np.cumsum(counts[:, order], axis=1)[:, ends], ((0, 0), (1, 0))) - true
    recall = true / true[:, -1:]
    false_rate = false / false[:, -1:]
    found = true + false
    precision = np.divide(true, found, out=np.ones_like(recall), where=found > 0)
    steps = np.diff(recall, axis=1)
    return {
        "auroc": np.trapezoid(recall, false_rate, axis=1),
        "average_precision": (steps * precision[:, 1:]).sum(1),
        "pr_auc": np.trapezoid(precision, recall, axis=1),
    }


def _resampled_f1(labels: np.ndarray, anomalous: np.ndarray, counts: np.ndarray) -> np.ndarray:
    hits = counts[:, labels & anomalous].sum(1)
    errors = counts[:, labels != anomalous].sum(1)
    f1: np.ndarray = 2 * hits / (2 * hits + errors)
    return f1
