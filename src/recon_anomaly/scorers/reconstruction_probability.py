"""The reconstruction probability of An and Cho (2015), as the joint log-likelihood that it is."""

from __future__ import annotations

from torch import Tensor

from recon_anomaly.likelihoods import PixelLikelihood
from recon_anomaly.protocols import Reconstruction

__all__ = ["ReconstructionProbability"]


class ReconstructionProbability(PixelLikelihood):
    r"""Negative log-likelihood of a picture under the decoder's Gaussian, averaged over latent draws.

    .. math::

        -\frac1L \sum_{l=1}^L \sum_i \log N(x_i;\, \mu_i(z_l), \sigma_i^2(z_l)),
        \qquad z_l \sim q(z|x)

    An and Cho (2015), algorithm 4, with the sign turned so that higher is more abnormal. The map is
    the sum over channels (in nats a pixel, negative where a density exceeds 1), the score is its sum.

    Variance and draws are those of `recon_anomaly.likelihoods.PixelLikelihood`.

    Parameters
    ----------
    draws, floor
        As those of `recon_anomaly.likelihoods.PixelLikelihood`; L is ``draws``.

    Examples
    --------
    >>> import torch
    >>> scorer = ReconstructionProbability()
    >>> exact = Reconstruction(torch.zeros(1, 1, 1, 1), log_variance=torch.zeros(1, 1, 1, 1))
    >>> float(scorer(torch.zeros(1, 1, 1, 1), exact))  # half the logarithm of 2 pi
    0.9189
    """

    name = "reconstruction-probability"

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map of one draw, (n, h, w)."""
        return self.nats(target, reconstruction)
