import numpy as np
import pytest

from recon_anomaly.regions import find_regions


def flooded(mask):
    """The sets of pixels that touch, at corners too, by plain search."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    while left:
        found, waiting = set(), [left.pop()]
        while waiting:
            row, column = waiting.pop()
            found.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            waiting += near
        yield found


def test_regions_are_those_of_a_plain_search():
    """Boxes, areas, means and maxima agree, and the region with the highest maximum comes first."""
    rng = np.random.default_rng(0)
    anomaly_map = rng.random((20, 30)).astype(np.float32)
    found = find_regions(anomaly_map, 0.8, size=(40, 90))
    wanted = []
    for pixels in flooded(anomaly_map > 0.8):
        rows, columns = np.array(sorted(pixels)).T
        values = anomaly_map[rows, columns].astype(float)
        x, y = 3.0 * columns.min(), 2.0 * rows.min()
        box = (x, y, 3.0 * (columns.max() + 1) - x, 2.0 * (rows.max() + 1) - y)
        wanted.append((box, 6.0 * len(pixels), values.mean(), values.max()))
    assert len(found) == len(wanted) > 10
    assert [region.maximum for region in found] == sorted((w[3] for w in wanted), reverse=True)
    for region in found:
        (same,) = (w for w in wanted if w[0] == region.box and w[3] == region.maximum)
        assert (region.area, region.mean) == pytest.approx((same[1], same[2]))


def test_contours_have_the_box_and_the_area_of_their_region():
    """They are in pixels of the file, also where these are no whole multiple of the map's."""
    anomaly_map = np.zeros((4, 3))
    anomaly_map[1:, :2] = [[1, 1], [1, 0], [1, 1]]
    (region,) = find_regions(anomaly_map, 0.5, size=(10, 4))
    (ring,) = region.contours()
    low, high = ring.min(0), ring.max(0)
    assert (*low, *(high - low)) == pytest.approx(region.box)
    x, y = ring.T
    area = np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2
    assert area == pytest.approx(region.area) == pytest.approx(5 * (10 / 4) * (4 / 3))


def test_small_regions_are_left_out_by_pixels_of_the_file():
    """The least area itself is large enough."""
    anomaly_map = np.array([[1, 1, 0, 1]])
    assert len(find_regions(anomaly_map, 0, size=(2, 8), least_area=4)) == 2
    assert [region.area for region in find_regions(anomaly_map, 0, size=(2, 8), least_area=8)] == [
        8
    ]
    assert find_regions(anomaly_map, 0, size=(2, 8), least_area=8.1) == ()


def test_the_threshold_is_not_rounded_to_the_type_of_the_map():
    """A float32 just above a float64 threshold exceeds it, and one that equals it does not."""
    value = np.float32(0.1)
    anomaly_map = np.full((1, 1), value)
    assert len(find_regions(anomaly_map, float(value) - 1e-12)) == 1
    assert find_regions(anomaly_map, float(value)) == ()
