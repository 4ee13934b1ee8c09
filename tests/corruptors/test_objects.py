from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recon_anomaly.corruptors.objects import PastedObjects
from recon_anomaly.errors import InputError

KINDS = ("ellipse", "rectangle", "polygon", "line", "text", "blob")
images = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3])).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


@settings(deadline=None)
@given(
    image=images,
    kind=st.sampled_from(KINDS),
    largest=st.floats(0.01, 1),
    contrast=st.floats(0.001, 0.5),
    seed=st.integers(0, 2**32),
)
def test_keeps_the_contract_of_a_corruptor(image, kind, largest, contrast, seed):
    """Shape, type, range, mask, repeatability, untouched input; at least one pixel changes."""
    before = image.copy()
    image.setflags(write=False)
    corruptor = PastedObjects(size=(0.01, largest), contrast=contrast, kinds=(kind,))
    corrupted, mask = corruptor(image, np.random.default_rng(seed))
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.float32
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.bool_
    assert mask.any()
    np.testing.assert_array_equal(mask, (corrupted != image).any(axis=2))
    np.testing.assert_array_equal(image, before)
    again, mask_again = corruptor(image, np.random.default_rng(seed))
    assert again.tobytes() == corrupted.tobytes()
    assert mask_again.tobytes() == mask.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("contrast", [0.1, 0.25, 0.5])
def test_an_object_differs_by_the_stated_contrast(kind, level, contrast):
    """On a flat picture a hard-edged object is one colour, at least the contrast away."""
    image = np.full((48, 64, 3), level, dtype=np.float32)
    corruptor = PastedObjects(count=(1, 1), contrast=contrast, kinds=(kind,))
    for seed in range(10):
        corrupted, mask = corruptor(image, np.random.default_rng(seed))
        change = np.abs(corrupted - image)[mask]
        if kind == "blob":
            # A blob is soft: only its middle has its own level.
            assert (change.max(axis=0) >= contrast - 1e-6).all()
        else:
            assert change.min() >= contrast - 1e-6
            assert (corrupted[mask] == corrupted[mask][0]).all()


def test_levels_lie_on_both_sides():
    """On a mid-gray picture some objects are brighter and some darker."""
    image = np.full((32, 32, 1), 0.5, dtype=np.float32)
    corruptor = PastedObjects(count=(1, 1), kinds=("ellipse",))
    rng = np.random.default_rng(0)
    brighter = sum((corruptor(image, rng)[0] > 0.5).any() for _ in range(200))
    assert 60 < brighter < 140


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"text"}))
def test_an_object_is_as_large_as_stated(kind):
    """The extent lies between the shares of the shorter side, a pixel more or less for rounding."""
    image = np.full((100, 160, 1), 0.5, dtype=np.float32)
    corruptor = PastedObjects(count=(1, 1), size=(0.2, 0.3), kinds=(kind,))
    for seed in range(30):
        rows, columns = np.nonzero(corruptor(image, np.random.default_rng(seed))[1])
        extent = np.hypot(np.ptp(rows) + 1, np.ptp(columns) + 1)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 31
        if kind != "polygon":  # a polygon's corners may all fall on one side of its circle
            assert extent >= 18


def test_number_of_objects_is_drawn_from_count():
    """With one-pixel objects in a large picture every number between the bounds comes up."""
    image = np.full((300, 300, 1), 0.5, dtype=np.float32)
    corruptor = PastedObjects(count=(2, 4), size=(0.003, 0.003), kinds=("rectangle",))
    rng = np.random.default_rng(0)
    assert {int(corruptor(image, rng)[1].sum()) for _ in range(50)} == {2, 3, 4}


def test_pixels_outside_the_mask_keep_their_bytes():
    """Nothing is quantised on the way: what no object covers is the very same float."""
    image = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    corrupted, mask = PastedObjects()(image, np.random.default_rng(1))
    assert 0 < mask.mean() < 0.5
    assert corrupted[~mask].tobytes() == image[~mask].tobytes()


def test_a_contrast_below_float32_still_changes_a_pixel():
    """The promise of a changed pixel does not rest on the contrast."""
    image = np.full((1, 1, 1), 0.5, dtype=np.float32)
    for seed in range(50):
        corruptor = PastedObjects(count=(1, 4), contrast=1e-12)
        assert corruptor(image, np.random.default_rng(seed))[1].all()


def test_parameters_may_come_as_lists():
    """Lists, as JSON returns them, are the same as tuples."""
    lists = PastedObjects(count=[1, 3], size=[0.08, 0.25], kinds=list(KINDS))
    assert lists == PastedObjects()
    assert hash(lists) == hash(PastedObjects())


@pytest.mark.parametrize(
    "params",
    [
        {"count": (0, 2)},
        {"count": (3, 2)},
        {"count": (1, 2.5)},
        {"count": (1,)},
        {"count": 3},
        {"size": (0.0, 0.2)},
        {"size": (0.3, 0.2)},
        {"size": (0.1, 1.5)},
        {"size": (0.1, float("nan"))},
        {"contrast": 0.0},
        {"contrast": 0.6},
        {"contrast": float("nan")},
        {"kinds": ()},
        {"kinds": ("circle",)},
        {"kinds": "line"},
    ],
)
def test_bad_parameters_are_refused(params):
    """An empty range, an impossible contrast or an unknown kind raises an error that names it."""
    with pytest.raises(InputError, match=next(iter(params))):
        PastedObjects(**params)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1)), np.zeros((4, 4, 1), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    """Two axes, float64 or uint8 raise an error that says what is wanted."""
    with pytest.raises(InputError, match="float32"):
        PastedObjects()(image, np.random.default_rng(0))
