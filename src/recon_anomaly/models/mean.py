"""The mean picture: the least that a reconstruction has to beat."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["MeanPicture"]


class MeanPicture(nn.Module):
    """Reconstructs every picture as the mean of the training pictures.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    """

    mean: Tensor

    def __init__(self, image_shape: ImageShape) -> None:
        super().__init__()
        height, width, channels = image_shape
        self.register_buffer("mean", torch.zeros(channels, height, width))

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Average the pictures, in float64."""
        total, count = torch.zeros(self.mean.shape, dtype=torch.float64), 0
        for images in batches:
            total += images.cpu().sum(0, dtype=torch.float64)  # not every device has float64
            count += len(images)
        self.mean.copy_(total / count)

    def forward(self, images: Tensor) -> Reconstruction:
        """Return the mean picture for each of ``images``."""
        return Reconstruction(self.mean.expand_as(images))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, summed over pixels, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}
