"""Picture files decoded one by one, in their order, by several threads, a bounded number ahead."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .checks import at_least
from .decoding import Decoded, check_choice, checked_size, decode
from .errors import InputError, PictureError

__all__ = ["Reader", "as_path", "decoding_threads", "few_threads", "in_order", "put"]

_T = TypeVar("_T")

_MOST = ContextVar("_MOST", default=8)


class Reader:
    """Decodes picture files in their order, a bounded number ahead of whoever iterates, which is done once.

    It gives (path, pixels): (h, w, 1 or 3), uint8 or uint16, or None for a file that is left out.
    The threads that decode end with the iteration, also where it is closed early.

    Parameters
    ----------
    paths, image_size, channels, threads, max_pixels
        As for `recon_anomaly.read_pictures`. Gray pictures have one channel whatever is asked for: see `put`.
    skipped : list, optional
        Takes up (path, reason) for each file that cannot be used, which is then left out; without a list it is
        an error.
    ahead : int, optional
        How many files may be decoded beside the one that is handed over; four a thread if None.
    any_size : bool
        Whether pictures may differ in size where ``image_size`` is None.

    Attributes
    ----------
    files : list of Path
        All of them, in their order.
    notes : dict of str to list of Path
        What was dropped or converted so far, see `decoding.warn_of`.
    original : (int, int)
        Height and width in its file of the picture that was handed over last; see `decoding.Decoded`.

    Raises
    ------
    PictureError, InputError
        As `recon_anomaly.read_pictures` says; about a file, when its turn comes.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.png"
    ...     Image.new("L", (4, 2), 7).save(path)
    ...     [pixels.shape for _, pixels in Reader([path], image_size=None)]
    [(2, 4, 1)]
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        image_size: int | tuple[int, int] | None = 256,
        channels: str | int = "auto",
        threads: int | None = None,
        skipped: list[tuple[Path, str]] | None = None,
        ahead: int | None = None,
        any_size: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        if isinstance(paths, str | os.PathLike):
            raise InputError(f"got one path, {paths}; give a list, or list_pictures(folder)")
        self.files = [as_path(path) for path in paths]
        if not self.files:
            raise InputError("no pictures were given; give at least one path")
        self.size = checked_size(image_size)
        check_choice("channels", channels, ("auto", 1, 3))
        self.luminance = channels == 1
        self.skipped = skipped
        self.threads = decoding_threads() if threads is None else at_least("threads", threads, 1)
        self.ahead = 4 * self.threads if ahead is None else at_least("ahead", ahead, 1)
        self.any_size = any_size
        self.max_pixels = None if max_pixels is None else at_least("max_pixels", max_pixels, 1)
        self.notes: dict[str, list[Path]] = {}
        self.original = (0, 0)

    def __iter__(self) -> Generator[tuple[Path, NDArray[Any] | None], None, None]:
        first: tuple[Path, tuple[int, ...], np.dtype[Any]] | None = None
        pool = ThreadPoolExecutor(self.threads)
        try:
            futures = (pool.submit(self._decode, path) for path in self.files)
            for path, result in in_order(futures, self.ahead):
                if isinstance(result, str):
                    if self.skipped is None:
                        remedy = "on_error='skip' (--skip-unreadable) leaves such files out"
                        raise PictureError(f"{path} cannot be used: {result}; {remedy}")
                    self.skipped.append((path, result))
                    yield path, None
                    continue
                pixels = result.pixels
                if first is None:
                    first = path, pixels.shape[:2], pixels.dtype
                _check_same(first, path, pixels, any_size=self.any_size)
                for note in result.notes:
                    self.notes.setdefault(note, []).append(path)
                self.original = result.size
                yield path, pixels
                del result, pixels  # else they would live on while the next one is waited for
        finally:
            pool.shutdown(cancel_futures=True)
        if first is None and self.skipped:
            raise self.none_usable()

    def none_usable(self) -> PictureError:
        """Return the error for the case that every file was skipped."""
        left_out = (self.skipped or [])[-len(self.files) :]
        path, reason = left_out[0]
        message = f"none of the {len(self.files)} pictures can be used; the first, {path}: {reason}"
        return PictureError(message, left_out)

    def _decode(self, path: Path) -> tuple[Path, Decoded | str]:
        return path, decode(path, self.size, self.luminance, max_pixels=self.max_pixels)


def decoding_threads() -> int:
    """Return how many threads decode where nobody says it: one a processor, eight at most.

    Where the forward pass keeps all processors busy, their number hardly matters: decoding takes its share of
    them in any case. Where it does not, as with a small network or on a GPU, fewer would be waited for.
    Within `few_threads` there are two at most.
    """
    return min(_MOST.get(), os.cpu_count() or 1)


@contextlib.contextmanager
def few_threads() -> Iterator[None]:
    """Decode by two threads at most, where several processes share the processors: one may wait for the disk.

    Examples
    --------
    >>> with few_threads():
    ...     decoding_threads() <= 2
    True
    """
    token = _MOST.set(2)
    try:
        yield
    finally:
        _MOST.reset(token)


def in_order(futures: Iterator[Future[_T]], ahead: int) -> Iterator[_T]:
    """Give the results of futures in their order, with that many submitted ahead."""
    waiting = deque(islice(futures, ahead))
    while waiting:
        waiting.extend(islice(futures, 1))
        yield waiting.popleft().result()


def put(pixels: NDArray[Any], place: NDArray[Any]) -> None:
    """Copy a picture (h, w, c) to its place (h, w, d) in a store or batch; a gray one to all d channels.

    Examples
    --------
    >>> place = np.zeros((1, 2, 3), np.uint8)
    >>> put(np.array([[[5], [7]]], np.uint8), place)
    >>> place.tolist()
    [[[5, 5, 5], [7, 7, 7]]]
    """
    if pixels.shape[-1] == place.shape[-1]:
        place[...] = pixels
    else:  # one by one: NumPy takes ten times as long to spread one channel over three at once
        for channel in range(place.shape[-1]):
            place[..., channel] = pixels[..., 0]


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path; one that is a Path already is not copied, as ``Path`` would."""
    return path if isinstance(path, Path) else Path(path)


def _check_same(
    first: tuple[Path, tuple[int, ...], np.dtype[Any]],
    path: Path,
    pixels: NDArray[Any],
    *,
    any_size: bool,
) -> None:
    name, size, dtype = first
    if pixels.dtype != dtype:
        raise InputError(
            f"{name} has {8 * dtype.itemsize} bits and {path} has {8 * pixels.itemsize}; "
            "read them separately, or convert"
        )
    if pixels.shape[:2] != size and not any_size:
        raise InputError(
            f"{path} is {pixels.shape[0]} x {pixels.shape[1]} (height x width) where {name} is "
            f"{size[0]} x {size[1]}; give image_size to bring them to one size"
        )
