"""Which test pictures are near training pictures: hardly told apart once laid on one another.

A test picture is *near* a training picture if, after the best of the eight flips and turns, a small
move and a fitted gain and offset, at most a tenth of its standard deviation is left unexplained, and
at most half of what other, similar training pictures leave (the second best of five).

The first condition tells one picture from another, the second one picture from another part of the
same design, which may look very much alike. Together they find a picture that an augmentation
flipped, turned, shifted or zoomed, and a part that was photographed again in the same place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .alignment import Aligner, Fit
from .images import measure_range, range_for
from .neighbours import GrayCopies, Neighbours, resized, turned
from .reading import in_order
from .store import Pictures

__all__ = ["LEAST_SIDE", "Match", "NearSearch"]

LEAST_SIDE = 8
"""Pixels; in smaller pictures a handful agree by chance once gain and offset are fitted."""

_UNEXPLAINED = 0.1
_UNEXPLAINED_BY_SIMILAR = 0.3
_SHARE_OF_OTHERS = 0.5
_GAINS = (0.2, 5.0)
_NO_CONTRAST = 1e-5  # of the pixel range; less than one pixel of 128 x 128 off by one gray level
_COARSE = 16
_CANDIDATES = 4
_OF_ONE_PART = 15
_COPIES_KEPT = 1024  # 64 KiB each

_T = TypeVar("_T")
_Ranking = tuple[NDArray[np.intp], NDArray[np.int8]]


@dataclass(frozen=True, eq=False)
class Match:
    """A training picture that a test picture is near to: its position, turn and fit."""

    train: int
    turn: int
    fit: Fit


class NearSearch:
    """Looks for training pictures that test pictures are near to.

    Parameters
    ----------
    train, test : Pictures
        Of at least 8 pixels a side; ``train`` has one picture at least.
    size : int
        Pixels of the longer side at which pairs are fitted.
    """

    def __init__(self, train: Pictures, test: Pictures, size: int) -> None:
        units = measure_range(train)
        self.known = GrayCopies(train, units)
        # The same training pictures are candidates again and again.
        self._known_copy = lru_cache(maxsize=_COPIES_KEPT)(self.known.copy)
        self.tested = GrayCopies(test, range_for(test, units))
        high, wide = train.shape[:2]
        zoom = min(1.0, size / max(high, wide))
        self.shape = (max(LEAST_SIDE, round(high * zoom)), max(LEAST_SIDE, round(wide * zoom)))
        self.coarse = (min(_COARSE, self.shape[0]), min(_COARSE, self.shape[1]))
        turns = range(8) if high == wide else range(0, 8, 2)
        self.neighbours = Neighbours(self.known, self.coarse, turns)

    def run(self, positions: Sequence[int]) -> Iterator[Match | None]:
        """Give for each of some positions in the test pictures the best match, or None."""
        return self._each(self._match, positions)

    def near_each_other(self) -> Iterator[list[int]]:
        """Give for each picture of one store the others that it is near to, of the most alike.

        Training and test pictures must be the same store.
        """
        return self._each(self._near, range(len(self.tested)))

    def _each(self, work: Callable[[int, _Ranking], _T], positions: Sequence[int]) -> Iterator[_T]:
        """Give what the work makes of positions and their rankings, in order, by several threads."""
        small = [self.tested.copy(position, self.coarse) for position in positions]
        if not small:
            return
        ranks = zip(positions, self.neighbours.rank(np.stack(small)), strict=True)
        workers = min(8, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            yield from in_order((pool.submit(work, *ranked) for ranked in ranks), 2 * workers)

    def _near(self, position: int, ranking: _Ranking) -> list[int]:
        picture = self.tested.copy(position, self.shape)
        if picture.std() <= _NO_CONTRAST:
            return []
        aligner = Aligner(picture)
        ranks = [k for k in range(len(ranking[0])) if ranking[0][k] != position][:_OF_ONE_PART]
        found = [self._fit(aligner, ranking, rank, None) for rank in ranks]
        found = [
            one
            for one in found
            if one.fit.unexplained <= _UNEXPLAINED and _GAINS[0] <= one.fit.gain <= _GAINS[1]
        ]
        if not found:
            return []
        best = min(found, key=lambda one: one.fit.distance)
        most = self._most(aligner, ranking, best.fit)
        return [one.train for one in found if one.fit.distance <= most]

    def _match(self, position: int, ranking: _Ranking) -> Match | None:
        picture = self.tested.copy(position, self.shape)
        if picture.std() <= _NO_CONTRAST:
            return None
        aligner = Aligner(picture)
        found = self._best(aligner, ranking, _CANDIDATES, None)
        if (
            found is not None
            and found.fit.moved > 0
            and found.fit.unexplained <= _UNEXPLAINED_BY_SIMILAR
            and not self._is_near(aligner, ranking, found.fit)
        ):
            # Parts that all lie alike hide the twin of one that was moved, so it is moved back.
            start = found.fit.move
            laid = resized(aligner.laid_on(start), self.coarse)
            ranking = next(self.neighbours.rank(laid[None]))
            found = self._best(aligner, ranking, 2 * _CANDIDATES, start)
        if found is None or not self._is_near(aligner, ranking, found.fit):
            return None
        return found

    def _is_near(self, aligner: Aligner, ranking: _Ranking, fit: Fit) -> bool:
        return fit.unexplained <= _UNEXPLAINED and fit.distance <= self._most(aligner, ranking, fit)

    def _most(self, aligner: Aligner, ranking: _Ranking, fit: Fit) -> float:
        """Return how much a near picture may leave, by what similar ones leave."""
        # Others that lie as the twin does need its move too, or they would seem further than they are.
        others = [
            self._fit(aligner, ranking, rank, fit.move).fit.distance
            for rank in _ranks_of_others(len(ranking[0]))
        ]
        # The second best of five: one may be a copy too, and some may not be found to lie alike.
        return _SHARE_OF_OTHERS * sorted(others)[len(others) // 4] if others else np.inf

    def _best(
        self, aligner: Aligner, ranking: _Ranking, count: int, start: NDArray[np.float64] | None
    ) -> Match | None:
        ranks = range(min(count, len(ranking[0])))
        found = [self._fit(aligner, ranking, rank, start) for rank in ranks]
        found = [one for one in found if _GAINS[0] <= one.fit.gain <= _GAINS[1]]
        return min(found, key=lambda one: one.fit.distance, default=None)

    def _fit(
        self,
        aligner: Aligner,
        ranking: _Ranking,
        rank: int,
        start: NDArray[np.float64] | None,
    ) -> Match:
        k, turn = int(ranking[0][rank]), int(ranking[1][rank])
        return Match(k, turn, aligner.fit(turned(self._known_copy(k, self.shape), turn), start))


def _ranks_of_others(count: int) -> list[int]:
    """Return the ranks of pictures that are similar, but hardly copies of the same one.

    They lie in the nearest quarter, so that in a folder of several designs they are of the same
    design, and go down to the ninth at least, so that in a small folder they are not all copies.
    """
    nearest, farthest = max(1, count // 20), max(min(count - 1, 8), count // 4)
    if count < 2:
        return []
    return sorted({round(rank) for rank in np.linspace(nearest, farthest, 5)})
