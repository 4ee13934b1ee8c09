"""Picture files, listed from a folder and decoded into one store, each once, by several threads.

Whatever had to be dropped or converted on the way is told in a ``PictureWarning``; what cannot be
read is an error that names the file.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from numpy.typing import NDArray

from .decoding import at_least, checked_size, decode, warn_of
from .errors import InputError, PictureError
from .store import Pictures, allocate, free_memory

__all__ = ["EXTENSIONS", "in_order", "list_pictures", "read_pictures"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of the files that ``list_pictures`` takes for pictures, in lower case."""

_T = TypeVar("_T")


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List every picture file under a folder, subfolders included, sorted by path.

    Files are known by their ending (``EXTENSIONS``, in any case); hidden files and folders are left
    out. Linked folders are followed, but no folder is visited twice.

    Raises
    ------
    InputError
        If the folder does not exist, is no folder, cannot be listed, or holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        got = "is not a folder" if root.exists() else "does not exist"
        raise InputError(f"{root} {got}; give a folder that holds pictures")

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error

    found: list[Path] = []
    visited = {root.resolve()}
    for where, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        inside = []
        for name in sorted(folders):
            target = (Path(where) / name).resolve()
            if not name.startswith(".") and target not in visited:
                visited.add(target)
                inside.append(name)
        folders[:] = inside
        names = [name for name in files if not name.startswith(".")]
        found += [Path(where) / name for name in names if name.lower().endswith(EXTENSIONS)]
    if not found:
        raise InputError(f"{root} holds no picture: no file in it ends in {', '.join(EXTENSIONS)}")
    return sorted(found, key=Path.as_posix)


def read_pictures(
    paths: Iterable[str | os.PathLike[str]],
    *,
    image_size: int | tuple[int, int] | None = 256,
    channels: str | int = "auto",
    memory_budget: int | None = None,
    threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Callable[[int], object] | None = None,
) -> Pictures:
    """Decode picture files into one store, in the order given.

    Palettes, CMYK and YCbCr become RGB, bilevel pictures 0 and 255; EXIF orientation is applied.
    16-bit grayscale becomes a uint16 store, everything else a uint8 one.

    Parameters
    ----------
    paths : iterable of paths
        The files.
    image_size : int or (height, width), optional
        Size in pixels that every picture is brought to, bilinearly and antialiased. None keeps the
        files' own size, which must then be one and the same.
    channels : {"auto", 1, 3}
        "auto": one channel if every picture, once resized, is gray (RGB with equal channels
        included), else three. 1: luminance. 3: gray pictures are repeated.
    memory_budget : int, optional
        Bytes. A larger store goes into a private memory-mapped file in the temporary folder, which
        is removed with the store. None: a quarter of the memory that is available now.
    threads : int, optional
        How many threads decode; the lesser of 8 and the number of processors if None.
    on_error : {"raise", "skip"}
        Whether a file that cannot be used is an error or is left out, and listed in ``skipped``.
    progress : callable, optional
        Called after each picture, in this thread, with the number of files done so far.

    Returns
    -------
    Pictures
        uint8 or uint16, with ``paths``.

    Raises
    ------
    PictureError
        If a file is missing, empty, truncated, no picture, larger than ``MAX_PIXELS``, or of
        floating-point or other unsupported pixels; the message names it. If all were skipped.
    InputError
        If there are no pictures, sizes differ under ``image_size=None``, 8-bit
        and 16-bit files are mixed, the temporary folder is full, or a parameter is out of range.

    Warns
    -----
    PictureWarning
        Once a call for each of: alpha dropped, further frames left out, colours made luminance
        (``channels=1``), 16-bit colours reduced to 8 bits. It counts the files and names the first.
    """
    if isinstance(paths, str | os.PathLike):
        raise InputError(f"got one path, {paths}; give a list, or list_pictures(folder)")
    files = [Path(path) for path in paths]
    if not files:
        raise InputError("no pictures were given; give at least one path")
    size = checked_size(image_size)
    _check_choice("channels", channels, ("auto", 1, 3))
    _check_choice("on_error", on_error, ("raise", "skip"))
    workers = min(8, os.cpu_count() or 1) if threads is None else at_least("threads", threads, 1)
    if memory_budget is None:
        budget = free_memory() // 4
    else:
        budget = at_least("memory_budget", memory_budget, 0)

    array: NDArray[Any] | None = None
    kept: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    notes: dict[str, list[Path]] = {}
    with ThreadPoolExecutor(workers) as pool:
        futures = (pool.submit(decode, path, size, channels == 1) for path in files)
        results = zip(files, in_order(futures, 4 * workers), strict=True)
        for done, (path, result) in enumerate(results, 1):
            if isinstance(result, str):
                if on_error == "raise":
                    remedy = "on_error='skip' (--skip-unreadable) leaves such files out"
                    raise PictureError(f"{path} cannot be used: {result}; {remedy}")
                skipped.append((path, result))
            else:
                pixels = result.pixels
                depth = 3 if channels == 3 else pixels.shape[-1]
                if array is not None:
                    _check_same(array, kept[0], pixels, path)
                if array is None or depth > array.shape[-1]:
                    wider = allocate((len(files), *pixels.shape[:2], depth), pixels.dtype, budget)
                    if array is not None:
                        wider[: len(kept)] = array[: len(kept)]
                    array = wider
                array[len(kept)] = pixels
                kept.append(path)
                for note in result.notes:
                    notes.setdefault(note, []).append(path)
            if progress is not None:
                progress(done)
    if array is None:
        path, reason = skipped[0]
        message = f"none of the {len(files)} pictures can be used; the first, {path}: {reason}"
        raise PictureError(message, skipped)
    warn_of(notes, len(files))
    return Pictures(array[: len(kept)], kept, skipped=skipped)


def in_order(futures: Iterator[Future[_T]], ahead: int) -> Iterator[_T]:
    """Give the results of futures in their order, with that many submitted ahead."""
    waiting = deque(islice(futures, ahead))
    while waiting:
        waiting.extend(islice(futures, 1))
        yield waiting.popleft().result()


def _check_same(array: NDArray[Any], first: Path, pixels: NDArray[Any], path: Path) -> None:
    if pixels.dtype != array.dtype:
        raise InputError(
            f"{first} has {8 * array.itemsize} bits and {path} has {8 * pixels.itemsize}; "
            "read them separately, or convert"
        )
    if pixels.shape[:2] != array.shape[1:3]:
        raise InputError(
            f"{path} is {pixels.shape[0]} x {pixels.shape[1]} (height x width) where {first} is "
            f"{array.shape[1]} x {array.shape[2]}; give image_size to bring them to one size"
        )


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if isinstance(value, bool) or value not in choices:
        raise InputError(f"{name} is {value!r}; give one of {', '.join(map(repr, choices))}")
