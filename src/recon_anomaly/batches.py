"""Float batches on a device, made from a store of integer pictures a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .images import PixelRange
from .protocols import Corruptor
from .randomness import Part, corrupt, derive_seed
from .residency import Resident, find_resident, make_resident, sent
from .store import Pictures

__all__ = ["Batch", "Batches", "as_float", "scaled"]

_Cut = Callable[[slice], Tensor]


class Batch(NamedTuple):
    """What a network sees at a time.

    Attributes
    ----------
    images : Tensor of shape (n, c, h, w), float32
        The input, spoiled where a corruptor trains.
    clean : Tensor of shape (n, c, h, w), float32
        What the loss is taken against; ``images`` itself without a corruptor.
    kept : Tensor of shape (n, ...), float32, optional
        What the network's frozen part made of ``images``.
    repeated : int
        Pictures at the start that the batch before has had, too.
    part : Part, optional
        Which part of the batch these pictures are, where several processes train together.
    """

    images: Tensor
    clean: Tensor
    kept: Tensor | None = None
    repeated: int = 0
    part: Part | None = None


class Batches:
    """Iterates over (n, c, h, w) float32 batches in the order of the store.

    Parameters
    ----------
    pictures : Pictures
        The store; pixels stay as they are in it.
    pixel_range : PixelRange
        What becomes 0 and 1.
    batch_size : int
        Pictures a batch; the last one may be smaller.
    device : torch.device
        Where the batches go; integers travel, floats are made there. A training that repeats the pictures
        first sends the whole store, if it fits there (`recon_anomaly.residency`).

    Attributes
    ----------
    kept : ndarray of shape (n, ...), float32, optional
        What a network's frozen part makes of each picture, channels last where it is a map.
    """

    kept: np.ndarray[Any, np.dtype[np.float32]] | None = None
    _residents: Sequence[Resident | None] | None = None  # to hold them is to let them live

    def __init__(
        self, pictures: Pictures, pixel_range: PixelRange, batch_size: int, device: torch.device
    ) -> None:
        self.pictures = pictures
        self.pixel_range = pixel_range
        self.batch_size = batch_size
        self.device = device

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-len(self.pictures) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        pixels = self._pixels()
        for start in range(0, len(self.pictures), self.batch_size):
            yield self._images(pixels(slice(start, start + self.batch_size)))

    def in_order(self) -> Iterator[Batch]:
        """Iterate in the order of the store, with what is kept."""
        pixels, kept = self._pixels(), self._kept()
        for start in range(0, len(self.pictures), self.batch_size):
            place = slice(start, start + self.batch_size)
            images = self._images(pixels(place))
            yield Batch(images, images, kept(place))

    def full(self) -> Iterator[Batch]:
        """Iterate in the order of the store, in batches of one size where there is more than one.

        A product of matrices rounds otherwise for another number of rows, so a picture would score
        otherwise in a last, smaller batch: that one begins earlier, and says how many it ``repeated``.
        """
        count = len(self.pictures)
        pixels, kept = self._pixels(), self._kept()
        for start in range(0, count, self.batch_size):
            begin = max(0, min(start, count - self.batch_size))
            place = slice(begin, start + self.batch_size)
            images = self._images(pixels(place))
            yield Batch(images, images, kept(place), start - begin)

    def shuffled(
        self,
        seed: int,
        epoch: int,
        corruptor: Corruptor | None = None,
        part_of: Callable[[int], Part | None] | None = None,
    ) -> Iterator[Batch]:
        """Iterate in an order that (seed, epoch) decides, on every device the same.

        With a corruptor each picture is spoiled by a generator that (seed, epoch, its place in the
        store) decides. ``part_of`` says, of a batch of so many pictures, which part of it is made here.
        """
        order = np.random.default_rng(derive_seed(seed, epoch)).permutation(len(self.pictures))
        if corruptor is None:
            self._reside()
            pixels, kept = self._pixels(order), self._kept(order)
        for start in range(0, len(order), self.batch_size):
            place = slice(start, min(start + self.batch_size, len(order)))
            part = None if part_of is None else part_of(place.stop - start)
            if part is not None:
                first = start + part.first
                place = slice(first, first + max(part.length, 1))
            if corruptor is None:
                clean = self._images(pixels(place))
                yield Batch(clean, clean, kept(place), part=part)
            else:
                yield self._spoiled(order[place], corruptor, seed, epoch, part)

    def _images(self, pixels: Tensor) -> Tensor:
        return scaled(pixels, self.pixel_range)

    def _reside(self) -> None:
        """Bring pixels and what is kept to the device for good, where they fit."""
        if self._residents is None:
            arrays = (
                [self.pictures.array] if self.kept is None else [self.pictures.array, self.kept]
            )
            self._residents = [make_resident(array, self.device) for array in arrays]

    def _pixels(self, order: np.ndarray | None = None) -> _Cut:
        """Return what cuts integers (n, h, w, c), on the device, from the pictures in that order."""
        resident = find_resident(self.pictures.array, self.device)
        if resident is None:
            return _from_host(self.pictures.batch, order, self.device)
        positions = np.arange(len(self.pictures)) if order is None else order
        rows = positions if self.pictures.index is None else self.pictures.index[positions]
        return _from_resident(resident.tensor, rows)

    def _kept(self, order: np.ndarray | None = None) -> Callable[[slice], Tensor | None]:
        """Return what cuts the features from what is kept in that order; there may be none."""
        if (array := self.kept) is None:
            return lambda place: None
        resident = find_resident(array, self.device)
        if resident is None:
            cut = _from_host(lambda place: _copied(array, place), order, self.device)
        else:
            cut = _from_resident(resident.tensor, np.arange(len(array)) if order is None else order)
        return lambda place: _channels_first(cut(place))

    def _spoiled(
        self, chosen: np.ndarray, corruptor: Corruptor, seed: int, epoch: int, part: Part | None
    ) -> Batch:
        # Corruptors work on the host, so that floats are made there: no picture makes the way back.
        clean = scaled(torch.from_numpy(self.pictures.batch(chosen)), self.pixel_range)
        pictures = clean.permute(0, 2, 3, 1).numpy()
        spoiled = [
            corrupt(corruptor, image, np.random.default_rng(derive_seed(seed, epoch, int(place))))
            for image, place in zip(pictures, chosen, strict=True)
        ]
        images = sent(np.stack(spoiled), self.device).permute(0, 3, 1, 2)
        return Batch(images, sent(pictures, self.device).permute(0, 3, 1, 2), part=part)


def as_float(pixels: np.ndarray, pixel_range: PixelRange, device: torch.device) -> Tensor:
    """Return pixels (n, h, w, c) as float32 (n, c, h, w) on ``device``, the range's ends as 0 and 1.

    Integers travel and floats are made there. The result is channels-last: (n, h, w, c) seen as
    (n, c, h, w) is so already, with no copy but the one to float. Float pixels are written to on the CPU.

    Examples
    --------
    >>> pixels = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    >>> as_float(pixels, PixelRange(0.0, 255.0, "uint8"), torch.device("cpu"))
    tensor([[[[0.0000, 0.2000, 1.0000]]]])
    """
    return scaled(sent(pixels, device), pixel_range)


def scaled(pixels: Tensor, pixel_range: PixelRange) -> Tensor:
    """Return pixels that are on their device already, (n, h, w, c), as `as_float` does.

    Examples
    --------
    >>> scaled(torch.full((1, 1, 1, 1), 51, dtype=torch.uint8), PixelRange(0.0, 255.0, "uint8"))
    tensor([[[[0.2000]]]])
    """
    low, high, _ = pixel_range
    if pixels.dtype == torch.int16:  # the bits of uint16, see `sent`
        pixels = pixels.to(torch.int32).bitwise_and_(0xFFFF)
    images = pixels.permute(0, 3, 1, 2).to(torch.float32)
    if low != 0:  # to take 0 away would change nothing and read everything
        images.sub_(low)
    return images.div_(high - low)


def _from_host(
    read: Callable[[slice | np.ndarray], np.ndarray], order: np.ndarray | None, device: torch.device
) -> _Cut:
    return lambda place: sent(read(place if order is None else order[place]), device)


def _from_resident(resident: Tensor, rows: np.ndarray) -> _Cut:
    # The order travels once; a batch is then a gather on the device, which writes to no resident.
    sent_rows = sent(rows, resident.device)
    return lambda place: resident[sent_rows[place]]


def _copied(array: np.ndarray, place: slice | np.ndarray) -> np.ndarray:
    # torch must not write to a mapped file; an index array copies by itself.
    return np.array(array[place]) if isinstance(place, slice) else np.asarray(array[place])


def _channels_first(kept: Tensor) -> Tensor:
    return kept.permute(0, 3, 1, 2) if kept.ndim == 4 else kept
