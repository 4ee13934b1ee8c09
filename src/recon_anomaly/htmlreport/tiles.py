"""Pictures and maps become small images inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from recon_anomaly.checks import at_least
from recon_anomaly.heatmaps import colours

from .contents import Tile

__all__ = ["LEAST_THUMBNAIL", "THUMBNAIL", "chosen", "coarser", "tile"]

THUMBNAIL = 128
LEAST_THUMBNAIL = 16
"""The longer side of a tile's picture, in pixels."""
_LARGER = 2  # what is looked at closely has twice the side
_QUALITY, _EFFORT = (
    75,
    2,
)  # of WebP: twice as small as JPEG; more effort saves little and takes long


def chosen(
    scores: np.ndarray, labels: np.ndarray | None, threshold: float, count: int
) -> np.ndarray:
    """Choose the pictures to show: wrong decisions first, the others evenly from high scores to low.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Above the threshold is called anomalous.
    labels : ndarray of shape (n,) or None
        1 is anomalous.
    threshold : float
        Of the wrong decisions the farthest from it come first.
    count : int
        How many at the most, at least 1.

    Returns
    -------
    ndarray of intp
        Positions from the highest score to the lowest.

    Raises
    ------
    InputError
        When ``count`` is below 1.

    Examples
    --------
    >>> scores, labels = np.array([9.0, 8.0, 7.0, 6.0, 1.0]), np.array([1, 1, 1, 0, 1])
    >>> chosen(scores, labels, 5.0, 4).tolist()
    [0, 2, 3, 4]
    """
    count = at_least("pictures", count, 1)
    order = np.argsort(-scores, kind="stable")
    if count >= len(order):
        return order
    wrong = np.zeros(len(scores), bool) if labels is None else (scores > threshold) != (labels == 1)
    first = np.flatnonzero(wrong)
    first = first[np.argsort(-np.abs(scores[first] - threshold), kind="stable")][:count]
    rest = order[~wrong[order]]
    places = np.linspace(0, len(rest) - 1, count - len(first)).round().astype(np.intp)
    taken = np.zeros(len(scores), bool)
    taken[first] = taken[rest[places]] = True
    return order[taken[order]]


def tile(
    position: int,
    pictures: Mapping[str, np.ndarray],
    maps: Mapping[str, tuple[np.ndarray, float]],
    side: int = THUMBNAIL,
) -> Tile:
    """Return a picture with all that is shown of it.

    Parameters
    ----------
    position : int
        In the scores.
    pictures : mapping of str to ndarray of shape (h, w, 1 or 3)
        Pixels from 0 to 1; "picture" is among them. They are shown at twice ``side`` at the most.
    maps : mapping of str to (ndarray of shape (h, w), float)
        Values, and the one from which on the colour stays the brightest; shown at ``side``, so that each
        pixel has the highest value of those that it stands for.
    side : int
        Pixels of the longer side; nothing is enlarged.
    """
    views = {name: _uri(_image(values), _LARGER * side) for name, values in pictures.items()}
    for name, (values, scale) in maps.items():
        heat = Image.fromarray(colours(coarser(values, side), scale))
        views[name] = _uri(heat, side)
    return Tile(position, _uri(_image(pictures["picture"]), side), views)


def coarser(values: np.ndarray, side: int) -> np.ndarray:
    """Return a map whose longer side is ``side`` at the most, each pixel the maximum of a block.

    Examples
    --------
    >>> coarser(np.array([[1.0, 2.0, 0.0], [5.0, 0.0, 7.0]]), 2).tolist()
    [[5.0, 7.0]]
    """
    step = -(-max(values.shape) // side)
    for axis in (0, 1):
        starts: Sequence[int] = range(0, values.shape[axis], step)
        values = np.maximum.reduceat(values, starts, axis=axis)
    return values


def _image(values: np.ndarray) -> Image.Image:
    pixels = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _uri(image: Image.Image, side: int) -> str:
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
