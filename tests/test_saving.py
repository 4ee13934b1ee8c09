"""Saved detectors: the same bits after loading, and a clear refusal of everything else."""

from __future__ import annotations

import errno
import json
import os
import pickle
import platform
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import clone

import recon_anomaly
from recon_anomaly import (
    CAE,
    CVAE,
    TCAE,
    TCVAE,
    NotFittedError,
    ReconAnomalyError,
    Reconstruction,
    ReconstructionDetector,
    SavedFileError,
    WeightsError,
    WeightsWarning,
    load,
    saving,
)
from recon_anomaly.backbones import Backbone
from recon_anomaly.headers import sealed
from recon_anomaly.randomness import seeded
from recon_anomaly.registry import offers, plugin_manager
from recon_anomaly.scorers.reconstruction_probability import ReconstructionProbability
from recon_anomaly.weights import checksum

MODELS = [offer.name for offer in offers("model")]
SCORERS = ["max1p", "mse", "reconstruction-probability"]  # with every model; tests of all are below
SMALL = {
    "cae": {"kernels": (2, 3)},
    "contractive-ae": {"kernels": (2, 3)},
    "cvae": {"kernels": (2, 3), "latent_size": 3},
    "feature-ae": {"layers": ("blocks.2",)},
    "feature-pca": {"layers": ("blocks.2",), "n_components": 8},
    "ganomaly": {"kernels": (4, 6), "latent_size": 3},
    "sparse-ae": {"kernels": (2, 3)},
    "nearest": {"capacity": 64},
    "pca": {"n_components": 3},
}


def named(model, **params):
    return ReconstructionDetector(model, model_params=SMALL.get(model), **{"epochs": 1} | params)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def read(path):
    """Return the JSON header and the tensors of a saved detector."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["recon_anomaly"])
        return header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 -- the handle is no mapping


def rewrite(path, change):
    """Change the header and tensors of a saved detector, as damage or malice would."""
    header, tensors = read(path)
    change(header, tensors)
    try:
        text = sealed(header)
    except ValueError:  # what is no JSON has no checksum
        text = json.dumps(header)
    save_file(tensors, path, metadata={"recon_anomaly": text})


def assert_same(loaded, detector, X):
    """Every figure of the two is the same bit for bit."""
    assert np.array_equal(loaded.score_samples(X), detector.score_samples(X))
    assert np.array_equal(loaded.decision_function(X), detector.decision_function(X))
    assert np.array_equal(loaded.anomaly_map(X), detector.anomaly_map(X))
    for name in ("validation_scores_", "calibration_scores_", "map_peaks_", "training_hashes_"):
        assert np.array_equal(getattr(loaded, name), getattr(detector, name)), name
        assert getattr(loaded, name).dtype == getattr(detector, name).dtype, name
    assert np.array_equal(loaded.p_value(X), detector.p_value(X))
    for name in ("offset_", "map_scale_", "threshold_rule_", "seed_", "image_shape_", "names_"):
        assert getattr(loaded, name) == getattr(detector, name), name
    assert loaded.recipe_ == detector.recipe_
    assert loaded.pixel_range_ == detector.pixel_range_
    assert loaded.n_features_in_ == detector.n_features_in_
    assert loaded.history_ == detector.history_


# There and back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_loaded_detector_is_the_saved_one(model, scorer, good, bad, path):
    """Scores, decisions, maps, threshold and history of every model with every scorer are bit-equal."""
    detector = named(model, scorer=scorer).fit(good)
    detector.save(path)
    assert_same(load(path), detector, np.concatenate([good, bad]))


MODEL_OF = {"elbo": "cvae", "latent-distance": "ganomaly"}


@pytest.mark.parametrize("scorer", [offer.name for offer in offers("scorer")])
def test_every_scorer_survives(scorer, good, bad, path):
    """What each one learned comes back with the detector, and so does what it says that it uses."""
    detector = named(MODEL_OF.get(scorer, "pca"), scorer=scorer).fit(good)
    detector.save(path)
    loaded = load(path)
    assert_same(loaded, detector, np.concatenate([good, bad]))
    assert loaded.scorer_uses_ == detector.scorer_uses_


def test_another_process_gives_the_same_bits(good, bad, tmp_path):
    """A file of every model and scorer, loaded by a fresh interpreter, scores bit-equally."""
    X = np.concatenate([good[:20], bad])
    np.save(tmp_path / "X.npy", X)
    expected = {}
    for model in MODELS:
        detector = named(model).fit(good)
        for scorer in SCORERS:
            name = f"{model} {scorer}"
            scoring = detector.with_scorer(scorer, good[20:])
            scoring.save(tmp_path / f"{name}.safetensors")
            expected[name] = scoring.decision_function(X)
    code = (
        "import sys, pathlib, numpy, recon_anomaly\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "X = numpy.load(folder / 'X.npy')\n"
        "files = sorted(folder.glob('*.safetensors'))\n"
        "found = {f.stem: recon_anomaly.load(f).decision_function(X) for f in files}\n"
        "numpy.savez(folder / 'found.npz', **found)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True)
    found = np.load(tmp_path / "found.npz")
    assert sorted(found) == sorted(expected)
    assert [name for name in found if not np.array_equal(found[name], expected[name])] == []


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).integers(0, 65535, (9, 7, 5, 4)).astype(np.uint16),
        np.random.default_rng(0).random((9, 7, 5, 3)),
        np.random.default_rng(0).normal(3, 9, (9, 13, 6)),
        np.random.default_rng(0).normal(3, 9, (9, 6)),
    ],
    ids=["uint16", "shares", "floats", "rows"],
)
@pytest.mark.parametrize("estimator", [CAE, CVAE])
def test_every_kind_of_picture_survives(estimator, X, path):
    """Shape and pixel range come back, so that the same X is scored as before."""
    detector = estimator(kernels=(2, 3), epochs=1).fit(X)
    detector.save(path)
    assert_same(load(path), detector, X)
    assert np.array_equal(load(path).reconstruct(X), detector.reconstruct(X))


def test_parameters_come_back(good, path):
    """Every one of them, tuples as tuples; registered names come back in full, which always works."""
    params = {
        "kernels": (2, 3),
        "latent_size": 3,
        "scorer": "reconstruction-probability",
        "scorer_params": {"draws": 3, "floor": 0.01},
        "schedule_params": {"weights": {"kl": 4.0}},
        "corruptor": "gaussian",
        "corruptor_params": {"std": 0.1},
        "image_size": (16, 16),
        "epochs": 2,
        "batch_size": 7,
        "contamination": 0.25,
        "random_state": 3,
    }
    detector = CVAE(**params).fit(good)
    detector.save(path)
    loaded = load(path)
    assert type(loaded) is CVAE
    full = {
        "scorer": "builtin:reconstruction-probability",
        "schedule": "builtin:constant",
        "corruptor": "builtin:gaussian",
    }
    assert loaded.get_params() == detector.get_params() | full
    assert detector.get_params()["scorer"] == "reconstruction-probability"


@pytest.mark.parametrize("random_state", [7, np.int64(7), np.int32(7)])
def test_a_loaded_detector_fits_again_alike(random_state, good, path):
    """With a whole number as random_state the fit of the file can be repeated bit for bit."""
    detector = CAE(kernels=(2, 3), epochs=2, random_state=random_state).fit(good)
    detector.save(path)
    again = load(path).fit(good)
    assert np.array_equal(again.score_samples(good), detector.score_samples(good))


def test_a_generator_as_random_state_is_saved_as_the_seed_it_gave(good, path):
    """Its state is not kept: a number stands in the file, and the detector scores as before."""
    detector = CAE(kernels=(2, 3), epochs=1, random_state=np.random.RandomState(1)).fit(good)
    detector.save(path)
    assert load(path).random_state == detector.seed_
    assert_same(load(path), detector, good)
    assert isinstance(detector.random_state, np.random.RandomState)


def test_no_random_state_stays_none(good, path):
    """A detector without a seed of its own has none after loading."""
    detector = named("mean", random_state=None).fit(good)
    detector.save(path)
    assert load(path).random_state is None
    assert load(path).seed_ == detector.seed_


def test_a_calibrated_threshold_survives(good, bad, path):
    """The rule and its parameters come back with the offset."""
    new = 255 - good
    detector = named("mean").fit(good).calibrate(new, rule="value", threshold=np.float32(0.125))
    detector.save(path)
    assert load(path).offset_ == -0.125
    assert load(path).threshold_rule_ == {"rule": "value", "threshold": 0.125}
    labels = np.r_[np.ones(40), -np.ones(8)]
    detector.calibrate(np.concatenate([new, bad]), labels, "youden").save(path)
    assert_same(load(path), detector, bad)


def test_a_loaded_detector_does_everything(good, bad, path):
    """It calibrates, takes another scorer, is saved again, and pickles."""
    detector = named("cvae", scorer="reconstruction-probability").fit(good)
    detector.save(path)
    loaded = load(path)
    detector.calibrate_on_validation(false_alarm=0.3)
    assert loaded.calibrate_on_validation(false_alarm=0.3).offset_ == detector.offset_
    other = path.with_name("b.safetensors")
    loaded.with_scorer("max1p", good).save(other)
    expected = detector.with_scorer("max1p", good)
    assert_same(load(other), expected, bad)
    loaded.save(other)
    assert_same(load(other), detector, bad)
    assert_same(pickle.loads(pickle.dumps(loaded)), detector, bad)


def test_names_of_columns_survive(good, path):
    """Rows of a data frame are scored after loading as before, without a warning."""
    frame = pd.DataFrame(good.reshape(40, -1)[:, :6].astype(float), columns=list("abcdef"))
    detector = named("mean").fit(frame)
    detector.save(path)
    loaded = load(path)
    assert np.array_equal(loaded.score_samples(frame), detector.score_samples(frame))
    assert loaded.feature_names_in_.tolist() == list("abcdef")
    assert loaded.feature_names_in_.dtype == object  # as scikit-learn's are


def test_every_way_to_load_is_the_same(good, path):
    """recon_anomaly.load and the estimator's own load read a saved detector, also from a str."""
    detector = CAE(kernels=(2, 3), epochs=1).fit(good)
    detector.save(str(path))
    for loaded in (load(str(path)), recon_anomaly.load(path), CAE.load(path)):
        assert type(loaded) is CAE
        assert np.array_equal(loaded.score_samples(good), detector.score_samples(good))
    assert load(path, device="cpu").device == "cpu"


