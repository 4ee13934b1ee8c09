"""The variational autoencoder (VAE) of Nakata et al. (2023), with two terms of its loss or three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from recon_anomaly.blocks import bounded, decoder, encoder, padded_size
from recon_anomaly.checks import check_choice, check_counts
from recon_anomaly.losses import (
    binary_cross_entropy,
    kl_divergence,
    log_normalisation,
    scaled_error,
)
from recon_anomaly.protocols import ImageShape, Reconstruction
from recon_anomaly.variational import DenseVariational

__all__ = ["VAENetwork"]

_LIKELIHOODS = ("bernoulli", "gaussian")
_LATENT_LOG_VARIANCE = (-10.0, 10.0)
_LOGITS = (-10.0, 10.0)
_LOG_VARIANCE = (-10.0, 2.0)


class VAENetwork(DenseVariational):
    r"""Variational autoencoder with a dense latent of 1000 and a Bernoulli or a Gaussian decoder.

    The terms of the loss are sums over a picture or its latent, then means over the batch:

    ========== ================================================ ==============
    likelihood terms, in this order                             Nakata et al.
    ========== ================================================ ==============
    bernoulli  ``reconstruction``, ``kl``                       Eqs. (4), (9)
    gaussian   ``scaled_error``, ``log_variance``, ``kl``       Eqs. (5)-(7), (10)
    ========== ================================================ ==============

    Their weights are :math:`\alpha, \beta` of Eq. (11) and :math:`w_M, w_A, w_D` of Eq. (12). The sign of
    Eq. (4) is turned, see `recon_anomaly.losses.binary_cross_entropy`.

    While training, the decoder sees a draw of the latent, as variational autoencoders do, although
    Eq. (3) writes its mean; in evaluation it sees the mean.

    The paper gives the latent and the recipe; the layers are chosen here: 3x3 convolutions with ReLU
    and 2x2 max-pooling until the longer side is below 16 pixels (8 of 128 and of 256), dense layers to
    the latent and back, and the mirrored decoder. So the network has 12.5 million parameters at
    256 x 256, and its weights, Adam's two moments and the kept weights take 0.2 GB; at most 0.7 GB at
    other sizes, where the longer side ends at 15.

    Weights that drop a term drive what it held to its bound, from where it has to come back, so the
    bounds are smooth (`recon_anomaly.blocks.bounded`):

    - the latent's log-variance lies in [-10, 10];
    - the Gaussian decoder's in [-10, 2], a standard deviation between 0.0067 and 2.7 of the pixel
      range; its mean is a sigmoid;
    - the Bernoulli decoder's logits lie in [-10, 10], its mean between 0.000045 and 0.999955.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    likelihood : {"gaussian", "bernoulli"}
        The distribution of a pixel that the decoder gives. The Gaussian one has a variance for each pixel
        and channel.
    latent_size : int
        Dimensions of the latent.
    kernels : sequence of int, optional
        Convolution kernels of each layer; every layer is pooled. By default 16, 32, then 64 in as many
        layers as bring the longer side below 16 pixels, at least one.

    Raises
    ------
    InputError
        When the likelihood is unknown, or a size is not a whole number of at least 1.

    Examples
    --------
    >>> import torch
    >>> network = VAENetwork((64, 64, 1), latent_size=10).eval()
    >>> made = network(torch.zeros(2, 1, 64, 64))
    >>> made.mean.shape, made.log_variance.shape, made.latent_mean.shape
    (torch.Size([2, 1, 64, 64]), torch.Size([2, 1, 64, 64]), torch.Size([2, 10]))
    >>> list(network.losses(torch.zeros(2, 1, 64, 64), made))
    ['scaled_error', 'log_variance', 'kl']
    """

    recipe: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "epochs": 100,
            "batch_size": 32,
            "learning_rate": 1e-4,
            "reduce_learning_rate": False,
            "early_stopping": False,
        }
    )

    def __init__(
        self,
        image_shape: ImageShape,
        likelihood: str = "gaussian",
        latent_size: int = 1000,
        kernels: Sequence[int] | None = None,
    ) -> None:
        check_choice("likelihood", likelihood, _LIKELIHOODS)
        height, width, channels = image_shape
        if kernels is None:
            kernels = _kernels(max(height, width))
        kernels = check_counts("kernels", kernels)
        pooled = [True] * len(kernels)
        convolutions = encoder(channels, kernels, pooled)
        outputs = 2 * channels if likelihood == "gaussian" else channels
        stride = 2 ** len(kernels)
        height, width = padded_size(height, width, stride)
        super().__init__(
            (kernels[-1], height // stride, width // stride),
            latent_size,
            decoder(outputs, kernels, pooled),
        )
        self.likelihood = likelihood
        self.stride = stride
        self.encoder = convolutions

    def features(self, images: Tensor) -> Tensor:
        """Return the last convolution's map, pooled."""
        features: Tensor = self.encoder(images)
        return features

    def limit(self, log_variance: Tensor) -> Tensor:
        """Return the latent's log-variance in its range, with a gradient everywhere."""
        return bounded(log_variance, *_LATENT_LOG_VARIANCE)

    def pixels(self, latent: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the decoder's mean of latents, (n, c, h, w) in [0, 1], and a Gaussian one's log-variance."""
        outputs = self.outputs(latent)
        if self.likelihood == "bernoulli":
            return bounded(outputs, *_LOGITS).sigmoid(), None
        mean, log_variance = outputs.chunk(2, dim=1)
        return mean.sigmoid(), bounded(log_variance, *_LOG_VARIANCE)

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return the two terms of a Bernoulli decoder or the three of a Gaussian one."""
        mean, log_variance, latent_mean, latent_log_variance, *_ = reconstruction
        assert latent_mean is not None
        assert latent_log_variance is not None
        kl = kl_divergence(latent_mean, latent_log_variance)
        if log_variance is None:
            return {"reconstruction": binary_cross_entropy(target, mean), "kl": kl}
        return {
            "scaled_error": scaled_error(target, mean, log_variance),
            "log_variance": log_normalisation(log_variance),
            "kl": kl,
        }


def _kernels(side: int) -> tuple[int, ...]:
    """Return kernels for as many halvings as bring ``side`` below 16, at least one."""
    layers = 1
    while -(-side // 2**layers) >= 16:
        layers += 1
    return (16, 32, *(64,) * (layers - 2))[:layers]
