"""The structural similarity of two pictures, as what is missing to 1: SSIM, and SSIM over several scales."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .smoothing import gaussian_window, window_means

__all__ = [
    "SCALE_WEIGHTS",
    "dissimilarities",
    "multi_scale_dissimilarity",
    "scales_of",
    "structural_dissimilarity",
]

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first: Wang, Simoncelli and Bovik (2003)."""

_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)² and (K2 L)² with a dynamic range L of 1


def dissimilarities(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return what the two factors of SSIM miss to 1: luminance, and contrast times structure.

    .. math::

        1 - \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}
          = \frac{(\mu_x - \mu_y)^2}{\mu_x^2 + \mu_y^2 + C_1}
        \qquad
        1 - \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}
          = \frac{\sigma_{x - y}^2}{\sigma_x^2 + \sigma_y^2 + C_2}

    Wang et al. (2004), Eqs. 6 and 13 to 16, written so that float32 does not lose small differences: equal
    pictures give exactly 0. Means, variances and covariance are weighted by an 11 x 11 Gaussian of
    deviation 1.5, with :math:`K_1 = 0.01`, :math:`K_2 = 0.03` and a dynamic range of 1. Beyond the edges the
    outermost pixels are repeated (the paper has no values there).

    Parameters
    ----------
    first, second : Tensor of shape (n, c, h, w)
        Pictures; each channel by itself.

    Returns
    -------
    luminance, structure : Tensor of shape (n, c, h, w)
        In [0, 2]; luminance in [0, 1] where no pixel is negative. Above 1 a factor of SSIM is negative.

    Examples
    --------
    >>> gray, white = torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    >>> luminance, structure = dissimilarities(gray, white)
    >>> round(float(luminance.mean()), 4), round(float(structure.mean()), 4)
    (0.2, 0.0)
    """
    # Of planes less their means: squares of bright pixels would lose the variances of flat regions.
    centre_first, centre_second = (images.mean((2, 3), keepdim=True) for images in (first, second))
    first, second = first - centre_first, second - centre_second
    window = gaussian_window(_SIGMA, _RADIUS)
    mean_first, mean_second, square_first, square_second, square_difference = (
        window_means(images, window)
        for images in (first, second, first.square(), second.square(), (first - second).square())
    )
    shift = mean_first - mean_second
    # Rounding can bring a variance below zero.
    variance_first = (square_first - mean_first.square()).clamp_min(0)
    variance_second = (square_second - mean_second.square()).clamp_min(0)
    variance_difference = (square_difference - shift.square()).clamp_min(0)
    squares = (mean_first + centre_first).square() + (mean_second + centre_second).square()
    luminance = (shift + (centre_first - centre_second)).square() / (squares + _C1)
    structure = variance_difference / (variance_first + variance_second + _C2)
    return luminance, structure


def structural_dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - SSIM at every pixel of every channel: Wang et al. (2004), Eq. 13.

    Window, constants and edges are those of `dissimilarities`.

    Parameters
    ----------
    first, second : Tensor of shape (n, c, h, w)
        Pictures.

    Returns
    -------
    Tensor of shape (n, c, h, w)
        In [0, 2]; 0 where the pictures are equal around a pixel.

    Examples
    --------
    >>> pictures = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> float(structural_dissimilarity(pictures, pictures).max())
    0.0
    """
    return _joined(*dissimilarities(first, second))


def scales_of(height: int, width: int) -> int:
    """Return how many scales a picture has room for, 1 to 5: the 11 x 11 window fits into each.

    The shorter side is halved, and rounded up, from scale to scale. The first scale always counts.

    Examples
    --------
    >>> scales_of(256, 256), scales_of(64, 512), scales_of(1, 1)
    (5, 3, 1)
    """
    side = 2 * _RADIUS + 1
    room = [-(-min(height, width) >> scale) >= side for scale in range(1, len(SCALE_WEIGHTS))]
    return 1 + sum(room)


def multi_scale_dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    r"""Return 1 - MS-SSIM as a map: the product over scales, taken at every pixel.

    .. math:: 1 - \prod_{j=1}^{M} s_j^{\beta_j}

    :math:`s_j` is contrast times structure at scale :math:`j`, and at the coarsest one all of SSIM (Wang,
    Simoncelli and Bovik, 2003, Eq. 7, with equal exponents). From scale to scale the pictures are averaged over
    2 x 2 pixels; each :math:`s_j` is brought back to full size bilinearly. A negative :math:`s_j` has
    no real power and counts as 0, as in usual implementations. The paper multiplies
    the means of the scales; here the product is taken first, so that a map has it and its mean is the score.

    Scales into which the window does not fit (`scales_of`) are left out, and the exponents of the others
    are divided by their sum. So they are of all five, which sum to 1.0001 as printed.

    Parameters
    ----------
    first, second : Tensor of shape (n, c, h, w)
        Pictures.

    Returns
    -------
    Tensor of shape (n, c, h, w)
        In [0, 1].

    Examples
    --------
    >>> pictures = torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    >>> float(multi_scale_dissimilarity(pictures, pictures).abs().max())
    0.0
    """
    height, width = first.shape[-2:]
    scales = scales_of(height, width)
    weights = SCALE_WEIGHTS[:scales]
    logarithm = torch.zeros_like(first)
    for scale, weight in enumerate(weights):
        if scale:
            # An odd last row or column is averaged by itself.
            first, second = (F.avg_pool2d(images, 2, ceil_mode=True) for images in (first, second))
        luminance, missing = dissimilarities(first, second)
        if scale == scales - 1:
            missing = _joined(luminance, missing)
        if scale:
            missing = F.interpolate(missing, scale_factor=2**scale, mode="bilinear")
            missing = missing[..., :height, :width]
        # By logarithms, for the reason of `dissimilarities`; that of 0 is minus infinity, and its power 0.
        logarithm = logarithm + weight / sum(weights) * torch.log1p(-missing.clamp_max(1))
    return -torch.expm1(logarithm)


def _joined(luminance: Tensor, structure: Tensor) -> Tensor:
    """Return what the product of two factors misses to 1, from what each misses."""
    return luminance + structure - luminance * structure
