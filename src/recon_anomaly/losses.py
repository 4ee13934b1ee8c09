"""Loss terms that models share. Each docstring states its reduction: it decides whether a VAE works."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "binary_cross_entropy",
    "kl_divergence",
    "log_normalisation",
    "root_mean_squared_error",
    "scaled_error",
    "squared_error",
]


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
    errors = F.mse_loss(reconstruction, target, reduction="none")
    return (errors.mean(tuple(range(1, errors.ndim))) + epsilon).sqrt().mean()


def squared_error(target: Tensor, reconstruction: Tensor) -> Tensor:
    """Sum over a picture's pixels and channels of the squared error, then the mean over the batch.

    Examples
    --------
    >>> import torch
    >>> float(squared_error(torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 0.5)))
    1.0
    """
    return _summed(F.mse_loss(reconstruction, target, reduction="none")).mean()


def binary_cross_entropy(target: Tensor, mean: Tensor) -> Tensor:
    r"""Sum over a picture's pixels and channels of the binary cross-entropy, then the mean over the batch.

    .. math:: -\sum_i \left(x_i \log x'_i + (1 - x_i) \log(1 - x'_i)\right)

    Minus the log-likelihood of a Bernoulli decoder, in nats. Nakata et al., Eq. (4), prints it without
    the leading minus, as the likelihood that is maximised; a loss is minimised. Gray levels count as
    soft targets, so that the least value, at :math:`x' = x`, is the targets' entropy and not zero.
    A target outside [0, 1] is taken as it is: the formula is linear in it.

    Parameters
    ----------
    target : Tensor of shape (n, ...)
        Pixels.
    mean : Tensor of the same shape
        The decoder's probabilities, in [0, 1]. The term is infinite where 0 or 1 meets another target.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> import torch
    >>> black = torch.zeros(2, 1, 2, 2)
    >>> float(binary_cross_entropy(black, torch.full((2, 1, 2, 2), 0.5)))  # 4 log 2
    2.7726
    """
    terms: Tensor = torch.xlogy(target, mean) + torch.special.xlog1py(1 - target, -mean)
    return -_summed(terms).mean()


def scaled_error(target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Half the squared error over the decoder's variance: sum over a picture, then mean over the batch.

    .. math:: \tfrac12 \sum_i \frac{(x_i - \mu_i)^2}{\sigma_i^2}

    Nakata et al., Eq. (7), the term :math:`M`. With `log_normalisation` it is minus the log-likelihood of
    a Gaussian decoder, in nats.

    Parameters
    ----------
    target, mean, log_variance : Tensor of shape (n, ...)
        Pixels, the decoder's mean, and the logarithm of its variance in squared pixel units.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> import torch
    >>> zeros = torch.zeros(2, 1, 2, 2)
    >>> float(scaled_error(zeros, zeros + 0.5, zeros))  # 4 * 0.25 / 2
    0.5
    """
    return 0.5 * _summed((target - mean).square() * (-log_variance).exp()).mean()


def log_normalisation(log_variance: Tensor) -> Tensor:
    r"""Logarithm of a Gaussian's normalising constant: sum over a picture, then the mean over the batch.

    .. math:: \tfrac12 \sum_i \log(2 \pi \sigma_i^2)

    Nakata et al., Eq. (6), the term :math:`A`, which keeps the variance from growing. In nats; negative
    where the variance is below :math:`1 / 2\pi`.

    Parameters
    ----------
    log_variance : Tensor of shape (n, ...)
        Logarithm of the decoder's variance, in squared pixel units.

    Returns
    -------
    Tensor
        A scalar.

    Examples
    --------
    >>> import torch
    >>> float(log_normalisation(torch.zeros(2, 1, 2, 2)))  # 2 log(2 pi)
    3.6758
    """
    return 0.5 * _summed(math.log(2 * math.pi) + log_variance).mean()


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
    return -0.5 * _summed(terms).mean()


def _summed(terms: Tensor) -> Tensor:
    # Over all dimensions but the batch; ``flatten(1)`` would copy a channels-last tensor first.
    return terms.sum(tuple(range(1, terms.ndim)))
