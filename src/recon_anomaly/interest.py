"""The region of interest: the box, or the pixels of a mask file, that a detector looks at; all else is left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import at_least
from .decoding import decode, warn_of
from .errors import InputError, PictureError

__all__ = ["Box", "Interest", "interest_of"]

Box = tuple[int, int, int, int]
"""Left edge, upper edge, width and height, in pixels of the picture."""


@dataclass(frozen=True, eq=False)  # arrays have no truth to compare by
class Interest:
    """What is looked at in every picture.

    Attributes
    ----------
    box : (int, int, int, int)
        Left edge, upper edge, width and height.
    mask : ndarray of shape (height, width), bool, optional
        Which pixels of the box; all of them if None.
    size : (int, int), optional
        Height and width that pictures must have, where there is a mask.
    """

    box: Box
    mask: NDArray[np.bool_] | None = None
    size: tuple[int, int] | None = None

    def inside(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of a picture of this height and width are looked at.

        Examples
        --------
        >>> Interest((1, 0, 2, 1)).inside((2, 3)).tolist()
        [[False, True, True], [False, False, False]]
        """
        left, top, width, height = self.box
        found = np.zeros(size, bool)
        found[top : top + height, left : left + width] = True if self.mask is None else self.mask
        return found

    def check(self, size: tuple[int, int]) -> None:
        """Refuse a picture, by height and width, that the region does not fit.

        Raises
        ------
        InputError
            When the box reaches beyond the picture, or the picture has not the size of the mask.

        Examples
        --------
        >>> Interest((0, 2, 8, 4)).check((6, 8))
        """
        left, top, width, height = self.box
        if self.size is not None and size != self.size:
            raise InputError(
                f"the picture is {size[0]} x {size[1]} (height x width) and the mask of roi is "
                f"{self.size[0]} x {self.size[1]}; a mask is for pictures of its own size"
            )
        if top + height > size[0] or left + width > size[1]:
            raise InputError(
                f"roi={self.box} (x, y, width, height) reaches beyond a picture of {size[0]} x {size[1]} (height x width)"
            )


def interest_of(roi: Any, max_pixels: int | None = None) -> Interest | None:
    """Return the region that a parameter ``roi`` means: None, (x, y, width, height), or the path of a mask.

    A mask is a picture, upright as its EXIF orientation says, whose pixels above 0 are looked at. What is kept of it is
    the box around them.

    Parameters
    ----------
    roi : sequence, path or None
        The parameter.
    max_pixels : int, optional
        Of a mask file, as of `recon_anomaly.read_pictures`.

    Raises
    ------
    InputError
        When it is anything else, or no pixel of the mask is above 0.
    PictureError
        When the mask file cannot be used.

    Warns
    -----
    PictureWarning
        When something of the mask was dropped or converted, such as colours.

    Examples
    --------
    >>> interest_of((10, 20, 30, 40)).box
    (10, 20, 30, 40)
    """
    if roi is None:
        return None
    if isinstance(roi, str | os.PathLike):
        return _of_mask(Path(roi), max_pixels)
    if not isinstance(roi, Sequence) or len(roi) != 4:
        raise InputError(f"roi={roi!r}: (x, y, width, height) or the path of a mask is wanted")
    left, top = (at_least("roi's x and y", value, 0) for value in roi[:2])
    width, height = (at_least("roi's width and height", value, 1) for value in roi[2:])
    return Interest((left, top, width, height))


def _of_mask(path: Path, max_pixels: int | None) -> Interest:
    most = None if max_pixels is None else at_least("max_pixels", max_pixels, 1)
    decoded = decode(path, None, luminance=True, max_pixels=most)
    if isinstance(decoded, str):
        raise PictureError(f"the mask {path} cannot be used: {decoded}")
    warn_of({note: [path] for note in decoded.notes}, 1)
    mask = decoded.pixels[..., 0] > 0
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise InputError(f"no pixel of the mask {path} is above 0; those are what is looked at")
    top, left = int(rows[0]), int(columns[0])
    bottom, right = int(rows[-1]) + 1, int(columns[-1]) + 1
    inside = np.ascontiguousarray(mask[top:bottom, left:right])
    height, width = mask.shape
    return Interest((left, top, right - left, bottom - top), inside, (height, width))