def test_another_estimators_load_refuses(good, path):
    """CVAE.load does not hand out a CAE."""
    CAE(kernels=(2, 3), epochs=1).fit(good).save(path)
    with pytest.raises(SavedFileError, match="holds a CAE, not a CVAE"):
        CVAE.load(path)


def test_the_device_of_loading_is_checked(good, path):
    """An unknown device is refused with the known ones."""
    named("mean").fit(good).save(path)
    with pytest.raises(recon_anomaly.InputError, match=r"device='gpu'.*known are: auto"):
        load(path, device="gpu")


def test_places_and_habits_are_not_saved(good, path, tmp_path):
    """The checkpoint's folder and verbosity belong to the run, not to the detector."""
    detector = CAE(kernels=(2, 3), epochs=1, checkpoint=tmp_path / "run", verbose=1).fit(good)
    detector.save(path)
    assert (load(path).checkpoint, load(path).verbose) == (None, 0)
    assert (detector.checkpoint, detector.verbose) == (tmp_path / "run", 1)


def test_the_header_says_what_the_file_is(good, path):
    """It is JSON that names format, versions, plugins, shape, range and rule, and holds no code."""
    detector = named("cvae", scorer="reconstruction-probability").fit(good)
    detector.save(path)
    header, tensors = read(path)
    assert header["format"] == 6
    assert header["versions"]["recon-anomaly"] == recon_anomaly.__version__
    assert header["versions"]["torch"] == version("torch")
    assert header["versions"]["python"] == platform.python_version()
    assert header["plugins"]["model"]["distribution"] == "recon-anomaly"
    assert header["names"]["model"] == "builtin:cvae"
    assert header["image_shape"] == [16, 16, 1]
    assert header["pixel_range"] == {"low": 0.0, "high": 255.0, "dtype": "uint8"}
    assert header["threshold_rule"] == {"rule": "quantile"}
    assert {"scorer.log_variance", "detector.validation_scores", "detector.noise"} <= set(tensors)


