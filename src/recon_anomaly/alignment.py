"""Lays one gray picture on another: a small move and a change of light, fitted by least squares.

The method is the inverse compositional one of Baker and Matthews, "Lucas-Kanade 20 Years On"
(2004), with gain and offset fitted beside the six numbers of an affine move.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

__all__ = ["MOST_MOVED", "Aligner", "Fit"]

MOST_MOVED = 0.2
"""How far a corner's row or column may move, in half sides; beyond that the move is given up."""

_Array = NDArray[np.float64]
# (blur in shares of the shorter side, every how manieth pixel is looked at): coarse, then fine.
_LEVELS = ((1 / 24, 4), (1 / 64, 2))
_STEPS = 10
_STILL = 2e-4  # half sides; a hundredth of a pixel at 128 pixels
# What an augmentation that shifts or turns leaves empty at the border it fills with streaks.
_INNER = 0.9
_LEAST_SIDE = 16
_LEAST_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Fit:
    """How well another picture, moved and relit, explains a picture.

    Attributes
    ----------
    gain, offset : float
        picture ~ gain * other + offset.
    distance : float
        Root mean squared residual, in the unit of the pixels.
    unexplained : float
        The same as a share of the picture's standard deviation: sqrt(1 - r²) for a correlation r.
    move : ndarray of shape (3, 3), float64
        Brings places (y, x, 1) of the picture to those in the other one; the sides end at -1 and 1.
        The identity where the pictures were compared as they lie.
    """

    gain: float
    offset: float
    distance: float
    unexplained: float
    move: NDArray[np.float64]

    @property
    def moved(self) -> float:
        """The furthest that a corner's row or column was moved, in shares of the side."""
        return _furthest(self.move) / 2


class Aligner:
    """Fits other pictures to one picture.

    Parameters
    ----------
    picture : ndarray of shape (h, w), float
        What is explained. Below 16 pixels a side nothing is moved.

    Examples
    --------
    >>> picture = np.random.default_rng(0).random((40, 40))
    >>> fit = Aligner(picture).fit(0.5 * picture + 0.1)
    >>> round(fit.gain, 6), round(fit.offset, 6), round(fit.distance, 6), round(fit.moved, 6)
    (2.0, -0.2, 0.0, 0.0)
    """

    def __init__(self, picture: NDArray[np.floating]) -> None:
        self.picture: _Array = picture.astype(np.float64)
        self._half = np.array(self.picture.shape) / 2
        self._to_pixels = np.column_stack([np.diag(self._half), self._half - 0.5])
        self._levels = []
        if min(self.picture.shape) >= _LEAST_SIDE:
            self._inner = self._points(1, _INNER)
            self._wanted = self._at(self.picture, self._inner)
            for blur, stride in _LEVELS:
                sigma = blur * min(self.picture.shape)
                soft = gaussian_filter(self.picture, sigma)
                # Along the sides, in pixels; along the coordinates, which end at -1 and 1, below.
                slopes = np.stack(np.gradient(soft)) * self._half[:, None, None]
                points = self._points(stride, _INNER)
                down, right = self._at(slopes, points)
                y, x, ones = points
                parts = [down * y, down * x, down, right * y, right * x, right]
                design = np.stack([*parts, self._at(soft, points), ones], axis=1)
                self._levels.append((sigma, points, np.linalg.pinv(design)))

    def fit(self, other: NDArray[np.floating], start: NDArray[np.float64] | None = None) -> Fit:
        """Fit another picture of the same shape, moved only if that explains more.

        The search for the move begins at ``start``, the move of another `Fit`; at none if None.
        """
        pixels: _Array = other.astype(np.float64)
        still = _relit(self.picture.ravel(), pixels.ravel(), np.eye(3))
        move = (
            self._find_move(pixels, np.eye(3) if start is None else start)
            if self._levels and still.distance > 0
            else None
        )
        if move is None:
            return still
        # Beyond the border of the other picture there is nothing to compare with.
        inside = np.abs(move[:2] @ self._inner).max(axis=0) <= 1
        if inside.mean() < _LEAST_SHARE:
            return still
        seen = self._through(move, pixels, self._inner)
        moved = _relit(self._wanted[inside], seen[inside], move)
        return moved if moved.distance < still.distance else still

    def laid_on(self, move: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the picture as it would lie where the other one of a `Fit` lies."""
        seen = self._through(np.linalg.inv(move), self.picture, self._points(1, 1.0))
        return seen.reshape(self.picture.shape)

    def _find_move(self, other: _Array, move: _Array) -> _Array | None:
        """Return the matrix that brings places (y, x, 1) of the picture to those in the other."""
        for sigma, points, solve in self._levels:
            soft = gaussian_filter(other, sigma)
            for _ in range(_STEPS):
                *step, gain, _ = solve @ self._through(move, soft, points)
                if gain <= 0:
                    return None
                change = np.eye(3)
                change[:2] += np.reshape(step, (2, 3)) / gain
                # The picture's own slopes were used, so the step is taken back on the picture.
                move = move @ np.linalg.inv(change)
                if not _furthest(move) <= MOST_MOVED:
                    return None
                if np.abs(change - np.eye(3)).max() < _STILL:
                    break
        return move

    def _points(self, stride: int, within: float) -> _Array:
        """Places (y, x, 1) of every so manieth pixel; the border lies at -1 and 1."""
        sides = [
            (np.arange(side)[stride // 2 :: stride] + 0.5) / half - 1
            for side, half in zip(self.picture.shape, self._half, strict=True)
        ]
        kept = [places[np.abs(places) < within] for places in sides]
        y, x = (grid.ravel() for grid in np.meshgrid(*kept, indexing="ij"))
        return np.stack([y, x, np.ones_like(y)])

    def _through(self, move: NDArray[np.floating], other: _Array, points: _Array) -> _Array:
        """Look at another picture through a move, in between its pixels."""
        places = self._to_pixels @ move @ points
        seen: _Array = map_coordinates(other, places, order=1, mode="nearest")
        return seen

    def _at(self, pictures: _Array, points: _Array) -> _Array:
        """Take the pixels of pictures (..., h, w) at places that are pixels."""
        rows, columns = (self._to_pixels @ points).round().astype(np.intp)
        pixels: _Array = pictures[..., rows, columns]
        return pixels


def _furthest(move: _Array) -> float:
    corners = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1], [1, 1, 1, 1]])
    return float(np.abs(move @ corners - corners).max())


def _relit(picture: _Array, other: _Array, move: _Array) -> Fit:
    """Fit gain and offset; where one of the two has no contrast, nothing is explained."""
    a, b = picture - picture.mean(), other - other.mean()
    contrast = float(np.sqrt(np.mean(a * a)))
    variance = float(np.mean(b * b))
    gain = float(np.mean(a * b)) / variance if variance > 0 else 0.0
    distance = float(np.sqrt(np.mean((a - gain * b) ** 2)))
    offset = float(picture.mean() - gain * other.mean())
    return Fit(gain, offset, distance, distance / contrast if contrast > 0 else 1.0, move)
