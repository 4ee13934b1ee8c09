import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from recon_anomaly.outlines import outlines


def inside(polygon, x, y):
    """Whether a point is in a polygon, by counting the edges to its right."""
    crossed = 0
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crossed += x0 == x1 > x and min(y0, y1) <= y < max(y0, y1)
    return crossed % 2 == 1


def area(polygon):
    """The area by Gauss's formula, positive for one that runs clockwise in a picture."""
    x, y = polygon.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


@settings(deadline=None, max_examples=60)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_polygons_cover_the_very_pixels(mask):
    """Point by point, each pixel of the set is in one polygon and no other pixel in any, and the areas add up."""
    polygons = outlines(mask)
    for y, x in np.ndindex(*mask.shape):
        assert sum(inside(polygon, x + 0.5, y + 0.5) for polygon in polygons) == mask[y, x]
    assert sum(map(area, polygons)) == mask.sum()
    for polygon in polygons:
        assert area(polygon) > 0
        steps = np.diff(polygon, axis=0, append=polygon[:1])
        assert ((steps != 0).sum(1) == 1).all()  # along the pixels' edges
        assert (steps[:, 0].astype(bool) != np.roll(steps[:, 0], 1).astype(bool)).all()


def test_a_ring_is_cut_open():
    """A polygon cannot leave its hole out, so there are two, which meet at the hole's left end."""
    ring = np.ones((3, 4), bool)
    ring[1, 1:3] = False
    first, second = outlines(ring)
    assert first.tolist() == [[0, 0], [1, 0], [1, 3], [0, 3]]
    assert second.tolist() == [[1, 0], [4, 0], [4, 3], [1, 3], [1, 2], [3, 2], [3, 1], [1, 1]]


@pytest.mark.parametrize("mask", [[[1, 0], [0, 1]], [[0, 1], [1, 0]]])
def test_pixels_that_touch_at_a_corner_have_polygons_of_their_own(mask):
    """Each is a square."""
    assert [len(polygon) for polygon in outlines(np.array(mask, bool))] == [4, 4]


def test_nothing_has_no_outline():
    """No polygon, and no error."""
    assert outlines(np.zeros((2, 3), bool)) == []


def test_many_rings_take_as_long_as_their_edges():
    """A board of single pixels has as many polygons, and is not looked through again for each."""
    board = np.indices((160, 160)).sum(0) % 2 == 0
    started = time.process_time()
    assert len(outlines(board)) == board.sum()
    assert time.process_time() - started < 3
