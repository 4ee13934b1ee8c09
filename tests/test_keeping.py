"""Kept features: computed once, and the training is the same to the last bit."""

from __future__ import annotations

import gc
import tempfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from recon_anomaly import (
    TCAE,
    TCVAE,
    EpochRecord,
    InputError,
    PictureWarning,
    Reconstruction,
    ReconstructionDetector,
    fitting,
    keeping,
    store,
)
from recon_anomaly.batches import Batches
from recon_anomaly.images import PixelRange
from recon_anomaly.keeping import keep_frozen
from recon_anomaly.store import from_array
from recon_anomaly.training import Tick

CPU = torch.device("cpu")
FILES = "recon-anomaly-*.pixels"


class Features(nn.Module):
    """A third party's model: reconstructs frozen means of 4 x 4 pixels, from these very features."""

    stride = 4

    def __init__(self, image_shape, flat=False):
        super().__init__()
        channels = image_shape[-1]
        self.layer = nn.Linear(channels, channels)
        self.flat = flat
        self.frozen_calls = []
        self.kept_in = {"forward": [], "target": []}

    def frozen(self, images):
        self.frozen_calls.append(len(images))
        features = F.avg_pool2d(images, 4)
        return features.mean((2, 3)) if self.flat else features

    def forward(self, images, kept=None):
        self.kept_in["forward"].append(None if kept is None else len(kept))
        return Reconstruction(self.decode(self.frozen(images) if kept is None else kept))

    def decode(self, features):
        if self.flat:
            return self.layer(features)[:, :, None, None]
        return self.layer(features.movedim(1, -1)).movedim(-1, 1)

    def target(self, images, kept=None):
        self.kept_in["target"].append(None if kept is None else len(kept))
        features = self.frozen(images) if kept is None else kept
        return features[:, :, None, None] if self.flat else features

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


class Plain(nn.Module):
    """Has no frozen part."""

    def forward(self, images):
        return Reconstruction(images)


