"""Where it is: connected regions of an anomaly map, in pixels of the picture file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .outlines import outlines

__all__ = ["TOUCHING", "Located", "Region", "find_regions"]

TOUCHING = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together, as in the overlap of regions (`recon_anomaly.pixelmetrics`)."""


@dataclass(frozen=True, eq=False)  # arrays have no truth to compare by
class Region:
    """Pixels of an anomaly map that touch and exceed a threshold.

    Coordinates are pixels of the picture file, x to the right and y down, from its upper left corner as it is seen
    (upright, where the file has an EXIF orientation). A pixel of the map is as many of them as the picture was
    reduced by, so they may have fractions; nothing is rounded.

    Attributes
    ----------
    box : (float, float, float, float)
        x, y, width and height of the upright rectangle around it.
    area : float
        Pixels of the picture file.
    mean, maximum : float
        Of the map, in the scorer's unit.
    mask : ndarray of shape (h, w), bool
        Which pixels of the map it has, within its box.
    """

    box: tuple[float, float, float, float]
    area: float
    mean: float
    maximum: float
    mask: np.ndarray = field(repr=False)

    def contours(self) -> list[np.ndarray]:
        """Return polygons, float64 (k, 2), of corners (x, y) that cover just the region; see `outlines`."""
        x, y, width, height = self.box
        tall, wide = self.mask.shape
        across, down = np.linspace(x, x + width, wide + 1), np.linspace(y, y + height, tall + 1)
        return [
            np.column_stack([across[ring[:, 0]], down[ring[:, 1]]]) for ring in outlines(self.mask)
        ]


class Located(NamedTuple):
    """A picture, what was decided of it, and its regions.

    Attributes
    ----------
    path : Path or None
        Its file, where it has one.
    size : (int, int)
        Height and width that the regions are in: those of the picture in its file.
    score : float
        The higher, the more abnormal.
    anomalous : bool
        Whether the score exceeds the detector's threshold.
    regions : tuple of Region
        The one with the highest maximum first. None where the picture was not looked at, since it is called good,
        or where no pixel exceeds the pixels' threshold, as in a picture that is a little too bright everywhere.
    """

    path: Path | None
    size: tuple[int, int]
    score: float
    anomalous: bool
    regions: tuple[Region, ...]


def find_regions(
    anomaly_map: np.ndarray,
    threshold: float,
    *,
    size: tuple[int, int] | None = None,
    least_area: float = 0,
) -> tuple[Region, ...]:
    """Return the connected regions of a map above a threshold, the one with the highest maximum first.

    Parameters
    ----------
    anomaly_map : ndarray of shape (h, w)
        The higher, the more abnormal.
    threshold : float
        A pixel belongs to a region if it exceeds this; pixels that touch, at corners too, are one region.
    size : (int, int), optional
        Height and width of the picture in its file; those of the map if None.
    least_area : float
        Pixels of the picture file; smaller regions are left out.

    Examples
    --------
    >>> found = find_regions(np.array([[0, 2, 3], [0, 0, 0]]), 1, size=(20, 30))
    >>> [(region.box, region.area, region.mean, region.maximum) for region in found]
    [((10.0, 0.0, 20.0, 10.0), 200.0, 2.5, 3.0)]
    >>> found[0].contours()[0].tolist()
    [[10.0, 0.0], [30.0, 0.0], [30.0, 10.0], [10.0, 10.0]]
    """
    height, width = anomaly_map.shape
    rows, columns = (height, width) if size is None else size
    # As float64: a threshold between two float32 must not be rounded to one of them.
    numbered, _ = ndimage.label(anomaly_map > np.float64(threshold), structure=TOUCHING)
    found = []
    for number, (vertical, horizontal) in enumerate(ndimage.find_objects(numbered), 1):
        mask = numbered[vertical, horizontal] == number
        area = float(np.count_nonzero(mask)) * (columns / width) * (rows / height)
        if area < least_area:
            continue
        values = anomaly_map[vertical, horizontal][mask].astype(np.float64)
        # Multiplied first: else rounding may set the last edge beyond the picture's.
        x, right = (k * columns / width for k in (horizontal.start, horizontal.stop))
        y, bottom = (k * rows / height for k in (vertical.start, vertical.stop))
        box = (x, y, right - x, bottom - y)
        found.append(Region(box, area, float(values.mean()), float(values.max()), mask))
    return tuple(sorted(found, key=lambda region: -region.maximum))