def test_saving_leaves_the_detector_as_it_is(good, path):
    """No attribute changes, and saving twice gives the same bytes."""
    detector = named("cvae").fit(good)
    before = dict(vars(detector))
    detector.save(path)
    first = path.read_bytes()
    detector.save(path)
    assert vars(detector) == before
    assert path.read_bytes() == first


# Frozen weights ------------------------------------------------------------------------------------

BACKBONE_BYTES = 4 * 260160


class Machine:
    """A place with weights files: what "auto" and torchvision would find is this folder alone."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
        monkeypatch.setattr(torch.hub, "download_url_to_file", self.offline)
        self.names(None)

    def offline(self, *_, **__):
        raise OSError("no route to host")

    def names(self, place):
        """Let the environment name a folder of weights, or none."""
        if place is None:
            self.monkeypatch.delenv("RECON_ANOMALY_WEIGHTS", raising=False)
        else:
            self.monkeypatch.setenv("RECON_ANOMALY_WEIGHTS", str(place))

    def weights(self, name, seed=0):
        """Write weights of VGG16's first layers, and return their path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with seeded(torch.device("cpu"), seed), pytest.warns(WeightsWarning):
            tensors = Backbone("vgg16", weights=None).cut.state_dict()
        if path.suffix == ".safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path)
        return path


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path, monkeypatch)


def transfer(weights, **params):
    return TCAE(weights=weights, **{"epochs": 1} | params)


def test_frozen_weights_are_named_and_not_stored(machine, good, path):
    """The file is small, and has the checksum and the source of the backbone's weights."""
    weights = machine.weights("vgg16.pth")
    detector = transfer(weights).fit(good)
    detector.save(path)
    header, tensors = read(path)
    backbone = Backbone("vgg16", weights=weights)
    assert header["frozen_weights"] == {
        "backbone": {"checksum": backbone.checksum(), "source": str(weights), "stored": False}
    }
    assert not any("backbone" in name for name in tensors)
    trained = sum(4 * part.numel() for part in detector.network_.decoder.parameters())
    assert path.stat().st_size < trained + 10000
    assert_same(load(path), detector, good)


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (TCAE, {}),
        (TCVAE, {"latent_size": 3, "scorer": "reconstruction-probability"}),
        (ReconstructionDetector, {"model": "tcae"}),
    ],
)
def test_a_self_contained_file_needs_no_weights(estimator, params, machine, good, path):
    """With the weights in it, it loads bit-equal where there are none, and is saved again whole."""
    weights = machine.weights("vgg16.pth")
    own = {"model_params": {"weights": str(weights)}} if "model" in params else {"weights": weights}
    detector = estimator(epochs=1, **params, **own).fit(good)
    detector.save(path)
    small = path.stat().st_size
    detector.save(path, self_contained=True)
    assert path.stat().st_size > small + BACKBONE_BYTES
    assert read(path)[0]["frozen_weights"]["backbone"]["stored"]
    weights.unlink()
    loaded = load(path)
    assert_same(loaded, detector, good)
    loaded.save(path)
    assert_same(load(path), detector, good)


def test_a_self_contained_file_needs_no_folder_of_weights(machine, good, path, monkeypatch):
    """Also where the weights came from the folder, and no parameter names them."""
    weights = machine.weights("folder/vgg16.pth")
    machine.names(weights.parent)
    detector = ReconstructionDetector("tcae", epochs=1).fit(good)
    detector.save(path, self_contained=True)
    monkeypatch.delenv("RECON_ANOMALY_WEIGHTS")
    assert_same(load(path), detector, good)


def test_random_weights_are_always_stored(machine, good, path):
    """They could not be found again; loading them warns of nothing."""
    with pytest.warns(WeightsWarning, match="are random"):
        detector = transfer(None).fit(good)
    detector.save(path)
    assert read(path)[0]["frozen_weights"]["backbone"]["stored"]
    assert path.stat().st_size > BACKBONE_BYTES
    assert_same(load(path), detector, good)
    assert load(path).weights is None


def test_weights_with_parts_of_their_own_are_stored_too(machine, good, path):
    """A self-contained ConvNeXt, whose layers torch cannot draw one by one, loads as well."""
    params = {"backbone": "convnext_tiny", "layer": "features.1"}
    with pytest.warns(WeightsWarning, match="are random"):
        detector = transfer(None, **params).fit(good)
    detector.save(path)
    assert_same(load(path), detector, good)


@pytest.mark.parametrize("where", ["path", "folder", "named in params"])
def test_another_machine_has_the_weights_elsewhere(where, machine, good, path):
    """The path of the training is gone: a given file, or one in the named folder, is as good."""
    weights = machine.weights("here/mine.pth")
    detector = transfer(weights).fit(good)
    if where == "named in params":
        detector = ReconstructionDetector("tcae", model_params={"weights": str(weights)}, epochs=1)
        detector.fit(good)
    detector.save(path)
    weights.unlink()
    elsewhere = machine.weights("there/vgg16-block2.safetensors")
    if where == "folder":
        machine.names(elsewhere.parent)
        loaded = load(path)
    else:
        loaded = type(detector).load(path, weights=elsewhere)
    assert_same(loaded, detector, good)
    machine.names(None)
    if where != "folder":  # what was given is a parameter, so that the detector can be fitted again
        again = clone(loaded).fit(good)
        assert np.array_equal(again.score_samples(good), detector.score_samples(good))
        loaded.save(path)
        assert_same(load(path), detector, good)


def test_weights_that_were_found_by_themselves_are_found_again(machine, good, path):
    """The parameter stays "auto": the folder that is named at loading is looked into."""
    weights = machine.weights("here/vgg16.pth")
    machine.names(weights.parent)
    detector = transfer("auto").fit(good)
    detector.save(path)
    weights.unlink()
    machine.names(machine.weights("there/vgg16.safetensors").parent)
    loaded = load(path)
    assert loaded.weights == "auto"
    assert_same(loaded, detector, good)


