import copy
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from recon_anomaly import ReconstructionDetector, SavedFileError, load
from recon_anomaly.backbones import Backbone
from recon_anomaly.errors import InputError, WeightsError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.perceptual import PerceptualDifference
from recon_anomaly.scoring import exact, fit_scorer, reduce_map
from recon_anomaly.weights import FOLDER

GENERATOR = torch.Generator().manual_seed(0)
random_weights = pytest.mark.filterwarnings("ignore:the weights of .* are random")


@pytest.fixture(scope="module")
def scorer():
    """One that compares features of the drawn weights which "auto" finds."""
    made = PerceptualDifference()
    made.fit([])
    return made


def cosine_distances(backbone, target, mean):
    """Twice one minus the cosine of the features at each position, in plain loops, and spread bilinearly."""
    first, second = (backbone(images).double().numpy() for images in (target, mean))
    found = np.zeros((len(first), *first.shape[2:]))
    for place in np.ndindex(found.shape):
        a, b = first[place[0], :, *place[1:]], second[place[0], :, *place[1:]]
        found[place] = 2 - 2 * (a @ b) / np.sqrt((a @ a) * (b @ b))
    spread = F.interpolate(torch.from_numpy(found)[:, None], target.shape[-2:], mode="bilinear")
    return spread[:, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_map_is_twice_the_cosine_distance_of_features(scorer, channels):
    """At every position of the backbone's map; the mean is the score."""
    target, mean = torch.rand(2, 2, channels, 16, 24, generator=GENERATOR)
    found = scorer(target, Reconstruction(mean))
    wanted = cosine_distances(Backbone(), target, mean)
    assert found.shape == (2, 16, 24)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reduce_map(scorer, found), wanted.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (7, 10), (16, 3)])
def test_any_size_is_padded_by_replication_and_cropped_back(scorer, size):
    """The map is that of the padded pictures, as far as the picture goes."""
    target, mean = torch.rand(2, 2, 1, *size, generator=GENERATOR)
    height, width = size
    missing = (0, -width % 4, 0, -height % 4)
    padded = [F.pad(images, missing, mode="replicate") for images in (target, mean)]
    whole = scorer(padded[0], Reconstruction(padded[1]))
    found = scorer(target, Reconstruction(mean))
    assert torch.equal(found, whole[:, :height, :width])


@random_weights
def test_several_layers_are_added_up():
    """The map of two layers is the sum of the maps of each, brought to the picture's size."""
    target, mean = torch.rand(2, 2, 3, 32, 32, generator=GENERATOR)
    layers = ["features.4", "features.9"]
    both = PerceptualDifference(layer=layers, weights=None)(target, Reconstruction(mean))
    one, other = (
        PerceptualDifference(layer=layer, weights=None)(target, Reconstruction(mean))
        for layer in layers
    )
    assert one.max() > 0
    assert other.max() > 0
    torch.testing.assert_close(both, one + other)


def test_what_is_exported_maps_a_whole_batch():
    """Its maps are those of the scorer, which takes picture by picture, and stay so wherever that is moved."""
    scorer = PerceptualDifference()
    target, mean = torch.rand(2, 2, 3, 7, 10, generator=GENERATOR)
    wanted = scorer(target, Reconstruction(mean))
    exported = scorer.exported()
    scorer.network.to("meta")
    found = exported(target, Reconstruction(mean))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@random_weights
def test_the_backbone_follows_the_pictures_to_their_device(monkeypatch):
    """It is built on the CPU, and moved where the pictures are."""
    monkeypatch.setattr(Backbone, "maps", lambda network, images: [images])  # no autocast there
    target, mean = torch.empty(2, 1, 1, 8, 8, device="meta")
    scorer = PerceptualDifference(weights=None)
    assert scorer(target, Reconstruction(mean)).device == target.device
    assert scorer.network.mean.device == target.device


def test_equal_pictures_score_zero(scorer):
    """Nothing differs, so map and score are exactly zero."""
    image = torch.rand(1, 3, 8, 8, generator=GENERATOR)
    assert scorer(image, Reconstruction(image)).abs().max() == 0


def test_what_is_no_picture_is_refused(scorer):
    """Features as targets have other channels; the error says what is compared."""
    features = torch.rand(1, 128, 4, 4)
    with pytest.raises(InputError, match=r"perceptual compares pictures.*got 128 channels"):
        scorer(features, Reconstruction(features))


