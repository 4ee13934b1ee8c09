"""From integer pictures to score, map and decision in one module, for exporters to trace."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from .batches import scaled
from .images import PixelRange
from .reductions import reduce_map
from .scoring import maps_and_terms

__all__ = ["ScoringGraph"]


class ScoringGraph(nn.Module):
    """All that a fitted detector does to pixels, as one module on the CPU.

    Network and scorer are copied, or asked for what stands for them (``exported``).

    Parameters
    ----------
    network, scorer
        Fitted ones.
    noise : Tensor of shape (L, latent_size), optional
        The latent draws, where the scorer asks for any.
    pixel_range : PixelRange
        What becomes 0 and 1.
    threshold : float
        The anomaly score above which a picture is anomalous.

    Raises
    ------
    InputError
        When network or scorer say that they cannot be exported.

    Examples
    --------
    >>> from recon_anomaly.registry import build, load
    >>> network = load("model", "mean")((2, 2, 1))
    >>> scorer, _ = build("scorer", "max1p")
    >>> graph = ScoringGraph(network, scorer, None, PixelRange(0.0, 255.0, "uint8"), 0.5)
    >>> score, maps, anomalous = graph(torch.full((1, 2, 2, 1), 204, dtype=torch.uint8))
    >>> score, maps.shape, anomalous
    (tensor([0.8000]), torch.Size([1, 2, 2]), tensor([True]))
    """

    noise: Tensor | None

    def __init__(
        self,
        network: Any,
        scorer: Any,
        noise: Tensor | None,
        pixel_range: PixelRange,
        threshold: float,
    ) -> None:
        super().__init__()
        # The usual order of axes: that of channels last would become a part of the graph.
        self.network = _stand_in(network).to("cpu", memory_format=torch.contiguous_format).eval()
        self.scorer = _stand_in(scorer)
        self.register_buffer("noise", None if noise is None else noise.detach().cpu().clone())
        self.pixel_range = pixel_range
        self.threshold = threshold

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores (n,) float32, maps (n, h, w) float32 and decisions (n,) of ``pixels``, (n, h, w, c)."""
        images = scaled(pixels, self.pixel_range)
        maps, terms = maps_and_terms(self.network, self.scorer, images, self.noise)
        scores = reduce_map(self.scorer, maps, terms)
        # By what is not above the threshold, so that a score which is no number counts as anomalous.
        return scores.float(), maps, (scores <= self.threshold).logical_not()


def _stand_in(part: Any) -> Any:
    """Return a copy of a network or scorer, or what it says that stands for it."""
    return part.exported() if hasattr(part, "exported") else copy.deepcopy(part)
