"""A store of pictures of one shape, as integers, in memory or in a private memory-mapped file."""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import os
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .claims import claimed_file
from .errors import InputError, PictureWarning
from .memory import container_room, is_memory

__all__ = ["Pictures", "allocate", "budget_of", "free_memory", "from_array", "joined"]

_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
_CHUNK_BYTES = 2**24


class Pictures:
    """A store of ``n`` pictures of one shape, or a view of some of them.

    Parameters
    ----------
    array : ndarray of shape (n, h, w, c), dtype uint8, uint16 or float32
        The pixels; kept, not copied, and shared by all views: ``batch`` gives those of a view.
    paths : sequence of Path, optional
        The file of each picture of this store or view.
    index : ndarray of shape (m,), dtype intp, optional
        Which pictures of ``array`` this view has, in which order; all of them if None.
    skipped : sequence of (Path, str), optional
        Files that were left out, and why.

    Raises
    ------
    InputError
        If ``array`` has another number of dimensions or another dtype, or an empty side.

    Examples
    --------
    >>> store = Pictures(np.zeros((5, 4, 4, 1), np.uint8))
    >>> len(store), store.shape, store.take([4, 0]).batch(slice(None)).shape
    (5, (4, 4, 1), (2, 4, 4, 1))
    """

    def __init__(
        self,
        array: NDArray[Any],
        paths: Sequence[Path] | None = None,
        index: NDArray[np.intp] | None = None,
        skipped: Sequence[tuple[Path, str]] = (),
    ) -> None:
        if array.ndim != 4 or 0 in array.shape or array.dtype not in _DTYPES:
            raise InputError(
                f"got an array of shape {array.shape} and dtype {array.dtype}; a store wants "
                "(n, h, w, c), nothing empty, of uint8, uint16 or float32: reshape or convert it"
            )
        self.array = array
        self.index = index
        self.paths = None if paths is None else tuple(paths)
        self.skipped = tuple(skipped)
        if self.paths is not None and len(self.paths) != len(self):
            raise InputError(f"got {len(self.paths)} paths for {len(self)} pictures; give one each")

    def __len__(self) -> int:
        return len(self.array if self.index is None else self.index)

    def __repr__(self) -> str:
        place = "in memory" if self.in_memory else "memory-mapped"
        return f"<{len(self)} pictures {self.shape} {self.dtype}, {place}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture."""
        height, width, channels = self.array.shape[1:]
        return height, width, channels

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels: uint8, uint16 or float32."""
        return self.array.dtype

    @property
    def in_memory(self) -> bool:
        """Whether the pixels are in memory, not in a memory-mapped file."""
        owner: Any = self.array
        while isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        return not isinstance(owner, mmap.mmap)

    def take(self, indices: slice | Sequence[int] | NDArray[Any]) -> Pictures:
        """Return a view of some pictures, in the order given; no pixel is copied.

        Parameters
        ----------
        indices : slice, integers of shape (m,) or bool mask of shape (n,)
            Positions in this store or view; one that lies outside is an IndexError.
        """
        everything = np.arange(len(self), dtype=np.intp)
        # An empty list would become a float array, which cannot index.
        chosen = indices if isinstance(indices, slice) or len(indices) else slice(0)
        positions = everything[chosen]
        paths = None if self.paths is None else [self.paths[position] for position in positions]
        index = positions if self.index is None else self.index[positions]
        return Pictures(self.array, paths, index, self.skipped)

    def batch(self, positions: slice | NDArray[Any]) -> NDArray[Any]:
        """Return a fresh, writable, contiguous copy (m, h, w, c) of the pixels at ``positions``.

        Parameters
        ----------
        positions : slice, or integers or bool mask as one-dimensional array
            Positions in this store or view; one that lies outside is an IndexError.
        """
        rows = positions if self.index is None else self.index[positions]
        if isinstance(rows, slice):
            return np.array(self.array[rows], order="C")
        return np.ascontiguousarray(self.array[rows])

    def checksum(self) -> str:
        """Return a BLAKE2b digest, 32 hex digits, over shape, dtype and pixels in their order."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{(len(self), *self.shape)} {self.dtype.name}".encode())
        for chunk in self._chunks():
            digest.update(chunk.data)
        return digest.hexdigest()

    def min(self) -> float:
        """Return the smallest pixel."""
        return min(float(chunk.min()) for chunk in self._chunks())

    def max(self) -> float:
        """Return the largest pixel."""
        return max(float(chunk.max()) for chunk in self._chunks())

    def _chunks(self) -> Iterator[NDArray[Any]]:
        step = max(1, _CHUNK_BYTES // self.array[0].nbytes)
        for start in range(0, len(self), step):
            yield self.batch(slice(start, start + step))


def joined(first: Pictures, second: Pictures, memory_budget: int | None = None) -> Pictures:
    """Return one store of the pictures of two, those of the first in front.

    Parameters
    ----------
    first, second : Pictures
        Of one shape and dtype.
    memory_budget : int, optional
        Bytes; more go to a private memory-mapped file. None: a quarter of the memory available now.

    Raises
    ------
    InputError
        If shapes or dtypes differ, or the temporary folder is full.

    Examples
    --------
    >>> store = Pictures(np.zeros((5, 4, 4, 1), np.uint8))
    >>> joined(store.take([0, 1]), store.take([4]))
    <3 pictures (4, 4, 1) uint8, in memory>
    """
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        raise InputError(
            f"{first.shape} {first.dtype} and {second.shape} {second.dtype} cannot be one store; read "
            "both with the same image_size and channels"
        )
    shape = (len(first) + len(second), *first.shape)
    array = allocate(shape, first.dtype, budget_of(memory_budget))
    start = 0
    for chunk in chain(first._chunks(), second._chunks()):
        array[start : start + len(chunk)] = chunk
        start += len(chunk)
    paths = None if first.paths is None or second.paths is None else first.paths + second.paths
    return Pictures(array, paths, skipped=first.skipped + second.skipped)


def from_array(array: NDArray[Any]) -> Pictures:
    """Wrap an array (n, h, w, c) of uint8, uint16 or float32 as a store, without copying it."""
    return Pictures(array)


def allocate(shape: tuple[int, ...], dtype: DTypeLike, budget: int) -> NDArray[Any]:
    """Return an array of unset pixels, memory-mapped if it needs more bytes than the budget.

    The file is private, in the temporary folder, and goes with the last view of the array, or, of a
    killed process, when the next one makes such a file. Where it does not fit, that is an InputError, and
    where that folder is memory itself, a PictureWarning.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= budget:
        return np.empty(shape, dtype)
    handle, path = claimed_file(Path(tempfile.gettempdir()), "recon-anomaly", ".pixels")
    try:
        # Without its blocks reserved, a full disk would kill the process when a page is written.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        array: NDArray[Any] = np.memmap(str(path), dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        _remove(path, handle)
        raise InputError(
            f"{size} bytes are needed, more than the memory budget of {budget}, and a file "
            f"of that size in {tempfile.gettempdir()} failed ({error.strerror}); make image_size "
            "smaller, raise memory_budget, or set TMPDIR to a larger disk"
        ) from error
    # The mapping, not the array: views of the array share it and may outlive the array.
    weakref.finalize(array.base, _remove, path, handle)
    if is_memory(folder := tempfile.gettempdir()):
        warnings.warn(
            f"{size} bytes, more than the memory budget of {budget}, are in a file in {folder}, which is a "
            "tmpfs: that is memory, too. Set TMPDIR to a folder on a disk",
            PictureWarning,
            stacklevel=2,
        )
    return array


def _remove(path: Path, handle: int) -> None:
    os.close(handle)
    # Windows refuses while the file is mapped, which at the interpreter's exit it may still be.
    with contextlib.suppress(OSError):
        path.unlink()


def budget_of(memory_budget: int | None) -> int:
    """Return a memory budget in bytes: the one that is given, or a quarter of what is available now."""
    return free_memory() // 4 if memory_budget is None else memory_budget


def free_memory() -> int:
    """Return how many bytes of memory are available now; one GiB where that cannot be known.

    Of the machine, or of the container that this process runs in where that is less.
    """
    room = container_room()
    return _free_on_machine() if room is None else min(room, _free_on_machine())


def _free_on_machine() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # Neither name nor function is there on every system.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2**30
