"""Torch parts that models share: the convolutional encoder and its mirror, padding, a smooth bound."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .checks import check_counts

__all__ = [
    "at_least_float32",
    "bounded",
    "decoder",
    "encoder",
    "halved",
    "pad_to_stride",
    "padded_size",
]


def at_least_float32(values: Tensor) -> Tensor:
    """Return ``values`` in float32 where they are in half precision, else as they are.

    A network that trains in bfloat16 gives its outputs through this before a sigmoid or an exponential:
    bfloat16 has 8 bits, and steps of 0.004 just below 1.

    Examples
    --------
    >>> import torch
    >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values.float() if values.itemsize < 4 else values


def bounded(values: Tensor, low: float, high: float) -> Tensor:
    r"""Bring ``values`` smoothly into [low, high], with a gradient everywhere.

    .. math:: m + h \frac{u}{1 + |u|}, \qquad u = \frac{x - m}{h}

    with the range's middle :math:`m` and half its width :math:`h`. The slope is 1 in the middle and falls as
    :math:`u^{-2}`, so that a value which was driven to its bound can come back. A hard clamp has no
    gradient there, and that of the hyperbolic tangent is exactly 0 in float32 from :math:`u \approx 9`.

    Parameters
    ----------
    values : Tensor
        Any finite numbers.
    low, high : float
        The range; rounding may reach its ends.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> import torch
    >>> bounded(torch.tensor([-1e4, 0.0, 10.0]), -10, 10)
    tensor([-9.9900,  0.0000,  5.0000])
    """
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + half * F.softsign((values - middle) / half)


def encoder(channels: int, kernels: Sequence[int], pooled: Sequence[bool]) -> nn.Sequential:
    """Build 3x3 convolutions with ReLU, each followed by 2x2 max-pooling where ``pooled`` says so.

    ReLU stands after the pooling: the same function, on a quarter of the elements.

    Parameters
    ----------
    channels : int
        Of the input.
    kernels : sequence of int
        Convolution kernels, layer by layer.
    pooled : sequence of bool
        As long as ``kernels``.

    Examples
    --------
    >>> import torch
    >>> encoder(1, (16, 32), (True, False))(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 32, 4, 4])
    """
    kernels = check_counts("kernels", kernels)
    layers: list[nn.Module] = []
    for inputs, outputs, pool in zip((channels, *kernels[:-1]), kernels, pooled, strict=True):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
        if pool:
            layers.append(nn.MaxPool2d(2))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def decoder(channels: int, kernels: Sequence[int], pooled: Sequence[bool]) -> nn.Sequential:
    """Build the mirror of ``encoder``: 3x3 transposed convolutions, of stride 2 where it pooled.

    ReLU stands between the layers; the last one is linear, and the model chooses its output's range.

    Examples
    --------
    >>> import torch
    >>> decoder(1, (16, 32), (True, False))(torch.zeros(2, 32, 4, 4)).shape
    torch.Size([2, 1, 8, 8])
    """
    layers: list[nn.Module] = []
    mirrored = zip(kernels[::-1], (*kernels[-2::-1], channels), pooled[::-1], strict=True)
    for inputs, outputs, pool in mirrored:
        stride = 2 if pool else 1
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 3, stride, padding=1, output_padding=stride - 1),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers[:-1])


def halved(channels: int, stride: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return kernels and pooled layers of a `decoder` from ``channels`` features of that stride.

    As in the CAE of Klimkevičius, the layer at the bottleneck is not pooled and kernels double from
    layer to layer.

    Examples
    --------
    >>> halved(128, 4)
    ((32, 64, 128), (True, True, False))
    """
    poolings = stride.bit_length() - 1
    kernels = tuple(max(1, channels >> k) for k in range(poolings, -1, -1))
    return kernels, (True,) * poolings + (False,)


def padded_size(height: int, width: int, stride: int) -> tuple[int, int]:
    """Return the least height and width that are multiples of ``stride`` and hold the picture."""
    return -(-height // stride) * stride, -(-width // stride) * stride


def pad_to_stride(images: Tensor, stride: int) -> Tensor:
    """Pad (n, c, h, w) images at the bottom and the right, by replication, to multiples of ``stride``."""
    height, width = images.shape[-2:]
    to_height, to_width = padded_size(height, width, stride)
    if (to_height, to_width) == (height, width):
        return images
    return F.pad(images, (0, to_width - width, 0, to_height - height), mode="replicate")
