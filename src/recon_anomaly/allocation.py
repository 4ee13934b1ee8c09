"""Large blocks of memory kept by the process, where glibc would give them back after every use."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

__all__ = ["large_blocks_kept"]

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_INSIDE = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}
# What glibc's own rule ends at, where a process has freed large blocks; the default of _MMAP_MAX.
_OUTSIDE = {
    _MMAP_MAX: ("MALLOC_MMAP_MAX_", 65536),
    _MMAP_THRESHOLD: ("MALLOC_MMAP_THRESHOLD_", 2**25),
    _TRIM_THRESHOLD: ("MALLOC_TRIM_THRESHOLD_", 2**26),
}
# By how much the heap may grow before what is free inside it is given back.
_GROWTH = 2**28

_lock = threading.Lock()
_users = 0


@contextmanager
def large_blocks_kept() -> Iterator[Callable[[], None]]:
    """Keep freed blocks of any size for the next use, while at least one user is inside.

    Gives a function to call between uses, such as batches: it keeps the heap from holding ever more.

    A training step frees activations of tens of megabytes and asks for the same sizes again. glibc maps
    blocks of more than 32 MiB anew each time, and the kernel clears every page of them. Inside they stay
    in the heap; at the end the heap is given back, and the settings, which are the process's own, are what
    the environment says (``MALLOC_TRIM_THRESHOLD_`` and its like), else what glibc's own rule comes to. Does
    nothing where the allocator is not glibc's, or is tuned by ``GLIBC_TUNABLES``.

    A small block that stays, such as the scores of a batch that the caller collects, may lie in the room of a
    large one that has gone. glibc (before 2.38) then finds no place there for one of the same size that is
    aligned, as torch's are, and the heap grows by it. Whenever it has grown by 256 MiB, the function gives the
    pages of all such gaps back.

    Examples
    --------
    >>> with large_blocks_kept() as tidy:
    ...     for batch in range(2):
    ...         tidy()
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_INSIDE)
    try:
        yield _Tidy()
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set({name: _known(*value) for name, value in _OUTSIDE.items()})
                if (library := _glibc()) is not None:
                    library.malloc_trim(0)


class _Tidy:
    """Gives back what is free inside the heap whenever its end has moved far, and so never in a steady state."""

    def __init__(self) -> None:
        self._limit: int | None = None

    def __call__(self) -> None:
        if (library := _glibc()) is None:
            return
        end = library.sbrk(0)
        if self._limit is None:
            self._limit = end + _GROWTH
        elif end > self._limit:
            library.malloc_trim(0)
            self._limit = end + _GROWTH


def _known(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    with suppress(ValueError):
        return int(value, 0)
    return default


def _set(values: dict[int, int]) -> None:
    if (library := _glibc()) is not None:
        for parameter, value in values.items():
            library.mallopt(parameter, value)


@cache
def _glibc() -> Any:
    """Return the process's C library if it is glibc, and not tuned."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows knows no CDLL(None)
        return None
    if not hasattr(library, "gnu_get_libc_version") or "malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    ):
        return None
    library.sbrk.restype = ctypes.c_ssize_t
    return library
