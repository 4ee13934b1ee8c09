"""Float batches on a device, made from a store of integer pictures a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .images import PixelRange
from .protocols import Corruptor
from .randomness import corrupt, derive_seed
from .store import Pictures

__all__ = ["Batches"]


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
    """

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

    def shuffled(
        self, seed: int, epoch: int, corruptor: Corruptor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over (input, clean) batches in an order that (seed, epoch) decides.

        Without a corruptor both are one tensor; with one, each picture is spoiled by a generator
        that (seed, epoch, its place in the store) decides.
        """
        order = np.random.default_rng(derive_seed(seed, epoch)).permutation(len(self.pictures))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            clean = self._images(self.pictures.batch(chosen))
            if corruptor is None:
                yield clean, clean
            else:
                seeds = [derive_seed(seed, epoch, int(place)) for place in chosen]
                yield self._corrupt(clean, corruptor, seeds), clean

    def _images(self, pixels: np.ndarray) -> Tensor:
        images = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            images = images.pin_memory().to(self.device, non_blocking=True)
        else:
            images = images.to(self.device)
        # (n, h, w, c) seen as (n, c, h, w) is channels-last already: no copy but the one to float.
        low, high, _ = self.pixel_range
        return images.permute(0, 3, 1, 2).to(torch.float32).sub_(low).div_(high - low)

    def _corrupt(self, clean: Tensor, corruptor: Corruptor, seeds: list[int]) -> Tensor:
        pictures = clean.permute(0, 2, 3, 1).cpu().numpy()
        spoiled = [
            corrupt(corruptor, image, np.random.default_rng(seed))
            for image, seed in zip(pictures, seeds, strict=True)
        ]
        return torch.from_numpy(np.stack(spoiled)).to(self.device).permute(0, 3, 1, 2)
