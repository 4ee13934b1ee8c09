"""What a network was worth after every epoch, by the labels of the test pictures: an oracle's view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .detector import Observed
from .history import History
from .metrics import decision_metrics, ranking_metrics
from .thresholds import find_threshold

__all__ = ["figures_of_epochs"]


def figures_of_epochs(
    observed: Iterable[Observed], scorer: str, labels: np.ndarray, history: History
) -> list[dict[str, Any]]:
    """Return the figures of every epoch that led to the fitted network.

    Parameters
    ----------
    observed : iterable of Observed
        From ``iter_fit``; those of lost branches are left out.
    scorer : str
        By which.
    labels : ndarray of shape (n,)
        Of the observed pictures, of both classes; 1 is anomalous.
    history : History
        Of the finished training.

    Returns
    -------
    list of dict
        By epoch: "epoch", "path", "auroc", and "sensitivity", "specificity" and "threshold" at Youden's J
        of that epoch's own scores.
    """
    kept = {(record.epoch, record.path) for record in history.records}
    found = []
    for seen in observed:
        if (seen.epoch, seen.path) not in kept:
            continue
        scores = seen.scores[scorer]
        threshold = find_threshold("youden", scores, labels)
        decision = decision_metrics(labels, scores > threshold)
        found.append(
            {
                "epoch": seen.epoch,
                "path": list(seen.path),
                "auroc": ranking_metrics(labels, scores)["auroc"],
                "sensitivity": decision["recall"],
                "specificity": decision["specificity"],
                "threshold": threshold,
            }
        )
    return sorted(found, key=lambda figures: figures["epoch"])
