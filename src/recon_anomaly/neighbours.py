"""Which pictures look most like a picture, in whichever of the eight flips and turns fits best.

Small gray copies are brought to mean 0 and length 1, so that the correlations of all pairs are one
matrix product for each turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InputError
from .images import PixelRange
from .store import Pictures

__all__ = ["TURNS", "GrayCopies", "Neighbours", "resized", "turned"]

_ANGLES = ("turned by 90°", "turned by 180°", "turned by 270°")
TURNS = ("as it is", *_ANGLES, "mirrored", *(f"mirrored and {angle}" for angle in _ANGLES))
"""The eight flips and turns: left and right are swapped first, then it is turned to the left."""

_CELLS = 2**22  # of the matrix of pairs, held at a time


def turned(pictures: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return a view of pictures (..., h, w), flipped and turned as `TURNS` says at ``turn``.

    Examples
    --------
    >>> TURNS[5], turned(np.array([[1, 2], [3, 4]]), 5).tolist()
    ('mirrored and turned by 90°', [[1, 3], [2, 4]])
    """
    return np.rot90(pictures[..., ::-1] if turn >= 4 else pictures, turn % 4, (-2, -1))


class GrayCopies:
    """Gray copies of the pictures of a store, made when they are asked for.

    Parameters
    ----------
    pictures : Pictures
        Their channels are averaged.
    units : PixelRange
        What becomes 0 and 1.
    """

    def __init__(self, pictures: Pictures, units: PixelRange) -> None:
        self.pictures = pictures
        self.units = units

    def __len__(self) -> int:
        return len(self.pictures)

    def copy(self, position: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the picture at a position as (h, w), at this size."""
        pixels = self.pictures.batch(slice(position, position + 1))[0].mean(-1, dtype=np.float64)
        low, high = self.units.low, self.units.high
        gray: NDArray[np.float32] = ((pixels - low) / (high - low)).astype(np.float32)
        if not np.isfinite(gray).all():
            raise InputError(f"picture {position} has pixels that are not finite; mend or drop it")
        return resized(gray, shape)


def resized(gray: NDArray[np.floating], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a gray picture (h, w) at another size, bilinearly and antialiased."""
    pixels: NDArray[np.float32] = gray.astype(np.float32)
    if pixels.shape == shape:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(shape[::-1], Image.Resampling.BILINEAR))


class Neighbours:
    """Ranks pictures by their likeness to others.

    Parameters
    ----------
    copies : GrayCopies
        The pictures that are ranked, at least one.
    shape : (int, int)
        Height and width at which they are compared.
    turns : sequence of int
        Positions in `TURNS` to try; all must keep ``shape``.
    """

    def __init__(self, copies: GrayCopies, shape: tuple[int, int], turns: Sequence[int]) -> None:
        small = np.stack([copies.copy(k, shape) for k in range(len(copies))])
        self._library = _directions(small)
        self._turns = turns

    def rank(
        self, pictures: NDArray[np.float32]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int8]]]:
        """Rank all by their likeness to each of some pictures.

        Parameters
        ----------
        pictures : ndarray of shape (m, h, w), float32
            Gray, at the size of the comparison.

        Yields
        ------
        order : ndarray of shape (n,), dtype intp
            Positions, the most alike first.
        best_turns : ndarray of shape (n,), dtype int8
            Parallel to ``order``: the turn of that picture which is most like the given one.
        """
        rows = max(1, _CELLS // len(self._library))
        for start in range(0, len(pictures), rows):
            wanted = _directions(pictures[start : start + rows])
            likeness = np.full((len(wanted), len(self._library)), -np.inf, np.float32)
            best = np.zeros(likeness.shape, np.int8)
            for turn in self._turns:
                library = turned(self._library, turn).reshape(len(self._library), -1)
                product = wanted.reshape(len(wanted), -1) @ library.T
                better = product > likeness
                likeness[better] = product[better]
                best[better] = turn
            for row, turns in zip(likeness, best, strict=True):
                order = np.argsort(-row, kind="stable")
                yield order, turns[order]


def _directions(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures (m, h, w) at mean 0 and length 1; one without contrast is all zero."""
    centred: NDArray[np.float32] = small - small.mean((1, 2), keepdims=True)
    lengths = np.sqrt((centred * centred).sum((1, 2), keepdims=True))
    centred *= np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-6)
    return centred
