"""The variational half that convolutional models share: a dense latent between features and decoder."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from .blocks import at_least_float32
from .checks import at_least
from .losses import kl_divergence, squared_error
from .protocols import Reconstruction
from .randomness import latent_noise

__all__ = ["DenseVariational"]


class DenseVariational(nn.Module):
    """Flattens a feature map, two dense layers to a latent's mean and log-variance, and one back.

    A subclass gives ``features(images)``, the map of shape ``bottleneck``; the rest is here. Unless it
    says otherwise, the latent's log-variance is clipped to [-10, 10], as Klimkevičius reports
    (appendix A), and the decoder gives pictures alone.

    Parameters
    ----------
    bottleneck : (int, int, int)
        Channels, height and width of the feature map.
    latent_size : int
        Dimensions of the latent.
    decoder : torch.nn.Module
        From a map of the bottleneck's shape to pictures, before the sigmoid.

    Raises
    ------
    InputError
        When ``latent_size`` is not a whole number of at least 1.
    """

    def __init__(
        self, bottleneck: tuple[int, int, int], latent_size: int, decoder: nn.Module
    ) -> None:
        super().__init__()
        latent_size = at_least("latent_size", latent_size, 1)
        flat = bottleneck[0] * bottleneck[1] * bottleneck[2]
        self.latent_size = latent_size
        self.latent_mean = nn.Linear(flat, latent_size)
        self.latent_log_variance = nn.Linear(flat, latent_size)
        self.from_latent = nn.Linear(latent_size, flat)
        self.decoder = nn.Sequential(nn.Unflatten(1, bottleneck), decoder)

    def features(self, images: Tensor) -> Tensor:
        """Return the feature map of ``images``, (n, *bottleneck)."""
        raise NotImplementedError  # each model has features of its own

    def encode(self, images: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the latent's mean and log-variance, (n, latent_size) each."""
        flat = (self.features(images) if kept is None else kept).flatten(1)
        mean, log_variance = self.latent_mean(flat), self.latent_log_variance(flat)
        return at_least_float32(mean), self.limit(at_least_float32(log_variance))

    def limit(self, log_variance: Tensor) -> Tensor:
        """Return the latent's log-variance in its range."""
        return log_variance.clamp(-10, 10)

    def outputs(self, latent: Tensor) -> Tensor:
        """Return what the decoder makes of latents, before any range is given to it."""
        return at_least_float32(self.decoder(self.from_latent(latent).relu()))

    def pixels(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the pictures of latents, (n, c, h, w) in [0, 1], and their log-variance, if any."""
        return self.outputs(latent).sigmoid(), None

    def decode(self, latent: Tensor) -> Tensor:
        """Return the pictures of latents, (n, c, h, w) in [0, 1]."""
        return self.pixels(latent)[0]

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Reconstruction:
        """Reconstruct from a draw of the latent while training, else from its mean."""
        mean, log_variance = self.encode(images, kept)
        latent = mean
        if self.training:  # the reparameterisation: gradients reach the mean and the variance
            latent = mean + (0.5 * log_variance).exp() * latent_noise(mean)
        return Reconstruction(*self.pixels(latent), mean, log_variance)

    def draw(self, images: Tensor, noise: Tensor) -> Iterator[Reconstruction]:
        """Reconstruct from the latent mu + sigma * row, for each row of ``noise`` (L, latent_size)."""
        mean, log_variance = self.encode(images)
        deviation = (0.5 * log_variance).exp()
        for row in noise:
            yield Reconstruction(*self.pixels(mean + deviation * row), mean, log_variance)

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction`` (summed squared error) and ``kl``, each averaged over the batch."""
        mean, log_variance = reconstruction.latent_mean, reconstruction.latent_log_variance
        assert mean is not None
        assert log_variance is not None
        return {
            "reconstruction": squared_error(target, reconstruction.mean),
            "kl": kl_divergence(mean, log_variance),
        }
