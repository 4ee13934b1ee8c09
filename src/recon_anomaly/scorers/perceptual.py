"""Differences of frozen pretrained features: Johnson et al. (2016), normalised as by Zhang et al. (2018)."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recon_anomaly.backbones import Backbone
from recon_anomaly.blocks import pad_to_stride
from recon_anomaly.errors import InputError, SavedFileError, WeightsWarning
from recon_anomaly.protocols import Pairs, Reconstruction, Scorer
from recon_anomaly.randomness import seeded
from recon_anomaly.weights import is_missing_file

__all__ = ["PerceptualDifference"]

_PART = "network."
_TINY = 1e-10  # as LPIPS has it: features that are all zero stay zero


class PerceptualDifference:
    r"""Map the squared difference of pretrained features of target and reconstruction; its mean is the score.

    .. math::

        \text{map}_{p} = \sum_c (\hat\phi_{cp}(x) - \hat\phi_{cp}(x'))^2,
        \qquad
        \hat\phi_{cp} = \frac{\phi_{cp}}{\sqrt{\sum_{c} \phi_{cp}^2}}

    The feature reconstruction loss of Johnson, Alahi and Fei-Fei (2016), Eq. 2, with features of length 1 at each
    position, as in Zhang et al. (2018, LPIPS), Eq. 1, with all of LPIPS's weights 1: twice one minus the cosine
    of the two. Summed over channels, and over layers where there are several; brought to the size of the
    target bilinearly. In [0, 4] a layer.

    It sees differences of texture and shape where pixels differ little, is blind to a uniform change of contrast that
    scales all features alike, and costs two passes through the backbone, far more than other scorers.
    Pictures alone can be compared, of 1 or 3 channels: for a model that reconstructs features take another scorer.

    The frozen weights are not saved with a detector unless it is ``self_contained``, but their checksum is,
    and a detector that finds others is refused when it is loaded. They are looked for where they were for the
    training: the file that ``weights`` names, if it is there, else as "auto"; or in the file that ``load`` is given.

    Parameters
    ----------
    backbone, layer, weights : str
        As the name, layer (or several) and weights of `recon_anomaly.backbones.Backbone`. Random weights (None) are always the
        same ones.

    Raises
    ------
    InputError
        When fitted or called, for an unknown network or layer, and for what is no picture.
    WeightsError
        When fitted or called, where the weights are nowhere to be found.

    Examples
    --------
    >>> import warnings
    >>> scorer = PerceptualDifference(weights=None)
    >>> image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # of random weights
    ...     found = scorer(image, Reconstruction(image.flip(-1)))
    >>> found.shape, float(scorer(image, Reconstruction(image)).max())
    (torch.Size([1, 16, 16]), 0.0)
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        layer: str | Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = "auto",
    ) -> None:
        if not isinstance(backbone, str):
            raise InputError(
                f"backbone={backbone!r}: the name of a network is wanted, such as 'vgg16'"
            )
        self.backbone = backbone
        self.layer = layer
        self.weights = weights
        self.network: Backbone | None = None
        self._saved_checksum: str | None = None
        self._stored: dict[str, Tensor] = {}

    def fit(self, pairs: Pairs) -> None:
        """Build the backbone, so that missing weights are told before a training; nothing is learned."""
        self._built()

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w)."""
        if target.shape[1] not in (1, 3):
            raise InputError(
                f"perceptual compares pictures, gray (1 channel) or coloured (3), and got {target.shape[1]} "
                "channels; for other targets, such as features, take another scorer"
            )
        network = self._built()
        if network.mean.device != target.device:
            network.to(target.device)
        made = reconstruction.mean
        # Picture by picture. Convolutions of small pictures round otherwise in another batch (by 1e-6 of the score,
        # VGG16 at 16 pixels), and where they do not a batch gains nothing: with VGG16 it has 0.9 of the speed at 64 pixels
        # and 0.8 at 128 and 256, since its features leave the cache.
        pairs = ((target[k : k + 1], made[k : k + 1]) for k in range(len(target)))
        return torch.cat([_distances(network, one, other) for one, other in pairs])

    def exported(self) -> Scorer:
        """Return the same map of a whole batch at once: in a graph its size is not known."""
        network = copy.deepcopy(self._built()).cpu()
        return lambda target, reconstruction: _distances(network, target, reconstruction.mean)

    def describe(self, network: Any) -> dict[str, str]:
        """Say whose features are compared, and where their weights come from."""
        source = "not looked for yet" if self.network is None else self.network.source
        layers = [self.layer] if isinstance(self.layer, str) else self.layer or []
        where = f" at {', '.join(layers)}" if layers else ""
        return {"features": f"{self.backbone}{where}", "weights": source or "random"}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the 16 bytes of the checksum of the frozen weights, if they are known."""
        if self.network is None:
            return {}
        digest = list(bytes.fromhex(self.network.checksum()))
        stored = self.frozen_state_dict() if self._stored else {}
        return {"checksum": torch.tensor(digest, dtype=torch.uint8)} | stored

    def frozen_state_dict(self) -> dict[str, Tensor]:
        """Return the frozen weights, if they are known and not random."""
        if self.network is None or self.weights is None:
            return {}
        return {f"{_PART}{name}": part for name, part in self.network.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the frozen weights where they are stored, else look for those of a checksum.

        Raises
        ------
        SavedFileError
            When others are found.
        WeightsError
            When none are.
        """
        self._saved_checksum = bytes(state["checksum"].tolist()).hex()
        self.network = None
        self._stored = {
            name.removeprefix(_PART): part for name, part in state.items() if name.startswith(_PART)
        }
        self._built()

    def _built(self) -> Backbone:
        if self.network is not None:
            return self.network
        weights = self.weights
        if self._stored:
            weights = None
        elif self._saved_checksum is not None and is_missing_file(weights):
            weights = "auto"  # it was a path on the machine of the training
        # Inside of inference mode the parameters would be bound to it; random ones are drawn alike each time.
        with (
            torch.inference_mode(False),
            seeded(torch.device("cpu"), 0),
            warnings.catch_warnings(),
        ):
            if self._stored:  # first weights are drawn, then replaced
                warnings.simplefilter("ignore", WeightsWarning)
            network = Backbone(self.backbone, self.layer, weights)
            if self._stored:
                network.load_state_dict(self._stored)
                network.source = "the saved detector"
        if self._saved_checksum not in (None, network.checksum()):
            raise SavedFileError(
                f"perceptual compared features of the frozen weights with checksum {self._saved_checksum}; found "
                f"were those of {network.source}, checksum {network.checksum()}: put the right file into the "
                "folder that RECON_ANOMALY_WEIGHTS names; where perceptual is not a part of another scorer, "
                "load(file, weights=PATH) and --weights PATH name it too"
            )
        self.network = network
        return network


def _distances(network: Backbone, first: Tensor, second: Tensor) -> Tensor:
    """Return the map (n, h, w) of two pictures, over all layers of the backbone."""
    height, width = first.shape[-2:]
    first, second = (pad_to_stride(images, network.largest_stride) for images in (first, second))
    maps = []
    for features, others in zip(network.maps(first), network.maps(second), strict=True):
        squares = (_normalised(features) - _normalised(others)).square().sum(1, keepdim=True)
        maps.append(F.interpolate(squares, first.shape[-2:], mode="bilinear"))
    return torch.cat(maps, 1).sum(1)[:, :height, :width]


def _normalised(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + _TINY)
