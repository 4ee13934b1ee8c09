"""Figures of anomaly maps against masks: AUROC and average precision over pixels, and the overlap of regions.

All are exact, and need the maps twice but never together: what is kept are the scores of the defective pixels, of
which there are few, and how many good pixels lie between them. For intervals the good pixels are counted picture by
picture, too: how often each defective picture wins against it, and how many exceed each of some `CELLS` thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from .errors import InputError
from .masks import Masks
from .regions import TOUCHING
from .resampling import draw_resamples, percentile_intervals

__all__ = ["CELLS", "LIMIT", "PIXEL", "pixel_figures", "region_weights"]

LIMIT = 0.3
"""False positive rate up to which the overlap of regions is integrated (Bergmann et al., 2021)."""

PIXEL = ("pixel_auroc", "pixel_average_precision", "aupro")
"""The figures, each None where no pixel, or every one, is defective."""


CELLS = 1000
"""Thresholds that average precision and AUPRO are resampled at; with so many distinct scores or less they are exact."""


class _Ranked(NamedTuple):
    """Scores of defective pixels, ascending along the last axis, and what lies at and above each of them."""

    counts: np.ndarray  # defective pixels of this score
    weights: np.ndarray  # and the sum of their weights
    above: np.ndarray  # good pixels of a higher one
    reached: np.ndarray  # good pixels of this or a higher one
    good: np.ndarray  # in all

    def auroc(self) -> np.ndarray:
        return self._area(self.counts, 1.0)

    def aupro(self, limit: float) -> np.ndarray:
        return self._area(self.weights, limit)

    def average_precision(self) -> np.ndarray:
        """Return the mean of the precisions at the scores of the defective pixels: elsewhere no recall is won."""
        found = np.cumsum(self.counts[..., ::-1], axis=-1)[..., ::-1]
        precision = found / np.maximum(found + self.reached, 1)
        averaged: np.ndarray = np.average(precision, axis=-1, weights=self.counts)
        return averaged

    def _area(self, weights: np.ndarray, limit: float) -> np.ndarray:
        """Return the area under a weighted ROC curve up to a false positive rate, divided by that rate.

        Each defective pixel adds, by its weight, the share of [0, limit] on which it is found: from the rate on at
        which its own score is the threshold.
        """
        before, after = self.above / self.good, self.reached / self.good
        # Good pixels of the same score: the curve rises on a straight line from one rate to the other.
        rise = after - before
        begun = np.maximum(limit - before, 0)
        part = np.divide(begun**2, 2 * rise, out=np.zeros_like(rise), where=rise > 0)
        found = np.where(after <= limit, limit - (before + after) / 2, part)
        area: np.ndarray = np.average(found, axis=-1, weights=weights) / limit
        return area


class _PerPicture(NamedTuple):
    """What resamples of n pictures, m of them defective, need of each."""

    defective: np.ndarray  # which of them are, (m,)
    wins: np.ndarray  # pairs of a pixel of one of these and a good one of each picture: (m, n)
    cells: _Ranked  # at so many thresholds, the arrays (n, cells)


def pixel_figures(
    maps: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray | None] | Masks,
    *,
    limit: float = LIMIT,
    resamples: int = 0,
) -> dict[str, Any]:
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
    resamples : int
        Bootstrap samples of pictures (not of pixels). With some, "intervals" has the percentile interval of each
        figure at 95 %, (low, high) or None. Those of the AUROC are exact; those of the other two are computed at
        `CELLS` thresholds where the defective pixels have more distinct scores.

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
    found = _counted(maps, masks, known, apart=resamples != 0)
    figures: dict[str, Any] = dict.fromkeys(PIXEL)
    if found is not None:
        whole, pictures = found
        values = whole.auroc(), whole.average_precision(), whole.aupro(limit)
        figures = dict(zip(PIXEL, map(float, values), strict=True))
        if pictures is not None:
            figures["intervals"] = percentile_intervals(_resampled(pictures, limit, resamples))
    return figures | {"pixel_pictures": len(known)}


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


def _counted(
    maps: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray | None] | Masks,
    known: Sequence[int],
    *,
    apart: bool,
) -> tuple[_Ranked, _PerPicture | None] | None:
    """Count the good pixels beside the defective ones, of all pictures and each apart; None where a class is missing."""
    scores, shares, defective = [], [], []
    for place, k in enumerate(known):
        anomaly_map, mask = _checked(maps, masks, k)
        if mask.any():
            scores.append(anomaly_map[mask])
            shares.append(region_weights(mask))
            defective.append(place)
    if not scores:
        return None
    values, ranks, counts = np.unique(
        np.concatenate(scores), return_inverse=True, return_counts=True
    )
    above, reached = np.zeros((2, len(values)))
    good = np.zeros((len(known), 1))
    # Cells of as many distinct values each, from `first` to `last`.
    cell = np.arange(len(values)) * min(CELLS, len(values)) // len(values)
    first = np.searchsorted(cell, np.arange(cell[-1] + 1))
    last = np.append(first[1:], len(values)) - 1
    starts = np.cumsum([0, *map(len, scores[:-1])])
    wins = np.zeros((len(defective), len(known)))
    held, weighed, exceeded, reaching = np.zeros((4, len(known), len(first) if apart else 0))
    for place, k in enumerate(known):
        anomaly_map, mask = _checked(maps, masks, k)
        pixels = np.sort(anomaly_map[~mask])  # else the search would jump about in memory
        passed = np.searchsorted(values, pixels, side="right")
        met = passed[passed > 0] - 1
        equal = np.bincount(met[values[met] == pixels[passed > 0]], minlength=len(values))
        below = np.cumsum(np.bincount(passed, minlength=len(values) + 1))[:-1]
        exceeding = len(pixels) - below
        good[place] = len(pixels)
        above += exceeding - equal
        reached += exceeding
        if apart:
            wins[:, place] = np.add.reduceat((below + equal / 2)[ranks], starts)
            exceeded[place], reaching[place] = (exceeding - equal)[last], exceeding[first]
    if not good.any():
        return None
    whole = _Ranked(counts, np.bincount(ranks, np.concatenate(shares)), above, reached, good.sum())
    if not apart:
        return whole, None
    for place, own, share in zip(defective, np.split(cell[ranks], starts[1:]), shares, strict=True):
        held[place] = np.bincount(own, minlength=len(first))
        weighed[place] = np.bincount(own, share, minlength=len(first))
    cells = _Ranked(held, weighed, exceeded, reaching, good)
    return whole, _PerPicture(np.array(defective), wins, cells)


def _resampled(found: _PerPicture, limit: float, resamples: int) -> dict[str, np.ndarray]:
    """Return the figures of resamples of the pictures; without a good pixel a resample has none."""
    is_defective = np.zeros(len(found.cells.good), int)
    is_defective[found.defective] = 1
    drawn = draw_resamples(is_defective, resamples=resamples).astype(np.float64)
    drawn = drawn[(drawn @ found.cells.good)[:, 0] > 0]  # pictures may be defective everywhere
    cells = _Ranked(*(drawn @ each for each in found.cells))
    pairs = cells.counts.sum(-1) * cells.good[:, 0]
    won = (drawn[:, found.defective] @ found.wins * drawn).sum(-1)
    values = won / pairs, cells.average_precision(), cells.aupro(limit)
    return dict(zip(PIXEL, values, strict=True))


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
