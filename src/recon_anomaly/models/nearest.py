"""The nearest training picture, on a small copy: a baseline that finds leaks, too."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.checks import at_least
from recon_anomaly.errors import PictureWarning
from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["NearestPicture"]


class NearestPicture(nn.Module):
    """Reconstructs the small copy of a picture as the nearest small copy of a training picture.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    size : int
        The longest height and width of a small copy, in pixels.
    capacity : int
        The most training pictures that are kept; of more, the first ones, with a warning.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, image_shape: ImageShape, size: int = 32, capacity: int = 4096) -> None:
        super().__init__()
        size, capacity = at_least("size", size, 1), at_least("capacity", capacity, 1)
        height, width, channels = image_shape
        self.size = min(size, height), min(size, width)
        self.register_buffer("pictures", torch.zeros(capacity, channels, *self.size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def target(self, images: Tensor) -> Tensor:
        """Return the small copies: each pixel the mean of those that it covers."""
        return F.adaptive_avg_pool2d(images, self.size)

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Keep the small copies of the training pictures."""
        seen = kept = 0
        for images in batches:
            copies = self.target(images)[: len(self.pictures) - kept]
            self.pictures[kept : kept + len(copies)] = copies
            seen, kept = seen + len(images), kept + len(copies)
        self.count.fill_(kept)
        if seen > kept:
            warnings.warn(
                f"nearest keeps {kept} of {seen} training pictures; raise capacity to keep more",
                PictureWarning,
                stacklevel=2,
            )

    def forward(self, images: Tensor) -> Reconstruction:
        """Return the nearest training picture's small copy for each of ``images``."""
        kept = self.pictures[: int(self.count)]
        # Exact distances: the usual expansion into products loses small ones to rounding.
        distance = torch.cdist(
            self.target(images).flatten(1),
            kept.flatten(1),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        return Reconstruction(kept[distance.argmin(1)])

    def exported(self) -> _NearestByProducts:
        """Return what finds the same pictures in an exported graph."""
        return _NearestByProducts(self)

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, summed over pixels, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}


class _NearestByProducts(nn.Module):
    """A `NearestPicture` by products of matrices, since ONNX has no exact distances.

    In float64 their expansion loses nothing that a picture would show; so does a runtime that takes float32 for
    it no more than the order of pictures that are equally near.
    """

    pictures: Tensor
    centre: Tensor
    rows: Tensor
    squares: Tensor

    def __init__(self, network: NearestPicture) -> None:
        super().__init__()
        kept = network.pictures[: int(network.count)].clone()
        rows = kept.flatten(1).double()
        centre = rows.mean(0)
        self.size = network.size
        self.register_buffer("pictures", kept)
        self.register_buffer("centre", centre)
        self.register_buffer("rows", rows - centre)
        self.register_buffer("squares", (rows - centre).square().sum(1))

    def target(self, images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images, self.size)

    def forward(self, images: Tensor) -> Reconstruction:
        copies = self.target(images).flatten(1).double() - self.centre
        # Less the squares of the copies themselves, which are the same for every picture.
        return Reconstruction(self.pictures[(self.squares - 2 * copies @ self.rows.T).argmin(1)])

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        return {"reconstruction": squared_error(target, reconstruction.mean)}
