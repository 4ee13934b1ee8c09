"""Frozen first parts of pretrained torchvision networks, cut at a named layer.

The only module that imports torchvision, and only when a backbone is built.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError, WeightsWarning
from .weights import checksum, fill, find_weights

__all__ = ["Backbone", "weights_checksums"]

_LAYERS = {
    "vgg16": "features.9",  # block2_pool
    "resnet18": "layer1",
    "mobilenet_v3_small": "features.1",
    "efficientnet_b0": "features.2",
}
_ENTRIES = {"vgg16": "IMAGENET1K_FEATURES"}  # the original one of Oxford, as Keras ships it
# The mean colour that Oxford subtracts; torchvision rounds it to 123, 117 and 104.
_MEANS = {"IMAGENET1K_FEATURES": (123.68 / 255, 116.779 / 255, 103.939 / 255)}
_PROBE = 256


class Backbone(nn.Module):
    """The layers of a torchvision network up to one of them, frozen, in evaluation mode for good.

    Its features are divided by ``scale``, the power of two nearest to their root mean square on a
    fixed picture of noise: those of VGG16 reach 10⁴, and no decoder or loss should see such numbers.

    Parameters
    ----------
    name : str
        Of a torchvision classification network: "vgg16", "resnet18", "mobilenet_v3_small",
        "efficientnet_b0", or any other that ``torchvision.models.list_models()`` has.
    layer : str, optional
        Where it is cut: a node name such as "features.9" (``get_graph_node_names`` of torchvision
        lists them). The four networks above have a default, all of stride 4.
    weights : path, str or None
        "auto": a file in the folder that ``RECON_ANOMALY_WEIGHTS`` names and that is called after
        the network (``vgg16*.safetensors``, ``.pth`` or ``.pt``), else torchvision's own loader, which
        downloads. A path: that file. A name such as "IMAGENET1K_V1": torchvision's entry of
        that name. None: random weights, with a warning.

    Attributes
    ----------
    channels, stride : int
        Of the features: (n, 3, h, w) pictures become (n, channels, h / stride, w / stride), where h
        and w are multiples of the stride.
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
    Oxford's mean colour (123.68, 116.779, 103.939). A file counts as the entry whose file name it has, else as the default entry of its network. One
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
        layer: str | None = None,
        weights: str | os.PathLike[str] | None = "auto",
    ) -> None:
        super().__init__()
        cut = _cut(name, layer)
        self.channels, self.stride = _channels_and_stride(cut, f"{name} at {layer}")
        entries = _entries(name)
        if weights is None:
            warnings.warn(
                f"the weights of {name} are random (weights=None): its features have learned nothing",
                WeightsWarning,
                stacklevel=2,
            )
            self.source, entry = None, _default_entry(name, entries)
            cut = _with_random_weights(cut, name, layer)
        else:
            default, known = _default_entry(name, entries), _networks()
            state, self.source, entry = find_weights(name, weights, entries, default, known)
            fill(cut, state, f"{name} up to {layer or _LAYERS.get(name)}", self.source)
        self.cut = cut.eval().requires_grad_(False)
        preparation = entry.transforms()
        mean = _MEANS.get(entry.name, preparation.mean)
        for what, values in {"mean": mean, "deviation": preparation.std}.items():
            self.register_buffer(what, torch.tensor(values).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(()))
        noise = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        size = float(self(noise).square().mean().sqrt())
        if math.isfinite(size) and size > 0:
            self.scale.fill_(2.0 ** round(math.log2(size)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of ``images``, (n, 1 or 3, h, w) in [0, 1]; always in float32.

        Raises
        ------
        InputError
            For pictures of another number of channels.
        """
        if images.shape[1] not in (1, 3):
            raise InputError(
                f"the pictures have {images.shape[1]} channels; a pretrained backbone takes gray ones "
                "(1) or colours (3)"
            )
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            prepared = (images.float() - self.mean) / self.deviation
            features: Tensor = self.cut(prepared)["features"] / self.scale
        return features

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: what is frozen keeps its running statistics, too."""
        return super().train(False)

    def checksum(self) -> str:
        """Return the digest of weights and preparation, the same for whatever file they came from."""
        return checksum(self.state_dict())


def weights_checksums(network: nn.Module) -> dict[str, str]:
    """Return the checksum of each pretrained backbone in ``network``, by its name there."""
    return {
        name: module.checksum()
        for name, module in network.named_modules()
        if isinstance(module, Backbone) and module.source is not None
    }


def _cut(name: str, layer: str | None, device: str = "meta") -> nn.Module:
    """Return the layers up to ``layer``, by default without weights: VGG16 would take half a gigabyte."""
    from torchvision import models
    from torchvision.models.feature_extraction import create_feature_extractor

    if name not in _networks():
        raise InputError(
            f"backbone={name!r} is no torchvision network; known are, among others: {', '.join(_LAYERS)}"
        )
    layer = layer or _LAYERS.get(name)
    if layer is None:
        raise InputError(f"backbone {name!r} has no default layer; say layer=NODE to cut it there")
    with torch.device(device):
        whole = models.get_model(name, weights=None).eval()
    try:
        cut: nn.Module = create_feature_extractor(whole, {layer: "features"})
    except ValueError as error:
        known = [part for part, module in whole.named_modules() if part.count(".") <= 1 and part]
        raise InputError(
            f"{name} has no layer {layer!r}; some that it has: {', '.join(known[:20])}"
        ) from error
    return cut


def _channels_and_stride(cut: nn.Module, what: str) -> tuple[int, int]:
    try:
        shape = cut(torch.empty((1, 3, _PROBE, _PROBE), device="meta"))["features"].shape
    except Exception as error:  # networks of one size of picture say so in their own ways
        raise InputError(
            f"{what} cannot be run on a picture of {_PROBE}x{_PROBE} ({error}); take another backbone"
        ) from error
    stride = _PROBE // shape[-1] if len(shape) == 4 else 0
    if not stride or shape[2:] != (_PROBE // stride,) * 2 or stride & (stride - 1):
        raise InputError(
            f"{what} makes {tuple(shape)} of a picture of {_PROBE}x{_PROBE}; wanted is a map (n, channels, "
            "h, w) that is a half, a quarter, an eighth … of the picture; cut at another layer"
        )
    return int(shape[1]), int(stride)


def _with_random_weights(cut: nn.Module, name: str, layer: str | None) -> nn.Module:
    """Draw the weights of the cut alone where that is possible, else those of the whole network."""
    if any(
        not hasattr(module, "reset_parameters")
        and (*module.parameters(recurse=False), *module.buffers(recurse=False))
        for module in cut.modules()
    ):
        return _cut(name, layer, "cpu")
    cut = cut.to_empty(device="cpu")
    for module in cut.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return cut


def _networks() -> list[str]:
    """Return the names of torchvision's classification networks."""
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def _entries(name: str) -> Any:
    """Return torchvision's enumeration of the weights of a network."""
    from torchvision.models import get_model_weights

    return get_model_weights(name)


def _default_entry(name: str, entries: Any) -> Any:
    return entries[_ENTRIES.get(name, "DEFAULT")]
