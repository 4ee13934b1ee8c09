"""Principal components of pretrained features: what a position, or the whole map, cannot be made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.backbones import FEATURE_LAYERS, Backbone, at_size
from recon_anomaly.blocks import pad_to_stride, padded_size
from recon_anomaly.components import ChannelMoments, incremental_components
from recon_anomaly.errors import InputError
from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["FeaturePrincipalComponents"]

_VIEWS = ("patch", "whole", "both")


class FeaturePrincipalComponents(nn.Module):
    r"""Reconstructs pretrained features from principal components, and whitens what it is compared by.

    Two views of the features :math:`f`, which stand one layer after the other at each position of the finest map:

    *patch*: the features of a position are a vector, wherever it is. With the mean :math:`\mu` and the
    covariance :math:`U \Lambda U^T` over all positions of all training pictures, the target is
    :math:`(\Lambda + \varrho \bar\lambda)^{-1/2} U^T (f - \mu)`; its first coordinates, those that hold ``explained`` of
    the variance, are reconstructed, the others are 0. What remains is the Mahalanobis distance in the components of
    small variance, which Rippel, Mertens and Merhof (2021), *Modeling the distribution of normal data in
    pre-trained deep features for anomaly detection*, found to be those that tell. A texture has no other order.

    *whole*: the features of a picture, averaged down to a grid, are one long vector, which its principal components
    reconstruct (feature reconstruction error, Ibrahim Ahmed et al., 2021: FRE): a position is judged by what all
    others say, which is right for parts that always lie alike. The residual is
    whitened by its covariance over channels, :math:`(\Sigma_r + \varrho \bar\sigma)^{-1/2}`, where
    :math:`\bar\sigma` is the mean variance of a channel at a position: of few pictures next to nothing remains, which
    must not be blown up.

    *both*: one after the other, as channels of one target, each with a variance of about one over the training pictures. Other
    good pictures are left with more by *whole*, the more so the fewer pictures it was fitted on.

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
        The share of the variance that components hold which are reconstructed, in (0, 1); at least one component.
    n_components : int
        The most that are kept of the whole map; fewer where there are fewer pictures.
    grid : int
        Positions a side, at most, that the whole map is averaged down to.

    Raises
    ------
    InputError
        When ``view`` is unknown or a number out of its range.

    Notes
    -----
    :math:`\varrho` is 0.01, and the mean variance counts as at least a hundredth of the features' mean square:
    directions that hardly vary do not outweigh all others, nor rounding what is constant.
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
        n_components: int = 128,
        grid: int = 16,
    ) -> None:
        super().__init__()
        if view not in _VIEWS or not 0 < explained < 1 or n_components < 1 or grid < 1:
            raise InputError(
                f"view={view!r}, explained={explained}, n_components={n_components}, grid={grid}: a view of "
                f"{', '.join(_VIEWS)} is wanted, a share between 0 and 1, and at least 1 of the others"
            )
        self.backbone = Backbone(backbone, layers or FEATURE_LAYERS.get(backbone), weights)
        self.stride = self.backbone.largest_stride
        self.view = view
        self.explained = explained
        channels = self.backbone.channels
        height, width = padded_size(*image_shape[:2], self.stride)
        sides = height // self.backbone.stride, width // self.backbone.stride
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
        """Return the backbone's features."""
        features: Tensor = self.backbone(images)
        return features

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Learn both views' components in one pass."""
        moments = ChannelMoments(self.backbone.channels)
        coarse = ChannelMoments(self.backbone.channels)

        def rows() -> Iterable[np.ndarray]:
            for images in batches:
                features = self.frozen(pad_to_stride(images, self.stride))
                moments.add(features)
                pooled = F.adaptive_avg_pool2d(features, self.grid)
                coarse.add(pooled)
                yield pooled.flatten(1).cpu().numpy()

        if self.view == "patch":
            for _ in rows():
                pass
        else:
            self._fit_whole(rows(), coarse)
        if self.view != "whole":
            self._fit_patch(moments)

    def _fit_patch(self, moments: ChannelMoments) -> None:
        variances = torch.linalg.eigvalsh(moments.covariance()).flip(0).clamp_min(0)
        held = variances.cumsum(0) / variances.sum().clamp_min(_LEAST)
        self.patch_mean.copy_(moments.mean())
        self.patch_basis.copy_(_whitening(moments.covariance(), _floor(variances, moments)))
        self.patch_kept[1:] = (held[:-1] < self.explained).float()
        self.patch_kept[0] = 1

    def _fit_whole(self, rows: Iterable[np.ndarray], coarse: ChannelMoments) -> None:
        fitted = incremental_components(rows, len(self.whole_components))
        held = np.cumsum(fitted.variances) / max(fitted.total_variance, _LEAST)
        wanted = np.concatenate([[0.0], held])[:-1] < self.explained
        components = torch.as_tensor(fitted.components[wanted])
        self.whole_mean.copy_(torch.as_tensor(fitted.mean))
        self.whole_components.zero_()
        self.whole_components[: len(components)] = components
        # The residual's covariance over channels is the whole one about each position's mean, less what the
        # components take: so it needs no second pass.
        positions = self.grid[0] * self.grid[1]
        means = self.whole_mean.cpu().double().reshape(-1, positions)
        within = coarse.second() - means @ means.T / positions
        maps = components.double().reshape(len(components), len(means), positions)
        variances = torch.as_tensor(fitted.variances[wanted]).double()
        taken = torch.einsum("kcp,kdp,k->cd", maps, maps, variances) / positions
        self.whole_basis.copy_(_whitening(within - taken, _floor(within.diagonal(), coarse)))

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

    def _centred(self, features: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(features, self.grid).flatten(1) - self.whole_mean

    def _whitened(self, rows: Tensor, features: Tensor) -> Tensor:
        maps = rows.reshape(len(rows), -1, *self.grid)
        return at_size(F.conv2d(maps, self.whole_basis[:, :, None, None]), features.shape[-2:])


_RIDGE = 0.01
_CONSTANT = 0.01  # of the mean square; a smaller variance is hardly more than rounding
_LEAST = 1e-12


def _floor(variances: Tensor, moments: ChannelMoments) -> float:
    """Return what is added to every variance before whitening."""
    square = float(moments.second().diagonal().mean())
    return _RIDGE * max(float(variances.mean()), _CONSTANT * square, _LEAST)


def _whitening(covariance: Tensor, floor: float) -> Tensor:
    """Return the rows that whiten, those of the largest variance first."""
    variances, directions = torch.linalg.eigh(covariance)
    rows: Tensor = (directions / (variances.clamp_min(0) + floor).sqrt()).T.flip(0)
    return rows
