"""The mean of the largest squared errors."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from recon_anomaly.checks import check_number
from recon_anomaly.protocols import Reconstruction

__all__ = ["LargestErrors"]


class LargestErrors:
    r"""Map the squared error, averaged over channels; the mean of its largest values is the score.

    .. math:: \text{score} = \frac1K \sum_{k=1}^{K} e_{(k)}, \qquad K = \lceil \text{share} \cdot hw \rceil

    with :math:`e_{(1)} \ge e_{(2)} \ge \cdots` the values of the map: between ``mse`` (a share of 1), in which a small
    defect drowns, and a maximum, which one noisy pixel decides. The top-K score of Pang et al. (2021),
    *Explainable deep few-shot anomaly detection with deviation networks*, section 3, taken of
    reconstruction errors. The number of pixels is rounded up, so that there is at least one; which of equal pixels
    are among them does not matter. Squared pixel units.

    Parameters
    ----------
    share : float
        Of the map's pixels, above 0 and at most 1.

    Raises
    ------
    InputError
        When ``share`` is something else.

    Examples
    --------
    >>> import torch
    >>> scorer = LargestErrors(share=0.3)
    >>> maps = torch.tensor([[[3.0, 1.0, 2.0, 0.0]]])
    >>> scorer.reduce(maps)  # two of four
    tensor([2.5000], dtype=torch.float64)
    """

    def __init__(self, share: float = 0.01) -> None:
        wanted = "a share of the pixels, above 0 and at most 1"
        self.share = check_number("share", share, wanted, most=1, above=0)

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        errors = F.mse_loss(reconstruction.mean, target, reduction="none")
        return errors.contiguous().mean(1)

    def reduce(self, maps: Tensor) -> Tensor:
        """Return the mean of each map's largest values, (n,) float64."""
        flat = maps.flatten(1)
        # 0.07 * 100 is a little more than 7 in floating point.
        count = math.ceil(round(self.share * flat.shape[1], 6))
        largest: Tensor = flat.topk(max(count, 1)).values
        return largest.cpu().double().mean(1)
