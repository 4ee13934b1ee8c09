"""Backbones: the right features, and weights that are found, checked and named."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models

from recon_anomaly.backbones import Backbone, weights_checksums
from recon_anomaly.errors import InputError, WeightsError, WeightsWarning
from recon_anomaly.randomness import seeded
from recon_anomaly.weights import FOLDER, checksum, is_missing_file

NAMES = {"vgg16": 128, "resnet18": 64, "mobilenet_v3_small": 16, "efficientnet_b0": 24}
USUAL = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
OXFORD = [123.68 / 255, 116.779 / 255, 103.939 / 255], [1 / 255] * 3
random_weights = pytest.mark.filterwarnings("ignore:the weights of .* are random")


class Downloads:
    """Stands in for the network: it has what is put here by file name, and notes what is asked for."""

    def __init__(self):
        self.files = {}
        self.asked = []

    def __call__(self, url, dst, hash_prefix=None, progress=True):
        self.asked.append(url.rpartition("/")[2])
        if self.asked[-1] not in self.files:
            raise URLError("no route to host")
        torch.save(self.files[self.asked[-1]], dst)


@pytest.fixture(autouse=True)
def downloads(monkeypatch, tmp_path):
    """No folder of weights, an empty cache of torch's, and no network."""
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    network = Downloads()
    monkeypatch.setattr(torch.hub, "download_url_to_file", network)
    return network


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder of weights that the environment names."""
    place = tmp_path / "weights"
    place.mkdir()
    monkeypatch.setenv(FOLDER, str(place))
    return place


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def state():
    """Weights of ResNet18 up to layer1, drawn at random."""
    return drawn("resnet18")


def drawn(name="resnet18", layer=None, seed=0):
    with seeded(torch.device("cpu"), seed), pytest.warns(WeightsWarning, match="are random"):
        return Backbone(name, layer, weights=None).cut.state_dict()


def write(tensors, path):
    """Save tensors by what the file is called, and return its path."""
    if path.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


def preparation(backbone):
    return backbone.mean.flatten().tolist(), backbone.deviation.flatten().tolist()


# Features ----------------------------------------------------------------------------------------


def independent(state, images, mean, deviation):
    """What VGG16 makes of pictures at block2_pool, by torchvision's network itself."""
    whole = models.vgg.make_layers(models.vgg.cfgs["D"][:6]).eval()  # vgg16().features[:10]
    whole.load_state_dict({name.removeprefix("features."): part for name, part in state.items()})
    mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (mean, deviation))
    with torch.no_grad():
        return whole((images - mean) / deviation)


def test_the_features_of_vgg16_are_torchvisions(drawn_weights, images):
    """They are what vgg16().features[:10] makes of prepared pictures, over the scale."""
    backbone = Backbone("vgg16", weights=drawn_weights)
    wanted = independent(load_file(drawn_weights), images, *OXFORD)
    torch.testing.assert_close(backbone(images) * backbone.scale, wanted)
    assert backbone(images).shape == (2, 128, 4, 6)


def test_real_weights_give_the_features_of_the_original_network(real_weights, images):
    """With the weights of Oxford, block2_pool is what VGG16 makes of pictures less Oxford's mean colour."""
    path = real_weights / "vgg16_block1to2.safetensors"
    backbone = Backbone("vgg16", weights=path)
    wanted = independent(load_file(path), images, *OXFORD)
    torch.testing.assert_close(backbone(images) * backbone.scale, wanted)
    assert wanted.max() > 1000
    assert 0.25 < float(backbone(images).square().mean().sqrt()) < 4


@random_weights
@pytest.mark.parametrize("name", NAMES)
def test_the_default_cuts_are_of_stride_four(name):
    """Each of the four networks is cut at a quarter of the picture, with its own channels."""
    backbone = Backbone(name, weights=None)
    assert (backbone.channels, backbone.stride) == (NAMES[name], 4)
    found = backbone(torch.rand(2, 3, 20, 32))
    assert found.shape == (2, NAMES[name], 5, 8)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert float(found.std()) > 0


@random_weights
def test_another_layer_is_another_cut():
    """ResNet18 at layer2 has stride 8, and the tensors of later layers are not there."""
    backbone = Backbone("resnet18", "layer2", None)
    assert (backbone.channels, backbone.stride) == (128, 8)
    assert backbone(torch.rand(1, 3, 16, 24)).shape == (1, 128, 2, 3)
    parts = {name.split(".")[0] for name in backbone.cut.state_dict()}
    assert parts == {"conv1", "bn1", "layer1", "layer2"}


