"""EfficientNet-Lite0 is the network whose weights the package brings."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from recon_anomaly.backbones import Backbone
from recon_anomaly.efficientnet_lite import PACKAGE, PACKAGED_FILE, EfficientNetLite0
from recon_anomaly.errors import WeightsError
from recon_anomaly.weights import FOLDER


@pytest.fixture(scope="module")
def state():
    """The tensors of the package's file, under the names of the file."""
    place = Path(find_spec(PACKAGE).submodule_search_locations[0])
    return torch.load(place / PACKAGED_FILE, weights_only=True)


@pytest.fixture
def alone(monkeypatch):
    """No folder of weights."""
    monkeypatch.delenv(FOLDER, raising=False)


def ours(state):
    network = EfficientNetLite0().eval()
    own = {name.replace("._", ".").removeprefix("_"): tensor for name, tensor in state.items()}
    network.load_state_dict({name: own[name] for name in network.state_dict()})
    return network


def test_the_features_are_those_of_another_implementation(state):
    """With the package's weights every stage equals an independent implementation of the network."""
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    seen = []
    for block in theirs._blocks:
        block.register_forward_hook(lambda module, given, made: seen.append(made))
    with torch.no_grad():
        theirs.extract_features(images)
        network = ours(state)
        made = torch.nn.functional.relu6(network.bn0(network.conv_stem(images)))
        for block, wanted in zip(network.blocks, seen, strict=True):
            made = block(made)
            torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-4)
    assert len(seen) == 16


def test_maps_of_every_even_size_are_halved(state):
    """A picture of 64 x 96 becomes a map of 2 x 3, as it does at 224 pixels."""
    with torch.no_grad():
        assert ours(state)(torch.rand(1, 3, 64, 96)).shape == (1, 320, 2, 3)


@pytest.mark.usefixtures("alone")
def test_the_weights_are_found_in_the_package(state):
    """Where no folder has them, the installed package's file is read, and named as the source."""
    backbone = Backbone("efficientnet_lite0")
    assert backbone.source == f"the package {PACKAGE}"
    assert (backbone.channels, backbone.stride) == (24, 4)
    torch.testing.assert_close(
        backbone.cut.state_dict()["blocks.2.project_conv.weight"],
        state["_blocks.2._project_conv.weight"],
    )


@pytest.mark.usefixtures("alone")
def test_pictures_are_prepared_as_its_authors_did():
    """A gray level of 127 becomes 0, and 255 becomes 1."""
    backbone = Backbone("efficientnet_lite0")
    levels = torch.tensor([127.0, 255.0]) / 255
    prepared = (levels - backbone.mean[0, 0]) / backbone.deviation[0, 0]
    torch.testing.assert_close(prepared.flatten(), torch.tensor([0.0, 1.0]), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("alone")
def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    """Nothing is downloaded: the message names the extra and the other way."""
    monkeypatch.setattr("recon_anomaly.weights.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"recon-anomaly\[offline\].*weights=PATH"):
        Backbone("efficientnet_lite0")


def test_a_file_of_a_folder_comes_first(monkeypatch, tmp_path, state):
    """A file called after the network in the folder of weights is taken before the package's."""
    path = tmp_path / "efficientnet_lite0.pth"
    torch.save(state, path)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert Backbone("efficientnet_lite0").source == str(path)
