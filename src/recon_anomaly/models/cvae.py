"""The convolutional variational autoencoder (CVAE) of Klimkevičius, §4.1."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from recon_anomaly.blocks import decoder, encoder, padded_size
from recon_anomaly.checks import check_counts
from recon_anomaly.protocols import ImageShape
from recon_anomaly.variational import DenseVariational

__all__ = ["CVAENetwork"]


class CVAENetwork(DenseVariational):
    """Convolutional variational autoencoder with a dense latent.

    The encoder of the CAE with one pooling more, flattened; two dense layers to the mean and the
    log-variance of the latent, the latter clipped to [-10, 10]; a dense layer back and the mirrored
    decoder. The paper prints the loss as "MSE - 0.5KLD"; taken literally that would reward
    divergence, so it is read as squared error + KL, two terms, both sums over a picture.
    Kernel sizes, counts, ReLU and the output's sigmoid are chosen as for the CAE.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    kernels : sequence of int
        Convolution kernels of each layer; every layer is pooled.
    latent_size : int
        Dimensions of the latent; the paper has 32.

    Examples
    --------
    >>> import torch
    >>> network = CVAENetwork((64, 64, 1)).eval()
    >>> network(torch.zeros(2, 1, 64, 64)).latent_mean.shape
    torch.Size([2, 32])
    """

    def __init__(
        self,
        image_shape: ImageShape,
        kernels: Sequence[int] = (16, 32, 64),
        latent_size: int = 32,
    ) -> None:
        kernels = check_counts("kernels", kernels)
        height, width, channels = image_shape
        pooled = [True] * len(kernels)
        convolutions = encoder(channels, kernels, pooled)
        stride = 2 ** len(kernels)
        height, width = padded_size(height, width, stride)
        super().__init__(
            (kernels[-1], height // stride, width // stride),
            latent_size,
            decoder(channels, kernels, pooled),
        )
        self.stride = stride
        self.encoder = convolutions

    def features(self, images: Tensor) -> Tensor:
        """Return the last convolution's map, pooled."""
        features: Tensor = self.encoder(images)
        return features
