"""Picture files, listed from a folder and decoded into one store, each once, by several threads.

Whatever had to be dropped or converted on the way is told in a ``PictureWarning``; what cannot be
read is an error that names the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .checks import at_least
from .decoding import check_choice, warn_of
from .errors import InputError
from .folders import check_folder, is_folder
from .reading import Reader, as_path, put
from .store import Pictures, allocate, free_memory

__all__ = ["EXTENSIONS", "list_pictures", "named_files", "read_pictures"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of the files that ``list_pictures`` takes for pictures, in lower case."""


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List every picture file under a folder, subfolders included, sorted by path.

    Files are known by their ending (``EXTENSIONS``, in any case); hidden files and folders are left
    out. Linked folders are followed, but no folder is visited twice.

    Raises
    ------
    InputError
        If the folder does not exist, is no folder, cannot be listed, or holds no picture.
    """
    root = check_folder(folder, "a folder that holds pictures")

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


def named_files(X: Any) -> list[Path] | None:
    """Return the files that a folder, a file or a list of paths names, or None where X is none of these.

    Examples
    --------
    >>> [path.name for path in named_files(["parts/a.png", Path("b.png")])]
    ['a.png', 'b.png']
    >>> named_files([[0.5, 0.25]]) is None
    True
    """
    if isinstance(X, str | os.PathLike):
        path = Path(X)
        return list_pictures(path) if is_folder(path) or not path.is_file() else [path]
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.ndim == 1):
        return None
    if len(X) == 0 or not all(isinstance(path, str | os.PathLike) for path in X):
        return None
    return [as_path(path) for path in X]


def read_pictures(
    paths: Iterable[str | os.PathLike[str]],
    *,
    image_size: int | tuple[int, int] | None = 256,
    channels: str | int = "auto",
    memory_budget: int | None = None,
    threads: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Callable[[int], object] | None = None,
    max_pixels: int | None = None,
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
        How many threads decode; the lesser of 8 and the number of processors if None, as
        `recon_anomaly.reading.decoding_threads` says.
    on_error : {"raise", "skip"}
        Whether a file that cannot be used is an error or is left out, and listed in ``skipped``.
    progress : callable, optional
        Called after each picture, in this thread, with the number of files done so far.
    max_pixels : int, optional
        Largest height times width of a file that is decoded, in place of ``MAX_PIXELS``, which keeps small files that
        unpack to gigabytes out.

    Returns
    -------
    Pictures
        uint8 or uint16, with ``paths``.

    Raises
    ------
    PictureError
        If a file is missing, empty, truncated, no picture, larger than ``max_pixels``, or of
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
    check_choice("on_error", on_error, ("raise", "skip"))
    skipped: list[tuple[Path, str]] = []
    reader = Reader(
        paths,
        image_size=image_size,
        channels=channels,
        threads=threads,
        skipped=skipped if on_error == "skip" else None,
        max_pixels=max_pixels,
    )
    files = reader.files
    if memory_budget is None:
        budget = free_memory() // 4
    else:
        budget = at_least("memory_budget", memory_budget, 0)
    array: NDArray[Any] | None = None
    kept: list[Path] = []
    with closing(iter(reader)) as pictures:
        for done, (path, pixels) in enumerate(pictures, 1):
            if pixels is not None:
                depth = 3 if channels == 3 else pixels.shape[-1]
                if array is None or depth > array.shape[-1]:
                    wider = allocate((len(files), *pixels.shape[:2], depth), pixels.dtype, budget)
                    if array is not None:
                        wider[: len(kept)] = array[: len(kept)]
                    array = wider
                put(pixels, array[len(kept)])
                kept.append(path)
            if progress is not None:
                progress(done)
    assert array is not None  # the reader refuses to end without a picture
    warn_of(reader.notes, len(files))
    return Pictures(array[: len(kept)], kept, skipped=skipped)
