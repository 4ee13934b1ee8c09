"""Weighted means around each pixel, and the Gaussian blur of maps, down to pictures of one pixel."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["blurred", "gaussian_window", "window_means"]

_TRUNCATE = 4.0  # deviations after which a Gaussian ends, as SciPy's does
# Rows whose means one matrix makes: up to here one product takes a tenth of the time of a convolution of one
# channel. Beyond, bands of so many rows take 0.6 times the time of one (side, side) matrix at 512 pixels, a third at
# 1024, a fifth at 4096 (5 s become 1; a convolution takes 4 to 20), and no memory that grows with the square of the side.
_BAND = 256


def gaussian_window(sigma: float, radius: int) -> Tensor:
    r"""Return the weights of a Gaussian at -radius, ..., radius; their sum is 1.

    .. math:: w_k \propto \exp\left(-\frac{k^2}{2 \sigma^2}\right)

    Parameters
    ----------
    sigma : float
        Standard deviation, in pixels, above 0.
    radius : int
        Where it is cut.

    Returns
    -------
    Tensor of shape (2 * radius + 1,), float64

    Examples
    --------
    >>> gaussian_window(1.0, 1)
    tensor([0.2741, 0.4519, 0.2741], dtype=torch.float64)
    """
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = (-0.5 * (places / sigma).square()).exp()
    return weights / weights.sum()


def window_means(images: Tensor, window: Tensor) -> Tensor:
    """Return the mean around each pixel, weighted by ``window`` along rows and along columns.

    Beyond the edges the outermost pixels are repeated, so that any height and width will do.

    Parameters
    ----------
    images : Tensor of shape (..., h, w), floating point
        Pictures or maps; each plane by itself.
    window : Tensor of shape (2 * radius + 1,)
        Symmetric weights.

    Returns
    -------
    Tensor
        Of the shape, dtype and device of ``images``.

    Examples
    --------
    >>> window_means(torch.tensor([[[0.0, 4.0, 0.0]]]), torch.tensor([0.25, 0.5, 0.25]))
    tensor([[[1., 2., 1.]]])
    """
    return _means_along(_means_along(images, window, -2), window, -1)


def _means_along(images: Tensor, window: Tensor, axis: int) -> Tensor:
    """Return the means along the last axis but one (-2) or the last (-1)."""
    side, radius = images.shape[axis], len(window) // 2
    parts = []
    for start in range(0, side, _BAND):
        stop = min(start + _BAND, side)
        first, end = max(start - radius, 0), min(stop + radius, side)
        seen = images.narrow(axis, first, end - first)
        matrix = _averaging(range(start, stop), range(first, end), window)
        matrix = matrix.to(images.device, images.dtype)
        parts.append(matrix @ seen if axis == -2 else seen @ matrix.T)
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


def _averaging(places: range, seen: range, window: Tensor) -> Tensor:
    """Return the matrix with a row for each of ``places``: the window around it, of what is ``seen``."""
    radius = len(window) // 2
    around = torch.arange(places.start, places.stop)[:, None] + torch.arange(-radius, radius + 1)
    weights = window.double().expand(len(places), -1)
    matrix = torch.zeros(len(places), len(seen), dtype=torch.float64)
    # At an edge of the picture what is seen ends there; elsewhere nothing lies beyond it.
    return matrix.scatter_add_(1, (around - seen.start).clamp(0, len(seen) - 1), weights)


def blurred(maps: Tensor, share: float) -> Tensor:
    """Blur maps by a Gaussian whose deviation is a share of their shorter side.

    A share and not pixels, so that the same defect is smoothed alike at any image size. The Gaussian ends after
    four deviations, to the nearest pixel; one that ends within half a pixel changes nothing.

    Parameters
    ----------
    maps : Tensor of shape (n, h, w), floating point
        Maps; beyond their edges the outermost pixels are repeated.
    share : float
        0 or more; 1/64 is 4 pixels of 256.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> maps = torch.zeros(1, 5, 5)
    >>> maps[0, 2, 2] = 1.0
    >>> blurred(maps, 0.2)[0, 2]
    tensor([0.0215, 0.0965, 0.1592, 0.0965, 0.0215])
    """
    sigma = share * min(maps.shape[-2:])
    radius = int(_TRUNCATE * sigma + 0.5)
    return window_means(maps, gaussian_window(sigma, radius)) if radius else maps