@pytest.mark.parametrize("given", [True, False])
def test_other_weights_are_refused(given, machine, good, path):
    """Of the same shapes and other values: both sources and the checksum are named."""
    weights = machine.weights("here/vgg16.pth")
    transfer(weights).fit(good).save(path)
    named = read(path)[0]["frozen_weights"]["backbone"]
    weights.unlink()
    other = machine.weights("there/vgg16.pth", seed=1)
    machine.names(other.parent)
    words = (
        f"was trained with the frozen weights of {weights}, checksum {named['checksum']}; found were "
        f"those of {other}, which differ"
    )
    with pytest.raises(SavedFileError, match=words):
        load(path, weights=other if given else None)


def test_weights_that_changed_at_their_place_are_refused(machine, good, path):
    """The same path with other contents is not taken for the same weights."""
    weights = machine.weights("vgg16.pth")
    transfer(weights).fit(good).save(path)
    machine.weights("vgg16.pth", seed=1)
    with pytest.raises(SavedFileError, match="which differ: give the right file"):
        load(path)


def test_missing_weights_are_named_with_the_way_to_give_them(machine, good, path):
    """Nothing is found, nothing can be downloaded: the message says what was used and what to do."""
    weights = machine.weights("vgg16.pth")
    transfer(weights).fit(good).save(path)
    weights.unlink()
    with (
        pytest.warns(WeightsWarning, match="torchvision downloads"),
        pytest.raises(WeightsError) as caught,
    ):
        load(path)
    for words in (str(path), str(weights), "load(file, weights=PATH)", "--weights PATH"):
        assert words in str(caught.value)


def test_a_given_file_that_is_missing_is_named(machine, good, path):
    """No other one is looked for in its place."""
    transfer(machine.weights("vgg16.pth")).fit(good).save(path)
    with pytest.raises(WeightsError, match=r"gone\.pth does not exist.*load\(file, weights=PATH\)"):
        load(path, weights=path.with_name("gone.pth"))


def test_a_file_without_frozen_weights_takes_none(machine, good, path):
    """Weights given to a plain or to a self-contained detector have no place, and are not ignored."""
    weights = machine.weights("vgg16.pth")
    CAE(kernels=(2, 3), epochs=1).fit(good).save(path)
    with pytest.raises(SavedFileError, match=rf"names no frozen weights, so weights={weights}"):
        load(path, weights=weights)
    transfer(weights).fit(good).save(path, self_contained=True)
    with pytest.raises(SavedFileError, match="names no frozen weights"):
        load(path, weights=weights)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"backbone": {"source": "a.pth"}},
        {"backbone": {"checksum": "0" * 32, "source": "a.pth"}},
        {"backbone": {"checksum": "0" * 32, "source": "a.pth", "stored": False}},
        {"backbone": {"checksum": "0" * 32, "source": "a.pth", "stored": True}},
        {"decoder": {"checksum": "0" * 32, "source": "a.pth", "stored": False}},
        {"backbone": 5},
        [["backbone", {}]],
        {"backbone": "a.pth"},
        ["backbone"],
    ],
)
def test_frozen_weights_that_do_not_fit_are_refused(value, machine, good, path):
    """A header that names none, others, or a part that is no backbone is found when it is loaded."""
    transfer(machine.weights("vgg16.pth")).fit(good).save(path)
    rewrite(path, with_value("frozen_weights", value))
    with pytest.raises(SavedFileError, match=r"a\.safetensors"):
        load(path)


def perceptual(weights):
    return {"scorer": "perceptual", "scorer_params": {"weights": str(weights)}}


def test_a_scorer_takes_the_weights_that_are_given(machine, good, path):
    """They become its parameter; a file that is missing, or holds others, is refused."""
    weights = machine.weights("here/vgg16.pth")
    detector = named("mean", **perceptual(weights)).fit(good)
    detector.save(path)
    weights.unlink()
    elsewhere = machine.weights("there/mine.pth")
    loaded = load(path, weights=elsewhere)
    assert loaded.scorer_params == {"weights": str(elsewhere)}
    assert_same(loaded, detector, good)
    with pytest.raises(WeightsError, match=r"the weights file .*gone\.pth does not exist"):
        load(path, weights=path.with_name("gone.pth"))
    with pytest.raises(SavedFileError, match="perceptual compared features of the frozen weights"):
        load(path, weights=machine.weights("other.pth", seed=1))


def test_a_self_contained_file_has_the_weights_of_the_scorer(machine, good, path):
    """It scores where there are none, and a file that is given has no place."""
    weights = machine.weights("vgg16.pth")
    detector = named("mean", **perceptual(weights)).fit(good)
    detector.save(path, self_contained=True)
    with pytest.raises(SavedFileError, match="names no frozen weights"):
        load(path, weights=weights)
    weights.unlink()
    assert_same(load(path), detector, good)


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_for_the_model_are_the_scorers_where_they_fit(seed, machine, good, path):
    """Where both name some, a given file is the model's; a scorer that was trained with others keeps its own."""
    own = machine.weights("scorer.pth", seed=seed)
    detector = transfer(machine.weights("vgg16.pth"), **perceptual(own)).fit(good)
    detector.save(path)
    given = machine.weights("there/mine.pth")
    loaded = load(path, weights=given)
    assert loaded.weights == str(given)
    assert loaded.scorer_params == {"weights": str(own if seed else given)}
    assert_same(loaded, detector, good)


# Tiles and regions of interest ---------------------------------------------------------------------

LARGER = np.random.default_rng(0).integers(0, 255, (8, 20, 27)).astype(np.uint8)
BOX = (2, 3, 14, 12)


