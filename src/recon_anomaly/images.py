"""What arrays mean: their shape as pictures, and the range of their pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import InputError

if TYPE_CHECKING:
    from .store import Pictures
    from .tiledpictures import CutPicture, TiledPictures

    _Measured = np.ndarray | Pictures | TiledPictures | CutPicture

__all__ = ["PixelRange", "as_pictures", "check_picture", "measure_range", "range_for"]

_FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0}
_MOST = float(np.finfo(np.float32).max)


class PixelRange(NamedTuple):
    """The values that become 0 and 1, and the type of the pictures that they were taken from."""

    low: float
    high: float
    dtype: str


def measure_range(pictures: _Measured) -> PixelRange:
    """Return the range by which pictures like these are brought to [0, 1].

    uint8 is divided by 255 and uint16 by 65535. Floats stay as they are where all lie in [0, 1];
    else their minimum becomes 0 and their maximum 1; where all are equal, they become 0.

    Raises
    ------
    InputError
        When minimum and maximum are further apart than the largest float32.

    Examples
    --------
    >>> measure_range(np.zeros((1, 2, 2, 1), np.uint8))
    PixelRange(low=0.0, high=255.0, dtype='uint8')
    >>> measure_range(np.array([-1.0, 3.0], np.float32))
    PixelRange(low=-1.0, high=3.0, dtype='float32')
    """
    name = pictures.dtype.name
    if name in _FULL_SCALE:
        return PixelRange(0.0, _FULL_SCALE[name], name)
    low, high = float(pictures.min()), float(pictures.max())
    if low >= 0 and high <= 1:
        return PixelRange(0.0, 1.0, name)
    if high - low > _MOST:
        raise InputError(
            f"the pictures go from {low:g} to {high:g}, further than float32 can tell; give them in another unit"
        )
    return PixelRange(low, high if high > low else low + max(1.0, abs(low)), name)


def range_for(pictures: _Measured, fitted: PixelRange) -> PixelRange:
    """Return the range for pictures to be scored, given the one that was fitted.

    Integers of the other width are divided by their own full scale, and floats in [0, 1] may stand
    for integers and the other way round; nothing is clamped.

    Raises
    ------
    InputError
        Where the unit is in doubt: floats outside [0, 1] for a detector fitted on integers, or
        integers for one fitted on floats outside [0, 1].
    """
    name = pictures.dtype.name
    if name == fitted.dtype:
        return fitted
    if fitted.dtype in _FULL_SCALE or (fitted.low, fitted.high) == (0.0, 1.0):
        found = measure_range(pictures)
        if name in _FULL_SCALE or (found.low, found.high) == (0.0, 1.0):
            return found
        low, high = float(pictures.min()), float(pictures.max())
        raise InputError(
            f"the detector was fitted on {fitted.dtype} pictures and got {name} ones from "
            f"{low:g} to {high:g}; give {fitted.dtype}, or floats in [0, 1]"
        )
    raise InputError(
        f"the detector was fitted on floats from {fitted.low:g} to {fitted.high:g} and got {name} "
        "pictures; give floats in the same unit"
    )


def as_pictures(
    X: object, empty: Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray] = np.empty
) -> np.ndarray | None:
    """Return (n, h, w) or (n, h, w, c) input as an (n, h, w, c) array, or None for anything else.

    A list of two- or three-dimensional arrays counts as well; ``empty`` makes the array, of a shape and a
    dtype, that they are copied into.

    Raises
    ------
    InputError
        When a list holds arrays of different shapes, or a picture has no pixels.
    """
    if isinstance(X, list | tuple) and X and getattr(X[0], "ndim", 0) in (2, 3):
        shapes = {getattr(picture, "shape", None): i for i, picture in reversed(list(enumerate(X)))}
        if len(shapes) > 1:
            listed = ", ".join(
                f"{shape} (picture {i})" for shape, i in list(shapes.items())[::-1][:3]
            )
            raise InputError(
                f"all pictures must have one shape; got {listed}. Resize them first, or give the files' "
                "paths with image_size"
            )
        pictures = [np.asarray(picture) for picture in X]
        stacked = empty((len(X), *pictures[0].shape), np.result_type(*pictures))
        X = np.stack(pictures, out=stacked)
    ndim = getattr(X, "ndim", 0)
    if ndim not in (3, 4):
        return None
    array = np.asarray(X)
    if 0 in array.shape[1:]:
        raise InputError(f"pictures need at least one pixel; got an array of shape {array.shape}")
    return array[..., None] if ndim == 3 else array


def check_picture(image: np.ndarray) -> None:
    """Refuse what is no single picture as corruptors take it: (h, w, c) float32.

    Raises
    ------
    InputError
        When the number of axes or the type is another.
    """
    if image.ndim != 3 or image.dtype != np.float32:
        raise InputError(
            f"got a picture of shape {image.shape} and type {image.dtype}; give one (h, w, c) float32 "
            "picture in [0, 1]"
        )
