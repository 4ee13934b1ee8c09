import numpy as np
import pytest
from PIL import Image

from recon_anomaly.heatmaps import colours, side_by_side

BLACK, YELLOW = [0, 0, 4], [252, 255, 164]


def test_colours_run_from_black_to_yellow():
    """Zero is black, the scale is light yellow, and a tenth of it is halfway to violet."""
    assert colours(np.array([[0.0, 0.2, 2.0]]), 2.0).tolist() == [[BLACK, [33, 5, 54], YELLOW]]


def test_values_beyond_the_scale_keep_the_last_colour():
    """Negative values are black, and values above the scale as bright as the scale."""
    assert colours(np.array([[-5.0, 3.0, np.inf]]), 1.0).tolist() == [[BLACK, YELLOW, YELLOW]]


def test_brightness_rises_evenly():
    """The luminance rises from value to value, so that it reads without colour vision."""
    shown = colours(np.linspace(0, 1, 64)[None], 1.0)[0]
    luminance = shown @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


@pytest.mark.parametrize("scale", [0.0, -3.0])
def test_a_scale_of_nothing_is_taken_as_one(scale):
    """A map of zeros with a scale of zero, as of a perfect model, is black without a warning."""
    assert colours(np.zeros((2, 2)), scale).tolist() == [[BLACK] * 2] * 2
    assert colours(np.ones((1, 1)), scale).tolist() == [[YELLOW]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_colours_have_the_shape_of_the_map(dtype):
    """Any float map (h, w) becomes (h, w, 3) in uint8 and is left as it is."""
    anomaly_map = np.full((5, 7), 0.5, dtype)
    shown = colours(anomaly_map, 1.0)
    assert shown.shape == (5, 7, 3)
    assert shown.dtype == np.uint8
    assert (anomaly_map == 0.5).all()


@pytest.mark.parametrize(
    ("pixel", "dtype", "wanted"),
    [
        ([51], np.uint8, [51, 51, 51]),
        ([13107], np.uint16, [51, 51, 51]),
        ([0.2], np.float32, [51, 51, 51]),
        ([-1.0], np.float32, [0, 0, 0]),
        ([2.0], np.float64, [255, 255, 255]),
        ([10, 20, 30], np.uint8, [10, 20, 30]),
        ([10, 20, 30, 40], np.uint8, [10, 20, 30]),
        ([10, 20], np.uint8, [10, 10, 10]),
    ],
)
def test_side_by_side_shows_any_picture(pixel, dtype, wanted):
    """Integers go by full scale, floats are clipped, and one or two channels are shown gray."""
    picture = np.full((256, 300, len(pixel)), pixel, dtype)
    shown = np.asarray(side_by_side(picture, np.zeros((256, 300)), 1.0))
    assert shown.shape == (256, 604, 3)
    assert (shown[:, :300] == wanted).all()
    assert (shown[:, 300:304] == 255).all()
    assert (shown[:, 304:] == BLACK).all()


@pytest.mark.parametrize(("size", "zoom"), [((20, 30), 13), ((255, 400), 2), ((256, 256), 1)])
def test_small_pictures_are_enlarged_to_256(size, zoom):
    """The smaller side becomes at least 256 by whole steps, each pixel a square block."""
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    shown = side_by_side(picture, np.zeros(size), 1.0)
    assert isinstance(shown, Image.Image)
    assert shown.size == ((2 * size[1] + 4) * zoom, size[0] * zoom)
    block = np.asarray(shown)[:, : size[1] * zoom]
    np.testing.assert_array_equal(block, picture.repeat(zoom, 0).repeat(zoom, 1))
