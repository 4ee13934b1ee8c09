"""The convolutional variational autoencoder (CVAE) of Klimkevičius, §4.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from recon_anomaly.blocks import decoder, encoder, padded_size
from recon_anomaly.errors import InputError
from recon_anomaly.losses import kl_divergence, squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["CVAENetwork"]


class CVAENetwork(nn.Module):
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
        super().__init__()
        if latent_size < 1:
            raise InputError(f"latent_size={latent_size}: the latent needs at least one dimension")
        height, width, channels = image_shape
        pooled = [True] * len(kernels)
        self.stride = 2 ** len(kernels)
        self.latent_size = latent_size
        self.encoder = encoder(channels, kernels, pooled)
        height, width = padded_size(height, width, self.stride)
        bottleneck = (kernels[-1], height // self.stride, width // self.stride)
        flat = bottleneck[0] * bottleneck[1] * bottleneck[2]
        self.latent_mean = nn.Linear(flat, latent_size)
        self.latent_log_variance = nn.Linear(flat, latent_size)
        self.from_latent = nn.Linear(latent_size, flat)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, bottleneck), decoder(channels, kernels, pooled), nn.Sigmoid()
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent's mean and log-variance, (n, latent_size) each."""
        flat = self.encoder(images).flatten(1)
        return self.latent_mean(flat), self.latent_log_variance(flat).clamp(-10, 10)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the pictures of latents, (n, c, h, w) in [0, 1]."""
        pictures: Tensor = self.decoder(self.from_latent(latent).relu())
        return pictures

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct from a draw of the latent while training, else from its mean."""
        mean, log_variance = self.encode(images)
        latent = mean
        if self.training:  # the reparameterisation: gradients reach the mean and the variance
            latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return Reconstruction(
            self.decode(latent), latent_mean=mean, latent_log_variance=log_variance
        )

    def draw(self, images: Tensor, noise: Tensor) -> Iterator[Reconstruction]:
        """Reconstruct from the latent mu + sigma * row, for each row of ``noise`` (L, latent_size)."""
        mean, log_variance = self.encode(images)
        deviation = (0.5 * log_variance).exp()
        for row in noise:
            pictures = self.decode(mean + deviation * row)
            yield Reconstruction(pictures, latent_mean=mean, latent_log_variance=log_variance)

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction`` (summed squared error) and ``kl``, each averaged over the batch."""
        mean, log_variance = reconstruction.latent_mean, reconstruction.latent_log_variance
        assert mean is not None
        assert log_variance is not None
        return {
            "reconstruction": squared_error(target, reconstruction.mean),
            "kl": kl_divergence(mean, log_variance),
        }
