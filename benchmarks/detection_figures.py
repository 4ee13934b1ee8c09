"""The figures of pictures of `detection.py`, made by the driver alone from what a contender answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from recon_anomaly.decisions import called_at
from recon_anomaly.metrics import ranking_metrics
from recon_anomaly.resampling import draw_resamples, percentile_intervals, resampled_ranking
from recon_anomaly.thresholds import quantile


def image_figures(
    scores: np.ndarray, labels: np.ndarray, validation_scores: np.ndarray
) -> dict[str, Any]:
    """Return AUROC, average precision, and F1 at the 95 % quantile of the validation scores, with intervals.

    Each is None where the labels hold one class.
    """
    counts = draw_resamples(labels)
    intervals = percentile_intervals(resampled_ranking(labels, scores, counts))
    decision = called_at(quantile(validation_scores), scores, labels, counts, oracle=False)
    ranking = ranking_metrics(labels, scores)
    figures = {name: ranking[name] for name in ("auroc", "average_precision")}
    return {
        **figures,
        "f1": decision["f1"],
        "threshold": decision["threshold"],
        "intervals": {
            **{name: intervals[name] for name in figures},
            "f1": decision["intervals"]["f1"],
        },
    }
