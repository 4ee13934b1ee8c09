from __future__ import annotations

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recon_anomaly.castings import make_part as make_part
from recon_anomaly.errors import InputError
from recon_anomaly.estimators import CAE, CVAE, ReconstructionDetector
from recon_anomaly.synthetic import (
    DEFECT_KINDS,
    SyntheticParts,
    _generator,
    make_parts,
)


@pytest.fixture(scope="module")
def parts() -> SyntheticParts:
    return make_parts(24, 8, 4, 2, image_size=32)


def test_shapes_types_and_counts(parts):
    """Every array has the documented shape and type, and every kind its number."""
    assert parts.train.shape == (24, 32, 32, 1)
    assert parts.test.shape == (28, 32, 32, 1)
    assert parts.masks.shape == (28, 32, 32)
    assert parts.validation_defects.shape == (10, 32, 32, 1)
    assert parts.train.dtype == parts.test.dtype == parts.validation_defects.dtype == np.uint8
    assert parts.masks.dtype == np.bool_
    assert parts.labels.dtype == np.int64
    assert Counter(parts.kinds) == {"good": 8} | dict.fromkeys(DEFECT_KINDS, 4)
    assert Counter(parts.validation_defect_kinds) == dict.fromkeys(DEFECT_KINDS, 2)
    assert parts.labels.tolist() == [int(kind != "good") for kind in parts.kinds]


def test_masks_are_empty_just_for_good_parts(parts):
    """A defective part always has marked pixels and a good part never."""
    np.testing.assert_array_equal(parts.masks.any(axis=(1, 2)), parts.labels == 1)


def test_same_seed_same_bytes(parts):
    """A second call gives the same data set; another seed gives another one."""
    again = make_parts(24, 8, 4, 2, image_size=32)
    for field in fields(SyntheticParts):
        np.testing.assert_array_equal(getattr(parts, field.name), getattr(again, field.name))
    assert not np.array_equal(parts.train, make_parts(24, 0, 0, 0, image_size=32, seed=1).train)


def test_a_picture_does_not_depend_on_how_many_others_there_are(parts):
    """The k-th picture of a kind is the same in a smaller data set."""
    few = make_parts(5, 3, 2, 1, image_size=32)
    np.testing.assert_array_equal(few.train, parts.train[:5])
    np.testing.assert_array_equal(few.test[:3], parts.test[:3])
    for kind in DEFECT_KINDS:
        here, there = few.kinds.index(kind), parts.kinds.index(kind)
        np.testing.assert_array_equal(few.test[here : here + 2], parts.test[there : there + 2])
        np.testing.assert_array_equal(few.masks[here : here + 2], parts.masks[there : there + 2])


def test_no_picture_comes_twice(parts):
    """Training, test and validation pictures are all different, and clearly so."""
    everything = np.concatenate([parts.train, parts.test, parts.validation_defects])
    rows = everything.reshape(len(everything), -1).astype(np.float64)
    distance = np.abs(rows[:, None] - rows[None]).mean(axis=2)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 1


def test_the_mask_is_where_the_twins_differ(parts):
    """The masks of the data set are those of the twins it was drawn from."""
    for place, kind in enumerate(parts.kinds):
        number = place - parts.kinds.index(kind)
        good, picture = make_part((32, 32), kind, _generator(42, 1, kind, number))
        np.testing.assert_array_equal(parts.test[place, :, :, 0], picture)
        np.testing.assert_array_equal(parts.masks[place], picture != good)


def test_parts_are_brighter_than_their_ground(parts):
    """The metal lies in the middle of the picture, brighter than the corners, nothing saturated."""
    pictures = parts.train[..., 0].astype(float)
    assert (
        pictures[:, 12:20, 6:12].mean(axis=(1, 2)) > pictures[:, :3, :3].mean(axis=(1, 2)) + 40
    ).all()
    assert (parts.train == 255).mean() < 0.01


def test_sizes_may_differ_and_counts_may_be_zero():
    """Oblong pictures and empty parts of the data set are drawn without complaint."""
    parts = make_parts(2, 0, 1, 0, image_size=(20, 37), seed=7)
    assert parts.test.shape == (5, 20, 37, 1)
    assert parts.validation_defects.shape == (0, 20, 37, 1)
    assert parts.validation_defect_kinds == ()
    assert make_parts(0, 0, 0, 0, image_size=16).train.shape == (0, 16, 16, 1)


@pytest.mark.parametrize("seed", [42, 1, 2])
def test_neither_trivial_nor_impossible(seed):
    """PCA tells defective from good parts well, but not perfectly; brightness hardly does."""
    parts = make_parts(seed=seed)
    pca = _auroc(parts, ReconstructionDetector("pca", random_state=42))
    assert 0.8 < pca < 0.98
    assert _auroc(parts, ReconstructionDetector("mean", random_state=42)) < pca - 0.05
    assert _auroc(parts, ReconstructionDetector("brightness", random_state=42)) < 0.7


@pytest.fixture
def one_thread():
    """Train on one thread: two that share a busy machine wait for each other, many times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("detector", [pytest.param(CAE, marks=pytest.mark.slow), CVAE])
def test_networks_with_their_default_recipes_find_defects_but_not_all(detector):
    """What the generator was shaped for: a model that works has a figure that can rise and fall."""
    assert 0.6 < _auroc(make_parts(), detector(random_state=42)) < 0.99


def _auroc(parts, detector):
    scores = detector.fit(parts.train).anomaly_score(parts.test)
    return roc_auc_score(parts.labels, scores)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"n_train": -1}, "n_train"),
        ({"n_test_good": 1.5}, "n_test_good"),
        ({"n_defects_per_kind": True}, "n_defects_per_kind"),
        ({"n_validation_defects_per_kind": -1}, "n_validation_defects_per_kind"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"image_size": 15}, "image_size"),
        ({"image_size": (64, 8)}, "image_size"),
        ({"image_size": (64, 64, 1)}, "image_size"),
        ({"image_size": 32.0}, "image_size"),
    ],
)
def test_bad_parameters_are_refused(params, named):
    """A count, size or seed that cannot be used raises an error that names it."""
    with pytest.raises(InputError, match=named):
        make_parts(**params)
