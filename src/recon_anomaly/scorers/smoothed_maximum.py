"""The maximum of the smoothed squared error."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from recon_anomaly.checks import check_number
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.smoothing import blurred

__all__ = ["SmoothedMaximum"]


class SmoothedMaximum:
    r"""Map the squared error, averaged over channels and blurred; its maximum is the score.

    .. math:: \text{score} = \max_i\, (G_\sigma * e)_i

    A Gaussian of 4 pixels on pictures of about 256 is what Cohen and Hoshen (2020, SPADE) and Defard et al. (2021,
    PaDiM) smooth their maps by, the second with the maximum as the score. A pixel alone counts little, a
    region of errors much, wherever it is and however large the picture. Squared pixel units.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, as a share of the map's shorter side, at least 0: 1/64 is 4 pixels
        of 256. Beyond the edges the outermost pixels are repeated, see `recon_anomaly.smoothing.blurred`.

    Raises
    ------
    InputError
        When ``sigma`` is negative, or above 1.

    Examples
    --------
    >>> import torch
    >>> errors = torch.zeros(2, 1, 32, 32)
    >>> errors[0, 0, 16, 16], errors[1, 0, 14:18, 14:18] = 1.0, 0.5
    >>> maps = SmoothedMaximum(sigma=1 / 16)(errors, Reconstruction(torch.zeros_like(errors)))
    >>> bool(maps[1].max() > maps[0].max())  # of 16 smaller errors
    True
    """

    reduction = "max"

    def __init__(self, sigma: float = 1 / 64) -> None:
        self.sigma = check_number("sigma", sigma, "a share of the shorter side, from 0 to 1", 0, 1)

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        errors = F.mse_loss(reconstruction.mean, target, reduction="none")
        return blurred(errors.contiguous().mean(1), self.sigma)