@pytest.mark.parametrize("width", [16, 18])  # of 14 rows: 28 bytes of the mask, and 31 and a half
def test_tiles_and_a_mask_come_back(width, save, path):
    """The mask is in the file: that of the training need not be there."""
    mask = np.zeros((20, 27), np.uint8)
    mask[3:17, 2 : 2 + width] = np.random.default_rng(1).integers(0, 2, (14, width))
    mask[[3, 16], [2, 1 + width]] = 9
    roi = save("mask.png", mask)
    detector = named("mean", tile=8, overlap=2, roi=roi).fit(LARGER)
    detector.save(path)
    roi.unlink()
    loaded = load(path)
    assert_same(loaded, detector, LARGER)
    tiling = loaded.tiling_
    assert (tiling.tile, tiling.overlap, tiling.seen) == (8, 2, (8, 8))
    assert (tiling.interest.box, tiling.interest.size) == ((2, 3, width, 14), (20, 27))
    assert np.array_equal(tiling.interest.mask, mask[3:17, 2 : 2 + width] > 0)


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"tile": 8, "overlap": 3}, {"overlap": 6}),
        ({"tile": 8, "overlap": 3}, {"tile": None, "overlap": None}),
        ({"tile": 8, "overlap": 3}, {"roi": (0, 0, 9, 9)}),
        ({"roi": BOX}, {"roi": None}),
    ],
    ids=str,
)
def test_a_detector_is_saved_as_it_was_fitted(options, changes, path):
    """What parameters were set to since is kept, and has no part in how pictures are cut."""
    detector = named("mean", **options).fit(LARGER)
    scores = detector.score_samples(LARGER)
    detector.set_params(**changes).save(path)
    loaded = load(path)
    assert np.array_equal(loaded.score_samples(LARGER), scores)
    assert {name: loaded.get_params()[name] for name in changes} == changes


def cut_mask(start, stop):
    def change(header, tensors):
        bits = torch.cat([tensors["detector.roi_mask"], torch.zeros(1, dtype=torch.uint8)])
        tensors["detector.roi_mask"] = bits[start : len(bits) + stop].clone()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, tensors: header.pop("interest"), "interest"),
        (lambda header, tensors: header["interest"].update(box="mask.png"), "box"),
        (lambda header, tensors: header["interest"].update(size=[3, 3]), "3"),
        (lambda header, tensors: header["interest"].update(box=[0, 0, 30_000, 30_000]), "30000"),
        (lambda header, tensors: header["tiling"].update(overlap=99), "overlap=99 leaves nothing"),
        (lambda header, tensors: header["tiling"].update(overlap="2"), "overlap is '2'"),
        (
            lambda header, tensors: header.update(tiling=None),
            "its tiles and its region of interest",
        ),
        (
            lambda header, tensors: (
                header["tiling"].update(tile=None),
                header.update(interest=None),
            ),
            "its tiles and its region of interest do not fit",
        ),
        (lambda header, tensors: tensors.pop("detector.roi_mask"), "roi_mask"),
        (cut_mask(0, 0), "mask of the region of interest does not fill its box"),
        (cut_mask(1, -1), "mask of the region of interest does not fill its box"),
    ],
)
def test_a_damaged_region_is_refused(change, message, save, path):
    """Rather than that a detector looks elsewhere than it was fitted."""
    mask = np.zeros((20, 27), np.uint8)
    mask[3:17, 2:18] = 1
    named("mean", tile=8, overlap=2, roi=save("mask.png", mask)).fit(LARGER).save(path)
    rewrite(path, disguised(change))
    with pytest.raises(SavedFileError, match=rf"a\.safetensors is damaged.*{message}"):
        load(path)


# Plugins -------------------------------------------------------------------------------------------


def test_a_plugins_detector_survives(acme, good, bad, path):
    """A third party's model, scorer, schedule and corruptor are found again by their names."""
    detector = ReconstructionDetector(
        "skip-ae",
        scorer="worst-tenth",
        schedule="warm-up",
        corruptor="black-bar",
        corruptor_params={"height": 0.3},
        epochs=2,
    ).fit(good)
    detector.save(path)
    assert_same(load(path), detector, bad)
    header, _ = read(path)
    assert header["names"] == {
        "model": "acme:skip-ae",
        "scorer": "acme:worst-tenth",
        "schedule": "acme:warm-up",
        "corruptor": "acme:black-bar",
    }
    plugin = {"distribution": "recon-anomaly-acme", "version": "1.2.3"}
    assert header["plugins"] == dict.fromkeys(header["names"], plugin)


def test_plugins_inside_of_a_schedule_are_named(acme, good, path):
    """The parts of a combination stand beside it, by their full names."""
    parts = {"schedules": [["constant", {}], ["warm-up", {"epochs": 2}]]}
    detector = CAE(kernels=(2, 3), epochs=1, schedule="combined", schedule_params=parts).fit(good)
    detector.save(path)
    plugins = read(path)[0]["plugins"]
    plugin = {"distribution": "recon-anomaly-acme", "version": "1.2.3"}
    assert plugins["acme:warm-up"] == plugin
    assert plugins["builtin:constant"] == plugins["schedule"] == plugins["model"]
    assert_same(load(path), detector, good)


@pytest.mark.parametrize(
    ("params", "kind", "name"),
    [
        ({"model": "skip-ae", "epochs": 1}, "model", "acme:skip-ae"),
        ({"model": "mean", "scorer": "worst-tenth"}, "scorer", "acme:worst-tenth"),
    ],
)
def test_a_missing_plugin_is_named_with_its_package(
    params, kind, name, acme, good, path, monkeypatch
):
    """Where a plugin is not installed, the message says which package and version to install."""
    ReconstructionDetector(**params).fit(good).save(path)
    monkeypatch.setenv("RECON_ANOMALY_PLUGINS", "")
    plugin_manager.cache_clear()
    message = rf"needs the {kind} '{name}'; install the package recon-anomaly-acme 1\.2\.3$"
    with pytest.raises(SavedFileError, match=message):
        load(path)


def test_a_plugin_that_cannot_be_imported_is_named(acme, good, path, monkeypatch):
    """An installed plugin that is broken is an error of the file, with package and cause."""
    ReconstructionDetector("skip-ae", epochs=1).fit(good).save(path)
    monkeypatch.setitem(sys.modules, "acme_recon.model", None)
    with pytest.raises(SavedFileError, match="acme"):
        load(path)


