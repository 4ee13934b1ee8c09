"""The likelihood of a picture under a decoder's Gaussian, for scorers that are made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from .checks import at_least, check_number
from .errors import InputError
from .protocols import Pairs, Reconstruction

__all__ = ["PixelLikelihood"]


class PixelLikelihood:
    """A scorer's negative log-likelihood of each pixel, with a fitted variance where the decoder has none.

    A subclass says its registered ``name`` and makes its map of `nats`; draws, fit and saving are here.

    The variance is the decoder's where it gives one; else it is fitted: per pixel and channel, the
    mean squared residual of the validation pictures (over all draws), which is the maximum-likelihood
    variance around the reconstruction. The latent is drawn where the network can draw; else the one
    deterministic reconstruction stands in.

    Parameters
    ----------
    draws : int
        The latent draws for each picture, over which its score is averaged; the same standard-normal rows serve
        every picture.
    floor : float
        The least fitted variance, in squared pixel units: (2.55 / 255)², so that a pixel which never
        varied does not outweigh all others.

    Raises
    ------
    InputError
        When ``draws`` is no whole number of at least 1, or ``floor`` is not above 0.

    Examples
    --------
    >>> import torch
    >>> exact = Reconstruction(torch.zeros(1, 1, 1, 1), log_variance=torch.zeros(1, 1, 1, 1))
    >>> float(PixelLikelihood().nats(torch.zeros(1, 1, 1, 1), exact))  # half the logarithm of 2 pi
    0.9189
    """

    name: ClassVar[str] = "the likelihood"
    reduction = "sum"

    def __init__(self, draws: int = 10, floor: float = 1e-4) -> None:
        self.draws = at_least("draws", draws, 1)
        self.floor = check_number("floor", floor, "a variance above 0", above=0)
        self.log_variance: Tensor | None = None

    def fit(self, pairs: Pairs) -> None:
        """Fit the variance per pixel; decoders that give their own make this unused, and it is skipped."""
        total: Tensor | None = None
        count = 0
        for target, reconstruction in pairs:
            if reconstruction.log_variance is not None:
                return
            squares = (target - reconstruction.mean).cpu().double().square().sum(0)
            total = squares if total is None else total + squares
            count += len(target)
        if total is not None:
            self.log_variance = (total / count).clamp_min(self.floor).log().float()

    def nats(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the negative log-density of each pixel, (n, h, w): summed over channels.

        Raises
        ------
        InputError
            When the decoder gives no variance and none was fitted.
        """
        log_variance = reconstruction.log_variance
        if log_variance is None:
            if self.log_variance is None:
                raise InputError(
                    f"{self.name} has no variance: the decoder gives none and none was "
                    "fitted on validation pictures; call scorer.fit, or use a detector, which does"
                )
            log_variance = self.log_variance.to(target.device)
        squares = (target - reconstruction.mean).square()
        terms = math.log(2 * math.pi) + log_variance + squares * (-log_variance).exp()
        return 0.5 * terms.sum(1)

    def describe(self, network: Any) -> dict[str, str]:
        """Say which variance and which latent are used."""
        can_draw = hasattr(network, "draw")
        fitted = self.log_variance is not None
        return {
            "variance": "fitted per pixel on validation residuals" if fitted else "the decoder's",
            "latent": f"{self.draws} draws" if can_draw else "one deterministic reconstruction",
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return the fitted log-variance, (c, h, w), if any."""
        return {} if self.log_variance is None else {"log_variance": self.log_variance}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state_dict`` gave."""
        self.log_variance = state.get("log_variance")