def test_every_layer_of_the_cut_counts(state, images, tmp_path):
    """ResNet18 up to layer1 equals its own layers, called one by one."""
    whole = models.resnet18(weights=None).eval()
    whole.load_state_dict(state, strict=False)
    mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in USUAL)
    with torch.no_grad():
        made = whole.maxpool(whole.relu(whole.bn1(whole.conv1((images - mean) / deviation))))
        wanted = whole.layer1(made)
    backbone = Backbone("resnet18", weights=write(state, tmp_path / "a.pth"))
    torch.testing.assert_close(backbone(images) * backbone.scale, wanted)


def test_gray_is_three_equal_channels(drawn_weights, images):
    """One channel gives the bits of three equal ones."""
    backbone = Backbone("vgg16", weights=drawn_weights)
    gray = images[:, :1]
    assert torch.equal(backbone(gray), backbone(gray.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels, drawn_weights):
    """No picture of two or four channels is broadcast or cut."""
    backbone = Backbone("vgg16", weights=drawn_weights)
    with pytest.raises(InputError, match=rf"have {channels} channels; .* \(1\) or colours \(3\)"):
        backbone(torch.rand(1, channels, 8, 8))


def test_the_scale_is_a_power_of_two(drawn_weights, tmp_path):
    """It is the one nearest to the size of the features, so that dividing by it loses no bit."""
    tensors = load_file(drawn_weights)
    scales = {}
    for factor in (1.0, 1000.0):
        tensors["features.7.weight"] = tensors["features.7.weight"] * factor
        tensors["features.7.bias"] = tensors["features.7.bias"] * factor
        backbone = Backbone("vgg16", weights=write(tensors, tmp_path / "a.safetensors"))
        scales[factor] = float(backbone.scale)
        noise = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
        size = float(backbone(noise).square().mean().sqrt())
        assert 2**-0.5 <= size <= 2**0.5
        assert np.log2(scales[factor]) % 1 == 0
    assert scales[1000.0] in (512 * scales[1.0], 1024 * scales[1.0])


def test_features_that_are_all_zero_are_not_scaled(drawn_weights, tmp_path):
    """A last layer without weights leaves the scale at 1, and no feature becomes NaN."""
    tensors = load_file(drawn_weights)
    for part in ("weight", "bias"):
        tensors[f"features.7.{part}"] = torch.zeros_like(tensors[f"features.7.{part}"])
    backbone = Backbone("vgg16", weights=write(tensors, tmp_path / "a.safetensors"))
    assert float(backbone.scale) == 1
    assert not backbone(torch.rand(1, 3, 8, 8)).any()


def test_a_backbone_is_frozen_for_good(state, images, tmp_path):
    """It stays in evaluation mode and has no gradients; running statistics do not move."""
    backbone = Backbone("resnet18", weights=write(state, tmp_path / "a.pth"))
    network = nn.Sequential(backbone, nn.Conv2d(64, 1, 1)).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    assert network.training
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    network(images).sum().backward()
    assert not backbone(images.requires_grad_()).requires_grad
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_features_are_float32_under_autocast(drawn_weights, images):
    """A caller inside autocast, or with half-precision pictures, gets the same features."""
    backbone = Backbone("vgg16", weights=drawn_weights)
    wanted = backbone(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = backbone(images)
    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    assert backbone(images.half()).dtype == torch.float32


def test_building_draws_nothing_where_weights_are_given(drawn_weights):
    """The picture of noise that decides the scale has a generator of its own."""
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Backbone("vgg16", weights=drawn_weights)
    assert torch.equal(torch.get_rng_state(), before)


@random_weights
def test_random_weights_follow_torchs_seed():
    """weights=None draws from torch's generator: the same seed gives the same bits, another others."""

    def build(seed):
        with seeded(torch.device("cpu"), seed):
            return Backbone("resnet18", weights=None)

    first, again, other = build(0), build(0), build(1)
    assert first.checksum() == again.checksum() != other.checksum()
    assert first.source is None


@random_weights
def test_networks_with_parts_of_their_own_can_be_drawn_at_random():
    """ConvNeXt has parameters outside torch's own layers; a self-contained file of it needs no weights."""
    backbone = Backbone("convnext_tiny", "features.1", None)
    assert (backbone.channels, backbone.stride) == (96, 4)
    assert float(backbone(torch.rand(1, 1, 8, 8)).std()) > 0
    assert not any(tensor.is_meta for tensor in backbone.state_dict().values())


def test_random_weights_are_warned_of():
    """The warning says that the features have learned nothing."""
    with pytest.warns(WeightsWarning, match=r"weights of resnet18 are random .*learned nothing"):
        Backbone("resnet18", weights=None)


# Cuts that cannot be -----------------------------------------------------------------------------


@random_weights
@pytest.mark.parametrize(
    ("name", "layer", "words"),
    [
        ("resnet99", None, "backbone='resnet99' is no torchvision network.*vgg16, resnet18"),
        ("fcn_resnet50", "backbone", "'fcn_resnet50' is no torchvision network"),
        ("resnet18", "layer9", "resnet18 has no layer 'layer9'; some that it has: .*layer1"),
        ("vgg16", "features.99", r"vgg16 has no layer 'features\.99'; .*features\.9"),
        ("alexnet", None, "'alexnet' has no default layer; say layer="),
        ("vgg16", "classifier.0", r"vgg16 at classifier\.0 makes \(1, 4096\) of .* 256x256"),
        ("vgg16", "avgpool", r"vgg16 at avgpool makes \(1, 512, 7, 7\) of .* 256x256"),
        ("alexnet", "features.2", r"alexnet at features\.2 makes \(1, 64, 31, 31\)"),
        ("vit_b_16", "encoder", "vit_b_16 at encoder cannot be run on a picture of 256x256"),
        ("swin_t", "features.1", r"swin_t at features\.1 makes \(1, 64, 64, 96\)"),
    ],
)
def test_a_cut_that_cannot_be_is_refused(name, layer, words):
    """An unknown network or layer, or one that makes no map of a half, a quarter, …, is named."""
    with pytest.raises(InputError, match=words):
        Backbone(name, layer, weights=None)


# Where weights are looked for --------------------------------------------------------------------


def test_a_path_beats_the_folder_and_the_folder_beats_torchvision(state, folder, downloads):
    """The source says which it was, and nothing is downloaded while there is a file."""
    other = {name: tensor + 1 for name, tensor in state.items()}
    named = write(other, folder.parent / "mine.safetensors")
    place = write(state, folder / "resnet18.safetensors")
    by_path = Backbone("resnet18", weights=named)
    by_folder = Backbone("resnet18")
    assert by_path.source == str(named)
    assert by_folder.source == str(place)
    assert torch.equal(by_path.cut.conv1.weight, other["conv1.weight"])
    assert torch.equal(by_folder.cut.conv1.weight, state["conv1.weight"])
    assert downloads.asked == []


def test_without_a_file_torchvision_is_asked(state, folder, downloads):
    """The default entry is downloaded, which is warned of, and then found in torch's cache."""
    downloads.files["resnet18-f37072fd.pth"] = state
    with pytest.warns(
        WeightsWarning, match=r"downloads ResNet18_Weights\.IMAGENET1K_V1, 45 MB, to"
    ):
        first = Backbone("resnet18")
    assert downloads.asked == ["resnet18-f37072fd.pth"]
    again = Backbone("resnet18")
    assert downloads.asked == ["resnet18-f37072fd.pth"]
    assert first.source == again.source == "torchvision's ResNet18_Weights.IMAGENET1K_V1"
    assert first.checksum() == again.checksum()
    assert torch.equal(again.cut.conv1.weight, state["conv1.weight"])


def test_a_download_leaves_stdout_to_the_data(state, downloads, capsys):
    """What torch says while it downloads goes to stderr."""
    downloads.files["resnet18-f37072fd.pth"] = state
    with pytest.warns(WeightsWarning, match="downloads"):
        Backbone("resnet18")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "resnet18-f37072fd.pth" in captured.err


def test_vgg16_is_by_default_the_original_one(drawn_weights, downloads):
    """Its default entry is IMAGENET1K_FEATURES, with the preparation that belongs to it."""
    downloads.files["vgg16_features-amdegroot-88682ab5.pth"] = load_file(drawn_weights)
    with pytest.warns(WeightsWarning, match=r"VGG16_Weights\.IMAGENET1K_FEATURES"):
        backbone = Backbone()
    assert backbone.source == "torchvision's VGG16_Weights.IMAGENET1K_FEATURES"
    assert preparation(backbone) == tuple(map(pytest.approx, OXFORD))


def test_the_name_of_an_entry_asks_for_that_one(drawn_weights, downloads):
    """IMAGENET1K_V1 of VGG16 is downloaded by its own name and has the usual preparation."""
    downloads.files["vgg16-397923af.pth"] = load_file(drawn_weights)
    with pytest.warns(WeightsWarning, match=r"VGG16_Weights\.IMAGENET1K_V1"):
        backbone = Backbone("vgg16", weights="IMAGENET1K_V1")
    assert downloads.asked == ["vgg16-397923af.pth"]
    assert preparation(backbone) == tuple(map(pytest.approx, USUAL))


def test_the_name_of_an_entry_passes_by_other_files(drawn_weights, folder, downloads):
    """In the folder, only a file that is called as the entry's own counts as it."""
    tensors = load_file(drawn_weights)
    write(tensors, folder / "vgg16_mine.safetensors")
    with (
        pytest.warns(WeightsWarning, match="downloads"),
        pytest.raises(WeightsError, match=r"vgg16-397923af\.pth"),
    ):
        Backbone("vgg16", weights="IMAGENET1K_V1")
    path = write(tensors, folder / "vgg16-397923af.pth")
    backbone = Backbone("vgg16", weights="IMAGENET1K_V1")
    assert backbone.source == str(path)
    assert preparation(backbone) == tuple(map(pytest.approx, USUAL))
    assert downloads.asked == ["vgg16-397923af.pth"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vgg16-397923af.pth", USUAL),
        ("vgg16-397923af.safetensors", USUAL),
        ("vgg16_features-amdegroot-88682ab5.pth", OXFORD),
        ("vgg16-block1to2.pth", OXFORD),
        ("mine.pth", OXFORD),
    ],
)
def test_a_files_name_decides_its_preparation(name, wanted, drawn_weights, tmp_path):
    """A file that is called as torchvision's has that entry's means; any other those of the default."""
    path = write(load_file(drawn_weights), tmp_path / name)
    assert preparation(Backbone("vgg16", weights=path)) == tuple(map(pytest.approx, wanted))


def test_a_file_in_the_folder_is_found_by_the_network_s_name(drawn_weights, folder):
    """vgg16_bn… is not VGG16's; text files and other networks' weights are passed by."""
    tensors = load_file(drawn_weights)
    for name in ("vgg16_bn-6c64b313.pth", "resnet18.pth", "my-vgg16.pth"):
        write({"wrong": torch.zeros(1)}, folder / name)
    (folder / "vgg16.txt").write_text("notes")
    path = write(tensors, folder / "vgg16_block1to2.safetensors")
    assert Backbone("vgg16").source == str(path)


def test_two_files_of_one_network_are_an_error(state, folder):
    """Both are named; nothing is chosen by chance."""
    write(state, folder / "resnet18-a.pth")
    write(state, folder / "resnet18-b.safetensors")
    words = r"several weights of resnet18: resnet18-a\.pth, resnet18-b\.safetensors; say weights="
    with pytest.raises(WeightsError, match=words):
        Backbone("resnet18")


def test_a_folder_that_is_none_is_an_error(tmp_path, monkeypatch):
    """A slip in the environment is not passed over."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(WeightsError, match=r"RECON_ANOMALY_WEIGHTS is '.*nowhere'.* not a folder"):
        Backbone("resnet18")


def test_offline_the_error_says_how_to_bring_the_file(downloads):
    """It names the entry, the cause, the address, and both ways to give a file."""
    with (
        pytest.warns(WeightsWarning, match="downloads"),
        pytest.raises(WeightsError) as caught,
    ):
        Backbone("vgg16")
    for words in (
        "VGG16_Weights.IMAGENET1K_FEATURES",
        "no route to host",
        "models/vgg16_features-amdegroot-88682ab5.pth",
        "weights=PATH",
        "RECON_ANOMALY_WEIGHTS=",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "mine.bin", "", "Auto"])
def test_what_is_neither_file_nor_entry_is_refused(weights):
    """The message lists endings and entries."""
    words = rf"weights='{weights}' is neither .*\.safetensors, \.pth.*resnet18: IMAGENET1K_V1"
    with pytest.raises(WeightsError, match=words):
        Backbone("resnet18", weights=weights)


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["pth", "pt"])
def test_the_kind_of_file_does_not_count(ending, state, images, tmp_path):
    """The same tensors as safetensors and by torch.save give one checksum and the same features."""
    first = Backbone("resnet18", weights=write(state, tmp_path / "a.safetensors"))
    second = Backbone("resnet18", weights=write(state, tmp_path / f"b.{ending}"))
    assert first.checksum() == second.checksum()
    assert torch.equal(first(images), second(images))


def test_the_checksum_tells_weights_and_preparation_apart(drawn_weights, tmp_path):
    """One number changed, or another entry's means, is another checksum."""
    tensors = load_file(drawn_weights)
    plain = Backbone("vgg16", weights=drawn_weights).checksum()
    entry = write(tensors, tmp_path / "vgg16-397923af.pth")
    assert Backbone("vgg16", weights=entry).checksum() != plain
    tensors["features.0.bias"][3] += 1e-3
    changed = write(tensors, tmp_path / "a.pth")
    assert Backbone("vgg16", weights=changed).checksum() != plain
    assert re.fullmatch("[0-9a-f]{32}", plain)


def test_later_layers_are_not_looked_at(state, tmp_path):
    """A file of the whole network serves, and NaN or other shapes after the cut are no matter."""
    later = {"layer2.0.conv1.weight": torch.zeros(1), "fc.weight": torch.full((2, 2), torch.nan)}
    whole = Backbone("resnet18", weights=write(state | later, tmp_path / "a.pth"))
    cut = Backbone("resnet18", weights=write(state, tmp_path / "b.pth"))
    assert whole.checksum() == cut.checksum()


def test_weights_of_other_types_become_float32(state, tmp_path):
    """A file in float64 gives float32 features, and the same ones."""
    wide = {name: tensor.double() for name, tensor in state.items()}
    found = Backbone("resnet18", weights=write(wide, tmp_path / "a.safetensors"))
    wanted = Backbone("resnet18", weights=write(state, tmp_path / "b.safetensors"))
    assert found.checksum() == wanted.checksum()


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_file_that_is_kept_open_or_changed_does_not_matter(ending, state, images, tmp_path):
    """The weights are copied: what later happens to the file changes no feature."""
    path = write(state, tmp_path / f"a.{ending}")
    backbone = Backbone("resnet18", weights=path)
    wanted = backbone(images)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(backbone(images), wanted)


def with_shape(state):
    return state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}


