"""The transfer autoencoder (TCAE) of Klimkevičius, §4.2: a frozen pretrained encoder."""

from __future__ import annotations

import os

from torch import Tensor, nn

from recon_anomaly.backbones import Backbone
from recon_anomaly.blocks import at_least_float32, decoder, halved
from recon_anomaly.losses import root_mean_squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["TCAENetwork"]


class TCAENetwork(nn.Module):
    """Reconstructs pictures from frozen features: VGG16 up to block2_pool, (64, 64, 128) of 256 x 256.

    The paper gives the backbone, its cut, and transposed convolutions back to the picture; the loss is
    the CAE's. What it leaves out is chosen here: the decoder is the CAE's with the features'
    channels in place of 64, halved layer by layer (128 → 64 → 32 → picture), 3x3 kernels,
    ReLU, a sigmoid at the output.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    backbone, layer, weights : str
        As the name, layer and weights of `recon_anomaly.backbones.Backbone`.

    Examples
    --------
    >>> import torch, warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     network = TCAENetwork((256, 256, 1), weights=None)
    >>> network.frozen(torch.zeros(1, 1, 256, 256)).shape
    torch.Size([1, 128, 64, 64])
    """

    def __init__(
        self,
        image_shape: ImageShape,
        backbone: str = "vgg16",
        layer: str | None = None,
        weights: str | os.PathLike[str] | None = "auto",
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, layer, weights)
        self.stride = self.backbone.stride
        kernels, pooled = halved(self.backbone.channels, self.stride)
        self.decoder = decoder(image_shape[-1], kernels, pooled)

    def frozen(self, images: Tensor) -> Tensor:
        """Return the backbone's features, which no training changes."""
        features: Tensor = self.backbone(images)
        return features

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) with h and w multiples of ``stride``."""
        features = self.frozen(images) if kept is None else kept
        return Reconstruction(at_least_float32(self.decoder(features)).sigmoid())

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the RMSE of each picture, averaged over the batch."""
        return {"reconstruction": root_mean_squared_error(target, reconstruction.mean)}
