"""The largest single difference, Max1p: Nakata et al., Eq. (16)."""

from __future__ import annotations

from torch import Tensor

from recon_anomaly.protocols import Reconstruction

__all__ = ["MaximumPixel"]


class MaximumPixel:
    r"""Map the largest absolute difference over channels; its maximum is the score.

    .. math:: \text{score} = \max_i |x_i - x'_i|

    Nakata et al., Eq. (16). Pixel units.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([[[[0.0, 0.5]]]])
    >>> MaximumPixel()(image, Reconstruction(torch.zeros(1, 1, 1, 2))).max()
    tensor(0.5000)
    """

    reduction = "max"

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        return (target - reconstruction.mean).abs().amax(1)
