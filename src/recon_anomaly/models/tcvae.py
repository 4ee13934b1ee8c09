"""The transfer variational autoencoder (TCVAE) of Klimkevičius, §4.2: a frozen pretrained encoder."""

from __future__ import annotations

import math
import os

from torch import Tensor

from recon_anomaly.backbones import Backbone
from recon_anomaly.blocks import decoder, halved, padded_size
from recon_anomaly.protocols import ImageShape
from recon_anomaly.variational import DenseVariational

__all__ = ["TCVAENetwork"]


class TCVAENetwork(DenseVariational):
    """Convolutional variational autoencoder on frozen features: VGG16 up to block2_pool.

    The features are flattened (64 · 64 · 128 = 524288 of a picture of 256 x 256; the paper prints
    516096 = 63 · 64 · 128), two dense layers lead to the latent's mean and log-variance, one back, and the
    decoder is the TCAE's. The terms of the loss are the CVAE's.

    The features are divided by the square root of their number, so that their length is near 1 at any
    picture size. Without that the first step of Adam, which moves half a million weights by the
    learning rate each, throws the log-variance to its bound, where its gradient is zero, and the
    latent stays dead: every reconstruction is then the mean picture.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    backbone, layer, weights : str
        As the name, layer and weights of `recon_anomaly.backbones.Backbone`.
    latent_size : int
        Dimensions of the latent; the paper has 32.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        backbone: str = "vgg16",
        layer: str | None = None,
        weights: str | os.PathLike[str] | None = "auto",
        latent_size: int = 32,
    ) -> None:
        frozen = Backbone(backbone, layer, weights)
        stride, channels = frozen.stride, frozen.channels
        height, width = padded_size(*image_shape[:2], stride)
        super().__init__(
            (channels, height // stride, width // stride),
            latent_size,
            decoder(image_shape[-1], *halved(channels, stride)),
        )
        self.stride = stride
        self.backbone = frozen
        self.length = math.sqrt(self.latent_mean.in_features)

    def frozen(self, images: Tensor) -> Tensor:
        """Return the backbone's features, which no training changes, over the root of their number."""
        features: Tensor = self.backbone(images) / self.length
        return features

    features = frozen
