"""Pictures of any size as tiles: from files and arrays, in a store or one by one."""

from __future__ import annotations

import numpy as np
import pytest

from recon_anomaly.errors import InputError, PictureError
from recon_anomaly.interest import Interest
from recon_anomaly.store import Pictures
from recon_anomaly.tiledpictures import (
    cut_arrays,
    cut_files,
    cut_one,
    iter_cut,
    joined_stores,
    tiles_of,
)
from recon_anomaly.tiles import Tiling

TILING = Tiling(4, 1, None, None)
SIZES = [(4, 4), (5, 9), (8, 6)]


@pytest.fixture
def pictures(gray):
    """Three gray pictures of several sizes."""
    return [gray(seed, size)[..., None] for seed, size in enumerate(SIZES)]


@pytest.fixture
def files(save, pictures):
    """Their files."""
    return [save(f"{k}.png", picture[..., 0]) for k, picture in enumerate(pictures)]


def test_files_and_arrays_give_the_same_tiles(pictures, files):
    """In a store, and one by one; of one to six tiles each."""
    of_arrays, of_files = cut_arrays(pictures, TILING), cut_files(files, TILING)
    assert [len(grid) for grid in of_files.grids] == [1, 6, 6]
    assert (len(of_files), of_files.shape, of_files.paths) == (3, (4, 4, 1), tuple(files))
    assert of_arrays.checksum() == of_files.checksum()
    for one, other in zip(iter_cut(files, TILING, 1), of_files, strict=True):
        assert np.array_equal(one.tiles(range(len(one.grid))), np.concatenate(list(other.parts())))
        assert one.path == other.path
        assert (one.min(), one.max()) == (other.min(), other.max())


def test_pictures_are_taken_whole(pictures):
    """A view has the tiles of its pictures, and its view those of fewer."""
    store = cut_arrays(pictures, TILING)
    view = store.take([2, 0]).take(np.array([False, True]))
    assert [grid.size for grid in view.grids] == [(4, 4)]
    assert np.array_equal(view.tiles.batch(slice(None))[0], pictures[0])
    (first,) = view
    assert np.array_equal(first.tiles(range(1))[0], pictures[0])
    assert (store.min(), store.max()) == (store.tiles.min(), store.tiles.max())


def test_one_coloured_file_makes_all_coloured(files, save, colour):
    """Those before it are spread over the channels, and none is lost."""
    store = cut_files([*files, save("c.png", colour(size=(4, 4)))], TILING)
    assert store.shape == (4, 4, 3)
    gray = cut_files(files, TILING)
    found = store.take([0, 1, 2]).tiles.batch(slice(None))
    assert np.array_equal(found, np.repeat(gray.tiles.batch(slice(None)), 3, axis=-1))


def test_files_that_cannot_be_used(files, tmp_path):
    """Are left out where that is asked for, else refused, by their name."""
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    seen = []
    store = cut_files([broken, *files], TILING, on_error="skip", progress=seen.append)
    assert (len(store), seen, store.skipped[0][0]) == (3, [1, 2, 3, 4], broken)
    with pytest.raises(PictureError, match=r"broken\.png"):
        cut_files([broken, *files], TILING)
    skipped = []
    assert len(list(iter_cut([files[0], broken], TILING, 1, skipped=skipped))) == 1
    assert skipped[0][0] == broken
    for call in (cut_files, lambda *args: list(iter_cut(*args, 1))):
        with pytest.raises(InputError, match=r"0\.png: a tile of 5 does not fit"):
            call(files, Tiling(5, 0, None, None))


def test_pictures_that_cannot_be_cut_are_left_out(files, tmp_path):
    """Where that is asked for, with their reason, as those that cannot be read; without any picture there is nothing to do."""
    tiling, skipped = Tiling(5, 0, None, None), []
    store = cut_files(files, tiling, on_error="skip")
    found = list(iter_cut(files, tiling, 1, skipped=skipped))
    assert store.paths == tuple(one.path for one in found) == tuple(files[1:])
    assert list(store.skipped) == skipped
    ((path, reason),) = skipped
    assert path == files[0]
    assert reason.startswith("a tile of 5 does not fit into a picture of 4 x 4")
    boxed = Tiling(None, 0, Interest((0, 0, 9, 5)), None)
    assert cut_files(files, boxed, on_error="skip").paths == (files[1],)
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    for call in (
        lambda: cut_files([broken, *files], Tiling(9, 0, None, None), on_error="skip"),
        lambda: list(iter_cut([broken, *files], Tiling(9, 0, None, None), 1, skipped=[])),
    ):
        with pytest.raises(PictureError, match=r"none of the 4 .* first, .*broken\.png") as caught:
            call()
        assert [path for path, _ in caught.value.skipped] == [broken, *files]


def test_a_large_file_has_to_be_allowed(files):
    """By its pixels, for the store and one by one."""
    with pytest.raises(PictureError, match=r"0\.png.* more than 15 pixels; max_pixels"):
        cut_files(files, TILING, max_pixels=15)
    with pytest.raises(PictureError, match="more than 15 pixels"):
        next(iter_cut(files, TILING, 1, max_pixels=15))


def test_joined(pictures):
    """The pictures of two stores, cut or whole."""
    one, two = cut_arrays(pictures[:1], TILING), cut_arrays(pictures[1:], TILING)
    both = joined_stores(one, two)
    assert both.checksum() == cut_arrays(pictures, TILING).checksum()
    assert len(both) == 3
    whole = Pictures(np.stack([pictures[0]] * 2))
    assert tiles_of(whole) is whole
    assert len(joined_stores(whole, whole)) == 4


def test_channels_differ(pictures, colour):
    """Arrays say what they are; nothing is spread or converted."""
    with pytest.raises(InputError, match="picture 1 has 3 channels where the first has 1"):
        cut_arrays([pictures[0], colour(size=(4, 4))], TILING)
    assert cut_one(pictures[0], TILING, 3).tiles(range(1)).shape == (1, 4, 4, 3)
