"""Leakage: test pictures that stand in the training pictures too, as they are, turned or relit.

What *near* means is said in `recon_anomaly.nearness`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import at_least
from .errors import InputError
from .nearness import LEAST_SIDE, NearSearch
from .neighbours import TURNS
from .store import Pictures

__all__ = ["KINDS", "Leakage", "Twin", "find_leakage"]

KINDS = ("identical-file", "identical-pixels", "near")
"""How a test picture may repeat a training picture, the surest first."""


@dataclass(frozen=True)
class Twin:
    """A test picture and the training picture that it repeats.

    Attributes
    ----------
    test, train : int
        Positions in the test and in the training pictures.
    kind : {"identical-file", "identical-pixels", "near"}
        Files of the same bytes, pixels that are all equal, or near.
    turn : str
        What was done to the training picture, one of `recon_anomaly.neighbours.TURNS`.
    gain, offset : float
        The test picture is about gain * training picture + offset; pixels from 0 to 1.
    distance : float
        Root mean squared residual of that, in shares of the pixel range.
    moved : float
        How far the training picture's corners were moved at most, in shares of its side.
    """

    test: int
    train: int
    kind: str
    turn: str
    gain: float
    offset: float
    distance: float
    moved: float = 0.0


@dataclass(frozen=True)
class Leakage:
    """Which test pictures stand in the training pictures.

    Attributes
    ----------
    n_train, n_test : int
        How many pictures were compared.
    twins : tuple of Twin
        The best one for each leaked test picture, by its position.

    Examples
    --------
    >>> twin = Twin(1, 7, "near", "mirrored", 1.1, -0.02, 0.004)
    >>> Leakage(90, 3, (twin,)).sentence(np.array([0, 0, 1]))
    '1 of 2 good and 0 of 1 anomalous test pictures stand in the training pictures (0 identical, 1 near)'
    """

    n_train: int
    n_test: int
    twins: tuple[Twin, ...]

    def count(self, kind: str) -> int:
        """Return how many test pictures leak in one of the ways of `KINDS`."""
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; give one of {', '.join(map(repr, KINDS))}")
        return sum(twin.kind == kind for twin in self.twins)

    @property
    def leaked(self) -> NDArray[np.intp]:
        """Positions of the leaked test pictures, sorted."""
        return np.array([twin.test for twin in self.twins], dtype=np.intp)

    def sentence(self, labels: NDArray[Any] | None = None) -> str:
        """Say in one line how many test pictures leak.

        Parameters
        ----------
        labels : ndarray of shape (n_test,), optional
            1 is anomalous, 0 is good; with them the classes are counted apart.
        """
        if not self.twins:
            return "no test picture was found in the training pictures"
        if labels is None:
            counted = f"{len(self.twins)} of {self.n_test}"
        else:
            bad = np.asarray(labels) == 1
            if bad.shape != (self.n_test,):
                raise InputError(f"got labels of shape {bad.shape}; give one for each test picture")
            counted = " and ".join(
                f"{members[self.leaked].sum()} of {members.sum()} {name}"
                for name, members in (("good", ~bad), ("anomalous", bad))
                if members.any()
            )
        near = self.count("near")
        return (
            f"{counted} test pictures stand in the training pictures "
            f"({len(self.twins) - near} identical, {near} near)"
        )


def find_leakage(
    train: Pictures,
    test: Pictures,
    *,
    size: int = 128,
    progress: Callable[[int], object] | None = None,
) -> Leakage:
    """Find the test pictures that stand in the training pictures.

    Files are compared where both stores have paths, then pixels where both have one shape and
    dtype, then gray copies, as `recon_anomaly.nearness` says. For those every pair is compared at 16
    pixels a side, and the four most alike at ``size``. If none of these is near, but one fits
    fairly once it is moved, all are compared again with the test picture moved so, and then eight
    at ``size``.

    Parameters
    ----------
    train, test : Pictures
        They need not be of one shape; copies of the test pictures are brought to the training
        pictures' shape. Where that is no square, only the four turns that keep it are tried.
    size : int
        Pixels of the longer side at which pictures are compared, at least 8; smaller ones stay as
        they are. Below 8 pixels a side only identical pictures are found.
    progress : callable, optional
        Called after each test picture with the number done so far.

    Returns
    -------
    Leakage
        A picture without contrast is never near another one.

    Raises
    ------
    InputError
        If a file is gone, pixels are not finite, ``size`` is out of range, or the stores' units
        differ (`recon_anomaly.images.range_for`).

    Examples
    --------
    >>> photographs = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 1), dtype=np.uint8)
    >>> tested = np.stack([photographs[4], photographs[6].transpose(1, 0, 2) // 2 + 50])
    >>> found = find_leakage(Pictures(photographs), Pictures(tested))
    >>> [(twin.test, twin.train, twin.kind, twin.turn) for twin in found.twins]
    [(0, 4, 'identical-pixels', 'as it is'), (1, 6, 'near', 'mirrored and turned by 90°')]
    """
    size = at_least("size", size, LEAST_SIDE)
    found = {**_identical_pixels(train, test), **_identical_files(train, test)}
    open_still = [k for k in range(len(test)) if k not in found]
    done = len(found)
    if progress is not None and done:
        progress(done)
    sides = (*train.shape[:2], *test.shape[:2])
    comparable = min(sides) >= LEAST_SIDE and len(train) > 0
    search = NearSearch(train, test, size) if comparable else None
    alike = search.run(open_still) if search else [None] * len(open_still)
    for position, match in zip(open_still, alike, strict=True):
        if match is not None:
            fit, turn = match.fit, TURNS[match.turn]
            measured = (fit.gain, fit.offset, fit.distance, fit.moved)
            found[position] = Twin(position, match.train, "near", turn, *measured)
        done += 1
        if progress is not None:
            progress(done)
    return Leakage(len(train), len(test), tuple(found[k] for k in sorted(found)))


def _identical_files(train: Pictures, test: Pictures) -> dict[int, Twin]:
    if train.paths is None or test.paths is None:
        return {}
    sizes = [{path: _size(path) for path in store.paths or ()} for store in (train, test)]
    shared = set(sizes[0].values()) & set(sizes[1].values())
    first: dict[bytes, int] = {}
    for k, path in enumerate(train.paths):
        if sizes[0][path] in shared:
            first.setdefault(_digest(path), k)
    twins = {}
    for k, path in enumerate(test.paths):
        if sizes[1][path] in shared and (twin := first.get(_digest(path))) is not None:
            twins[k] = _identical(k, twin, "identical-file")
    return twins


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be compared: {error.strerror}; read it anew") from error


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise InputError(f"{path} cannot be compared: {error.strerror}; read it anew") from error


def _identical_pixels(train: Pictures, test: Pictures) -> dict[int, Twin]:
    if train.shape != test.shape or train.dtype != test.dtype:
        return {}
    first: dict[bytes, int] = {}
    for k in range(len(train)):
        first.setdefault(_pixels_digest(train, k), k)
    pairs = ((k, first.get(_pixels_digest(test, k))) for k in range(len(test)))
    return {k: _identical(k, twin, "identical-pixels") for k, twin in pairs if twin is not None}


def _pixels_digest(store: Pictures, position: int) -> bytes:
    return hashlib.blake2b(store.batch(slice(position, position + 1)).data).digest()


def _identical(test: int, train: int, kind: str) -> Twin:
    return Twin(test, train, kind, TURNS[0], 1.0, 0.0, 0.0)
