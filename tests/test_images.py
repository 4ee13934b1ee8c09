import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recon_anomaly.errors import InputError
from recon_anomaly.images import PixelRange, as_pictures, measure_range, range_for

UINT8 = PixelRange(0.0, 255.0, "uint8")
UINT16 = PixelRange(0.0, 65535.0, "uint16")
UNIT = PixelRange(0.0, 1.0, "float32")
WIDE = PixelRange(-1.0, 3.0, "float32")
small_shapes = hnp.array_shapes(min_dims=4, max_dims=4, max_side=3)


@settings(deadline=None)
@given(hnp.arrays(st.sampled_from([np.uint8, np.uint16]), small_shapes))
def test_integers_have_their_full_scale(array):
    """The range of integers follows from their type, whatever the pictures hold."""
    assert measure_range(array) == (UINT8 if array.dtype == np.uint8 else UINT16)


@settings(deadline=None)
@given(hnp.arrays(np.float32, small_shapes, elements=st.floats(0, 1, width=32)))
def test_floats_between_zero_and_one_stay(array):
    """Floats that lie in [0, 1] keep their values, even where they do not reach 0 and 1."""
    assert measure_range(array) == UNIT


@settings(deadline=None)
@given(hnp.arrays(np.float32, small_shapes, elements=st.floats(-1e6, 1e6, width=32)))
def test_other_floats_are_brought_to_zero_and_one(array):
    """Whatever the floats, they end up in [0, 1]; outside before, their minimum becomes 0."""
    low, high, _ = measure_range(array)
    brought = (array.astype(np.float64) - low) / (high - low)
    assert brought.min() >= 0
    assert brought.max() <= 1
    if array.min() < 0 or array.max() > 1:
        assert brought.min() == 0
        assert brought.max() == (1 if array.max() > array.min() else 0)


@pytest.mark.parametrize(
    ("dtype", "level", "fitted", "wanted"),
    [
        (np.uint8, 9, UINT8, UINT8),
        (np.uint16, 9, UINT8, UINT16),
        (np.uint8, 9, UINT16, UINT8),
        (np.float32, 0.5, UINT8, UNIT),
        (np.float32, 1.0, UINT16, UNIT),
        (np.uint8, 9, UNIT, UINT8),
        (np.uint16, 9, UNIT, UINT16),
        (np.float32, 0.5, UNIT, UNIT),
        (np.float32, 7.0, UNIT, UNIT),
        (np.float32, 7.0, WIDE, WIDE),
    ],
)
def test_range_of_pictures_to_score(dtype, level, fitted, wanted):
    """The same type keeps the fitted range, and another type has its own where the unit is clear."""
    assert range_for(np.full((1, 2, 2, 1), level, dtype), fitted) == wanted


@pytest.mark.parametrize(
    ("dtype", "level", "fitted", "message"),
    [
        (np.float32, 200.0, UINT8, r"uint8 pictures.*float32.*give uint8, or floats in \[0, 1\]"),
        (np.float32, -0.5, UINT16, r"uint16 pictures.*float32"),
        (np.uint8, 1, WIDE, r"floats from -1 to 3.*uint8"),
        (np.uint16, 1, WIDE, r"floats from -1 to 3.*uint16"),
    ],
)
def test_a_doubtful_unit_is_refused(dtype, level, fitted, message):
    """Pictures in a unit that cannot be known raise an error that says both units."""
    with pytest.raises(InputError, match=message):
        range_for(np.full((1, 2, 2, 1), level, dtype), fitted)


@pytest.mark.parametrize("highest", [201.5, 200.0])
def test_the_values_that_were_got_are_in_the_error(highest):
    """The error says from where to where the pictures reach, constant ones too."""
    array = np.array([200.0, highest], np.float32).reshape(2, 1, 1, 1)
    with pytest.raises(InputError, match=f"from 200 to {highest:g};"):
        range_for(array, UINT8)


@pytest.mark.parametrize(
    ("shape", "wanted"), [((5, 4, 3), (5, 4, 3, 1)), ((5, 4, 3, 2), (5, 4, 3, 2))]
)
def test_arrays_of_pictures_get_a_channel_axis(shape, wanted):
    """Gray stacks get an axis for the one channel; the pixels stay in their order and type."""
    array = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    found = as_pictures(array)
    assert found.shape == wanted
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found.ravel(), array.ravel())


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_a_list_of_pictures_is_stacked(kind, shape):
    """A list or tuple of equal arrays means the same as their stack."""
    pictures = [np.full(shape, level, np.uint8) for level in (1, 2)]
    found = as_pictures(kind(pictures))
    assert found.shape == (2, 4, 3, shape[2] if len(shape) == 3 else 1)
    assert found[:, 0, 0, 0].tolist() == [1, 2]


def test_a_tensor_counts_as_an_array():
    """A torch tensor of pictures is taken as the array that it holds."""
    assert as_pictures(torch.zeros(2, 4, 3)).shape == (2, 4, 3, 1)


@pytest.mark.parametrize(
    "X", [np.zeros((3, 4)), np.zeros(3), ["a.png"], [], "good", None, [[1, 2], [3, 4]]]
)
def test_anything_else_is_not_taken_for_pictures(X):
    """Rows, paths, nothing and plain lists are left to others."""
    assert as_pictures(X) is None


def test_pictures_of_different_shapes_are_refused():
    """The error lists the shapes, each with the first picture that has it."""
    pictures = [np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((5, 3)), np.zeros((5, 3))]
    with pytest.raises(InputError, match=r"\(4, 3\) \(picture 0\), \(5, 3\) \(picture 2\)"):
        as_pictures(pictures)


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 3, 0, 1), (2, 3, 3, 0)])
def test_pictures_without_pixels_are_refused(shape):
    """An empty side raises an error that shows the shape."""
    with pytest.raises(InputError, match="at least one pixel"):
        as_pictures(np.zeros(shape))
