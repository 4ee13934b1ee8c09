"""Backbones for anomalib: which maps of which network, and the weights of a file, so that features can be the same.

anomalib builds a backbone by timm, from its name, or taps any module at named nodes. Networks of timm are built without
weights, and filled from the file; VGG16 is a module, since timm taps it before each pooling and this library behind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

STRIDES = {"padim": (4, 8, 16), "patchcore": (8, 16), "fre": (16,)}
"""Strides of the maps that each model takes of a ResNet by default: layers 1 to 3, 2 and 3, 3."""

TIMM = {"efficientnet_lite0": "tf_efficientnet_lite0"}
"""What timm calls a network."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OXFORD = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)

TORCHVISIONS = "vgg16-397923af"
"""The file of the VGG16 that torchvision trained itself; all others count as Oxford's."""

POOLS = {4: 10, 8: 17, 16: 24}
"""How many layers of torchvision's VGG16 lead up to the pooling of each stride, that one included."""

BLOCKS = (1, 2, 2, 3, 3, 4, 1)
"""How many blocks EfficientNet-lite0 has in each stage."""

Preparation = tuple[tuple[float, ...], tuple[float, ...]]


class Backbone(NamedTuple):
    """What anomalib is given.

    Attributes
    ----------
    network : str or Module
        A name of timm, or a module.
    layers : list
        Places of the maps in timm's list of them, or names of nodes of the module.
    state : mapping or None
        What `fill` puts into the network that timm built.
    mean, deviation : tuple of float
        What pictures in [0, 1] are brought to.
    note : str
        What differs from anomalib's default maps.
    """

    network: Any
    layers: list[Any]
    state: Mapping[str, Tensor] | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    note: str


def build(method: str, name: str, weights: str | None) -> Backbone:
    """Return a backbone for one of the models of `STRIDES`; without a file its weights are random."""
    state = None if weights is None else read(Path(weights))
    preparation = preparation_of(name, weights)
    if name == "vgg16":
        network = Vgg16(STRIDES[method], state, preparation)
        nodes = [f"taps.{place}" for place in range(len(network.taps))]
        return Backbone(network, nodes, None, *preparation, network.note)
    if name == "efficientnet_lite0" and state is not None:
        state = {name_of_timm(key): value for key, value in state.items()}
    places = [stride.bit_length() - 2 for stride in STRIDES[method]]  # timm's first is of stride 2
    return Backbone(TIMM.get(name, name), places, state, *preparation, "")


def preparation_of(name: str, weights: str | None) -> Preparation:
    """Return the mean and deviation that the weights were trained with."""
    if name == "vgg16":
        return IMAGENET if weights and Path(weights).stem == TORCHVISIONS else OXFORD
    return LITE if name == "efficientnet_lite0" else IMAGENET


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file of weights."""
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put weights into a network that timm built, all that it has; others of the file are not looked at."""
    wanted = network.state_dict()
    lacking = [
        key for key in wanted if key not in state and not key.endswith("num_batches_tracked")
    ]
    if lacking:
        raise ValueError(f"the file of weights lacks {', '.join(lacking[:5])}")
    network.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def name_of_timm(key: str) -> str:
    """Return what timm calls a tensor of efficientnet_lite_pytorch; timm's own names stay as they are."""
    if key.startswith("_blocks."):
        _, number, layer, *rest = key.split(".")
        stage, place = divided(int(number))
        return ".".join(["blocks", str(stage), str(place), _layer_of_timm(layer, stage), *rest])
    for theirs, timms in (("_conv_stem.", "conv_stem."), ("_bn0.", "bn1.")):
        if key.startswith(theirs):
            return timms + key.removeprefix(theirs)
    return key


def divided(number: int) -> tuple[int, int]:
    """Return the stage of a block of EfficientNet-lite0, and its place there."""
    for stage, blocks in enumerate(BLOCKS):
        if number < blocks:
            return stage, number
        number -= blocks
    raise ValueError(f"EfficientNet-lite0 has {sum(BLOCKS)} blocks, the file has more")


def _layer_of_timm(layer: str, stage: int) -> str:
    # The blocks of the first stage do not expand, and timm counts from what a block begins with.
    if stage == 0:
        names = {"_project_conv": "conv_pw", "_bn1": "bn1", "_bn2": "bn2"}
    else:
        names = {"_expand_conv": "conv_pw", "_project_conv": "conv_pwl"}
        names |= {"_bn0": "bn1", "_bn1": "bn2", "_bn2": "bn3"}
    return ({"_depthwise_conv": "conv_dw"} | names)[layer]


class Divided(nn.Module):
    """Divides a map by a number."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return images / self.scale


class Vgg16(nn.Module):
    """VGG16 up to the last pooling that is tapped; maps are divided by a power of two, as this library does it.

    A file that ends before the strides that are wanted is tapped at its last pooling, and that map is averaged
    over squares to the first of those strides. What anomalib adds to a covariance, and its learning rates, suit
    features near 1, while VGG16's reach 10⁴.

    Parameters
    ----------
    strides : sequence of int
        What is wanted, ascending.
    state : mapping or None
        Tensors by torchvision's names.
    preparation : Preparation
        Of the pictures, to find the powers of two on noise.
    """

    def __init__(
        self,
        strides: tuple[int, ...],
        state: Mapping[str, Tensor] | None,
        preparation: Preparation,
    ) -> None:
        super().__init__()
        held = [
            stride
            for stride, layers in POOLS.items()
            if state is None or f"features.{layers - 3}.weight" in state  # the last convolution
        ]
        if not held:
            raise ValueError(f"the file holds no VGG16 up to a pooling of stride {min(POOLS)}")
        tapped = [stride for stride in strides if stride in held] or held[-1:]
        averaged = max(1, strides[0] // tapped[0])
        self.note = "at stride " + ", ".join(map(str, tapped))
        if averaged > 1:
            self.note += f", averaged to {strides[0]}"
        ends = [POOLS[stride] for stride in tapped]
        layers = make_layers(cfgs["D"], batch_norm=False)[: ends[-1]]
        if state is None:
            for layer in layers:
                if isinstance(layer, nn.Conv2d):  # as torchvision draws them
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                    nn.init.zeros_(layer.bias)
        else:
            layers.load_state_dict({key: state[f"features.{key}"] for key in layers.state_dict()})
        self.parts = nn.ModuleList(layers[a:b] for a, b in itertools.pairwise([0, *ends]))
        self.taps = nn.ModuleList(nn.Sequential(nn.AvgPool2d(averaged), Divided()) for _ in ends)
        mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in preparation)
        noise = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            maps = self((noise - mean) / deviation)
        for tap, found in zip(self.taps, maps, strict=True):
            tap[1].scale.fill_(2.0 ** round(math.log2(float(found.square().mean().sqrt()))))

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = []
        for part, tap in zip(self.parts, self.taps, strict=True):
            images = part(images)
            maps.append(tap(images))
        return maps
