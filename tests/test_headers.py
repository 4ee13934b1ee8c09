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


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("network.latent_mean.bias", lambda kept: kept * float("nan"), "NaN or infinite"),
        ("network.latent_mean.bias", lambda kept: kept.double(), "float64, and torch.float32"),
        ("scorer.log_variance", lambda kept: kept + float("inf"), "NaN or infinite"),
        ("scorer.log_variance", lambda kept: kept[:, :7].clone(), "must match|size"),
        ("detector.noise", lambda kept: kept * float("nan"), "noise holds NaN"),
        ("detector.validation_scores", lambda kept: kept[:0], "its validation scores"),
        ("detector.validation_scores", lambda kept: kept / 0, "its validation scores"),
    ],
)
def test_a_tensor_that_cannot_be_right_is_refused(name, wrong, message, forged):
    """Of another type, size, or with numbers that are none: when the file is loaded, not when pictures are scored."""

    def change(header, tensors):
        tensors[name] = wrong(tensors[name]).contiguous()

    # A decoder that gives its own variance leaves the scorer none.
    if name.startswith("scorer") and not _has(forged, name):
        pytest.skip(f"this detector has no {name}")
    with pytest.raises(SavedFileError, match=rf"forged\.safetensors is damaged.*({message})"):
        load(forged(change))


def _has(forged, name):
    found = []
    forged(lambda header, tensors: found.extend(tensors))
    return name in found


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": -Infinity}', "[]", "[" * 100_000, "{"])
def test_what_is_no_json_object_is_refused(text):
    """Python's own reader would take NaN, and end by its recursion limit."""
    with pytest.raises(ValueError, match=r"JSON|object|deeply|double quotes"):
        parsed(text)


def test_a_pipe_is_not_waited_for(tmp_path):
    """Something else than a file is refused at once."""
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(SavedFileError, match="it is no file"):
        load(tmp_path / "a.safetensors")


def test_a_file_larger_than_the_memory_is_refused(source, monkeypatch):
    """It would be read into it."""
    monkeypatch.setattr("recon_anomaly.saving.free_memory", lambda: source.stat().st_size - 1)
    with pytest.raises(SavedFileError, match="larger than the memory that is free"):
        load(source)


@pytest.mark.parametrize("name", ["missing.safetensors", "file/a.safetensors", "."])
def test_a_message_names_the_file_once(name, tmp_path):
    """The system's own text, which repeats it, is not taken whole."""
    (tmp_path / "file").touch()
    with pytest.raises(SavedFileError) as caught:
        load(tmp_path / name)
    assert str(caught.value).count(str(tmp_path)) == 1
