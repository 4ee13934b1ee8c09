from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from recon_anomaly.images import PixelRange
from recon_anomaly.shown import as_shown, colour_bar, draw_picture, error_scale, inches
from recon_anomaly.store import from_array


def brighter(by):
    """Return a detector that reconstructs pictures brighter, in levels."""
    return SimpleNamespace(
        pixel_range_=PixelRange(0.0, 255.0, "uint8"),
        network_=SimpleNamespace(),
        reconstruct=lambda X: X.batch(slice(None)).astype(np.float32) + by,
    )


def test_errors_are_not_cut_with_the_display():
    """250 reconstructed as 301 is white, and its error is (51 / 255)² all the same."""
    pictures = from_array(np.full((2, 3, 4, 1), 250, np.uint8))
    columns, maps, unit = as_shown(brighter(51), pictures)
    assert list(columns) == ["picture", "reconstruction", "squared error"]
    assert (columns["reconstruction"] == 1).all()
    np.testing.assert_allclose(maps, np.full((2, 3, 4), 0.04), rtol=1e-6)
    assert columns["squared error"] is maps
    assert unit.startswith("squared error")


def test_features_have_only_their_map():
    """A network with a target has the maps of the scorer, of all batches."""
    detector = brighter(0)
    detector.network_ = SimpleNamespace(target=None)
    detector.iter_scores = lambda X: ((None, np.full((1, 2, 2), k)) for k in range(len(X)))
    columns, maps, unit = as_shown(detector, from_array(np.zeros((3, 2, 2, 1), np.uint8)))
    assert (list(columns), unit) == (["picture", "anomaly map"], "anomaly map")
    assert maps[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_channels_can_be_displayed(channels):
    """Up to two channels are shown by their first, more by their first three."""
    pictures = np.random.default_rng(0).integers(0, 256, (1, 2, 2, channels)).astype(np.uint8)
    made, _, _ = as_shown(brighter(0), from_array(pictures))
    kept = 3 if channels > 2 else 1
    np.testing.assert_allclose(made["picture"], pictures[..., :kept] / 255, rtol=1e-6)


def test_the_scale_leaves_the_brightest_pixels_out():
    """The top is the 99.5 % quantile, and 1 where there is no error at all."""
    maps = np.arange(1000.0).reshape(1, 10, 100)
    assert error_scale(maps).vmax == pytest.approx(np.quantile(np.arange(1000), 0.995))
    assert error_scale(np.zeros((1, 2, 2))).vmax == 1


@pytest.mark.parametrize(("maps", "arrow"), [(np.arange(400.0), "max"), (np.zeros(400), "neither")])
def test_the_bar_has_an_arrow_where_pixels_exceed_it(maps, arrow):
    """The bar of colours tells whether there is more than it shows."""
    maps = maps.reshape(1, 20, 20)
    axes, bar = Figure().subplots(1, 2)
    heat = draw_picture(axes, maps[0], error_scale(maps))
    colour_bar(bar, heat, maps, "a unit")
    assert heat.colorbar.extend == arrow
    assert bar.get_ylabel() == "a unit"


def test_sizes_keep_their_shape():
    """The shorter side has its length unless the longer one would be too long."""
    assert inches((30, 60)) == pytest.approx((0.95, 1.9))
    assert inches((60, 50)) == pytest.approx((1.5, 1.25))
