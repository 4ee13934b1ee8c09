"""Frozen first parts of pretrained networks, cut at one or several named layers.

The only module that imports torchvision, and only when a backbone is built.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .efficientnet_lite import PACKAGE, PACKAGED_FILE, EfficientNetLite0
from .errors import InputError, WeightsWarning
from .weights import checksum, fill, find_weights

__all__ = ["FEATURE_LAYERS", "Backbone", "at_size", "weights_checksums"]

_LAYERS = {
    "vgg16": "features.9",  # block2_pool
    "resnet18": "layer1",
    "mobilenet_v3_small": "features.1",
    "efficientnet_b0": "features.2",
    "efficientnet_lite0": "blocks.2",
}
FEATURE_LAYERS = {
    "vgg16": ("features.9", "features.16", "features.23"),  # block2_pool to block4_pool
    "resnet18": ("layer1", "layer2", "layer3"),
    "mobilenet_v3_small": ("features.1", "features.3", "features.8"),
    "efficientnet_b0": ("features.2", "features.3", "features.5"),
    "efficientnet_lite0": ("blocks.2", "blocks.4", "blocks.10"),
}
"""A layer of stride 4, 8 and 16 each, whose features models reconstruct by default: of VGG16 the pools, else the last."""

_LITE = "efficientnet_lite0"
_ENTRIES = {"vgg16": "IMAGENET1K_FEATURES"}  # the original one of Oxford, as Keras ships it
# The mean colour that Oxford subtracts; torchvision rounds it to 123, 117 and 104.
_MEANS = {"IMAGENET1K_FEATURES": (123.68 / 255, 116.779 / 255, 103.939 / 255)}
_PROBE = 256


class Backbone(nn.Module):
    """The layers of a pretrained network up to one or several of them, frozen, in evaluation mode for good.

    Each layer's features are divided by its ``scale``, the power of two nearest to their root mean square on a
    fixed picture of noise: those of VGG16 reach 10⁴, and no decoder or loss should see such numbers.

    Parameters
    ----------
    name : str
        Of a torchvision classification network: "vgg16", "resnet18", "mobilenet_v3_small",
        "efficientnet_b0", or any other that ``torchvision.models.list_models()`` has; or
        "efficientnet_lite0", whose weights come by pip (the extra ``offline``).
    layer : str or sequence of str, optional
        Where it is cut: a node name such as "features.9" (``get_graph_node_names`` of torchvision
        lists them). The five networks above have a default, all of stride 4. Of several, the features stand
        one after the other at the size of the finest, to which the others are brought bilinearly.
    weights : path, str or None
        "auto": a file in the folder that ``RECON_ANOMALY_WEIGHTS`` names and that is called after
        the network (``vgg16*.safetensors``, ``.pth`` or ``.pt``), else torchvision's own loader, which
        downloads, or for "efficientnet_lite0" the installed package. A path: that file. A name such as
        "IMAGENET1K_V1": torchvision's entry of that name. None: random weights, with a warning.

    Attributes
    ----------
    channels, stride : int
        Of the features: (n, 3, h, w) pictures become (n, channels, h / stride, w / stride), where h
        and w are multiples of ``largest_stride``.
    largest_stride : int
        Of the coarsest layer.
    layer_channels : tuple of int
        Of each layer; together ``channels``.
    source : str or None
        The file or torchvision's entry that the weights came from; None for random ones.

    Raises
    ------
    InputError
        For an unknown network or layer, or one whose map is no power-of-two fraction of the picture.
    WeightsError
        When the weights are nowhere to be found, cannot be read, or do not fit.

    Notes
    -----
    A picture is brought from [0, 1] to what its weights were trained on, with torchvision's means and
    deviations for that entry. ``IMAGENET1K_FEATURES`` wants other ones than most: values of 0 to 255 less
    Oxford's mean colour (123.68, 116.779, 103.939). EfficientNet-Lite0 wants (x - 127) / 128 of values of 0
    to 255. A file counts as the entry whose file name it has, else as the default entry of its network. One
    channel is repeated to three.

    Examples
    --------
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     backbone = Backbone("vgg16", weights=None)
    >>> backbone(torch.rand(1, 1, 32, 32)).shape
    torch.Size([1, 128, 8, 8])
    """

    mean: Tensor
    deviation: Tensor
    scale: Tensor

    def __init__(
        self,
        name: str = "vgg16",
        layer: str | Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = "auto",
    ) -> None:
        super().__init__()
        layers = _layers_of(name, layer)
        cut = _cut(name, layers)
        what = f"{name} at {', '.join(layers)}"
        shapes = _channels_and_strides(cut, what)
        self.layer_channels = tuple(channels for channels, _ in shapes)
        self.channels = sum(self.layer_channels)
        self.stride = min(stride for _, stride in shapes)
        self.largest_stride = max(stride for _, stride in shapes)
        entries = _entries(name)
        if weights is None:
            warnings.warn(
                f"the weights of {name} are random (weights=None): its features have learned nothing",
                WeightsWarning,
                stacklevel=2,
            )
            self.source, entry = None, _default_entry(name, entries)
            cut = _with_random_weights(cut, name, layers)
        else:
            default, known = _default_entry(name, entries), _networks()
            state, self.source, entry = find_weights(name, weights, entries, default, known)
            if name == _LITE:  # its file has underscores that are nobody's business
                state = {
                    key.replace("._", ".").removeprefix("_"): part for key, part in state.items()
                }
            fill(cut, state, f"{name} up to {', '.join(layers)}", self.source)
        self.cut = cut.eval().requires_grad_(False)
        preparation = entry.transforms()
        mean = _MEANS.get(entry.name, preparation.mean)
        for key, values in {"mean": mean, "deviation": preparation.std}.items():
            self.register_buffer(key, torch.tensor(values).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(len(layers)))
        noise = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        for index, features in enumerate(self.maps(noise)):
            size = float(features.square().mean().sqrt())
            if math.isfinite(size) and size > 0:
                self.scale[index] = 2.0 ** round(math.log2(size))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the features of each layer, at its own size; else as ``forward``."""
        if images.shape[1] not in (1, 3):
            raise InputError(
                f"the pictures have {images.shape[1]} channels; a pretrained backbone takes gray ones "
                "(1) or colours (3)"
            )
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            prepared = (images.float() - self.mean) / self.deviation
            found = self.cut(prepared)
            return [found[str(index)] / scale for index, scale in enumerate(self.scale)]

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of ``images``, (n, 1 or 3, h, w) in [0, 1]; always in float32.

        Raises
        ------
        InputError
            For pictures of another number of channels.
        """
        maps = self.maps(images)
        size = max((part.shape[-2:] for part in maps), key=math.prod)
        with torch.no_grad():
            return (
                torch.cat([at_size(part, size) for part in maps], 1) if len(maps) > 1 else maps[0]
            )

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: what is frozen keeps its running statistics, too."""
        return super().train(False)

    def checksum(self) -> str:
        """Return the digest of weights and preparation, the same for whatever file they came from."""
        return checksum(self.state_dict())