def pictures(count=10, shape=(6, 9, 2), batch_size=4):
    array = np.random.default_rng(0).random((count, *shape), dtype=np.float32)
    return Batches(from_array(array), PixelRange(0.0, 1.0, "float32"), batch_size, CPU)


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """A temporary folder of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def without_keeping(monkeypatch, detector, X):
    """Fit with every frozen part computed anew in each epoch."""
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "keep_frozen", lambda *_: iter(()))
        return detector.fit(X)


def assert_same(first, second, X):
    """Weights, history, threshold and scores are bit-equal."""
    weights, others = first.network_.state_dict(), second.network_.state_dict()
    assert weights.keys() == others.keys()
    for name in weights:
        assert torch.equal(weights[name], others[name]), name
    assert timeless(first) == timeless(second)
    assert np.array_equal(first.validation_scores_, second.validation_scores_)
    assert (first.offset_, first.map_scale_) == (second.offset_, second.map_scale_)
    assert np.array_equal(first.score_samples(X), second.score_samples(X))


def timeless(detector):
    values = detector.history_.to_dict()
    for record in values["records"]:
        del record["seconds"]
    return values


def colours(count=21, shape=(13, 18)):
    return np.random.default_rng(1).integers(0, 256, (count, *shape, 3)).astype(np.uint8)


# What is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_each_picture_s_features_are_kept_at_its_place(flat):
    """Maps lie channels last, flat features as they are, all float32, of pictures padded to the stride."""
    parts = pictures(10), pictures(3)
    network = Features((6, 9, 2), flat)
    list(keep_frozen(network, parts, 1))
    for batches in parts:
        array = np.pad(batches.pictures.array, [(0, 0), (0, 2), (0, 3), (0, 0)], mode="edge")
        wanted = array.reshape(len(array), 2, 4, 3, 4, 2).mean((2, 4))
        wanted = wanted.mean((1, 2)) if flat else wanted
        assert batches.kept.dtype == np.float32
        np.testing.assert_allclose(batches.kept, wanted, rtol=1e-5)
    assert network.frozen_calls == [4, 4, 2, 3]


def test_a_tick_a_batch():
    """Ticks are of epoch 0, and count through all parts."""
    found = list(keep_frozen(Features((6, 9, 2)), (pictures(10), pictures(3)), 7))
    assert found == [Tick(0, 7, batch, 4) for batch in (1, 2, 3, 4)]


def test_a_view_keeps_the_features_of_its_own_pictures():
    """The third row of a view of pictures 7, 2 and 5 is what the frozen part makes of picture 5."""
    whole = pictures(10)
    view = Batches(whole.pictures.take([7, 2, 5]), whole.pixel_range, 2, CPU)
    list(keep_frozen(Features((6, 9, 2)), (whole, view), 1))
    assert np.array_equal(view.kept, whole.kept[[7, 2, 5]])


def test_a_network_without_a_frozen_part_keeps_nothing():
    """There is no tick, and nothing is set."""
    batches = pictures()
    assert list(keep_frozen(Plain(), (batches,), 3)) == []
    assert batches.kept is None


def test_the_frozen_part_is_in_evaluation_mode():
    """What depends on the mode, as dropout does, is off while features are kept."""

    class Dropping(Features):
        def frozen(self, images):
            return F.dropout(super().frozen(images), 0.9, self.training)

    batches = pictures()
    list(keep_frozen(Dropping((6, 9, 2)).train(), (batches,), 1))
    assert (batches.kept > 0).all()


@pytest.mark.parametrize(
    ("budget", "mapped"), [(0, [True, True]), (400, [True, False]), (10**6, [False, False])]
)
def test_beyond_the_budget_a_file_is_used(budget, mapped, temporary):
    """The budget holds for each part by itself; the file goes with the features."""
    parts = pictures(10), pictures(3)  # 480 and 144 bytes of features
    list(keep_frozen(Features((6, 9, 2)), parts, 1, budget))
    assert [isinstance(batches.kept, np.memmap) for batches in parts] == mapped
    assert len(list(temporary.glob(FILES))) == sum(mapped)
    reference = pictures(10)
    list(keep_frozen(Features((6, 9, 2)), (reference,), 1, 10**6))
    assert np.array_equal(parts[0].kept, reference.kept)
    for batches in parts:
        batches.kept = None
    gc.collect()
    assert list(temporary.glob(FILES)) == []


def test_the_default_budget_is_a_quarter_of_free_memory(monkeypatch, temporary):
    """What needs more is mapped, what needs as much is not."""
    for free, mapped in [(4 * 480, False), (4 * 480 - 4, True)]:
        monkeypatch.setattr(store, "free_memory", lambda free=free: free)
        batches = pictures(10)
        list(keep_frozen(Features((6, 9, 2)), (batches,), 1))
        assert isinstance(batches.kept, np.memmap) == mapped


# Training with them ------------------------------------------------------------------------------

SMALL = {"epochs": 3, "batch_size": 6, "learning_rate": 0.01}


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (TCAE, {}),
        (TCVAE, {"latent_size": 3, "scorer": "reconstruction-probability"}),
        (TCAE, {"backbone": "resnet18", "weights": None, "scorer": "reconstruction-probability"}),
        (TCVAE, {"backbone": "mobilenet_v3_small", "weights": None, "latent_size": 2}),
    ],
)
def test_training_with_kept_features_gives_the_same_bits(estimator, params, monkeypatch, good):
    """Weights, history, threshold and scores equal those of a training that keeps nothing."""
    for X in (good, colours()):
        detector = estimator(**SMALL, **params)
        other = without_keeping(monkeypatch, estimator(**SMALL, **params), X)
        assert_same(detector.fit(X), other, X)


def test_a_mapped_file_gives_the_same_bits_and_is_removed(good, temporary):
    """With little memory to spare features are read from a file, which is gone after the fit."""
    detector, seen = TCVAE(**SMALL, memory_budget=good.nbytes), set()
    for event in detector.iter_fit(good):
        if isinstance(event, EpochRecord):
            seen.add(len(list(temporary.glob(FILES))))
    assert seen == {2}
    gc.collect()
    assert list(temporary.glob(FILES)) == []
    assert_same(detector, TCVAE(**SMALL).fit(good), good)


def test_the_frozen_part_sees_each_picture_once(good):
    """However many epochs there are, beside the rehearsal's single picture."""
    for epochs in (1, 5):
        detector = ReconstructionDetector(Features, epochs=epochs, batch_size=15).fit(good)
        calls = [count for count in detector.network_.frozen_calls if count > 1]
        assert calls == [15, 15, 2, 8]


