"""Weighted means and the Gaussian blur, against SciPy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, gaussian_filter

from recon_anomaly import smoothing
from recon_anomaly.smoothing import blurred, gaussian_window, window_means

GENERATOR = torch.Generator().manual_seed(0)


def test_a_window_is_a_normalised_gaussian():
    """Its weights fall as exp(-k² / 2 sigma²) and sum to 1, in float64."""
    found = gaussian_window(1.5, 5)
    raw = [np.exp(-(k**2) / (2 * 1.5**2)) for k in range(-5, 6)]
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, np.array(raw) / sum(raw), rtol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3, 6, 9), (4, 1, 1), (2, 2, 1, 7), (1, 5, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_window_means_are_those_of_scipy(shape, dtype):
    """Along rows and columns, with the outermost pixels repeated, for windows larger than the picture too."""
    images = torch.rand(shape, generator=GENERATOR, dtype=dtype)
    window = gaussian_window(2.0, 4)
    wanted = images.double().numpy()
    for axis in (-1, -2):
        wanted = correlate1d(wanted, window.numpy(), axis=axis, mode="nearest")
    found = window_means(images, window)
    assert found.dtype == dtype
    assert found.shape == shape
    np.testing.assert_allclose(found, wanted, rtol=2e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("radius", [0, 3, 9, 40])
@pytest.mark.parametrize("side", [255, 256, 257, 600])
def test_bands_meet_without_a_seam(side, radius):
    """On both axes, around a side of one band and over several, for windows narrow and wide."""
    window = gaussian_window(1 + radius / 4, radius)
    for shape in ((2, side, 5), (2, 5, side)):
        images = torch.rand(shape, generator=GENERATOR, dtype=torch.float64)
        wanted = images.numpy()
        for axis in (-1, -2):
            wanted = correlate1d(wanted, window.numpy(), axis=axis, mode="nearest")
        np.testing.assert_allclose(window_means(images, window), wanted, rtol=1e-12)


def test_no_matrix_grows_with_the_square_of_the_side(monkeypatch):
    """The largest one that is made for a long picture has the rows of a band."""
    sizes = []
    make = smoothing._averaging
    monkeypatch.setattr(
        smoothing, "_averaging", lambda *a: sizes.append((made := make(*a)).shape) or made
    )
    window_means(torch.zeros(1, 2, 5000), gaussian_window(1.5, 5))
    assert max(rows * columns for rows, columns in sizes) <= 256 * (256 + 2 * 5)


def test_planes_and_batches_do_not_mix():
    """Each picture and channel alone has the means that it has among others, bit for bit."""
    images = torch.rand(3, 2, 12, 10, generator=GENERATOR)
    images = images.contiguous(memory_format=torch.channels_last)
    window = gaussian_window(1.5, 5)
    whole = window_means(images, window)
    for n, c in np.ndindex(3, 2):
        torch.testing.assert_close(
            window_means(images[n : n + 1, c : c + 1], window)[0, 0], whole[n, c], rtol=1e-6, atol=0
        )


@pytest.mark.parametrize("share", [0.0, 1 / 64, 0.1, 0.5])
@pytest.mark.parametrize("size", [(20, 30), (1, 1), (3, 1)])
def test_maps_are_blurred_as_by_scipy(share, size):
    """The deviation is a share of the shorter side, and the Gaussian ends after four of them."""
    maps = torch.rand(3, *size, generator=GENERATOR)
    sigma = share * min(size)
    wanted = [
        gaussian_filter(one.double().numpy(), sigma, mode="nearest", truncate=4) for one in maps
    ]
    np.testing.assert_allclose(blurred(maps, share), wanted, rtol=3e-6)


def test_a_constant_map_stays_constant():
    """At the edges as in the middle: nothing is made darker there."""
    maps = torch.full((1, 9, 9), 0.7)
    torch.testing.assert_close(blurred(maps, 0.3), maps)
