"""The store: views, batches, checksums, and its file where memory is short."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly import store as store_module
from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.store import Pictures, allocate, free_memory, from_array, joined


def test_store_is_immutable_in_shape_and_reports_itself():
    """A wrapped array keeps its pixels' memory, and tells length, shape and dtype."""
    array = np.zeros((4, 3, 2, 1), np.uint16)
    store = from_array(array)
    assert store.array is array
    assert (len(store), store.shape, store.dtype) == (4, (3, 2, 1), np.uint16)
    assert store.in_memory
    assert store.paths is None


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 3, 4, 1), np.float64),
        np.zeros((2, 3, 4, 1), ">u2"),
        np.zeros((0, 3, 4, 1), np.uint8),
    ],
)
def test_from_array_refuses_other_shapes_and_dtypes(array):
    """Anything but (n, h, w, c) of uint8, uint16 or float32 is an error."""
    with pytest.raises(InputError, match="a store wants"):
        from_array(array)


def test_paths_must_match_the_pictures():
    """A store with another number of paths than pictures is an error."""
    with pytest.raises(InputError, match="1 paths for 2 pictures"):
        Pictures(np.zeros((2, 3, 3, 1), np.uint8), [Path("a")])


def test_batch_is_a_fresh_contiguous_copy():
    """Writing to a batch leaves the store as it was, whatever the layout of the array."""
    array = np.asfortranarray(np.arange(48, dtype=np.uint8).reshape(4, 3, 4, 1))
    store = from_array(array)
    for positions in (slice(1, 3), np.array([1, 2]), np.array([False, True, True, False])):
        batch = store.batch(positions)
        assert np.array_equal(batch, array[1:3])
        assert batch.flags.c_contiguous
        batch[:] = 0
    assert array[1:3].min() == 12


def test_views_compose_without_copying_pixels():
    """A view of a view shares the array and carries its own paths along."""
    array = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    store = Pictures(array, [Path(f"{i}.png") for i in range(6)])
    view = store.take([5, 3, 1, 0]).take(slice(1, 3))
    assert view.array is array
    assert view.batch(slice(None)).ravel().tolist() == [3, 1]
    assert view.batch(np.array([1])).ravel().tolist() == [1]
    assert view.paths == (Path("3.png"), Path("1.png"))
    assert len(store.take([])) == 0
    assert len(store.take(np.arange(6) > 3)) == 2


def test_take_outside_the_store_is_an_error():
    """A position that does not exist is an IndexError."""
    with pytest.raises(IndexError):
        from_array(np.zeros((2, 1, 1, 1), np.uint8)).take([2])


def test_checksum_follows_pixels_order_shape_and_dtype(monkeypatch):
    """Equal pictures have equal checksums, by views and chunks too; any difference shows."""
    array = np.random.default_rng(0).integers(0, 256, (5, 2, 3, 1), dtype=np.uint8)
    whole = from_array(array).checksum()
    assert from_array(array[::-1]).take(slice(None, None, -1)).checksum() == whole
    others = [array[::-1], array[:4], array.reshape(5, 3, 2, 1), array.view(np.uint8) ^ 1]
    others.append(array.astype(np.uint16))
    assert whole not in [from_array(np.ascontiguousarray(other)).checksum() for other in others]
    monkeypatch.setattr("recon_anomaly.store._CHUNK_BYTES", 13)
    assert from_array(array).checksum() == whole


def test_cache_file_is_private():
    """Nobody else may read the pixels in the temporary folder."""
    array = allocate((2, 3, 4, 1), np.uint16, 47)
    assert isinstance(array, np.memmap)
    assert not from_array(array).in_memory
    if os.name == "posix":
        assert Path(array.filename).stat().st_mode & 0o077 == 0


def test_cache_file_goes_with_the_last_view():
    """The file stays as long as any view of the store does, and no longer."""
    store = from_array(allocate((5, 6, 8, 1), np.uint8, 5 * 6 * 8 - 1))
    store.array[:] = np.arange(5)[:, None, None, None]
    assert type(store.batch(np.array([0]))) is np.ndarray
    file = Path(store.array.filename)
    view = store.take([1])
    del store
    gc.collect()
    assert file.exists()
    assert view.batch(slice(None)).tolist() == np.ones((1, 6, 8, 1)).tolist()
    del view
    gc.collect()
    assert not file.exists()


def test_cache_file_goes_with_the_interpreter(tmp_path):
    """A store that is alive at the end of the process leaves no file behind."""
    code = (
        "from recon_anomaly.store import allocate; import tempfile, os\n"
        "array = allocate((2, 3, 4, 1), 'uint8', 0)\n"
        "print(len(os.listdir(tempfile.gettempdir())))"
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    source = str(Path(store_module.__file__).parents[1])
    settings = {**os.environ, "TMPDIR": str(cache), "PYTHONPATH": source}
    run = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True
    )
    assert run.stdout == "1\n"
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no posix_fallocate here")
def test_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    """Where the temporary folder has no room, the error says what to change."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(cache))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"No space left on device.*raise memory_budget"):
        allocate((2, 3, 4, 1), np.uint8, 0)
    assert list(cache.iterdir()) == []


def test_a_file_in_memory_is_warned_of(monkeypatch):
    """Where the temporary folder takes memory, going beyond the budget saves none, and that is said."""
    monkeypatch.setattr(store_module, "is_memory", lambda folder: folder == tempfile.gettempdir())
    with pytest.warns(PictureWarning, match=r"24 bytes, more than the memory budget of 23.*TMPDIR"):
        assert isinstance(allocate((2, 3, 4, 1), np.uint8, 23), np.memmap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        allocate((2, 3, 4, 1), np.uint8, 24)  # in memory anyway


def test_a_view_of_a_mapped_file_is_not_in_memory(tmp_path):
    """Whichever array stands between a store and a file, the pixels are in the file."""
    np.save(tmp_path / "a.npy", np.zeros((4, 3, 2, 1), np.uint8))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert not from_array(np.asarray(mapped)[1:, ::2]).in_memory
    assert from_array(np.array(mapped)[1:, ::2]).in_memory


def test_free_memory_is_known_without_proc(monkeypatch):
    """Where /proc is missing sysconf stands in, and one GiB where that is missing too."""
    monkeypatch.setattr(Path, "read_text", lambda _: "MemTotal: 1 kB\n")
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 5}[name])
    assert free_memory() == 15
    monkeypatch.delattr(os, "sysconf")
    assert free_memory() == 2**30


def test_two_stores_are_joined(gray):
    """The pictures of the second follow those of the first, also of views, with their paths."""
    array = np.stack([gray(k) for k in range(6)])[..., None]
    first = Pictures(array, [Path(f"{k}.png") for k in range(6)]).take([4, 0])
    second = Pictures(array[:2], [Path("a.png"), Path("b.png")])
    both = joined(first, second)
    assert np.array_equal(both.batch(slice(None)), array[[4, 0, 0, 1]])
    assert both.paths == (Path("4.png"), Path("0.png"), Path("a.png"), Path("b.png"))
    assert joined(first, Pictures(array)).paths is None


def test_a_joined_store_beyond_the_budget_is_mapped(gray):
    """The memory budget holds for it, too."""
    store = Pictures(gray()[None, ..., None])
    assert not joined(store, store, memory_budget=1).in_memory


def test_stores_of_other_shapes_are_not_joined():
    """What cannot be one store is refused, with both shapes."""
    with pytest.raises(InputError, match=r"\(4, 4, 1\) uint8 and \(4, 4, 3\) uint8"):
        joined(*(Pictures(np.zeros((1, 4, 4, c), np.uint8)) for c in (1, 3)))
