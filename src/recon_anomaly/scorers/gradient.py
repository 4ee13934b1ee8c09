"""The difference of gradient magnitudes: edges that appear or vanish."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from recon_anomaly.protocols import Reconstruction

__all__ = ["gradient_difference"]


def gradient_difference(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    r"""Map the absolute difference of gradient magnitudes, averaged over channels; its mean is the score.

    .. math::

        \text{score} = \frac1N \sum_i \bigl|\, |\nabla x_i| - |\nabla x'_i| \,\bigr|,
        \qquad
        |\nabla x_{rs}| = \tfrac12 \sqrt{(x_{r,s+1} - x_{r,s-1})^2 + (x_{r+1,s} - x_{r-1,s})^2}

    with :math:`N` pixels times channels: central differences, beyond the edges the outermost pixels repeated.
    An edge in the picture or in its reconstruction alone counts, a difference of brightness does not.
    The idea is that of the gradient difference loss of Mathieu, Couprie and LeCun (2016), Eq. 6, which
    compares one-sided differences, rows and columns apart. Pixel units a pixel.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
    >>> gradient_difference(image, Reconstruction(torch.full((1, 1, 1, 4), 0.7)))
    tensor([[[0.0000, 0.5000, 0.5000, 0.0000]]])
    """
    difference = _magnitude(target) - _magnitude(reconstruction.mean)
    return difference.abs().contiguous().mean(1)


def _magnitude(images: Tensor) -> Tensor:
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return (across.square() + down.square()).sqrt() / 2