def at_size(features: Tensor, size: Sequence[int]) -> Tensor:
    """Bring maps (n, c, h, w) to ``size`` bilinearly, or leave them as they are.

    Examples
    --------
    >>> at_size(torch.ones(1, 2, 3, 3), (6, 6)).shape
    torch.Size([1, 2, 6, 6])
    """
    if features.shape[-2:] == torch.Size(size):
        return features
    return F.interpolate(features, tuple(size), mode="bilinear", align_corners=False)


def weights_checksums(network: nn.Module) -> dict[str, str]:
    """Return the checksum of each pretrained backbone in ``network``, by its name there."""
    return {
        name: module.checksum()
        for name, module in network.named_modules()
        if isinstance(module, Backbone) and module.source is not None
    }


def _layers_of(name: str, layer: str | Sequence[str] | None) -> tuple[str, ...]:
    if name not in _networks():
        raise InputError(
            f"backbone={name!r} is no torchvision network; known are, among others: {', '.join(_LAYERS)}"
        )
    if not layer:
        if name not in _LAYERS:
            raise InputError(
                f"backbone {name!r} has no default layer; say layer=NODE to cut it there"
            )
        return (_LAYERS[name],)
    layers = (layer,) if isinstance(layer, str) else tuple(layer)
    if len(set(layers)) < len(layers):
        raise InputError(f"layer={list(layers)} names a layer twice; each is wanted once")
    return layers


