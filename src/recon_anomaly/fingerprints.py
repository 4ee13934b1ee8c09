"""Short hashes of pictures: enough to know one again that was trained on, and nothing else of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .images import PixelRange, range_for
from .store import Pictures
from .tiledpictures import TiledPictures

__all__ = ["BYTES", "TrainedPictures", "fingerprints"]

BYTES = 8
"""Of a hash. Two of a million different pictures have the same one with a probability of 3e-8."""


def fingerprints(pictures: Pictures | TiledPictures) -> NDArray[np.uint8]:
    """Return a BLAKE2b hash of the pixels of each picture, uint8 of shape (n, `BYTES`).

    No pixel is copied: of a store in memory it costs about two nanoseconds a byte. A picture that was cut has one hash of
    all its tiles.

    Examples
    --------
    >>> store = Pictures(np.zeros((3, 4, 4, 1), np.uint8))
    >>> hashes = fingerprints(store)
    >>> hashes.shape, bool((hashes[0] == hashes[2]).all())
    ((3, 8), True)
    """
    if isinstance(pictures, TiledPictures):
        return _rows(_hash(picture.parts()) for picture in pictures)
    rows = range(len(pictures)) if pictures.index is None else pictures.index
    return _hashes(pictures.array[row] for row in rows)


class TrainedPictures:
    """Counts those among the pictures that pass which a detector was trained on.

    Parameters
    ----------
    hashes : ndarray of shape (n, `BYTES`), uint8
        Of the training pictures, by `fingerprints`.
    pixel_range : PixelRange
        Of the detector. Pictures of another type are brought to the type that was trained on, rounded where
        that is an integer: a picture is known again in each type that the detector takes.

    Examples
    --------
    >>> store = Pictures(np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1))
    >>> trained = TrainedPictures(fingerprints(store.take([0, 2])), PixelRange(0.0, 255.0, "uint8"))
    >>> trained.look(store.array / np.float32(255), ["a.png", "b.png", "c.png"])
    >>> trained.known, trained.seen
    (['a.png', 'c.png'], 3)
    """

    def __init__(self, hashes: NDArray[np.uint8], pixel_range: PixelRange) -> None:
        self._hashes = set(map(bytes, hashes))
        self._pixel_range = pixel_range
        self.known: list[str] = []
        self.seen = 0

    def look(self, pixels: NDArray[Any], names: Sequence[object]) -> None:
        """Look at pictures (n, h, w, c), at the detector's size, which have these names."""
        pixels = _as_trained(pixels, self._pixel_range)
        pairs = zip(_hashes(pixels), names, strict=True)
        self.known += [str(name) for found, name in pairs if bytes(found) in self._hashes]
        self.seen += len(pixels)

    def look_at_parts(self, parts: Iterable[NDArray[Any]], name: object) -> None:
        """Look at one picture that was cut, by its tiles (n, h, w, c), some at a time."""
        found = _hash(_as_trained(part, self._pixel_range) for part in parts)
        self.known += [str(name)] if found in self._hashes else []
        self.seen += 1

    def refuse(self) -> None:
        """Raise an InputError if a picture was trained on; it says how many, and names the first."""
        if self.known:
            raise InputError(
                f"{len(self.known)} of the {self.seen} pictures were trained on, the first is {self.known[0]}: "
                "their scores say nothing about new pictures; give others"
            )


def _hashes(pictures: Iterable[NDArray[Any]]) -> NDArray[np.uint8]:
    return _rows(_hash([pixels]) for pixels in pictures)


def _rows(hashes: Iterable[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(bytearray().join(hashes), np.uint8).reshape(-1, BYTES)


def _hash(parts: Iterable[NDArray[Any]]) -> bytes:
    digest = hashlib.blake2b(digest_size=BYTES)
    for pixels in parts:
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _as_trained(pixels: NDArray[Any], trained: PixelRange) -> NDArray[Any]:
    if pixels.dtype.name == trained.dtype:
        return pixels
    low, high, _ = range_for(pixels, trained)
    shares = (pixels - np.float64(low)) / (high - low)
    if trained.dtype == "float32":  # of the range [0, 1], else `range_for` had refused
        return shares.astype(np.float32)
    return np.rint(shares * trained.high).astype(trained.dtype)
