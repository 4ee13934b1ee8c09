"""Float batches on a device, made from a store of integer pictures a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .images import PixelRange
from .protocols import Corruptor
from .randomness import corrupt, derive_seed
from .store import Pictures

__all__ = ["Batch", "Batches", "as_float"]


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
    """

    images: Tensor
    clean: Tensor
    kept: Tensor | None = None
    repeated: int = 0


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
        Where the batches go; integers travel, floats are made there.

    Attributes
    ----------
    kept : ndarray of shape (n, ...), float32, optional
        What a network's frozen part makes of each picture, channels last where it is a map.
    """

    kept: np.ndarray[Any, np.dtype[np.float32]] | None = None

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
        for start in range(0, len(self.pictures), self.batch_size):
            yield self._images(self.pictures.batch(slice(start, start + self.batch_size)))

    def in_order(self) -> Iterator[Batch]:
        """Iterate in the order of the store, with what is kept."""
        for k, images in enumerate(self):
            place = slice(k * self.batch_size, (k + 1) * self.batch_size)
            yield Batch(images, images, self._kept(place))

    def full(self) -> Iterator[Batch]:
        """Iterate in the order of the store, in batches of one size where there is more than one.

        A product of matrices rounds otherwise for another number of rows, so a picture would score
        otherwise in a last, smaller batch: that one begins earlier, and says how many it ``repeated``.
        """
        count = len(self.pictures)
        for start in range(0, count, self.batch_size):
            begin = max(0, min(start, count - self.batch_size))
            place = slice(begin, start + self.batch_size)
            images = self._images(self.pictures.batch(place))
            yield Batch(images, images, self._kept(place), start - begin)

    def shuffled(
        self, seed: int, epoch: int, corruptor: Corruptor | None = None
    ) -> Iterator[Batch]:
        """Iterate in an order that (seed, epoch) decides.

        With a corruptor each picture is spoiled by a generator that (seed, epoch, its place in the
        store) decides.
        """
        order = np.random.default_rng(derive_seed(seed, epoch)).permutation(len(self.pictures))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            clean = self._images(self.pictures.batch(chosen))
            if corruptor is None:
                yield Batch(clean, clean, self._kept(chosen))
            else:
                seeds = [derive_seed(seed, epoch, int(place)) for place in chosen]
                yield Batch(self._corrupt(clean, corruptor, seeds), clean)

    def _images(self, pixels: np.ndarray) -> Tensor:
        return as_float(pixels, self.pixel_range, self.device)

    def _kept(self, place: slice | np.ndarray) -> Tensor | None:
        if self.kept is None:
            return None
        # A copy: torch must not write to a mapped file.
        kept = _moved(np.array(self.kept[place]), self.device)
        return kept.permute(0, 3, 1, 2) if kept.ndim == 4 else kept

    def _corrupt(self, clean: Tensor, corruptor: Corruptor, seeds: list[int]) -> Tensor:
        pictures = clean.permute(0, 2, 3, 1).cpu().numpy()
        spoiled = [
            corrupt(corruptor, image, np.random.default_rng(seed))
            for image, seed in zip(pictures, seeds, strict=True)
        ]
        return torch.from_numpy(np.stack(spoiled)).to(self.device).permute(0, 3, 1, 2)


def as_float(pixels: np.ndarray, pixel_range: PixelRange, device: torch.device) -> Tensor:
    """Return pixels (n, h, w, c) as float32 (n, c, h, w) on ``device``, the range's ends as 0 and 1.

    Integers travel and floats are made there. The result is channels-last: (n, h, w, c) seen as
    (n, c, h, w) is so already, with no copy but the one to float.
    """
    low, high, _ = pixel_range
    images = _moved(pixels, device).permute(0, 3, 1, 2)
    return images.to(torch.float32).sub_(low).div_(high - low)


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
