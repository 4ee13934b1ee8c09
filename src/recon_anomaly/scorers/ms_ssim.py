"""Structural similarity over several scales: Wang, Simoncelli and Bovik (2003)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recon_anomaly.protocols import Pairs, Reconstruction
from recon_anomaly.similarity import SCALE_WEIGHTS, multi_scale_dissimilarity, scales_of

__all__ = ["MultiScaleDifference"]


class MultiScaleDifference:
    r"""Map 1 - MS-SSIM, averaged over channels; its mean is the score.

    .. math:: \text{score} = 1 - \frac1N \sum_i \prod_{j=1}^{M} s_{ij}^{\beta_j}

    with :math:`N` pixels times channels, :math:`s_{ij}` the contrast and structure of SSIM at pixel i and
    scale j, all of SSIM at the coarsest, and the exponents 0.0448, 0.2856, 0.3001, 0.2363 and 0.1333: Wang,
    Simoncelli and Bovik (2003), *Multiscale structural similarity for image quality assessment*. In [0, 1].

    The paper multiplies the means over the picture of each scale. Here each scale is brought to full size
    and the product is taken at every pixel, so that the score is the mean of a map. What is negative counts as
    0. A scale into which the 11 x 11 window does not fit is left out, and the other exponents are divided by
    their sum; `describe` says how many there are. See
    `recon_anomaly.similarity.multi_scale_dissimilarity`.

    Examples
    --------
    >>> image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> scorer = MultiScaleDifference()
    >>> scorer.fit([(image, Reconstruction(image))])
    >>> scorer.describe(None)
    {'scales': '3 of 5'}
    """

    def __init__(self) -> None:
        self.scales: int | None = None

    def fit(self, pairs: Pairs) -> None:
        """Note how many scales the pictures have room for; nothing else is learned."""
        for target, _ in pairs:
            height, width = target.shape[-2:]
            self.scales = scales_of(height, width)
            return

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        return multi_scale_dissimilarity(target, reconstruction.mean).contiguous().mean(1)

    def describe(self, network: Any) -> dict[str, str]:
        """Say how many scales are used."""
        known = "as many as fit" if self.scales is None else str(self.scales)
        return {"scales": f"{known} of {len(SCALE_WEIGHTS)}"}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the number of scales, if it is known."""
        return {} if self.scales is None else {"scales": torch.tensor(self.scales)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state_dict`` gave."""
        self.scales = int(state["scales"])
