"""Minus the evidence lower bound of a variational model: Kingma and Welling (2014)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recon_anomaly.errors import InputError
from recon_anomaly.likelihoods import PixelLikelihood
from recon_anomaly.protocols import MapAndTerms, Reconstruction

__all__ = ["EvidenceLowerBound"]


class EvidenceLowerBound(PixelLikelihood):
    r"""Minus the evidence lower bound of a picture, an upper bound of its negative log-likelihood.

    .. math::

        -\frac1L \sum_{l=1}^L \sum_i \log N(x_i;\, \mu_i(z_l), \sigma_i^2(z_l))
        + D_{KL}\bigl(q(z|x) \,\|\, N(0, 1)\bigr),
        \qquad z_l \sim q(z|x)

    Kingma and Welling (2014), Eq. 3, with the sign turned so that higher is more abnormal. The map is the first
    half, summed over channels (in nats a pixel, negative where a density exceeds 1); the score is its sum
    plus the second half, the KL divergence summed over latents (in nats), which no pixel owns. So a picture is
    also abnormal where its latent is: An and Cho (2015) compare it with the reconstruction probability, which is the
    first half alone.

    Variance and draws are those of `recon_anomaly.likelihoods.PixelLikelihood`. A Bernoulli decoder, which says no
    variance, so has a Gaussian, too.

    Parameters
    ----------
    draws, floor
        As those of `recon_anomaly.likelihoods.PixelLikelihood`; L is ``draws``.

    Examples
    --------
    >>> import torch
    >>> zeros = torch.zeros(1, 1, 1, 1)
    >>> made = Reconstruction(zeros, zeros, torch.full((1, 3), 2.0), torch.zeros(1, 3))
    >>> maps, terms = EvidenceLowerBound()(zeros, made)
    >>> float(maps), float(terms)  # half the logarithm of 2 pi, and 3 * 4 / 2
    (0.9189, 6.0)
    """

    name = "elbo"

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> MapAndTerms:
        """Return the map of one draw, (n, h, w), and the KL divergence of each picture, (n,).

        Raises
        ------
        InputError
            When the reconstruction has no latent, or there is no variance.
        """
        mean, log_variance = reconstruction.latent_mean, reconstruction.latent_log_variance
        if mean is None or log_variance is None:
            raise InputError(
                "elbo needs a variational model, whose reconstruction has latent_mean and "
                "latent_log_variance, such as cvae, tcvae or vae; for others take "
                "'reconstruction-probability'"
            )
        divergences = log_variance.exp() + mean.square() - 1 - log_variance
        return MapAndTerms(self.nats(target, reconstruction), 0.5 * divergences.flatten(1).sum(1))

    def describe(self, network: Any) -> dict[str, str]:
        """Say which variance and which latent are used, and what is added."""
        return super().describe(network) | {"added": "KL divergence, summed over latents"}