def test_missing_weights_are_told_by_fit(monkeypatch, tmp_path):
    """Before the training's first epoch, since a rehearsal fits the scorer."""
    missing = str(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="does not exist"):
        PerceptualDifference(weights=missing).fit([])
    with pytest.raises(InputError, match="no torchvision network"):
        PerceptualDifference("vgg99").fit([])
    detector = ReconstructionDetector(
        "cae", scorer="perceptual", scorer_params={"weights": missing}, epochs=1000
    )
    with pytest.raises(WeightsError, match="does not exist"):
        detector.fit(np.zeros((4, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("backbone", [None, 3])
def test_a_backbone_without_a_name_is_refused(backbone):
    """The error shows a name."""
    with pytest.raises(InputError, match="such as 'vgg16'"):
        PerceptualDifference(backbone)


def test_the_exported_map_is_the_scorers(scorer):
    """A whole batch at once has the map that the pictures have one by one."""
    images, others = torch.rand(2, 3, 1, 8, 8, generator=GENERATOR)
    made = Reconstruction(others)
    assert torch.allclose(scorer.exported()(images, made), scorer(images, made), atol=1e-5)


@random_weights
def test_random_weights_are_always_the_same():
    """They leave the generators alone, another scorer compares the same features, and none are saved."""
    image, other = torch.rand(2, 1, 1, 8, 8, generator=GENERATOR)
    state = torch.get_rng_state()
    scorer = PerceptualDifference(weights=None)
    found = scorer(image, Reconstruction(other))
    assert scorer.describe(None)["weights"] == "random"
    assert scorer.frozen_state_dict() == {}
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again = PerceptualDifference(weights=None)(image, Reconstruction(other))
    torch.set_rng_state(state)
    assert torch.equal(found, again)


def test_a_backbone_that_is_built_while_scoring_is_not_bound_to_it():
    """Its parameters are ordinary tensors: the scorer can be copied and moved afterwards."""
    scorer = PerceptualDifference()
    with exact():
        scorer.fit([])
    assert not any(part.is_inference() for part in scorer.network.state_dict().values())
    assert copy.deepcopy(scorer).network.checksum() == scorer.network.checksum()


def test_fit_needs_no_reconstruction(scorer):
    """Nothing is learned of the pairs, so none is made."""

    def network(images):
        pytest.fail("a picture was reconstructed")

    fit_scorer(PerceptualDifference(), network, lambda: [torch.zeros(1, 1, 8, 8)], None)


def test_describe_names_the_features(scorer, drawn_weights):
    """The backbone, the layer that was asked for, and the source of its weights."""
    assert scorer.describe(None) == {"features": "vgg16", "weights": str(drawn_weights)}
    for layer, words in {"layer2": "layer2", ("layer1", "layer2"): "layer1, layer2"}.items():
        assert PerceptualDifference("resnet18", layer).describe(None) == {
            "features": f"resnet18 at {words}",
            "weights": "not looked for yet",
        }
    assert PerceptualDifference().frozen_state_dict() == {}


# Saved -------------------------------------------------------------------------------------------


@pytest.fixture
def saved(good, tmp_path):
    """A saved detector, and the file that it was saved to."""
    detector = ReconstructionDetector("mean", scorer="perceptual").fit(good)
    path = tmp_path / "a.safetensors"
    detector.save(path)
    return detector, path


def test_the_checksum_is_saved_and_not_the_weights(saved):
    """16 bytes stand for a megabyte."""
    detector, path = saved
    tensors = load_file(path)
    assert [name for name in tensors if name.startswith("scorer.")] == ["scorer.checksum"]
    digest = bytes(tensors["scorer.checksum"].tolist()).hex()
    assert digest == detector.scorer_.network.checksum()
    assert tensors["scorer.checksum"].nbytes == 16
    assert path.stat().st_size < 100_000


def test_other_weights_are_refused(saved, drawn_weights, monkeypatch, tmp_path):
    """A file that has other numbers than those of the training is an error at loading."""
    other = tmp_path / "weights"
    other.mkdir()
    tensors = load_file(drawn_weights)
    tensors["features.0.bias"] += 1
    save_file(tensors, other / "vgg16.safetensors")
    monkeypatch.setenv(FOLDER, str(other))
    with pytest.raises(
        SavedFileError, match=r"perceptual compared features .* RECON_ANOMALY_WEIGHTS"
    ):
        load(saved[1])


def test_a_file_that_was_named_may_be_elsewhere(good, bad, drawn_weights, tmp_path):
    """Where the path of the training is gone, the weights are looked for as "auto" does."""
    named, path = tmp_path / "mine.safetensors", tmp_path / "a.safetensors"
    named.write_bytes(drawn_weights.read_bytes())
    detector = ReconstructionDetector(
        "mean", scorer="perceptual", scorer_params={"weights": str(named)}
    ).fit(good)
    detector.save(path)
    assert load(path).scorer_.network.source == str(named)
    named.unlink()
    loaded = load(path)
    assert loaded.scorer_.network.source == str(drawn_weights)
    np.testing.assert_array_equal(loaded.anomaly_score(bad), detector.anomaly_score(bad))


def test_a_file_is_named_where_it_is_loaded(saved, bad, drawn_weights, monkeypatch, tmp_path):
    """The scorer takes it where the model needs none, and a clone has it; one that is not there is an error."""
    detector, path = saved
    monkeypatch.setenv(FOLDER, str(tmp_path))  # nothing is found there
    named = tmp_path / "elsewhere" / "mine.safetensors"
    with pytest.raises(WeightsError, match=r"mine\.safetensors does not exist"):
        load(path, weights=named)
    named.parent.mkdir()
    named.write_bytes(drawn_weights.read_bytes())
    loaded = load(path, weights=named)
    assert loaded.scorer_.network.source == str(named)
    assert loaded.scorer_params == {"weights": str(named)}
    np.testing.assert_array_equal(loaded.anomaly_score(bad), detector.anomaly_score(bad))
    tensors = load_file(drawn_weights)
    tensors["features.0.bias"] += 1
    save_file(tensors, named)
    with pytest.raises(SavedFileError, match=r"perceptual compared features .* --weights PATH"):
        load(path, weights=named)


def test_a_file_has_no_place_where_no_weights_are_named(good, saved, drawn_weights, tmp_path):
    """Neither where they are stored, nor where the scorer has none or is made of others."""
    detector, _ = saved
    stored, other = tmp_path / "stored.safetensors", tmp_path / "other.safetensors"
    detector.save(stored, self_contained=True)
    ReconstructionDetector("mean").fit(good).save(other)
    fused = {"scorers": ["mse", "perceptual"]}
    of_parts = tmp_path / "fused.safetensors"
    ReconstructionDetector("mean", scorer="fused", scorer_params=fused).fit(good).save(of_parts)
    for path in (stored, other, of_parts):
        with pytest.raises(SavedFileError, match="names no frozen weights"):
            load(path, weights=drawn_weights)


@pytest.mark.parametrize("params", [None, {"scorers": ["mse", "perceptual"]}])
def test_a_self_contained_detector_needs_no_file(good, bad, params, monkeypatch, tmp_path):
    """The weights are stored with it, also those of a part of a fused scorer, and stay when it is saved again."""
    scorer = "perceptual" if params is None else "fused"
    detector = ReconstructionDetector("mean", scorer=scorer, scorer_params=params).fit(good)
    wanted = detector.anomaly_score(bad)
    path, again = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    detector.save(path, self_contained=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv(FOLDER, str(empty))
    load(path).save(again)
    for file in (path, again):
        np.testing.assert_array_equal(load(file).anomaly_score(bad), wanted)
    if params is None:
        assert load(again).scorer_uses_["weights"] == "the saved detector"


def test_model_and_scorer_may_share_a_file(drawn_weights, monkeypatch, tmp_path):
    """Where both name weights the file is the model's, and the scorer's if it is the right one."""
    pictures = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 1), dtype=np.uint8)
    detector = ReconstructionDetector("tcae", scorer="perceptual", epochs=1).fit(pictures)
    path, named = tmp_path / "a.safetensors", tmp_path / "mine.safetensors"
    detector.save(path)
    named.write_bytes(drawn_weights.read_bytes())
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv(FOLDER, str(empty))
    loaded = load(path, weights=named)
    assert loaded.network_.backbone.source == loaded.scorer_.network.source == str(named)
    np.testing.assert_array_equal(loaded.anomaly_score(pictures), detector.anomaly_score(pictures))


@random_weights
def test_random_weights_are_found_again(good, bad, tmp_path):
    """They are drawn alike when the file is loaded."""
    path = tmp_path / "a.safetensors"
    detector = ReconstructionDetector(
        "mean", scorer="perceptual", scorer_params={"weights": None}
    ).fit(good)
    detector.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load(path)
    np.testing.assert_array_equal(loaded.anomaly_map(bad), detector.anomaly_map(bad))
