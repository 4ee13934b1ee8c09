"""Headers of saved detectors: each entry is looked at, whoever signed the file."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from recon_anomaly import ReconstructionDetector, SavedFileError, load
from recon_anomaly.headers import parsed, sealed
from recon_anomaly.weights import checksum


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A saved detector with a network, latent noise and a scorer that learned something."""
    pictures = torch.randint(0, 255, (20, 16, 16), generator=torch.Generator().manual_seed(0))
    detector = ReconstructionDetector(
        "cvae",
        model_params={"kernels": (2, 3), "latent_size": 3},
        scorer="reconstruction-probability",
        epochs=1,
        device="cpu",
    )
    path = tmp_path_factory.mktemp("source") / "source.safetensors"
    detector.fit(pictures.numpy().astype("uint8")).save(path)
    return path


@pytest.fixture
def forged(source, tmp_path):
    """A function that changes header and tensors of a copy, signs it, and returns its path."""

    def forge(change):
        with safe_open(source, framework="pt") as file:
            header = json.loads(file.metadata()["recon_anomaly"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        change(header, tensors)
        header["checksum"] = checksum(tensors)
        path = tmp_path / "forged.safetensors"
        save_file(tensors, path, metadata={"recon_anomaly": sealed(header)})
        return path

    return forge


def test_what_is_only_signed_anew_is_loaded(forged):
    """The forger's tools change nothing by themselves."""
    assert load(forged(lambda header, tensors: None)).offset_ < 0


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["params", "model_params", "latent_size"], 2**40, "more numbers or tensors than it holds"),
        (["params", "model_params", "kernels"], [2**20, 2**20], "more numbers or tensors"),
        (["params", "model_params", "kernels"], [1] * 9000, "more numbers or tensors"),
        (["params", "scorer_params"], {"draws": 2**40}, "more numbers or tensors"),
        (["params", "checkpoint"], "/etc", "it names a checkpoint folder"),
        (["image_shape"], [2**20, 2**20, 1], "at most 89478485 pixels are read"),
        (["image_shape"], [16, 16, 1.0], r"image_shape\[2\] is 1\.0; a whole number is wanted"),
        (["offset"], 10**400, r"header\.offset is"),
        (["pixel_range", "dtype"], "object", "its pixels are 'object'"),
        (["threshold_rule"], {"rule": ["a"]}, r"threshold_rule\.rule is"),
        (["threshold_rule"], {}, "its threshold_rule has no rule"),
        (["recipe"], 3, r"header\.recipe is 3; a table is wanted"),
        (["recipe", "batch_size"], -1, "its batches are of -1 pictures"),
        (["seed"], "1", r"header\.seed is '1'"),
        (["names", "scorer"], None, r"names\.scorer is None; a text is wanted"),
        (["feature_names"], ["a"], "1 names for 256 columns"),
        (["plugins"], {"model": 3}, r"plugins\.model is 3"),
        (["history", "records"], [3], r"the history\.records\[0\] is 3"),
        (["history", "kept_epoch"], 0.5, r"the history\.kept_epoch is 0\.5"),
    ],
)
def test_an_entry_that_cannot_be_right_is_named(place, value, message, forged):
    """It is refused when the file is loaded, and takes neither time nor memory."""

    def change(header, tensors):
        *owners, last = place
        for name in owners:
            if header[name] is None:
                header[name] = {}
            header = header[name]
        header[last] = value

    with pytest.raises(SavedFileError, match=rf"forged\.safetensors .*{message}"):
        load(forged(change))


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', "[]", "[" * 100_000, "{"])
def test_what_is_no_json_object_is_refused(text):
    """Python's own reader would take NaN, and end by its recursion limit."""
    with pytest.raises(ValueError, match=r"JSON|object|deeply|double quotes"):
        parsed(text)
