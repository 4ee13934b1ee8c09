"""Principal components of pretrained features: what a position, or the whole map, cannot be made of."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.backbones import FEATURE_LAYERS, Backbone, at_size
from recon_anomaly.blocks import pad_to_stride, padded_size
from recon_anomaly.checks import at_least, check_choice, check_number
from recon_anomaly.components import ChannelMoments, incremental_components
from recon_anomaly.errors import InputError
from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["FeaturePrincipalComponents"]

_VIEWS = ("patch", "whole", "both")


class FeaturePrincipalComponents(nn.Module):
    r"""Reconstructs pretrained features from principal components, and whitens what it is compared by.

    Two views of the features :math:`f`, which stand one layer after the other at each position of a map: those of
    finer layers averaged, those of coarser ones brought to it bilinearly.

    *patch*: the features of a position are a vector, wherever it is. With the mean :math:`\mu` and the
    covariance :math:`U \Lambda U^T` over all positions of all training pictures, the target is
    :math:`(\Lambda + \varrho \bar\lambda)^{-1/2} U^T (f - \mu)`; its first coordinates, those that hold ``explained`` of
    the variance, are reconstructed, the others are 0. What remains is the Mahalanobis distance in the components of
    small variance, which Rippel, Mertens and Merhof (2021), *Modeling the distribution of normal data in
    pre-trained deep features for anomaly detection*, found to be those that tell. A texture has no other order.

    *whole*: the features of a picture, averaged down to a grid, are one long vector, which its principal components
    reconstruct (feature reconstruction error, Ibrahim Ahmed et al., 2021: FRE): a position is judged by what all
    others say, which is right for parts that always lie alike. The residual is whitened by its second moment over
    channels, :math:`(\Sigma_r + \varrho \bar\sigma_r)^{-1/2}`. :math:`\Sigma_r` is that of pictures which the components
    were not fitted on: of each chunk before it is learned, of the first one half by the other. Of those that they
    were fitted on next to nothing remains, the less the fewer they are, and every other good part would seem
    anomalous.

    *both*: one after the other, as channels of one target, each with a variance of about one over good pictures.

    One pass over the pictures; what it holds meanwhile are the moments of the channels and some of
    IncrementalPCA's chunks of 256 coarse maps, or 2 ``n_components``, however many pictures there are.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    backbone, layers, weights : str, sequence of str, and path or str
        As the name, layer and weights of `recon_anomaly.backbones.Backbone`; by default the layers of
        ``recon_anomaly.backbones.FEATURE_LAYERS``, of stride 4, 8 and 16.
    view : {"both", "patch", "whole"}
        Of the features.
    explained : float
        The share of the variance that those components hold which are reconstructed of a patch, in (0, 1); at least one
        component.
    n_components : int
        Of the whole map; fewer where there are fewer pictures.
    grid : int
        Positions a side, at most, that the whole map is averaged down to.
    map_stride : int
        Pixels a side of a position of the map, a power of two.

    Raises
    ------
    InputError
        When ``view`` is unknown or a number out of its range.

    Notes
    -----
    :math:`\varrho` is 0.01, and the mean variance :math:`\bar\lambda` or :math:`\bar\sigma_r` counts as at least a
    hundredth of the features' mean square: directions that hardly vary do not outweigh all others, nor
    rounding what is constant.
    PCA whitens what is left of features whose layers differ in scale, so that no layer has to be weighed.
    """

    patch_mean: Tensor
    patch_basis: Tensor
    patch_kept: Tensor
    whole_mean: Tensor
    whole_components: Tensor
    whole_basis: Tensor

    def __init__(
        self,
        image_shape: ImageShape,
        backbone: str = "efficientnet_lite0",
        layers: Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = "auto",
        view: str = "both",
        explained: float = 0.9,
        n_components: int = 256,
        grid: int = 8,
        map_stride: int = 8,
    ) -> None:
        super().__init__()
        self.view = check_choice("view", view, _VIEWS)
        share = "a share between 0 and 1, neither of them"
        self.explained = check_number("explained", explained, share, above=0, below=1)
        n_components = at_least("n_components", n_components, 1)
        grid = at_least("grid", grid, 1)
        self.map_stride = at_least("map_stride", map_stride, 1)
        if self.map_stride & (self.map_stride - 1):
            raise InputError(f"map_stride is {map_stride}; give a power of two, such as 8")
        self.backbone = Backbone(backbone, layers or FEATURE_LAYERS.get(backbone), weights)
        self.stride = max(self.backbone.largest_stride, self.map_stride)
        channels = self.backbone.channels
        height, width = padded_size(*image_shape[:2], self.stride)
        sides = height // self.map_stride, width // self.map_stride
        self.grid = min(grid, sides[0]), min(grid, sides[1])
        values = channels * self.grid[0] * self.grid[1]
        self.register_buffer("patch_mean", torch.zeros(channels))
        self.register_buffer("patch_basis", torch.zeros(channels, channels))
        self.register_buffer("patch_kept", torch.zeros(channels))
        self.register_buffer("whole_mean", torch.zeros(values))
        kept = min(n_components, values - 1) if view != "patch" else 0
        self.register_buffer("whole_components", torch.zeros(kept, values))
        self.register_buffer("whole_basis", torch.zeros(channels, channels))

    def frozen(self, images: Tensor) -> Tensor:
        """Return the backbone's features, (n, channels, h / map_stride, w / map_stride)."""
        height, width = images.shape[-2:]
        size = height // self.map_stride, width // self.map_stride
        maps = self.backbone.maps(images)
        return torch.cat([_averaged(one, size) for one in maps], 1)

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Learn both views' components in one pass."""
        channels = self.backbone.channels
        moments, left = ChannelMoments(channels), ChannelMoments(channels)

        def rows() -> Iterator[np.ndarray]:
            for images in batches:
                features = self.frozen(pad_to_stride(images, self.stride))
                moments.add(features)
                if self.view != "patch":
                    yield self._coarse(features).cpu().numpy()

        def unseen(residual: np.ndarray) -> None:
            left.add(torch.from_numpy(residual).reshape(-1, channels, *self.grid))

        if self.view == "patch":
            collections.deque(rows(), maxlen=0)
        else:
            found = incremental_components(rows(), len(self.whole_components), unseen)
            self.whole_mean.copy_(torch.as_tensor(found.mean))
            self.whole_components.zero_()
            self.whole_components[: len(found.components)] = torch.as_tensor(found.components)
            self.whole_basis.copy_(_whitening(left.second(), moments))
        if self.view != "whole":
            self._fit_patch(moments)

    def _fit_patch(self, moments: ChannelMoments) -> None:
        covariance = moments.covariance()
        variances = torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0)
        held = variances.cumsum(0) / variances.sum().clamp_min(_LEAST)
        self.patch_mean.copy_(moments.mean())
        self.patch_basis.copy_(_whitening(covariance, moments))
        self.patch_kept[1:] = (held[:-1] < self.explained).float()
        self.patch_kept[0] = 1

    def target(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the whitened features, (n, channels of the views, h, w)."""
        features = self.frozen(images) if kept is None else kept
        parts = []
        if self.view != "whole":
            parts.append(self._patch(features))
        if self.view != "patch":
            parts.append(self._whitened(self._centred(features), features))
        return torch.cat(parts, 1)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Reconstruction:
        """Reconstruct the whitened features of ``images``, (n, c, h, w) with h and w multiples of ``stride``."""
        features = self.frozen(images) if kept is None else kept
        parts = []
        if self.view != "whole":
            parts.append(self._patch(features) * self.patch_kept[:, None, None])
        if self.view != "patch":
            rows = (self._centred(features) @ self.whole_components.T) @ self.whole_components
            parts.append(self._whitened(rows, features))
        return Reconstruction(torch.cat(parts, 1))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, summed over the map, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}

    def _patch(self, features: Tensor) -> Tensor:
        centred = features - self.patch_mean[:, None, None]
        return F.conv2d(centred, self.patch_basis[:, :, None, None])

    def _coarse(self, features: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(features, self.grid).flatten(1)

    def _centred(self, features: Tensor) -> Tensor:
        return self._coarse(features) - self.whole_mean

    def _whitened(self, rows: Tensor, features: Tensor) -> Tensor:
        maps = rows.reshape(rows.shape[0], -1, *self.grid)
        return at_size(F.conv2d(maps, self.whole_basis[:, :, None, None]), features.shape[-2:])


_RIDGE = 0.01
_CONSTANT = 0.01  # of the mean square; a smaller variance is hardly more than rounding
_LEAST = 1e-12


def _whitening(moment: Tensor, features: ChannelMoments) -> Tensor:
    """Return the rows that whiten vectors of this second moment, those of the largest first."""
    moments, directions = torch.linalg.eigh(moment)
    moments = moments.clamp_min(0)
    square = float(features.second().diagonal().mean())
    floor = _RIDGE * max(float(moments.mean()), _CONSTANT * square, _LEAST)
    rows: Tensor = (directions / (moments + floor).sqrt()).T.flip(0)
    return rows


def _averaged(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps to ``size``: a coarser one by averages, a finer one bilinearly."""
    if features.shape[-2] > size[0]:
        return F.adaptive_avg_pool2d(features, size)
    return at_size(features, size)