def test_training_plugins_are_not_needed_to_score(acme, good, path, monkeypatch):
    """A detector whose schedule and corruptor are gone still loads and scores."""
    detector = CAE(kernels=(2, 3), epochs=1, schedule="warm-up", corruptor="black-bar").fit(good)
    detector.save(path)
    monkeypatch.setenv("RECON_ANOMALY_PLUGINS", "")
    plugin_manager.cache_clear()
    assert_same(load(path), detector, good)


class Gray(torch.nn.Module):
    def __init__(self, image_shape):
        super().__init__()
        self.level = torch.nn.Parameter(torch.full((), 0.5))

    def forward(self, images):
        return Reconstruction(self.level.expand_as(images))

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


def flat_weights(history):
    return dict.fromkeys(history.terms, 1.0)


def untouched(image, rng):
    return image, np.zeros(image.shape[:2], bool)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("model", Gray),
        ("scorer", ReconstructionProbability()),
        ("scorer", lambda target, made: (target - made.mean).abs().mean(1)),
        ("schedule", flat_weights),
        ("corruptor", untouched),
    ],
)
def test_what_is_not_registered_is_refused(kind, value, good, path):
    """An object that could not be found again by a name is an error that says which, and no file."""
    detector = ReconstructionDetector(epochs=1, **{kind: value}).fit(good)
    with pytest.raises(SavedFileError, match=f"the {kind} .* is not registered.* by a plugin"):
        detector.save(path)
    assert list(path.parent.iterdir()) == []


def test_a_registered_class_is_saved_by_its_name(good, path):
    """The very class that a name stands for is as good as the name."""
    from recon_anomaly.models.mean import MeanPicture
    from recon_anomaly.scorers.max1p import MaximumPixel

    detector = ReconstructionDetector(MeanPicture, scorer=MaximumPixel).fit(good)
    detector.save(path)
    assert_same(load(path), detector, good)


def test_an_estimator_of_ones_own_is_refused(good, path):
    """A subclass could not be found again: the message lists what can be saved."""

    class Mine(CAE):
        pass

    with pytest.raises(SavedFileError, match=r"Mine cannot be saved; use one of: .*CAE, CVAE"):
        Mine(kernels=(2, 3), epochs=1).fit(good).save(path)


@pytest.mark.parametrize(
    "params", [{"validation_fraction": Fraction(1, 4)}, {"learning_rate": np.inf}]
)
def test_a_parameter_that_json_cannot_hold_is_refused(params, good, path):
    """Nothing is saved that would come back as something else."""
    detector = named("mean", **params).fit(good)
    with pytest.raises(SavedFileError, match="cannot be saved as JSON"):
        detector.save(path)
    assert list(path.parent.iterdir()) == []


def test_an_unfitted_detector_is_not_saved(path):
    """There is nothing to save yet."""
    with pytest.raises(NotFittedError):
        CAE().save(path)


# Writing -------------------------------------------------------------------------------------------


def test_an_old_file_is_replaced(good, path):
    """The newer detector is in the file, and nothing else is beside it."""
    named("mean").fit(good // 2).save(path)
    detector = named("mean").fit(good)
    detector.save(path)
    assert_same(load(path), detector, good)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("make", [lambda p: p / "missing" / "a.safetensors", lambda p: p])
def test_a_target_that_cannot_be_written_is_named(make, good, tmp_path):
    """A missing folder and a folder are refused, and nothing is left behind."""
    target = make(tmp_path)
    with pytest.raises(SavedFileError, match=f"cannot write {target}"):
        named("mean").fit(good).save(target)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_save_keeps_the_old_file(good, path, monkeypatch):
    """A disk that fails in the middle leaves the old detector, whole, and no temporary file."""
    detector = named("mean").fit(good)
    detector.save(path)

    def fail(tensors, temporary, metadata):
        temporary.write_bytes(b"half")
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(saving, "save_file", fail)
    with pytest.raises(SavedFileError, match=r"a\.safetensors: Input/output error"):
        named("mean").fit(good // 2).save(path)
    assert_same(load(path), detector, good)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_full_disk_is_an_error_that_names_the_path(good, path):
    """What safetensors raises when it cannot write is a SavedFileError with the path."""
    import resource

    detector = named("mean").fit(good)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(SavedFileError, match=r"a\.safetensors"):  # noqa: PT012 -- what fails is the block itself
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            detector.save(path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(path.parent.iterdir()) == []


# Files that are no saved detector ------------------------------------------------------------------


@pytest.fixture(scope="module")
def contents():
    """The file of a detector with latent noise and a scorer that learned something."""
    pictures = np.random.default_rng(0).integers(0, 255, (40, 16, 16)).astype(np.uint8)
    detector = named("cvae", scorer="reconstruction-probability")
    return saving.to_bytes(detector.fit(pictures))


@pytest.fixture
def saved(contents, path):
    """A saved detector with a scorer that learned something."""
    path.write_bytes(contents)
    return path


def test_a_missing_file_is_named(tmp_path):
    """As is a folder, or a file below a file."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing.safetensors", tmp_path, tmp_path / "file" / "a.safetensors"):
        with pytest.raises(SavedFileError, match=f"cannot read {path}"):
            load(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    """Something else than a file is refused at once."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(SavedFileError, match="it is no file"):
        load(tmp_path / "a.safetensors")


def test_a_file_larger_than_the_memory_is_refused(saved, monkeypatch):
    """It would be read into it."""
    monkeypatch.setattr(saving, "free_memory", lambda: saved.stat().st_size - 1)
    with pytest.raises(SavedFileError, match="larger than the memory that is free"):
        load(saved)


@pytest.mark.parametrize("name", ["missing.safetensors", "file/a.safetensors", "."])
def test_a_message_names_the_file_once(name, tmp_path):
    """The system's own text, which repeats it, is not taken whole."""
    (tmp_path / "file").touch()
    with pytest.raises(SavedFileError) as caught:
        load(tmp_path / name)
    assert str(caught.value).count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    "contents",
    [b"", b"\0", b"not a detector", bytes(1000), b"\xff" * 1000, b"\x02" + bytes(7) + b"{}"],
    ids=["empty", "one byte", "text", "zeros", "ones", "no tensors"],
)
def test_another_file_is_refused(contents, path):
    """Whatever is in it, the error names the file."""
    path.write_bytes(contents)
    with pytest.raises(SavedFileError, match=r"a\.safetensors"):
        load(path)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_file_is_refused(share, saved):
    """Cut anywhere, in the header or in the tensors, it is no detector."""
    contents = saved.read_bytes()
    saved.write_bytes(contents[: int(share * len(contents))])
    with pytest.raises(SavedFileError, match=r"cannot read .*a\.safetensors"):
        load(saved)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_another_safetensors_file_is_refused(metadata, path):
    """Weights of something else are told from a detector."""
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    with pytest.raises(SavedFileError, match="is a safetensors file, but no saved detector"):
        load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000])
