"""SSIM and its product over scales, against plain loops in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from scipy.signal import convolve2d

from recon_anomaly.similarity import (
    SCALE_WEIGHTS,
    dissimilarities,
    multi_scale_dissimilarity,
    scales_of,
    structural_dissimilarity,
)

GENERATOR = torch.Generator().manual_seed(0)


def pictures(*shape):
    """A picture, and the same with noise, gray levels in [0, 1]."""
    image = torch.rand(shape, generator=GENERATOR)
    image = torch.from_numpy(uniform_filter(image.numpy(), (1, 1, 3, 3)))
    noise = torch.rand(shape, generator=GENERATOR) - 0.5
    return image, (image + 0.4 * noise).clamp(0, 1)


def similarity_at(x, y, row, column):
    """Luminance and contrast-structure of Wang et al. (2004), Eqs. 13 to 16, of one pixel of two planes."""
    height, width = x.shape
    total = mean_x = mean_y = 0.0
    window = []
    for down in range(-5, 6):
        for right in range(-5, 6):
            weight = math.exp(-(down**2 + right**2) / (2 * 1.5**2))
            place = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
            window.append((weight, x[place], y[place]))
            total += weight
    mean_x = sum(weight * a for weight, a, _ in window) / total
    mean_y = sum(weight * b for weight, _, b in window) / total
    variance_x = sum(weight * (a - mean_x) ** 2 for weight, a, _ in window) / total
    variance_y = sum(weight * (b - mean_y) ** 2 for weight, _, b in window) / total
    covariance = sum(weight * (a - mean_x) * (b - mean_y) for weight, a, b in window) / total
    c1, c2 = 0.0001, 0.0009
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


def similarities(x, y):
    """Both factors at every pixel of two planes."""
    found = np.array([similarity_at(x, y, *place) for place in np.ndindex(x.shape)])
    return found.reshape(*x.shape, 2).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(14, 9), (1, 1), (2, 13)])
def test_ssim_is_that_of_plain_loops(size):
    """At every pixel, the edges included, where the outermost pixels are repeated."""
    first, second = pictures(2, 2, *size)
    found = structural_dissimilarity(first, second)
    for n, c in np.ndindex(2, 2):
        x, y = first[n, c].double().numpy(), second[n, c].double().numpy()
        wanted = 1 - similarities(x, y).prod(0)
        np.testing.assert_allclose(found[n, c], wanted, rtol=2e-4, atol=2e-6)


def test_away_from_the_edges_it_is_the_paper_s():
    """Where the window lies inside of the picture, weighted moments by two-dimensional convolution agree."""
    first, second = pictures(1, 1, 24, 21)
    x, y = first[0, 0].double().numpy(), second[0, 0].double().numpy()
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(plane):
        return convolve2d(plane, window, mode="valid")

    covariance = mean(x * y) - mean(x) * mean(y)
    variances = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
    luminance = (2 * mean(x) * mean(y) + 0.0001) / (mean(x) ** 2 + mean(y) ** 2 + 0.0001)
    wanted = 1 - luminance * (2 * covariance + 0.0009) / (variances + 0.0009)
    found = structural_dissimilarity(first, second)[0, 0, 5:-5, 5:-5]
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-6)


def test_equal_pictures_miss_nothing():
    """Exactly, in flat regions too, where variances are all rounding."""
    first, _ = pictures(2, 3, 24, 20)
    first[0] = 0.9
    assert structural_dissimilarity(first, first).abs().max() == 0
    assert multi_scale_dissimilarity(first, first).abs().max() == 0


def test_a_small_difference_is_not_lost_in_rounding():
    """A gray level of 1e-4 between two flat pictures is found to 1 %, where 1 - SSIM in float32 is not."""
    first = torch.full((1, 1, 12, 12), 0.8)
    luminance, structure = dissimilarities(first, first + 1e-4)
    np.testing.assert_allclose(luminance, 1e-8 / (2 * 0.8**2 + 1.6e-4 + 1e-4), rtol=0.01)
    assert structure.max() < 1e-7


def test_the_negative_is_less_than_unlike():
    """A picture and its negative have a negative structure, so that more than 1 is missing."""
    first, _ = pictures(1, 1, 12, 12)
    assert structural_dissimilarity(first, 1 - first).mean() > 1


# Scales ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [(1, 1, 1), (11, 11, 1), (20, 300, 1), (21, 21, 2), (22, 22, 2), (88, 88, 4), (176, 200, 5)],
)
def test_scales_are_those_into_which_the_window_fits(height, width, scales):
    """The shorter side, halved and rounded up, is 11 pixels or more at each of them."""
    assert scales_of(height, width) == scales_of(width, height) == scales


def halved(plane):
    """Means of 2 x 2 pixels; an odd last row or column has fewer."""
    height, width = plane.shape
    return np.array(
        [
            [plane[row : row + 2, column : column + 2].mean() for column in range(0, width, 2)]
            for row in range(0, height, 2)
        ]
    )


def spread(plane, factor, height, width):
    """Bilinear between the centres of blocks of ``factor`` pixels, the outermost repeated."""
    found = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        place = [(row + 0.5) / factor - 0.5, (column + 0.5) / factor - 0.5]
        place = [min(max(at, 0), side - 1) for at, side in zip(place, plane.shape, strict=True)]
        low = [int(at) for at in place]
        high = [min(at + 1, side - 1) for at, side in zip(low, plane.shape, strict=True)]
        down, right = place[0] - low[0], place[1] - low[1]
        upper = plane[low[0], low[1]] * (1 - right) + plane[low[0], high[1]] * right
        lower = plane[high[0], low[1]] * (1 - right) + plane[high[0], high[1]] * right
        found[row, column] = upper * (1 - down) + lower * down
    return found


@pytest.mark.parametrize("size", [(23, 26), (9, 12)])
def test_the_product_over_scales_is_that_of_plain_loops(size):
    """Contrast and structure of each scale, luminance at the coarsest, to powers whose sum is 1."""
    first, second = pictures(1, 2, *size)
    scales = scales_of(*size)
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    found = multi_scale_dissimilarity(first, second)
    for channel in range(2):
        x, y = first[0, channel].double().numpy(), second[0, channel].double().numpy()
        product = 1.0
        for scale, weight in enumerate(weights):
            luminance, structure = similarities(x, y)
            last = scale == scales - 1
            full = spread(luminance * structure if last else structure, 2**scale, *size)
            product = product * np.maximum(full, 0) ** weight
            x, y = halved(x), halved(y)
        np.testing.assert_allclose(found[0, channel], 1 - product, rtol=5e-4, atol=1e-5)


def test_what_is_negative_counts_as_zero():
    """Where a scale contradicts, its power is 0 and all is missing: no NaN, and no more than 1."""
    first, _ = pictures(1, 1, 44, 44)
    found = multi_scale_dissimilarity(first, 1 - first)
    assert found.isfinite().all()
    assert found.max() == 1
