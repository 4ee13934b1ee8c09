"""Figures of anomaly maps against masks: AUROC and average precision over pixels, and the overlap of regions.

All are exact, and need the maps twice but never together: what is kept are the scores of the defective pixels, of
which there are few, and how many good pixels lie between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .errors import InputError
from .masks import Masks
from .regions import TOUCHING

__all__ = ["LIMIT", "PIXEL", "pixel_figures", "region_weights"]

LIMIT = 0.3
"""False positive rate up to which the overlap of regions is integrated (Bergmann et al., 2021)."""

PIXEL = ("pixel_auroc", "pixel_average_precision", "aupro")
"""The figures, each None where no pixel, or every one, is defective."""


class _Ranked(NamedTuple):
    """The distinct scores of defective pixels, ascending, and what lies at and above each of them."""

    counts: np.ndarray  # defective pixels of this score
    weights: np.ndarray  # and the sum of their weights
    above: np.ndarray  # good pixels of a higher one
    reached: np.ndarray  # good pixels of this or a higher one
    good: int  # in all


def pixel_figures(
    maps: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray | None] | Masks,
    *,
    limit: float = LIMIT,
) -> dict[str, float | int | None]:
    """Return the figures of `PIXEL`, and in "pixel_pictures" how many pictures have a mask.

    - ``pixel_auroc`` is the area under the ROC curve over the pixels of all pictures together.
    - ``pixel_average_precision`` is their average precision, by steps as scikit-learn has it.
    - ``aupro`` is the area under the per-region overlap against the false positive rate, up to ``limit``, divided by
      ``limit``, so that 1 is the best. A region is a set of defective pixels that touch, at corners too, in one
      picture. Its overlap at a threshold is the share of its pixels that exceed it; the curve has the mean over the
      regions of all pictures, against the share of all good pixels, those of defective pictures too, that exceed
      the threshold (Bergmann, Batzner, Fauser, Sattlegger and Steger, *The MVTec anomaly detection dataset*, 2021).

    Parameters
    ----------
    maps : sequence of n ndarray of shape (h, w)
        The higher, the more abnormal. Each is read twice, one at a time, so they may be mapped from a file.
    masks : Masks, or sequence of n ndarray of shape (h, w), bool, or None
        True where a picture is defective, False everywhere in a good one. A picture whose mask is None is left out.
    limit : float
        In (0, 1].

    Raises
    ------
    InputError
        When maps and masks do not fit together, a map is not finite, or the limit is out of its bounds.

    Examples
    --------
    >>> mask = np.array([[True, False, False, False]])
    >>> pixel_figures([np.array([[0.9, 0.1, 0.2, 0.3]])], [mask])["aupro"]
    1.0
    >>> found = pixel_figures([np.array([[0.2, 0.1, 0.1, 0.3]])], [mask])
    >>> found["pixel_auroc"], found["pixel_average_precision"], found["aupro"]
    (0.666, 0.5, 0.0)
    """
    if not 0 < limit <= 1:
        raise InputError(f"limit={limit}: a false positive rate in (0, 1] is wanted")
    if len(maps) != len(masks):
        raise InputError(f"got {len(maps)} maps and {len(masks)} masks; give one each")
    known = [k for k in range(len(masks)) if masks[k] is not None]
    ranked = _ranked(maps, masks, known)
    figures: tuple[float | None, ...] = (None,) * len(PIXEL)
    if ranked is not None:
        figures = (
            _area(ranked, ranked.counts, 1.0),
            _average_precision(ranked),
            _area(ranked, ranked.weights, limit),
        )
    return dict(zip(PIXEL, figures, strict=True)) | {"pixel_pictures": len(known)}


def region_weights(mask: np.ndarray) -> np.ndarray:
    """Return for each defective pixel, row by row, one over the size of its region.

    So every region weighs the same, and the mean overlap of regions is a weighted recall of pixels.

    Examples
    --------
    >>> region_weights(np.array([[True, True, False, True]]))
    array([0.5, 0.5, 1. ])
    """
    regions, _ = ndimage.label(mask, structure=TOUCHING)
    weights: np.ndarray = 1 / np.bincount(regions.ravel())[regions[mask]]
    return weights


def _ranked(
    maps: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray | None] | Masks,
    known: Sequence[int],
) -> _Ranked | None:
    """Count the good pixels between the defective ones, picture by picture; None where a class is missing."""
    scores, shares = [], []
    for k in known:
        anomaly_map, mask = _checked(maps, masks, k)
        if mask.any():
            scores.append(anomaly_map[mask])
            shares.append(region_weights(mask))
    if not scores:
        return None
    values, places, counts = np.unique(
        np.concatenate(scores), return_inverse=True, return_counts=True
    )
    weights = np.bincount(places, np.concatenate(shares))
    exceeded = np.zeros(
        len(values) + 1, np.int64
    )  # by how many good pixels just so many values are
    equal = np.zeros(len(values), np.int64)
    for k in known:
        anomaly_map, mask = _checked(maps, masks, k)
        good = np.sort(anomaly_map[~mask])  # else the search would jump about in memory
        passed = np.searchsorted(values, good, side="right")
        exceeded += np.bincount(passed, minlength=len(exceeded))
        last = passed[passed > 0] - 1
        equal += np.bincount(last[values[last] == good[passed > 0]], minlength=len(equal))
    total = int(exceeded.sum())
    reached = total - np.cumsum(exceeded)[:-1]
    return _Ranked(counts, weights, reached - equal, reached, total) if total else None


def _checked(
    maps: Sequence[np.ndarray] | np.ndarray, masks: Sequence[np.ndarray | None] | Masks, k: int
) -> tuple[np.ndarray, np.ndarray]:
    anomaly_map, mask = np.asarray(maps[k]), np.asarray(masks[k])
    if anomaly_map.shape != mask.shape or mask.dtype != bool:
        raise InputError(
            f"map {k} has shape {anomaly_map.shape} and its mask {mask.shape}, of {mask.dtype}; a mask is bool and "
            "of its map's shape"
        )
    if not np.isfinite(anomaly_map).all():
        raise InputError(f"map {k} is not finite; its scorer cannot handle this picture")
    return anomaly_map, mask


def _area(ranked: _Ranked, weights: np.ndarray, limit: float) -> float:
    """Return the area under a weighted ROC curve up to a false positive rate, divided by that rate.

    Each defective pixel adds, by its weight, the share of [0, limit] on which it is found: from the rate on at which
    its own score is the threshold.
    """
    before, after = ranked.above / ranked.good, ranked.reached / ranked.good
    # Good pixels of the same score: the curve rises on a straight line from one rate to the other.
    rise = after - before
    begun = np.maximum(limit - before, 0)
    part = np.divide(begun**2, 2 * rise, out=np.zeros_like(rise), where=rise > 0)
    found = np.where(after <= limit, limit - (before + after) / 2, part)
    return float(np.average(found, weights=weights) / limit)


def _average_precision(ranked: _Ranked) -> float:
    """Return the mean of the precisions at the scores of the defective pixels: elsewhere no recall is won."""
    found = np.cumsum(ranked.counts[::-1])[::-1]
    return float(np.average(found / (found + ranked.reached), weights=ranked.counts))