def test_a_header_that_is_no_json_object_is_refused(text, path):
    """Also one that is nested beyond measure."""
    save_file({"weight": torch.zeros(3)}, path, metadata={"recon_anomaly": text})
    with pytest.raises(SavedFileError, match=r"a\.safetensors is damaged: its header is no JSON"):
        load(path)


class Malice:
    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return (os.mkdir, (str(self.made),))


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_not_run(write, path, tmp_path):
    """Nothing is ever unpickled."""
    with path.open("wb") as file:
        write(Malice(tmp_path / "made"), file)
    with pytest.raises(SavedFileError, match="cannot read"):
        load(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name", ["os:system", "builtins:eval", "recon_anomaly.models.mean:MeanPicture"]
)
@pytest.mark.parametrize("kind", ["model", "scorer"])
def test_nothing_is_imported_by_a_name_in_the_file(kind, name, saved):
    """A module path in place of a registered name is an unknown plugin."""

    def change(header, tensors):
        header["names"][kind] = name
        header["params"][kind] = name

    rewrite(saved, change)
    with pytest.raises(SavedFileError, match=rf"needs the {kind} '{name}'"):
        load(saved)


def test_a_changed_digit_of_the_header_is_found(saved):
    """A threshold that became another one on the disk is damage, and no threshold."""
    header, _ = read(saved)
    content = saved.read_bytes()
    digits = repr(header["offset"]).encode()
    assert content.count(digits) == 1
    last = b"1" if digits.endswith(b"2") else b"2"
    saved.write_bytes(content.replace(digits, digits[:-1] + last))
    with pytest.raises(SavedFileError, match="the checksum of its header does not fit"):
        load(saved)


def test_no_changed_byte_goes_unnoticed(tmp_path):
    """Wherever one lies: the file is refused, or the byte means nothing."""
    path = tmp_path / "a.safetensors"
    ReconstructionDetector("mean", device="cpu").fit(np.arange(60.0).reshape(10, 3, 2)).save(path)
    content = path.read_bytes()
    whole = read(path)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(len(content), 150, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            load(path)
        except SavedFileError:
            refused += 1
        else:
            header, tensors = read(path)
            assert header == whole[0]
            assert tensors.keys() == whole[1].keys()
            assert all(torch.equal(tensors[name], whole[1][name]) for name in tensors)
    assert refused > 100


def test_a_newer_format_says_who_wrote_it(saved):
    """The message has both formats and the version that wrote the file."""

    def change(header, tensors):
        header["format"] = 7
        header["versions"]["recon-anomaly"] = "9.9"

    rewrite(saved, change)
    with pytest.raises(SavedFileError, match=r"has format 7, this version reads 6; .* 9\.9"):
        load(saved)


UNSORTED = "are not finite and ascending"


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("calibration_scores", lambda kept: kept.flip(0), f"its calibration scores {UNSORTED}"),
        ("calibration_scores", lambda kept: kept * float("nan"), f"calibration scores {UNSORTED}"),
        ("calibration_scores", lambda kept: kept[:0], "calibration scores are no row of float64"),
        ("calibration_scores", lambda kept: kept.float(), "scores are no row of float64"),
        ("calibration_scores", lambda kept: kept[:, None], "scores are no row of float64"),
        ("map_peaks", lambda kept: kept.flip(0), f"its map peaks {UNSORTED}"),
        ("map_peaks", lambda kept: kept[:0], "its map peaks are no row of float64"),
        ("validation_scores", lambda kept: kept[:0], "its validation scores are no row"),
        ("validation_scores", lambda kept: kept.float(), "validation scores are no row of float64"),
        ("validation_scores", lambda kept: kept[:, None], "validation scores are no row"),
        ("validation_scores", lambda kept: kept / 0, "its validation scores are not finite"),
        ("training_hashes", lambda kept: kept[:, :4].clone(), "no rows of 8 bytes"),
        ("training_hashes", lambda kept: kept.ravel(), "no rows of 8 bytes"),
        ("training_hashes", lambda kept: kept.to(torch.int16), "no rows of 8 bytes"),
        ("training_hashes", lambda kept: None, "training_hashes"),
        ("noise", lambda kept: kept * float("nan"), "noise holds NaN or infinite"),
    ],
)
def test_what_a_detector_keeps_is_looked_at(name, wrong, message, saved):
    """Scores, hashes of training pictures and noise that cannot be right are refused, however they are signed."""

    def change(header, tensors):
        kept = tensors.pop(f"detector.{name}")
        if (new := wrong(kept)) is not None:
            tensors[f"detector.{name}"] = new.contiguous()

    rewrite(saved, disguised(change))
    with pytest.raises(SavedFileError, match=rf"a\.safetensors is damaged.*{message}"):
        load(saved)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "network.latent_mean.bias",
            lambda kept: kept * float("nan"),
            "bias holds NaN or infinite",
        ),
        ("network.latent_mean.bias", lambda kept: kept.double(), "float64, and torch.float32 is"),
        ("scorer.log_variance", lambda kept: kept + float("inf"), "variance holds NaN or infinite"),
        ("scorer.log_variance", lambda kept: kept[:, :7].clone(), "must match|size"),
    ],
)
def test_weights_that_cannot_be_right_are_refused(name, wrong, message, saved):
    """Of another type, size, or with numbers that are none: when the file is loaded, not when pictures are scored."""

    def change(header, tensors):
        tensors[name] = wrong(tensors[name])

    rewrite(saved, disguised(change))
    with pytest.raises(SavedFileError, match=rf"a\.safetensors is damaged.*({message})"):
        load(saved)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model_params", {"kernels": (2, 3), "latent_size": 2**40}),
        ("scorer_params", {"draws": 2**40}),
    ],
)
def test_no_more_memory_is_taken_than_the_file_is_worth(place, value, saved):
    """Parameters that ask for far more than the file holds are refused before anything is made."""
    rewrite(saved, lambda header, tensors: header["params"].update({place: value}))
    with pytest.raises(SavedFileError, match="more numbers or tensors than it holds"):
        load(saved)


