"""A small convolutional autoencoder over frozen features: deep feature reconstruction (DFR)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.backbones import FEATURE_LAYERS, Backbone
from recon_anomaly.blocks import at_least_float32
from recon_anomaly.checks import at_least
from recon_anomaly.errors import InputError
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["FeatureAutoencoder"]


class FeatureAutoencoder(nn.Module):
    """Reconstructs the features of each position from a few numbers, by 1x1 convolutions.

    After Shi, Yang and Qi (2021), *Unsupervised anomaly segmentation via deep feature reconstruction*: features of
    several layers stand one after the other at each position of the finest map; three convolutions bring
    them down to a bottleneck and three back up, with ReLU between them; the loss is the squared error. The
    paper takes VGG19's layers averaged to one size, and as many kernels at the bottleneck as principal components
    hold 90 % of the variance; here the layers are those of one backbone in three scales, and the bottleneck is
    a parameter. The features are computed once, before the training.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    backbone, layers, weights : str, sequence of str, and path or str
        As the name, layer and weights of `recon_anomaly.backbones.Backbone`; by default the layers of
        ``recon_anomaly.backbones.FEATURE_LAYERS``.
    bottleneck : int, optional
        Kernels in the middle; by default a quarter of the features' channels.

    Raises
    ------
    InputError
        When the bottleneck is not between 1 and the number of channels.

    Examples
    --------
    >>> import torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     network = FeatureAutoencoder((64, 64, 1), backbone="resnet18", weights=None)
    >>> network(torch.zeros(1, 1, 64, 64)).mean.shape
    torch.Size([1, 448, 16, 16])
    """

    def __init__(
        self,
        image_shape: ImageShape,
        backbone: str = "efficientnet_lite0",
        layers: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = "auto",
        bottleneck: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, layers or FEATURE_LAYERS.get(backbone), weights)
        self.stride = self.backbone.largest_stride
        channels = self.backbone.channels
        narrow = channels // 4 or 1
        if bottleneck is not None:
            narrow = at_least("bottleneck", bottleneck, 1)
        if narrow > channels:
            raise InputError(
                f"bottleneck={bottleneck}: between 1 and the {channels} channels of the features is wanted"
            )
        between = (channels + narrow) // 2
        self.encoder = _convolutions(channels, between, 2 * narrow, narrow)
        self.decoder = _convolutions(narrow, 2 * narrow, between, channels)

    def frozen(self, images: Tensor) -> Tensor:
        """Return the backbone's features, which no training changes."""
        features: Tensor = self.backbone(images)
        return features

    def target(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return what is reconstructed: the features."""
        return self.frozen(images) if kept is None else kept

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Reconstruction:
        """Reconstruct the features of ``images``, (n, c, h, w) with h and w multiples of ``stride``."""
        code = self.encoder(self.target(images, kept)).relu()
        return Reconstruction(at_least_float32(self.decoder(code)))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, averaged over channels, positions and batch."""
        return {"reconstruction": F.mse_loss(reconstruction.mean, target)}


def _convolutions(*sizes: int) -> nn.Sequential:
    """Return 1x1 convolutions from each number of channels to the next, with ReLU between them."""
    parts: list[nn.Module] = []
    for channels, kernels in pairwise(sizes):
        parts += [nn.Conv2d(channels, kernels, 1), nn.ReLU()]
    return nn.Sequential(*parts[:-1])
