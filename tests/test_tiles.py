"""Where tiles are, and what they count: every pixel is covered by whole tiles, whose weights are one together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recon_anomaly.errors import InputError
from recon_anomaly.interest import Interest
from recon_anomaly.tiles import Grid, Tiling, checked_overlap, shares, starts


@st.composite
def sides(draw):
    """A side, and the tile and overlap that cut it."""
    tile = draw(st.integers(1, 12))
    return draw(st.integers(tile, 40)), tile, draw(st.integers(0, tile - 1))


@settings(deadline=None, max_examples=50)
@given(sides())
def test_tiles_of_a_side_are_whole_and_cover_it(side):
    """From the first pixel to the last, and neighbours share at least the overlap."""
    length, tile, overlap = side
    found = starts(*side)
    assert (found[0], found[-1]) == (0, length - tile)
    assert all(0 < later - first <= tile - overlap for first, later in pairwise(found))


@settings(deadline=None, max_examples=50)
@given(sides())
def test_weights_of_a_side_are_one_at_every_pixel(side):
    """Added up by a plain loop; none is zero, and none grows towards an end of its tile."""
    length, tile, _ = side
    total = np.zeros(length)
    for first, row in zip(starts(*side), shares(*side), strict=True):
        for place, weight in enumerate(row):
            total[first + place] += weight
        assert (row > 0).all()
    assert total == pytest.approx(np.ones(length))
    assert len(row) == tile


def test_weights_fall_towards_the_ends_of_a_tile():
    """A linear ramp over the overlap, but not at the ends of the picture."""
    first, second = shares(13, 8, 3)
    assert first == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert second == pytest.approx(first[::-1])


@st.composite
def grids(draw):
    """A picture and its tiles, with a region of interest or without."""
    (height, tile, overlap), extra = draw(sides()), draw(st.integers(0, 12))
    width = tile + extra
    margin = draw(st.integers(0, 3))
    size = (height + margin, width + 2 * margin)
    kind = draw(st.sampled_from(["whole", "box", "mask"]))
    interest = None
    if kind != "whole":
        mask = None
        if kind == "mask":
            bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
            mask = np.array(bits).reshape(height, width)
            mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
        interest = Interest((margin, margin, width, height), mask, size if kind == "mask" else None)
    return Grid(size, tile, overlap, interest)


@settings(deadline=None, max_examples=50)
@given(grids(), st.integers(0, 99))
def test_a_picture_comes_back_from_its_tiles(grid, seed):
    """What the tiles show of a picture, put together, is the picture where it is looked at, and 0 elsewhere."""
    picture = np.random.default_rng(seed).random(grid.size).astype(np.float32)
    height, width = grid.tile
    tiles = [picture[top : top + height, left : left + width] for top, left in grid.places]
    assert all(tile.shape == grid.tile for tile in tiles)
    bands = list(grid.bands(tiles))
    left, top, wide, tall = grid.box
    wanted = picture[top : top + tall, left : left + wide]
    if grid.mask is not None:
        wanted = np.where(grid.mask, wanted, 0)
    assert np.concatenate(bands) == pytest.approx(wanted, abs=1e-5)
    assert max(map(len, bands)) <= height


@settings(deadline=None, max_examples=50)
@given(grids())
def test_portions_are_shares_of_the_pixels(grid):
    """Those of each tile's weights, added up where pixels are looked at; one tile alone has all of them."""
    found = grid.portions()
    assert found.sum() == pytest.approx(1)
    flat = [np.full(grid.tile, float(number), np.float32) for number in range(len(grid))]
    total = sum(float(band.sum(dtype=np.float64)) for band in grid.bands(flat))
    assert found @ np.arange(len(grid)) == pytest.approx(total / grid.looked_at, rel=1e-4)


def test_tiles_without_a_pixel_to_look_at_are_left_out():
    """Of four tiles those remain that the mask touches."""
    mask = np.zeros((4, 4), bool)
    mask[0, 0] = mask[3, 3] = True
    grid = Grid((4, 4), 2, 0, Interest((0, 0, 4, 4), mask, (4, 4)))
    assert grid.places == [(0, 0), (2, 2)]


def test_a_single_tile_is_the_picture_bit_for_bit():
    """No weight rounds what one tile alone covers."""
    values = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    for grid in (Grid((5, 7), None, 0), Grid((5, 5), 5, 3)):
        part = values[:, : grid.tile[1]]
        (band,) = grid.bands([part])
        assert np.array_equal(band, part)


def test_pixels_outside_a_mask_become_the_mean_of_the_others():
    """Rounded, of each tile alone, and channel by channel."""
    mask = np.array([[True, True], [True, False]])
    tiling = Tiling(2, 0, Interest((0, 0, 2, 2), mask, (2, 2)), None)
    picture = np.array([[[10, 0], [20, 0]], [[31, 1], [200, 99]]], np.uint8)
    (tile,) = tiling.cut(picture, tiling.grid((2, 2)), [0], 2)
    assert tile.tolist() == [[[10, 0], [20, 0]], [[31, 1], [20, 0]]]


def test_tiles_are_resized_as_pictures_are(colour):
    """As Pillow does a colour picture of 8 bits; 16 bits and floats keep their range."""
    picture = colour(size=(12, 12))
    tiling = Tiling(8, 4, None, (4, 6))
    found = tiling.cut(picture, tiling.grid((12, 12)), [3], 3)
    bilinear = Image.Resampling.BILINEAR
    wanted = Image.fromarray(picture[4:, 4:]).resize((6, 4), bilinear)
    assert np.array_equal(found[0], np.asarray(wanted))
    for level in (np.uint16(40_000), np.float32(-2.5)):
        flat = np.full((12, 12, 1), level)
        found = tiling.cut(flat, tiling.grid((12, 12)), [0, 1], 1)
        assert found.dtype == flat.dtype
        assert (found == level).all()


def test_a_gray_picture_fills_all_channels(gray):
    """Where the detector was fitted on colours."""
    tiling = Tiling(4, 0, None, None)
    found = tiling.cut(gray(size=(4, 4))[..., None], tiling.grid((4, 4)), [0], 3)
    assert found.shape == (1, 4, 4, 3)
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    ("size", "interest", "message"),
    [
        ((7, 30), None, r"a tile of 8 does not fit into a picture of 7 x 30"),
        ((30, 30), Interest((0, 0, 9, 4)), r"into a region of interest of 4 x 9"),
        ((30, 30), Interest((25, 0, 9, 9)), r"roi=\(25, 0, 9, 9\).*beyond a picture of 30 x 30"),
    ],
)
def test_pictures_that_cannot_be_cut(size, interest, message):
    """The sizes are named."""
    with pytest.raises(InputError, match=message):
        Grid(size, 8, 0, interest)


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (0, None, "tile is 0"),
        (4, 4, "leaves nothing"),
        (4, -1, "overlap is -1"),
        (None, 4, "there are none"),
        (2.0, None, r"tile is 2\.0"),
    ],
)
def test_numbers_out_of_bounds(tile, overlap, message):
    """Tiles have a side, and share less than that."""
    with pytest.raises(InputError, match=message):
        checked_overlap(tile, overlap)