def without(key):
    def change(header, tensors):
        del header[key]

    return change


def with_value(key, value):
    def change(header, tensors):
        header[key] = value

    return change


NEEDED = [
    "checksum",
    "frozen_weights",
    "format",
    "estimator",
    "params",
    "image_shape",
    "pixel_range",
    "offset",
    "threshold_rule",
    "map_scale",
    "seed",
    "names",
    "history",
]


@pytest.mark.parametrize("key", NEEDED)
def test_a_header_without_an_entry_is_refused(key, saved):
    """Every entry that a detector is made of is missed."""
    rewrite(saved, without(key))
    with pytest.raises(SavedFileError, match=r"a\.safetensors is damaged"):
        load(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("estimator", "Popen"),
        ("estimator", ["CAE"]),
        ("params", {"nonsense": 1}),
        ("params", 3),
        ("image_shape", [16, 16]),
        ("image_shape", "16"),
        ("image_shape", [16, 16, 3]),
        ("image_shape", [-16, 16, 1]),
        ("names", {"model": 3}),
        ("names", []),
        ("pixel_range", {"low": 0}),
        ("pixel_range", {"low": "a", "high": "b", "dtype": "uint8"}),
        ("pixel_range", {"low": 1.0, "high": 1.0, "dtype": "uint8"}),
        ("offset", "high"),
        ("offset", None),
        ("offset", float("nan")),
        ("map_scale", "large"),
        ("history", {}),
        ("history", {"terms": ["a"], "planned_epochs": 1, "records": [{}], "kept_epoch": 1}),
    ],
)
def test_a_header_with_a_wrong_entry_is_refused(key, value, saved):
    """It is found when the file is loaded, not when pictures are scored."""
    rewrite(saved, with_value(key, value))
    with pytest.raises(SavedFileError, match=r"a\.safetensors"):
        load(saved)


def drop(name):
    def change(header, tensors):
        del tensors[name]

    return change


def disguised(change):
    """Change, and give the file the checksum of what it then holds, as malice would."""

    def changed(header, tensors):
        change(header, tensors)
        header["checksum"] = checksum(tensors)

    return changed


def reshape(header, tensors):
    tensors["network.latent_mean.bias"] = torch.zeros(7)


def rename(header, tensors):
    tensors["network.other"] = tensors.pop("network.latent_mean.bias")


def shrink_noise(header, tensors):
    tensors["detector.noise"] = torch.zeros(10, 2)


@pytest.mark.parametrize(
    "change",
    [
        drop("network.latent_mean.bias"),
        drop("detector.validation_scores"),
        drop("detector.noise"),
        drop("scorer.log_variance"),
        reshape,
        rename,
        shrink_noise,
    ],
    ids=["weight", "validation", "noise", "scorer", "shape", "name", "noise shape"],
)
def test_tensors_that_do_not_fit_are_refused(change, saved):
    """A missing, renamed or reshaped tensor is found when the file is loaded."""
    rewrite(saved, change)
    with pytest.raises(SavedFileError, match=r"a\.safetensors is damaged.*: the checksum of its"):
        load(saved)


def test_a_long_cause_is_one_line(saved):
    """PyTorch names each tensor that is missing on a line of its own."""
    rewrite(saved, disguised(drop("network.latent_mean.bias")))
    with pytest.raises(
        SavedFileError, match=r": Error\(s\) in loading state_dict for \w+: Missing"
    ):
        load(saved)


@pytest.mark.parametrize(
    "change",
    [
        drop("network.latent_mean.bias"),
        drop("detector.validation_scores"),
        drop("detector.noise"),
        reshape,
        rename,
        shrink_noise,
    ],
    ids=["weight", "validation", "noise", "shape", "name", "noise shape"],
)
def test_tensors_that_do_not_fit_are_refused_under_a_fitting_checksum(change, saved):
    """What the checksum does not tell, the parts do."""
    rewrite(saved, disguised(change))
    with pytest.raises(SavedFileError, match=r"a\.safetensors is damaged"):
        load(saved)


def test_a_flipped_byte_is_survived(saved, good):
    """Damage anywhere in the header is refused when it is loaded, or harmless, or told at scoring."""
    contents = saved.read_bytes()
    length = 8 + int.from_bytes(contents[:8], "little")
    refused = 0
    for place in np.random.default_rng(0).integers(0, length, 60):
        damaged = bytearray(contents)
        damaged[place] ^= 0x15
        saved.write_bytes(damaged)
        try:
            loaded = load(saved)
        except SavedFileError:
            refused += 1
        else:
            with suppress(ReconAnomalyError):
                assert loaded.score_samples(good[:2]).shape == (2,)
    assert refused > 20


@pytest.mark.parametrize("self_contained", [False, True])
def test_bytes_are_those_of_a_file(tmp_path, good, self_contained):
    """What another process gets, without a path; scores are the same."""
    options = {"image_size": 16, "epochs": 1}
    detector = (
        TCAE(**options).fit(good) if self_contained else CAE(kernels=(2,), **options).fit(good)
    )
    detector.save(tmp_path / "a.safetensors", self_contained=self_contained)
    content = saving.to_bytes(detector, self_contained=self_contained)
    assert content == (tmp_path / "a.safetensors").read_bytes()
    again = saving.from_bytes(content, device="cpu")
    assert again.device == "cpu"
    assert np.array_equal(again.anomaly_score(good), detector.anomaly_score(good))
    with pytest.raises(SavedFileError, match="cannot read"):
        saving.from_bytes(content[:100])
