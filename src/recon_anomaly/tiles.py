"""How a picture is cut into tiles, and how much each tile counts at each pixel where they are put together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .checks import at_least
from .errors import InputError
from .interest import Interest
from .reading import put

__all__ = ["Grid", "Tiling", "checked_overlap", "shares", "starts"]


def checked_overlap(tile: Any, overlap: Any) -> int:
    """Return how many pixels neighbouring tiles share: a quarter of a tile, rounded down, where None is given.

    Raises
    ------
    InputError
        When there are no tiles that could overlap, or numbers are out of their bounds.

    Examples
    --------
    >>> checked_overlap(256, None), checked_overlap(256, 0), checked_overlap(None, None)
    (64, 0, 0)
    """
    if tile is None:
        if overlap is not None:
            raise InputError(
                f"overlap={overlap!r} is for tiles, and there are none; give tile, too"
            )
        return 0
    side = at_least("tile", tile, 1)
    shared = side // 4 if overlap is None else at_least("overlap", overlap, 0)
    if shared >= side:
        raise InputError(f"overlap={shared} leaves nothing of a tile of {side}; give less")
    return shared


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where the tiles along a side begin; the last one is moved inwards, so that all are whole.

    Examples
    --------
    >>> starts(10, 4, 1), starts(11, 4, 1), starts(4, 4, 1)
    ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    step = tile - overlap
    count = 1 + math.ceil((length - tile) / step)
    return [min(number * step, length - tile) for number in range(count)]


def shares(length: int, tile: int, overlap: int) -> NDArray[np.float64]:
    """Return how much each tile counts at each of its pixels along a side, float64 (tiles, tile).

    A linear ramp over the overlap, at both ends of a tile, divided by the sum of all tiles at the pixel: at
    every pixel of the side the tiles count 1 together. What one tile alone covers is the tile's.

    Examples
    --------
    >>> shares(5, 3, 1)
    array([[1. , 1. , 0.5],
           [0.5, 1. , 1. ]])
    """
    ramp = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).clip(max=overlap + 1)
    first = starts(length, tile, overlap)
    places = np.add.outer(first, np.arange(tile))
    total = np.bincount(places.ravel(), np.tile(ramp, len(first)), minlength=length)
    found: NDArray[np.float64] = ramp / total[places]
    return found


class Grid:
    """The tiles of one picture: whole ones, in rows from top to bottom.

    Parameters
    ----------
    size : (int, int)
        Height and width of the picture.
    tile : int or None
        Side of a tile; None for one that is as large as the box.
    overlap : int
        Pixels that neighbours share, at least.
    interest : Interest, optional
        The tiles lie in its box, and those without a pixel that is looked at are left out.

    Attributes
    ----------
    tile : (int, int)
        Height and width of a tile.
    box : (int, int, int, int)
        Left edge, upper edge, width and height of what the tiles cover.
    mask : ndarray of shape (height, width) of the box, bool, or None
        Which pixels of the box are looked at; all of them if None.
    places : list of (int, int)
        Upper and left edge of each tile in the picture, row by row.

    Raises
    ------
    InputError
        When the region does not fit the picture, or no tile fits into it.

    Examples
    --------
    >>> grid = Grid((5, 7), 4, 1)
    >>> grid.places
    [(0, 0), (0, 3), (1, 0), (1, 3)]
    """

    def __init__(
        self,
        size: tuple[int, int],
        tile: int | None,
        overlap: int,
        interest: Interest | None = None,
    ) -> None:
        if interest is not None:
            interest.check(size)
        self.size = size
        self.box = (0, 0, size[1], size[0]) if interest is None else interest.box
        self.mask = None if interest is None else interest.mask
        left, top, width, height = self.box
        self.tile = (height, width) if tile is None else (tile, tile)
        if self.tile[0] > height or self.tile[1] > width:
            where = "a picture" if interest is None else "a region of interest"
            raise InputError(
                f"a tile of {tile} does not fit into {where} of {height} x {width} (height x width); give a smaller "
                "tile, or larger pictures"
            )
        self._tops, self._lefts = (
            starts(length, side, overlap)
            for length, side in zip((height, width), self.tile, strict=True)
        )
        self._down, self._across = (
            shares(length, side, overlap)
            for length, side in zip((height, width), self.tile, strict=True)
        )
        self._pairs = [
            pair
            for pair in product(range(len(self._tops)), range(len(self._lefts)))
            if self.mask is None or self._mask_at(*pair).any()
        ]
        self.places = [
            (top + self._tops[row], left + self._lefts[column]) for row, column in self._pairs
        ]

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def looked_at(self) -> int:
        """How many pixels are looked at."""
        return self.box[2] * self.box[3] if self.mask is None else int(np.count_nonzero(self.mask))

    def mask_of(self, number: int) -> NDArray[np.bool_] | None:
        """Return which pixels of a tile are looked at; None for all of them."""
        return None if self.mask is None else self._mask_at(*self._pairs[number])

    def portions(self) -> NDArray[np.float64]:
        """Return which share of the pixels that are looked at each tile stands for, float64 (tiles,); 1 together."""
        found = []
        for number, (row, column) in enumerate(self._pairs):
            mask = self.mask_of(number)
            down, across = self._down[row], self._across[column]
            found.append(down.sum() * across.sum() if mask is None else down @ mask @ across)
        return np.array(found) / self.looked_at

    def bands(self, maps: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """Put maps of the tiles together, giving what is done of the box from top to bottom.

        Parameters
        ----------
        maps : iterable of ndarray of shape ``tile``
            Of each tile, in their order; as many as are wanted for a row of tiles are taken at a time.

        Yields
        ------
        ndarray of shape (rows, width of the box), float32
            0 where nothing is looked at.
        """
        coming = iter(maps)
        _, _, width, height = self.box
        tall, wide = self.tile
        pending = np.zeros((tall, width), np.float32)
        ends = [*self._tops[1:], height]
        columns: list[list[int]] = [[] for _ in ends]
        for row, column in self._pairs:
            columns[row].append(column)
        for row, (top, end) in enumerate(zip(self._tops, ends, strict=True)):
            down = self._down[row].astype(np.float32)[:, None]
            for column in columns[row]:
                left = self._lefts[column]
                weights = down * self._across[column].astype(np.float32)
                pending[:, left : left + wide] += weights * next(coming)
            done = end - top
            band = pending[:done].copy()
            if self.mask is not None:
                band[~self.mask[top:end]] = 0
            yield band
            pending[: tall - done] = pending[done:].copy()
            pending[tall - done :] = 0

    def _mask_at(self, row: int, column: int) -> NDArray[np.bool_]:
        assert self.mask is not None
        top, left = self._tops[row], self._lefts[column]
        return self.mask[top : top + self.tile[0], left : left + self.tile[1]]


@dataclass(frozen=True, eq=False)
class Tiling:
    """How pictures are cut, whatever their size.

    Attributes
    ----------
    tile : int or None
        Side of a tile, in pixels of the picture; None where only a region of interest is cut out.
    overlap : int
        Pixels that neighbours share, at least.
    interest : Interest or None
        The region.
    seen : (int, int) or None
        Height and width that each tile is brought to, bilinearly and antialiased; its own if None.

    Examples
    --------
    >>> tiling = Tiling(4, 0, None, None)
    >>> picture = np.arange(32, dtype=np.uint8).reshape(4, 8, 1)
    >>> tiling.cut(picture, tiling.grid((4, 8)), [1], 1)[0, :, 0, 0].tolist()
    [4, 12, 20, 28]
    """

    tile: int | None
    overlap: int
    interest: Interest | None
    seen: tuple[int, int] | None
    _grids: dict[tuple[int, int], Grid] = field(default_factory=dict, repr=False)

    def grid(self, size: tuple[int, int]) -> Grid:
        """Return the tiles of pictures of a size; raises as `Grid` does."""
        if size not in self._grids:
            if len(self._grids) > 64:  # of pictures that all differ, none is needed again
                self._grids.clear()
            self._grids[size] = Grid(size, self.tile, self.overlap, self.interest)
        return self._grids[size]

    def cut(
        self, pixels: NDArray[Any], grid: Grid, numbers: Sequence[int], channels: int
    ) -> NDArray[Any]:
        """Return some tiles of a picture (h, w, c), as (tiles, height, width, channels) of its type.

        Where a mask leaves pixels of a tile out, they become the mean of the tile's others, so that nothing
        that lies there can matter.
        """
        height, width = grid.tile
        found = np.empty((len(numbers), *(self.seen or grid.tile), channels), pixels.dtype)
        for room, number in zip(found, numbers, strict=True):
            top, left = grid.places[number]
            view = pixels[top : top + height, left : left + width]
            mask = grid.mask_of(number)
            if mask is not None and not mask.all():
                mean = view[mask].mean(0, dtype=np.float64)
                level = mean if view.dtype.kind == "f" else np.rint(mean)
                view = np.where(mask[..., None], view, level.astype(view.dtype))
            put(_resized(view, (room.shape[0], room.shape[1])), room)
        return found


def _resized(view: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if view.shape[:2] == size:
        return view
    channels = []
    for channel in np.moveaxis(view, -1, 0):
        # Pillow resizes no 16-bit mode well; float32 holds every 16-bit integer exactly.
        plain = channel if view.dtype == np.uint8 else channel.astype(np.float32)
        image = Image.fromarray(np.ascontiguousarray(plain))
        scaled = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
        channels.append(np.rint(scaled) if view.dtype == np.uint16 else scaled)
    return np.stack(channels, -1).astype(view.dtype)
