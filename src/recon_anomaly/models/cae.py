"""The convolutional autoencoder (CAE) of Klimkevičius, §4.1."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recon_anomaly.blocks import at_least_float32, decoder, encoder
from recon_anomaly.checks import check_counts
from recon_anomaly.losses import root_mean_squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["CAENetwork"]


class CAENetwork(nn.Module):
    """Convolutional autoencoder: (256, 256, 3) → (64, 64, 64) → (256, 256, 3).

    The paper gives three convolutions, two max-poolings, 64 kernels at the bottleneck, a decoder
    "the same except backwards" with transposed convolutions, and the root mean squared error. What
    it leaves out is chosen here: 3x3 kernels, 16 and 32 of them before the 64, ReLU, and a sigmoid
    at the output, since pictures lie in [0, 1].

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    kernels : sequence of int
        Convolution kernels of each layer; every layer but the last is pooled.

    Examples
    --------
    >>> import torch
    >>> network = CAENetwork((256, 256, 3))
    >>> network.encoder(torch.zeros(1, 3, 256, 256)).shape
    torch.Size([1, 64, 64, 64])
    """

    def __init__(self, image_shape: ImageShape, kernels: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        kernels = check_counts("kernels", kernels)
        channels = image_shape[-1]
        pooled = [True] * (len(kernels) - 1) + [False]
        self.stride = 2 ** sum(pooled)
        self.encoder = encoder(channels, kernels, pooled)
        self.decoder = decoder(channels, kernels, pooled)

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) with h and w multiples of ``stride``."""
        return Reconstruction(at_least_float32(self.decoder(self.encoder(images))).sigmoid())

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the RMSE of each picture, averaged over the batch."""
        return {"reconstruction": root_mean_squared_error(target, reconstruction.mean)}
