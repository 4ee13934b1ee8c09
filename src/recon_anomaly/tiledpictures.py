"""Pictures that are cut: a store of the tiles of all of them, and single ones whose tiles are made as they are needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .decoding import stored_size, warn_of
from .errors import InputError
from .reading import Reader, as_path
from .store import Pictures, allocate, budget_of, joined
from .tiles import Grid, Tiling

__all__ = [
    "CutPicture",
    "Stored",
    "TiledPictures",
    "as_kept",
    "cut_arrays",
    "cut_files",
    "cut_one",
    "iter_cut",
    "joined_stores",
    "tiles_of",
]

_KEPT = (np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True, eq=False)
class CutPicture:
    """One picture and its tiles.

    Attributes
    ----------
    grid : Grid
        Where the tiles are.
    tiles : callable
        Gives those of some numbers, (n, h, w, c).
    dtype : dtype
        Of the pixels.
    pixels : ndarray of shape (h, w, c) or None
        The whole picture, where it is at hand.
    path : Path or None
        Its file.
    """

    grid: Grid
    tiles: Callable[[range], NDArray[Any]]
    dtype: np.dtype[Any]
    pixels: NDArray[Any] | None = None
    path: Path | None = None

    def parts(self, count: int = 16) -> Iterator[NDArray[Any]]:
        """Give all tiles, so many at a time."""
        for start in range(0, len(self.grid), count):
            yield self.tiles(range(start, min(start + count, len(self.grid))))

    def min(self) -> float:
        """Return the smallest pixel of the tiles."""
        return min(float(part.min()) for part in self.parts())

    def max(self) -> float:
        """Return the largest pixel of the tiles."""
        return max(float(part.max()) for part in self.parts())


class TiledPictures:
    """A store of the tiles of pictures, which may differ in size; what is counted and taken are the pictures.

    Parameters
    ----------
    tiles : Pictures
        Those of the first picture, then those of the next.
    grids : sequence of Grid
        Of each picture.
    paths : sequence of Path, optional
        The file of each picture.
    skipped : sequence of (Path, str)
        Files that were left out, and why.

    Examples
    --------
    >>> pictures = cut_arrays([np.zeros((4, 4, 1), np.uint8), np.zeros((4, 9, 1), np.uint8)], Tiling(4, 0, None, None))
    >>> pictures
    <2 pictures as 4 tiles (4, 4, 1) uint8, in memory>
    >>> len(pictures.take([1]).tiles)
    3
    """

    def __init__(
        self,
        tiles: Pictures,
        grids: Sequence[Grid],
        paths: Sequence[Path] | None = None,
        skipped: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self.tiles = tiles
        self.grids = tuple(grids)
        self.paths = None if paths is None else tuple(paths)
        self.skipped = tuple(skipped)
        self._ends = np.cumsum([len(grid) for grid in self.grids])

    def __len__(self) -> int:
        return len(self.grids)

    def __repr__(self) -> str:
        place = "in memory" if self.tiles.in_memory else "memory-mapped"
        return (
            f"<{len(self)} pictures as {len(self.tiles)} tiles {self.shape} {self.dtype}, {place}>"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a tile."""
        return self.tiles.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels."""
        return self.tiles.dtype

    def take(self, indices: Sequence[int] | NDArray[Any]) -> TiledPictures:
        """Return a view of some pictures, in the order given; no pixel is copied."""
        positions = np.arange(len(self))[indices]
        places = [np.arange(len(self.tiles))[self._place(position)] for position in positions]
        return TiledPictures(
            self.tiles.take(np.concatenate(places)),
            [self.grids[position] for position in positions],
            None if self.paths is None else [self.paths[position] for position in positions],
            self.skipped,
        )

    def cut(self, position: int) -> CutPicture:
        """Return one picture; its tiles are copied from the store."""
        first = self._place(position).start
        return CutPicture(
            self.grids[position],
            lambda numbers: self.tiles.batch(slice(first + numbers.start, first + numbers.stop)),
            self.dtype,
            path=None if self.paths is None else self.paths[position],
        )

    def __iter__(self) -> Iterator[CutPicture]:
        return map(self.cut, range(len(self)))

    def checksum(self) -> str:
        """Return that of the tiles, see `Pictures.checksum`."""
        return self.tiles.checksum()

    def min(self) -> float:
        """Return the smallest pixel."""
        return self.tiles.min()

    def max(self) -> float:
        """Return the largest pixel."""
        return self.tiles.max()

    def _place(self, position: int) -> slice:
        end = int(self._ends[position])
        return slice(end - len(self.grids[position]), end)


Stored = Pictures | TiledPictures
"""A store of pictures, whole or cut."""


def tiles_of(pictures: Stored) -> Pictures:
    """Return what a network trains on: the tiles, where pictures were cut."""
    return pictures.tiles if isinstance(pictures, TiledPictures) else pictures


def joined_stores(first: Stored, second: Stored, memory_budget: int | None = None) -> Stored:
    """Return one store of the pictures of two, both whole or both cut; else as `recon_anomaly.store.joined`."""
    store = joined(tiles_of(first), tiles_of(second), memory_budget)
    if not isinstance(first, TiledPictures) or not isinstance(second, TiledPictures):
        return store
    paths = None if first.paths is None or second.paths is None else first.paths + second.paths
    return TiledPictures(store, first.grids + second.grids, paths, first.skipped + second.skipped)


def cut_one(
    pixels: NDArray[Any], tiling: Tiling, channels: int, path: Path | None = None
) -> CutPicture:
    """Return a picture (h, w, c) whose tiles, of so many channels, are made as they are needed.

    Raises
    ------
    InputError
        When it cannot be cut; the message names the file, if there is one.
    """
    grid = _grid(tiling, pixels.shape, path)
    return CutPicture(
        grid,
        lambda numbers: tiling.cut(pixels, grid, numbers, channels),
        pixels.dtype,
        pixels,
        path,
    )


def cut_arrays(
    arrays: Iterable[NDArray[Any]], tiling: Tiling, memory_budget: int | None = None
) -> TiledPictures:
    """Cut pictures (h, w, c) of one type, which may differ in size, into one store of tiles.

    Each is brought to a type that is kept, see `as_kept`, when its turn comes: no copies stand beside the store.

    Raises
    ------
    InputError
        When a picture cannot be cut, has NaN or infinite pixels, or their channels or types differ.
    """
    listed = list(arrays)
    grids = [tiling.grid(array.shape[:2]) for array in listed]
    depth, dtype = listed[0].shape[-1], _kept_type(listed[0])
    if any(_kept_type(array) != dtype for array in listed):
        raise InputError("pictures of several types; give all of one, such as uint8")
    for place, array in enumerate(listed):
        if array.shape[-1] != depth:
            raise InputError(
                f"picture {place} has {array.shape[-1]} channels where the first has {depth}; give all of them alike"
            )
    shape = (sum(map(len, grids)), *(tiling.seen or grids[0].tile), depth)
    store = allocate(shape, dtype, budget_of(memory_budget))
    done = 0
    for place, array in enumerate(listed):
        for part in cut_one(as_kept(array, place), tiling, depth).parts():
            store[done : done + len(part)] = part
            done += len(part)
    return TiledPictures(Pictures(store), grids)


def as_kept(array: NDArray[Any], place: int) -> NDArray[Any]:
    """Return a picture as uint8, uint16 or float32, which all other numbers become; ``place`` is for the message.

    Raises
    ------
    InputError
        When it has NaN or infinite pixels.

    Examples
    --------
    >>> as_kept(np.zeros((2, 2, 1)), 0).dtype
    dtype('float32')
    """
    kept = array.astype(_kept_type(array), copy=False)
    if kept.dtype.kind == "f" and not np.isfinite(kept).all():
        raise InputError(f"picture {place} contains NaN or infinity; finite pixels are wanted")
    return kept


def cut_files(
    paths: Iterable[str | os.PathLike[str]],
    tiling: Tiling,
    *,
    channels: str | int = "auto",
    memory_budget: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Callable[[int], object] | None = None,
    max_pixels: int | None = None,
) -> TiledPictures:
    """Decode picture files of any size, one at a time, and cut them into one store of tiles.

    Parameters
    ----------
    paths, channels, memory_budget, on_error, progress, max_pixels
        As of `recon_anomaly.read_pictures`, which also says what is raised and warned of; the budget is for the tiles,
        and two decoded pictures come on top of it. A picture that cannot be cut is one that cannot be used.
    tiling : Tiling
        How they are cut.
    """
    files = [as_path(path) for path in paths]
    skipped: list[tuple[Path, str]] = []
    reader = _reader(files, channels, skipped if on_error == "skip" else None, max_pixels)
    budget = budget_of(memory_budget)
    # What is allocated; pictures that cannot be read or cut are refused or skipped when their turn comes.
    total = sum(_count(tiling, stored_size(path, max_pixels)) for path in files)
    store: NDArray[Any] | None = None
    kept: list[Path] = []
    grids: list[Grid] = []
    done = count = 0
    with closing(_cuttable(reader, tiling)) as pictures:
        for path, pixels, grid in pictures:  # enumerate would hold on to each
            count += 1
            if pixels is not None and grid is not None:
                depth = 3 if channels == 3 else pixels.shape[-1]
                if done + len(grid) > total:
                    raise InputError(f"{path} changed while the pictures were read; do it again")
                if store is None or depth > store.shape[-1]:
                    wider = allocate(
                        (total, *(tiling.seen or grid.tile), depth), pixels.dtype, budget
                    )
                    if store is not None:
                        wider[:done] = store[:done]
                    store = wider
                for part in cut_one(pixels, tiling, store.shape[-1], path).parts():
                    store[done : done + len(part)] = part
                    done += len(part)
                kept.append(path)
                grids.append(grid)
            del pixels  # else it would live on while the next one is waited for
            if progress is not None:
                progress(count)
    assert store is not None  # no reading ends without a picture
    warn_of(reader.notes, len(files))
    return TiledPictures(Pictures(store[:done]), grids, kept, skipped)


def iter_cut(
    paths: Iterable[str | os.PathLike[str]],
    tiling: Tiling,
    channels: int,
    *,
    skipped: list[tuple[Path, str]] | None = None,
    max_pixels: int | None = None,
) -> Generator[CutPicture, None, None]:
    """Decode picture files one by one, the next while one is worked on, and give each to be cut.

    Parameters
    ----------
    paths, skipped, max_pixels
        As of `recon_anomaly.streams.PictureStream`, which also says what is raised and warned of. A picture that cannot
        be cut is one that cannot be used.
    tiling : Tiling
        How they are cut.
    channels : int
        Of the tiles, 1 or 3.
    """
    reader = _reader(paths, channels, skipped, max_pixels)
    with closing(_cuttable(reader, tiling)) as pictures:
        for path, pixels, _ in pictures:
            if pixels is not None:
                yield cut_one(pixels, tiling, channels, path)
                del pixels  # else it would live on while the next one is waited for
    warn_of(reader.notes, len(reader.files))


def _cuttable(
    reader: Reader, tiling: Tiling
) -> Generator[tuple[Path, NDArray[Any] | None, Grid | None], None, None]:
    """Give each file with its pixels and tiles, or None for both where it is skipped, as the reader skips what it cannot read."""
    count = 0
    with closing(iter(reader)) as pictures:
        for path, pixels in pictures:
            try:
                grid = None if pixels is None else _grid(tiling, pixels.shape, None)
            except InputError as error:
                if reader.skipped is None:
                    raise InputError(f"{path}: {error}") from error
                reader.skipped.append((path, str(error)))
                pixels = grid = None
            count += grid is not None
            yield path, pixels, grid
            del pixels  # else it would live on while the next one is waited for
    if not count:
        raise reader.none_usable()


def _reader(
    paths: Iterable[str | os.PathLike[str]],
    channels: str | int,
    skipped: list[tuple[Path, str]] | None,
    max_pixels: int | None,
) -> Reader:
    """Return one that holds two pictures: that which is handed over, and the next."""
    return Reader(
        paths,
        image_size=None,
        channels=channels,
        threads=1,
        skipped=skipped,
        ahead=1,
        any_size=True,
        max_pixels=max_pixels,
    )


def _kept_type(array: NDArray[Any]) -> np.dtype[Any]:
    dtype = array.dtype.newbyteorder("=")
    return dtype if dtype in _KEPT else np.dtype(np.float32)


def _count(tiling: Tiling, size: tuple[int, int] | None) -> int:
    """Return how many tiles a picture of a size has, which is the same when it lies on its side; 0 if it cannot be cut."""
    if size is not None:
        for either in (size, size[::-1]):
            with contextlib.suppress(InputError):
                return len(tiling.grid(either))
    return 0


def _grid(tiling: Tiling, size: tuple[int, ...], path: Path | None) -> Grid:
    try:
        return tiling.grid((size[0], size[1]))
    except InputError as error:
        if path is None:
            raise
        raise InputError(f"{path}: {error}") from error
