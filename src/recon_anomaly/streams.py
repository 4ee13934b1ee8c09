"""Batches of picture files that are decoded while the batch before is scored; no store is made of them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .batches import Batch, as_float
from .decoding import warn_of
from .images import PixelRange, range_for
from .protocols import ImageShape
from .reading import Reader, decoding_threads, put

__all__ = ["PictureStream", "Streamed"]


class Streamed(NamedTuple):
    """A batch, and the files that it has and the batch before had not.

    Attributes
    ----------
    batch : Batch
        What the network sees.
    paths : tuple of Path
        The files.
    pixels : ndarray of shape (n, h, w, c), uint8 or uint16
        Their pixels.
    sizes : tuple of (int, int)
        Height and width of each picture in its file.
    """

    batch: Batch
    paths: tuple[Path, ...]
    pixels: NDArray[Any]
    sizes: tuple[tuple[int, int], ...]


class PictureStream:
    """Iterates over the batches that `Batches.full` would make of the same files in a store.

    While whoever iterates works on a batch, threads decode the next one. What is held does not grow with
    the number of files: the pixels of at most three batches (one that is worked on, one that is put together,
    one that is decoded ahead), and the floats of one, of two while the next is made.

    Parameters
    ----------
    paths : iterable of paths
        The files.
    image_shape : (int, int, int)
        Height, width and channels, 1 or 3, that every picture is brought to.
    pixel_range : PixelRange
        What the network was trained on; see `range_for`.
    batch_size : int
        Pictures a batch; fewer only where there are fewer in all.
    device : torch.device
        Where the batches go.
    skipped : list, optional
        Takes up (path, reason) for each file that cannot be used, which is then left out; without a list it is
        an error, when its turn comes.
    threads : int, optional
        How many threads decode; `decoding_threads` if None.
    max_pixels : int, optional
        As of `recon_anomaly.read_pictures`.

    Raises
    ------
    PictureError, InputError
        As `recon_anomaly.read_pictures` and `range_for` say.

    Warns
    -----
    PictureWarning
        As `recon_anomaly.read_pictures` says, when all files are through.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder) / f"{level}.png" for level in (0, 102, 255)]
    ...     for path in paths:
    ...         Image.new("L", (1, 1), int(path.stem)).save(path)
    ...     byte = PixelRange(0.0, 255.0, "uint8")
    ...     stream = PictureStream(paths, (1, 1, 1), byte, 2, torch.device("cpu"))
    ...     [(batch.images.flatten().tolist(), batch.repeated) for batch, *_ in stream]
    [([0.0, 0.4], 0), ([0.4, 1.0], 1)]
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        image_shape: ImageShape,
        pixel_range: PixelRange,
        batch_size: int,
        device: torch.device,
        *,
        skipped: list[tuple[Path, str]] | None = None,
        threads: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        threads = decoding_threads() if threads is None else threads
        self.image_shape = image_shape
        self.pixel_range = pixel_range
        self.batch_size = batch_size
        self.device = device
        self._reader = Reader(
            paths,
            image_size=image_shape[:2],
            channels=image_shape[2],
            threads=threads,
            skipped=skipped,
            # A whole batch, to be ready when it is asked for; of tiny ones, enough for every thread.
            ahead=max(batch_size, 2 * threads),
            max_pixels=max_pixels,
        )

    def __iter__(self) -> Generator[Streamed, None, None]:
        before: NDArray[Any] | None = None
        with closing(iter(self._reader)) as pictures:
            for paths, pixels, sizes in self._gathered(pictures):
                pixel_range = range_for(pixels, self.pixel_range)
                missing = 0 if before is None else self.batch_size - len(pixels)
                if missing:
                    # See `Batches.full`: a last, smaller batch would round otherwise.
                    assert before is not None
                    whole = np.concatenate([before[-missing:], pixels])
                else:
                    whole = pixels
                before = pixels
                yield _streamed(
                    as_float(whole, pixel_range, self.device), missing, paths, pixels, sizes
                )
        warn_of(self._reader.notes, len(self._reader.files))

    def _gathered(
        self, pictures: Iterator[tuple[Path, NDArray[Any] | None]]
    ) -> Iterator[tuple[tuple[Path, ...], NDArray[Any], tuple[tuple[int, int], ...]]]:
        """Give the pictures that can be used a batch at a time, the last one with what is left."""
        size = min(self.batch_size, len(self._reader.files))
        paths: list[Path] = []
        sizes: list[tuple[int, int]] = []
        for path, picture in pictures:
            if picture is None:
                continue
            if not paths:
                pixels = np.empty((size, *self.image_shape), picture.dtype)
            put(picture, pixels[len(paths)])
            paths.append(path)
            sizes.append(self._reader.original)
            if len(paths) == size:
                yield tuple(paths), pixels, tuple(sizes)
                paths, sizes = [], []
        if paths:
            yield tuple(paths), pixels[: len(paths)], tuple(sizes)


def _streamed(
    images: torch.Tensor,
    repeated: int,
    paths: tuple[Path, ...],
    pixels: NDArray[Any],
    sizes: tuple[tuple[int, int], ...],
) -> Streamed:
    return Streamed(Batch(images, images, repeated=repeated), paths, pixels, sizes)