def test_a_third_party_s_network_gets_what_was_kept(good, monkeypatch):
    """Its forward and its target are both handed the features, in training, validation and threshold."""
    detector = ReconstructionDetector(Features, epochs=2, batch_size=16).fit(good)
    for method in ("forward", "target"):
        calls = detector.network_.kept_in[method]
        # The rehearsals have one picture. Then: two epochs of 32 and 8, and the threshold's 8.
        assert [count for count in calls if count not in (None, 1)] == [16, 16, 8, 16, 16, 8, 8]
    other = ReconstructionDetector(Features, epochs=2, batch_size=16)
    assert_same(detector, without_keeping(monkeypatch, other, good), good)
    assert detector.anomaly_map(good).shape == (40, 16, 16)


def test_the_pass_over_the_pictures_comes_first(good):
    """Its ticks, of epoch 0, come before the first epoch's and count training and validation batches."""
    events = list(TCAE(epochs=2, batch_size=16).iter_fit(good))
    assert events[:3] == [Tick(0, 2, batch, 3) for batch in (1, 2, 3)]
    shown = [event.epoch for event in events[3:]]
    assert shown == [1, 1, 1, 2, 2, 2]


def test_nothing_is_kept_while_a_corruptor_trains(good, monkeypatch):
    """Every epoch spoils the pictures anew, so the frozen part sees them anew."""
    monkeypatch.setattr(fitting, "keep_frozen", None)  # a call would fail
    detector = ReconstructionDetector(Features, epochs=2, batch_size=16, corruptor="gaussian")
    events = list(detector.iter_fit(good))
    assert not any(event.epoch == 0 for event in events)
    # No batch of 16 that trains is handed any; who scores computes them once for target and reconstruction.
    assert set(detector.network_.kept_in["forward"]) == {None, 1, 8}
    assert detector.network_.frozen_calls.count(16) >= 2 * 2


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_temporary_folder_is_warned_of(failing, good, monkeypatch):
    """Where the features of a part fit nowhere they are computed anew, and the result is the same."""
    allocate, calls = keeping.allocate, []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == failing:
            raise InputError("a file of that size failed (No space left on device)")
        return allocate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "allocate", fail)
        words = "TCAENetwork is computed anew in every epoch: .*No space left"
        with pytest.warns(PictureWarning, match=words):
            found = TCAE(**SMALL).fit(good)
    assert len(calls) == failing
    assert_same(found, TCAE(**SMALL).fit(good), good)


def test_what_is_frozen_stays_as_it_was(good, drawn_weights):
    """After training the backbone has the file's very bits, and the decoder does not have its first ones."""
    detector = TCAE(epochs=2, batch_size=16)
    one = TCAE(epochs=1, batch_size=16, learning_rate=1e-12).fit(good).network_.state_dict()
    found = detector.fit(good).network_
    for name, tensor in load_file(drawn_weights).items():
        assert torch.equal(found.backbone.cut.state_dict()[name], tensor), name
    moved = [
        name for name, tensor in found.state_dict().items() if not torch.allclose(tensor, one[name])
    ]
    assert {name.split(".")[0] for name in moved} == {"decoder"}
    assert len(moved) == 6


@pytest.mark.parametrize("estimator", [TCAE, TCVAE])
def test_learning_from_features_tells_bad_pictures(estimator, good, bad):
    """After a few epochs pictures with a bright corner have the lower scores."""
    detector = estimator(epochs=8).fit(good)
    assert detector.history_.records[-1].loss < 0.8 * detector.history_.records[0].loss
    assert detector.score_samples(bad).max() < np.median(detector.score_samples(good))
