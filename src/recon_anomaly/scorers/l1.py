"""The mean absolute error: the residual of Baur et al. (2018)."""

from __future__ import annotations

from torch import Tensor

from recon_anomaly.protocols import Reconstruction

__all__ = ["mean_absolute_error"]


def mean_absolute_error(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    r"""Map the absolute error, averaged over channels; its mean is the score.

    .. math:: \text{score} = \frac1N \sum_i |x_i - x'_i|

    with :math:`N` pixels times channels. The pixel-wise residual of Baur et al. (2018), *Deep autoencoding models
    for unsupervised anomaly segmentation in brain MR images*. A large error counts less than in ``mse``
    beside many small ones. Pixel units.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([[[[0.0, -0.5]]]])
    >>> mean_absolute_error(image, Reconstruction(torch.zeros(1, 1, 1, 2)))
    tensor([[[0.0000, 0.5000]]])
    """
    return (target - reconstruction.mean).abs().contiguous().mean(1)
