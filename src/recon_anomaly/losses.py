"""Loss terms that models share. Each docstring states its reduction: it decides whether a VAE works."""

from __future__ import annotations

from torch import Tensor

__all__ = ["kl_divergence", "root_mean_squared_error", "squared_error"]


def root_mean_squared_error(
    target: Tensor, reconstruction: Tensor, *, epsilon: float = 1e-8
) -> Tensor:
    r"""Root of the mean over a picture's pixels and channels, then the mean over the batch.

    .. math:: \frac1n \sum_k \sqrt{\tfrac1N \sum_i (x_{ki} - x'_{ki})^2 + \varepsilon}

    The small :math:`\varepsilon` (squared pixel units) is there because the gradient of a root is
    NaN at zero. Loss of the CAE in Klimkevičius, §4.1.

    Examples
    --------
    >>> import torch
    >>> float(root_mean_squared_error(torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)))
    0.5000
    """
    return ((target - reconstruction).square().flatten(1).mean(1) + epsilon).sqrt().mean()


def squared_error(target: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum over a picture's pixels and channels of the squared error, then the mean over the batch.

    Examples
    --------
    >>> import torch
    >>> float(squared_error(torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)))
    1.0
    """
    return (target - reconstruction).square().flatten(1).sum(1).mean()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""KL divergence of :math:`N(\mu, \sigma^2)` from :math:`N(0, 1)`: sum over latents, mean over batch.

    .. math:: -\tfrac12 \sum_j (1 + \log\sigma_j^2 - \mu_j^2 - \sigma_j^2)

    Nakata et al., Eq. (2); Kingma and Welling, appendix B.

    Examples
    --------
    >>> import torch
    >>> float(kl_divergence(torch.full((4, 3), 2.0), torch.zeros(4, 3)))
    6.0
    """
    terms = 1 + log_variance - mean.square() - log_variance.exp()
    return -0.5 * terms.flatten(1).sum(1).mean()
