"""Where a detector's pictures are anomalous: its threshold for pixels, and the regions above it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from .errors import InputError
from .interest import Interest
from .pictures import named_files
from .regions import Located, Region, find_regions
from .thresholds import quantile

if TYPE_CHECKING:
    from .fitted import FittedDetector, ScoredFiles

__all__ = ["Limits", "iter_located", "located_in", "pixel_threshold"]


def pixel_threshold(detector: FittedDetector, false_alarm: float = 0.05) -> float:
    """Return what a map must exceed, so that a share ``false_alarm`` of good pictures has a pixel that does.

    It is a quantile of the largest values in the maps of the validation pictures of ``fit`` (``map_peaks_``): an
    estimate, as rule "quantile" is for scores. With 0 it is ``map_scale_``, which no pixel of them exceeds.

    Parameters
    ----------
    detector : fitted detector
        Whose maps are meant.
    false_alarm : float
        In [0, 1].

    Raises
    ------
    InputError
        For a share outside of these bounds.
    """
    return quantile(detector.map_peaks_, false_alarm=false_alarm)


class Limits(NamedTuple):
    """What makes pixels a region: ``threshold``, which its map exceeds, and ``least_area``, in pixels of the file.

    Pixels outside of ``interest``, the detector's, are in no region: a map is 0 there, which may exceed a threshold below 0.
    """

    threshold: float
    least_area: float
    interest: Interest | None = None

    @classmethod
    def of(
        cls,
        detector: FittedDetector,
        threshold: float | None = None,
        false_alarm: float = 0.05,
        least_area: float = 0,
    ) -> Self:
        """Return checked limits; the threshold is the detector's `pixel_threshold` where none is given.

        Raises
        ------
        InputError
            For numbers that are out of their bounds.
        """
        detector._check_fitted()
        learned = pixel_threshold(detector, false_alarm)
        if threshold is not None and not np.isfinite(threshold):
            raise InputError(
                f"threshold={threshold}: a finite number, in the scorer's unit, is wanted"
            )
        if not 0 <= least_area < np.inf:
            raise InputError(f"least_area={least_area}: a number of pixels from 0 on is wanted")
        interest = None if detector.tiling_ is None else detector.tiling_.interest
        limit = learned if threshold is None else float(threshold)
        return cls(limit, float(least_area), interest)


def located_in(
    found: ScoredFiles, offset: float, limits: Limits, *, every_picture: bool = False
) -> Iterator[Located]:
    """Give what a batch of scored files has, picture by picture.

    Parameters
    ----------
    found : ScoredFiles
        Of ``iter_files``.
    offset : float
        The detector's ``offset_``.
    limits : Limits
        What makes a region.
    every_picture : bool
        Whether pictures that are called good are looked at, too.
    """
    parts = zip(found.paths, found.sizes, found.scores, found.maps, strict=True)
    for path, size, score, anomaly_map in parts:
        yield _located(path, size, score, anomaly_map, offset, limits, every_picture)


def iter_located(
    detector: FittedDetector, X: Any, limits: Limits, *, every_picture: bool = False
) -> Iterator[Located]:
    """Give a `Located` for each picture of X, as ``detector.regions`` does in one list; files as they are decoded.

    Parameters
    ----------
    detector : fitted detector
        Scores them.
    X : array, folder or list of paths
        The pictures.
    limits : Limits
        What makes a region.
    every_picture : bool
        Whether pictures that are called good are looked at, too.

    Raises
    ------
    InputError
        When X cannot be used.
    """
    offset = detector.offset_
    paths = named_files(X)
    if paths is not None:
        for found in detector.iter_files(paths):
            yield from located_in(found, offset, limits, every_picture=every_picture)
            del found  # else it would live on while the next one is waited for
        return
    for scores, maps in detector.iter_scores(X):
        for score, anomaly_map in zip(scores, maps, strict=True):
            size = anomaly_map.shape
            yield _located(None, size, score, anomaly_map, offset, limits, every_picture)


def _located(
    path: Path | None,
    size: tuple[int, int],
    score: float,
    anomaly_map: np.ndarray,
    offset: float,
    limits: Limits,
    every_picture: bool,
) -> Located:
    anomalous = bool(-score - offset < 0)
    regions: tuple[Region, ...] = ()
    if anomalous or every_picture:
        if limits.interest is not None:
            looked_at = limits.interest.inside((anomaly_map.shape[0], anomaly_map.shape[1]))
            anomaly_map = np.where(looked_at, anomaly_map, -np.inf)
        regions = find_regions(
            anomaly_map, limits.threshold, size=size, least_area=limits.least_area
        )
    return Located(path, size, float(score), anomalous, regions)
