"""The mean squared error, Nakata et al., Eq. (15)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from recon_anomaly.protocols import Reconstruction

__all__ = ["mean_squared_error"]


def mean_squared_error(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    r"""Map the squared error, averaged over channels; its mean is the score.

    .. math:: \text{score} = \frac1N \sum_i (x_i - x'_i)^2

    with :math:`N` pixels times channels: Nakata et al., Eq. (15). Squared pixel units; a scorer
    without a ``reduction`` of its own is reduced by the mean.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([[[[0.0, 0.5]]]])
    >>> mean_squared_error(image, Reconstruction(torch.zeros(1, 1, 1, 2)))
    tensor([[[0.0000, 0.2500]]])
    """
    errors = F.mse_loss(reconstruction.mean, target, reduction="none")
    # Channels side by side, few of them, take torch's mean twice as long as the copy and the mean together.
    return errors.contiguous().mean(1)