def _cut(name: str, layers: Sequence[str], device: str = "meta") -> nn.Module:
    """Return the layers up to the last, by default without weights: VGG16 would take half a gigabyte."""
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor

    with torch.device(device):
        whole = (
            EfficientNetLite0() if name == _LITE else models.get_model(name, weights=None)
        ).eval()
    try:
        nodes = {layer: str(index) for index, layer in enumerate(layers)}
        cut: nn.Module = create_feature_extractor(whole, nodes)
    except ValueError as error:
        known = [part for part, module in whole.named_modules() if part.count(".") <= 1 and part]
        raise InputError(
            f"{name} has no layer {' or '.join(map(repr, layers))}; some that it has: "
            f"{', '.join(known[:20])}"
        ) from error
    return cut


def _channels_and_strides(cut: nn.Module, what: str) -> list[tuple[int, int]]:
    try:
        found = cut(torch.empty((1, 3, _PROBE, _PROBE), device="meta"))
        shapes = [found[str(index)].shape for index in range(len(found))]
    except Exception as error:  # networks of one size of picture say so in their own ways
        raise InputError(
            f"{what} cannot be run on a picture of {_PROBE}x{_PROBE} ({error}); take another backbone"
        ) from error
    channels_and_strides = []
    for shape in shapes:
        stride = _PROBE // shape[-1] if len(shape) == 4 else 0
        if not stride or shape[2:] != (_PROBE // stride,) * 2 or stride & (stride - 1):
            raise InputError(
                f"{what} makes {tuple(shape)} of a picture of {_PROBE}x{_PROBE}; wanted is a map (n, channels, "
                "h, w) that is a half, a quarter, an eighth … of the picture; cut at another layer"
            )
        channels_and_strides.append((int(shape[1]), int(stride)))
    return channels_and_strides


def _with_random_weights(cut: nn.Module, name: str, layers: Sequence[str]) -> nn.Module:
    """Draw the weights of the cut alone where that is possible, else those of the whole network."""
    if any(
        not hasattr(module, "reset_parameters")
        and (*module.parameters(recurse=False), *module.buffers(recurse=False))
        for module in cut.modules()
    ):
        return _cut(name, layers, "cpu")
    cut = cut.to_empty(device="cpu")
    for module in cut.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return cut


def _networks() -> list[str]:
    """Return the names of torchvision's classification networks, and the one that it lacks."""
    from torchvision import models

    return [*models.list_models(module=models), _LITE]


def _entries(name: str) -> Any:
    """Return torchvision's enumeration of the weights of a network, or one of its kind."""
    from torchvision.models import Weights, WeightsEnum, get_model_weights

    if name != _LITE:
        return get_model_weights(name)
    preparation = partial(SimpleNamespace, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    packaged = Weights(PACKAGED_FILE, preparation, {"package": PACKAGE})
    return WeightsEnum(
        "EfficientNet_Lite0_Weights", {"IMAGENET1K_V1": packaged, "DEFAULT": packaged}
    )


def _default_entry(name: str, entries: Any) -> Any:
    return entries[_ENTRIES.get(name, "DEFAULT")]
