"""The figures of `detection.py`, made by the driver alone from what a contender answers: of pictures and of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from recon_anomaly.decisions import called_at
from recon_anomaly.metrics import ranking_metrics
from recon_anomaly.resampling import draw_resamples, percentile_intervals, resampled_ranking
from recon_anomaly.thresholds import quantile

LIMIT = 0.3
"""False positive rate up to which the overlap of regions is integrated (Bergmann et al., 2020)."""


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


def pixel_figures(maps: np.ndarray, masks: Sequence[np.ndarray | None]) -> dict[str, Any]:
    """Return AUROC over all pixels and `aupro`; "pixel_pictures" counts the pictures that have a mask."""
    known = [k for k, mask in enumerate(masks) if mask is not None]
    chosen = [mask for mask in masks if mask is not None]
    return {
        "pixel_auroc": pixel_auroc(maps[known], chosen),
        "aupro": aupro(maps[known], chosen),
        "pixel_pictures": len(known),
    }


def pixel_auroc(maps: np.ndarray, masks: Sequence[np.ndarray]) -> float:
    """Return the AUROC over the pixels of all pictures; maps (n, h, w), masks (h, w) True where defective."""
    truth = np.stack(masks)
    return partial_area(maps[~truth], maps[truth], np.ones(int(truth.sum())))


def aupro(maps: np.ndarray, masks: Sequence[np.ndarray], limit: float = LIMIT) -> float:
    """Return the area under the per-region overlap against the false positive rate, up to ``limit``, divided by it.

    A region is a set of defective pixels that touch, at corners too, in one picture. Its overlap at a threshold is the
    share of its pixels that exceed it; the curve has the mean over the regions of all pictures, against the share
    of all good pixels that exceed the threshold (Bergmann et al., 2020).

    Parameters
    ----------
    maps : ndarray of shape (n, h, w)
        The higher, the more abnormal.
    masks : sequence of ndarray of shape (h, w), bool
        True where a picture is defective; at least one pixel of one of them is.
    limit : float
        In (0, 1].
    """
    truth = np.stack(masks)
    return partial_area(maps[~truth], maps[truth], _region_weights(masks), limit)


def partial_area(
    good: np.ndarray, defective: np.ndarray, weights: np.ndarray, limit: float = 1.0
) -> float:
    """Return the area under a weighted ROC curve up to a false positive rate, divided by that rate.

    Each defective pixel adds, by its weight, the share of [0, limit] on which it is found: from the rate on at which
    its own score is the threshold. With a limit of 1 and equal weights this is the AUROC, and exact: scikit-learn
    would sort and copy the tens of millions of pixels of a set several times.

    Parameters
    ----------
    good : ndarray of shape (n,)
        Scores of the good pixels.
    defective, weights : ndarray of shape (m,)
        Scores and weights of the defective pixels.
    limit : float
        In (0, 1].
    """
    good = np.sort(good)
    before = (len(good) - np.searchsorted(good, defective, side="right")) / len(good)
    after = (len(good) - np.searchsorted(good, defective, side="left")) / len(good)
    # Good pixels of the same score: the curve rises on a straight line from one rate to the other.
    rise = after - before
    begun = np.maximum(limit - before, 0)
    part = np.divide(begun**2, 2 * rise, out=np.zeros_like(rise), where=rise > 0)
    found = np.where(after <= limit, limit - (before + after) / 2, part)
    return float(np.average(found, weights=weights) / limit)


def _region_weights(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each defective pixel, picture by picture, one over the size of its region.

    So every region weighs the same, and the mean overlap is a weighted recall of pixels.
    """
    weights = []
    for mask in masks:
        regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        weights.append(1 / np.bincount(regions.ravel())[regions[mask]])
    return np.concatenate(weights)
