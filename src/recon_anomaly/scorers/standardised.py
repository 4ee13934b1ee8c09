"""The residual, less its mean and over its deviation on validation pictures, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recon_anomaly.checks import check_number
from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Pairs, Reconstruction
from recon_anomaly.smoothing import blurred

__all__ = ["StandardisedResidual"]

_LEAST_SHARE = 0.1
_TINY = 1e-12  # where nothing differed at all


class StandardisedResidual:
    r"""Map how many deviations a residual exceeds its mean by, blurred; its maximum is the score.

    .. math::

        \text{score} = \max_i\, \left(G_\sigma * \frac{r - m}{d}\right)_i

    :math:`r` is the absolute error, averaged over channels; :math:`m_i` and :math:`d_i` are its mean and
    standard deviation at pixel i over the validation pictures. Where good parts are always reconstructed
    badly, at an edge or a reflection, an error counts less than where they never are. It is
    the Gaussian of each position of Defard et al. (2021, PaDiM), in one dimension, of residuals in place of
    features; unlike there the sign is kept, so that an error smaller than usual lowers the map.

    Validation pictures are few. So the variances of neighbouring pixels are averaged, weighted by a
    Gaussian; and no deviation is taken to be smaller than a share of the mean deviation over the picture, so that
    pixels which never varied do not outweigh all others. The mean deviation counts as at least a tenth of the mean
    residual, for the same reason: of one validation picture all deviations are that floor. All of it is relative, so that
    maps are the same in whatever unit the target is, of pixels or of features.

    The validation pictures are nearer to their own mean than other good pictures are, the more so the fewer they
    are. A threshold set by them lets more false alarms through than it says; ``calibrate`` sets it by others.

    Parameters
    ----------
    floor : float
        The least deviation, as a share of the mean one, above 0.
    sigma : float
        Standard deviation of the Gaussian that blurs the map, as a share of its shorter side, as in
        ``smoothed-maximum``.
    neighbourhood : float
        The same of the Gaussian that averages variances; 0 leaves each pixel alone.

    Raises
    ------
    InputError
        When ``floor`` is not above 0, or a share of the side is not in [0, 1].

    Examples
    --------
    >>> import torch
    >>> scorer = StandardisedResidual(floor=0.5)
    >>> good = torch.tensor([0.1, 0.3]).reshape(2, 1, 1, 1)
    >>> scorer.fit([(good, Reconstruction(torch.zeros_like(good)))])
    >>> image = torch.full((1, 1, 1, 1), 0.7)
    >>> scorer(image, Reconstruction(torch.zeros_like(image)))  # (0.7 - 0.2) / 0.1
    tensor([[[5.0000]]])
    """

    reduction = "max"

    def __init__(
        self, floor: float = 0.1, sigma: float = 1 / 64, neighbourhood: float = 1 / 128
    ) -> None:
        of_side = "a share of the shorter side, from 0 to 1"
        self.floor = check_number("floor", floor, "a number above 0", above=0)
        self.sigma = check_number("sigma", sigma, of_side, 0, 1)
        self.neighbourhood = check_number("neighbourhood", neighbourhood, of_side, 0, 1)
        self.mean: Tensor | None = None
        self.deviation: Tensor | None = None

    def fit(self, pairs: Pairs) -> None:
        """Learn mean and deviation of each pixel's residual from sums over all pairs."""
        total: Tensor | None = None
        count = 0
        for target, reconstruction in pairs:
            residuals = _residuals(target, reconstruction).cpu().double()
            sums = torch.stack([residuals.sum(0), residuals.square().sum(0)])
            total = sums if total is None else total + sums
            count += len(target)
        if total is None:
            return
        mean, mean_square = total / count
        # Rounding can bring the variance of a pixel that never varied below zero.
        variance = (mean_square - mean.square()).clamp_min(0)
        deviation = blurred(variance[None], self.neighbourhood)[0].sqrt()
        usual = max(float(deviation.mean()), _LEAST_SHARE * float(mean.mean()), _TINY)
        least = self.floor * usual
        self.mean, self.deviation = mean.float(), deviation.clamp_min(least).float()

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        if self.mean is None or self.deviation is None:
            raise InputError(
                "standardised has no mean and deviation: none were fitted on validation pictures; call "
                "scorer.fit, or use a detector, which does"
            )
        residuals = _residuals(target, reconstruction)
        mean, deviation = self.mean.to(target.device), self.deviation.to(target.device)
        return blurred((residuals - mean) / deviation, self.sigma)

    def state_dict(self) -> dict[str, Tensor]:
        """Return mean and deviation, (h, w) each, if they were fitted."""
        if self.mean is None or self.deviation is None:
            return {}
        return {"mean": self.mean, "deviation": self.deviation}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state_dict`` gave."""
        self.mean, self.deviation = state["mean"], state["deviation"]


def _residuals(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    return (target - reconstruction.mean).abs().contiguous().mean(1)
