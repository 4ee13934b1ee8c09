"""Figures of a detector on labelled pictures, from scikit-learn.

Labels are 1 for anomalous and 0 for good; the anomalous class is the positive one. Scores are
anomaly scores: the higher, the more abnormal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.metrics import (
    auc,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    roc_auc_score,
)

__all__ = ["DECISION", "RANKING", "decision_metrics", "pr_auc", "ranking_metrics"]


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
"""Figures that need no threshold, each a function of labels and scores."""

DECISION = ("precision", "recall", "specificity", "f1")
"""Figures of decisions; recall is the sensitivity."""


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
    """Return the figures of decisions: counts, precision, recall (the sensitivity), specificity, F1.

    A figure without a denominator is None. So are precision and F1 where the labels hold one class:
    they weigh found defects against false alarms, and one of these cannot be there.

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

    both = good + false_alarms > 0 and found + missed > 0
    return {
        "true_positives": found,
        "false_positives": false_alarms,
        "true_negatives": good,
        "false_negatives": missed,
        "precision": share(found, found + false_alarms) if both else None,
        "recall": share(found, found + missed),
        "specificity": share(good, good + false_alarms),
        "f1": share(2 * found, 2 * found + false_alarms + missed) if both else None,
    }