def without_name(state):
    return {name: tensor for name, tensor in state.items() if name != "layer1.0.conv1.weight"}


def with_prefix(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


def with_nan(state):
    return state | {"bn1.bias": torch.full((64,), torch.nan)}


def beyond_float32(state):
    return state | {"bn1.bias": torch.full((64,), 1e300, dtype=torch.float64)}


def nested(state):
    return {"state_dict": state}


def a_list(state):
    return list(state.values())


def sparse(state):
    return state | {"conv1.weight": state["conv1.weight"].to_sparse()}


def imaginary(state):
    return state | {"conv1.weight": state["conv1.weight"] * 1j}


def on_meta(state):
    return state | {"conv1.weight": state["conv1.weight"].to("meta")}


def numbered(state):
    return dict(enumerate(state.values()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_shape, r"conv1\.weight has the shape \(64, 1, 7, 7\), wanted is \(64, 3, 7, 7\)"),
        (without_name, r"resnet18 up to layer1: it lacks layer1\.0\.conv1\.weight"),
        (with_prefix, r"lacks conv1\.weight, .*its names begin with module\.bn1\.bias"),
        (with_nan, r"bn1\.bias holds NaN or infinite"),
        (beyond_float32, r"bn1\.bias holds NaN or infinite"),
        (nested, "holds no state dict"),
        (a_list, "holds no state dict"),
        (numbered, "holds no state dict"),
        (sparse, "more than tensors"),
        (imaginary, "dense, real ones are wanted"),
        (on_meta, "dense, real ones are wanted"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, words, state, tmp_path):
    """The file and the cause are named."""
    path = write(change(state), tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=words) as caught:
        Backbone("resnet18", weights=path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_truncated_file_is_refused(ending, share, state, tmp_path):
    """Cut anywhere, it is an error that names the file and says that it cannot be read."""
    path = write(state, tmp_path / f"a.{ending}")
    contents = path.read_bytes()
    path.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(WeightsError, match=rf"cannot read the weights file {path}: \w+"):
        Backbone("resnet18", weights=path)


@pytest.mark.parametrize("ending", ["safetensors", "pth", "pt"])
def test_a_file_that_is_not_there_is_named(ending, tmp_path):
    """A path is never taken for anything else, and nothing is searched in its place."""
    path = tmp_path / f"resnet18.{ending}"
    with pytest.raises(WeightsError, match=f"the weights file {path} does not exist"):
        Backbone("resnet18", weights=str(path))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_folder_in_place_of_a_file_is_named(ending, tmp_path):
    """A folder with a file's ending cannot be read."""
    (tmp_path / f"a.{ending}").mkdir()
    with pytest.raises(WeightsError, match=rf"cannot read the weights file .*a\.{ending}"):
        Backbone("resnet18", weights=tmp_path / f"a.{ending}")


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def by_torch(contents, path):
    torch.save(contents, path)


def by_pickle(contents, path):
    path.write_bytes(pickle.dumps(contents))


@pytest.mark.parametrize("save", [by_torch, by_pickle])
def test_a_pickle_is_refused_and_not_run(save, state, tmp_path):
    """A file that holds an object is an error that says so, and runs nothing."""
    path = tmp_path / "a.pth"
    save({**state, "payload": Malice(tmp_path / "made")}, path)
    with pytest.raises(WeightsError, match=rf"{path} holds more than tensors"):
        Backbone("resnet18", weights=path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("cached", [True, False])
def test_nothing_of_torchvisions_is_unpickled_either(cached, state, downloads, tmp_path):
    """Neither a file in torch's cache nor a downloaded one may run anything."""
    contents = {**state, "payload": Malice(tmp_path / "made")}
    if cached:
        place = tmp_path / "torch" / "hub" / "checkpoints"
        place.mkdir(parents=True)
        torch.save(contents, place / "resnet18-f37072fd.pth")
        with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth holds more than tensors"):
            Backbone("resnet18")
    else:
        downloads.files["resnet18-f37072fd.pth"] = contents
        with (
            pytest.warns(WeightsWarning, match="downloads"),
            pytest.raises(WeightsError, match="resnet18"),
        ):
            Backbone("resnet18")
    assert not (tmp_path / "made").exists()


# Checksums and names -----------------------------------------------------------------------------


def test_a_checksum_is_of_names_types_shapes_and_values():
    """Each of them counts, the order in the mapping and the memory's layout do not."""
    zeros = torch.zeros(2, 3)
    tensors = {"a": zeros, "b": torch.arange(4)}
    wanted = checksum(tensors)
    assert checksum(dict(reversed(tensors.items()))) == wanted
    assert checksum(tensors | {"a": torch.zeros(3, 2).T}) == wanted
    others = [
        {"a": zeros},
        {"a": zeros, "c": torch.arange(4)},
        {"a": zeros.reshape(3, 2), "b": torch.arange(4)},
        {"a": zeros.double(), "b": torch.arange(4)},
        {"a": zeros, "b": torch.arange(4).flip(0)},
    ]
    assert len({wanted, *map(checksum, others)}) == 6


def test_transposed_values_are_not_the_same():
    """The checksum follows the elements' places, not the memory."""
    square = torch.arange(4.0).reshape(2, 2)
    assert checksum({"a": square.T}) != checksum({"a": square})
    assert checksum({"a": square.T}) == checksum({"a": square.T.contiguous()})


@random_weights
def test_only_pretrained_backbones_have_a_checksum(drawn_weights):
    """They are named by their place in the network; random ones are left out."""
    network = nn.ModuleDict(
        {
            "first": Backbone("vgg16", weights=drawn_weights),
            "second": nn.Sequential(Backbone("resnet18", weights=None)),
            "third": nn.Sequential(Backbone("vgg16", weights=drawn_weights)),
        }
    )
    found = weights_checksums(network)
    assert found == dict.fromkeys(["first", "third.0"], network["first"].checksum())


def test_a_missing_file_is_told_from_a_name(tmp_path):
    """Only a path with a file's ending that is not there is missing."""
    (tmp_path / "there.pth").touch()
    found = [
        is_missing_file(weights)
        for weights in (
            tmp_path / "gone.pth",
            str(tmp_path / "gone.safetensors"),
            Path("gone.pt"),
            tmp_path / "there.pth",
            "auto",
            "IMAGENET1K_V1",
            None,
            3,
        )
    ]
    assert found == [True, True, True, False, False, False, False, False]
