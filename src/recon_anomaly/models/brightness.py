"""The mean brightness alone: shows how much of a result mere lighting explains."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["Brightness"]


class Brightness(nn.Module):
    """Reduces a picture to its mean value and reconstructs that as the training pictures' mean.

    Its squared error is the squared distance from the training set's mean brightness.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels; not used, since one number stands for the picture.
    """

    mean: Tensor

    def __init__(self, image_shape: ImageShape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, 1))

    def target(self, images: Tensor) -> Tensor:
        """Return the mean over pixels and channels, (n, 1, 1, 1)."""
        return images.mean((1, 2, 3), keepdim=True)

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Average the brightness of the training pictures."""
        brightness = torch.cat([self.target(images).cpu().double() for images in batches])
        self.mean.copy_(brightness.mean(0))

    def forward(self, images: Tensor) -> Reconstruction:
        """Return the training set's mean brightness for each of ``images``."""
        return Reconstruction(self.mean.expand(images.shape[0], 1, 1, 1))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}
