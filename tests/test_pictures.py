"""Reading picture files into one store: every mode, every way to fail, memory and cache."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from recon_anomaly import pictures
from recon_anomaly.errors import InputError, PictureError, PictureWarning
from recon_anomaly.pictures import Pictures, from_array, list_pictures, read_mask, read_pictures


def gray(seed: int = 0, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def colour(seed: int = 0, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def read_one(path: Path, **options: object) -> np.ndarray:
    return read_pictures([path], **{"image_size": None, **options}).batch(slice(None))[0]


# The store


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
    monkeypatch.setattr(pictures, "_CHUNK_BYTES", 13)
    assert from_array(array).checksum() == whole


# Modes


def test_gray_pixels_come_through_unchanged_and_in_order(tmp_path):
    """Without a resize the store holds the very pixels of the files, in the order of the paths."""
    paths = [save(tmp_path / f"{i:02}.png", gray(i)) for i in range(40)]
    store = read_pictures(paths[::-1], image_size=None, threads=4)
    assert store.paths == tuple(paths[::-1])
    expected = np.stack([gray(i) for i in range(39, -1, -1)])[..., None]
    assert np.array_equal(store.batch(slice(None)), expected)
    assert store.dtype == np.uint8


def test_rgb_with_equal_channels_becomes_one_channel(tmp_path):
    """An RGB file without colour is one channel under "auto" and three under 3."""
    path = save(tmp_path / "a.png", np.repeat(gray()[..., None], 3, 2))
    assert np.array_equal(read_one(path), gray()[..., None])
    assert np.array_equal(read_one(path, channels=3), np.repeat(gray()[..., None], 3, 2))


@pytest.mark.parametrize("memory_budget", [None, 0])
def test_late_coloured_picture_makes_the_store_three_channels(tmp_path, memory_budget):
    """A coloured picture after gray ones turns all of them to three channels, and none is lost."""
    paths = [save(tmp_path / f"{i}.png", gray(i)) for i in range(5)]
    paths += [save(tmp_path / "5.png", colour()), save(tmp_path / "6.png", gray(6))]
    store = read_pictures(paths, image_size=None, memory_budget=memory_budget)
    grays = np.stack([gray(i) for i in range(5)])[..., None]
    assert store.shape == (6, 8, 3)
    assert np.array_equal(store.batch(slice(0, 5)), np.repeat(grays, 3, 3))
    assert np.array_equal(store.batch(slice(5, 6))[0], colour())
    assert np.array_equal(store.batch(slice(6, 7))[0], np.repeat(gray(6)[..., None], 3, 2))


def test_one_channel_converts_colours_with_one_warning(tmp_path):
    """channels=1 makes luminance of coloured files, and one warning counts them."""
    paths = [save(tmp_path / "0.png", gray()), save(tmp_path / "1.png", colour(1))]
    paths.append(save(tmp_path / "2.png", colour(2)))
    with pytest.warns(PictureWarning, match=r"2 of 3 pictures .*luminance.*1\.png") as caught:
        store = read_pictures(paths, image_size=None, channels=1)
    assert len(caught) == 1
    expected = colour(2) @ [0.299, 0.587, 0.114]
    assert np.abs(store.batch(slice(2, 3))[0, ..., 0] - expected).max() <= 1


def test_sixteen_bit_png_keeps_its_values(tmp_path):
    """A 16-bit grayscale PNG becomes uint16, pixel by pixel; three channels repeat it."""
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 4), dtype=np.uint16)
    path = save(tmp_path / "a.png", pixels)
    assert read_one(path).dtype == np.uint16
    assert np.array_equal(read_one(path)[..., 0], pixels)
    assert read_one(path, channels=3).shape == (5, 4, 3)


def test_sixteen_bit_resize_averages_in_sixteen_bits(tmp_path):
    """A resized 16-bit picture is as near to the resized floats as rounding allows."""
    pixels = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    path = save(tmp_path / "a.png", pixels)
    floats = Image.fromarray(pixels.astype(np.float32))
    expected = np.asarray(floats.resize((4, 8), Image.Resampling.BILINEAR))
    result = read_one(path, image_size=(8, 4))[..., 0]
    assert np.abs(result - expected.astype(float)).max() <= 0.5
    assert np.unique(result).size > 16


@pytest.mark.parametrize(("name", "mode"), [("a.tif", "I;16B"), ("a.pgm", "I")])
def test_other_sixteen_bit_files_keep_their_values(tmp_path, name, mode):
    """Big-endian TIFF and 16-bit PGM, which Pillow opens in other modes, are uint16 too."""
    pixels = np.array([[0, 1, 65535], [256, 40000, 7]], np.uint16)
    path = tmp_path / name
    if mode == "I":
        path.write_bytes(b"P5 3 2 65535\n" + pixels.astype(">u2").tobytes())
    else:
        image = Image.frombytes("I;16B", (3, 2), pixels.astype(">u2").tobytes())
        image.save(path)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.array_equal(read_one(path)[..., 0], pixels)


def test_integers_beyond_sixteen_bits_are_refused(tmp_path):
    """A 32-bit TIFF whose values do not fit uint16 is an error, not clamped."""
    path = save(tmp_path / "a.tif", np.array([[0, 70000]], np.int32))
    with pytest.raises(PictureError, match=r"a\.tif cannot be used: its values \(0 to 70000\)"):
        read_pictures([path])


def test_float_tiff_is_refused_with_advice(tmp_path):
    """Floating-point pixels have no range that is known here: pass them as an array."""
    path = save(tmp_path / "a.tif", np.zeros((2, 2), np.float32))
    with pytest.raises(PictureError, match=r"a\.tif .*pass them as an array"):
        read_pictures([path])


def test_lab_tiff_is_refused(tmp_path):
    """A mode without a stated conversion is an error that names it."""
    path = save(tmp_path / "a.tif", Image.new("LAB", (2, 2)))
    with pytest.raises(PictureError, match="mode LAB is not supported"):
        read_pictures([path])


def test_sixteen_bit_colours_are_reduced_with_a_warning(tmp_path):
    """Pillow keeps 8 of 16 bits of colour; that is not silent."""
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 1 1 65535\n" + np.array([65535, 0, 257], ">u2").tobytes())
    with pytest.warns(PictureWarning, match="1 of 1 pictures had 16-bit colours"):
        assert read_one(path).ravel().tolist() == [255, 0, 1]


def test_eight_and_sixteen_bits_do_not_mix(tmp_path):
    """A call with both kinds of grayscale is an error that names one of each."""
    paths = [save(tmp_path / "a.png", gray()), save(tmp_path / "b.png", gray().astype(np.uint16))]
    with pytest.raises(InputError, match=r"a\.png has 8 bits and .*b\.png has 16"):
        read_pictures(paths)


def test_palette_becomes_rgb(tmp_path):
    """A palette file gives the colours of its palette, not the indices."""
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert read_one(save(tmp_path / "a.png", image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_bilevel_becomes_black_and_white(tmp_path):
    """A one-bit file gives 0 and 255."""
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    assert read_one(path).ravel().tolist() == [255, 0]


def test_portable_bitmap_is_read_by_its_content(tmp_path):
    """A plain bitmap under a .pgm name is read, whatever its number of bits."""
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P1 2 1\n0 1\n")
    assert read_one(path).ravel().tolist() == [255, 0]


def test_alpha_is_dropped_with_one_counting_warning(tmp_path):
    """RGBA, LA and transparent palettes lose their alpha, and one warning counts them."""
    rgba = np.dstack([colour(), gray(9)])
    palette = Image.fromarray(colour()).quantize(4)
    paths = [
        save(tmp_path / "0.png", colour()),
        save(tmp_path / "1.png", rgba),
        save(tmp_path / "2.png", np.dstack([gray(), gray(9)])),
        save(tmp_path / "3.png", palette, transparency=b"\x00\x80\xff\xff"),
        save(tmp_path / "4.png", palette, transparency=2),
    ]
    with pytest.warns(PictureWarning, match=r"4 of 5 pictures had an alpha .*1\.png") as caught:
        store = read_pictures(paths, image_size=None)
    assert len(caught) == 1
    pixels = store.batch(slice(None))
    assert np.array_equal(pixels[1], colour())
    assert np.array_equal(pixels[2, ..., 0], gray())
    for position in (3, 4):
        assert np.array_equal(pixels[position], np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    """A CMYK JPEG comes out in its colours, not inverted and not in four channels."""
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100)
    pixel = read_one(path)[8, 8].astype(int)
    assert np.abs(pixel - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("image_size", [None, (4, 2)])
def test_exif_orientation_is_applied(tmp_path, image_size):
    """A picture stored lying on its side stands up, before it is resized."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255
    path = save(tmp_path / "a.jpg", pixels, exif=exif.tobytes(), quality=100)
    result = read_one(path, image_size=image_size)[..., 0]
    height = len(result)
    assert result.shape == ((32, 16) if image_size is None else image_size)
    assert result[: height // 4].min() > 240
    assert result[-height // 4 :].max() < 15


@pytest.mark.parametrize("ending", ["gif", "tif", "webp", "png"])
def test_first_frame_with_one_warning(tmp_path, ending):
    """Of several frames the first is read, and one warning counts the files."""
    frames = [Image.new("L", (4, 4), value) for value in (255, 0)]
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(PictureWarning, match="1 of 1 pictures had several frames"):
        assert read_one(path).min() == 255


# Sizes


def test_resize_is_bilinear_and_antialiased(tmp_path):
    """Without a JPEG's shortcut the result is Pillow's own bilinear resize; one int is a square."""
    path = save(tmp_path / "a.png", colour(0, (40, 60)))
    expected = Image.fromarray(colour(0, (40, 60))).resize((5, 7), Image.Resampling.BILINEAR)
    assert np.array_equal(read_one(path, image_size=(7, 5)), np.asarray(expected))
    assert read_one(path, image_size=np.int64(9)).shape == (9, 9, 3)


def test_large_jpegs_are_drafted_to_nearly_the_same_pixels(tmp_path):
    """The shortcut for large JPEGs stays near the full resize and is the same every time."""
    ramp = np.add.outer(np.arange(160), np.arange(80)).astype(np.uint8)
    path = save(tmp_path / "a.jpg", ramp, quality=95)
    with Image.open(path) as image:
        full = np.asarray(image.resize((10, 20), Image.Resampling.BILINEAR)).astype(int)
    drafted = read_one(path, image_size=(20, 10))[..., 0]
    assert np.abs(drafted - full).max() <= 4
    assert np.array_equal(drafted, read_one(path, image_size=(20, 10), threads=2)[..., 0])


def test_mixed_sizes_need_an_image_size(tmp_path):
    """Without image_size the first file of another size is named; with it they all fit."""
    paths = [save(tmp_path / f"{i}.png", gray(0, (4 + i // 2, 5))) for i in range(4)]
    with pytest.raises(InputError, match=r"2\.png is 5 x 5 .*0\.png is 4 x 5; give image_size"):
        read_pictures(paths, image_size=None)
    assert read_pictures(paths, image_size=4).shape == (4, 4, 1)


# Files that cannot be used


def bad_files(folder: Path) -> dict[str, Path]:
    """Write one bad file of each kind; by a part of the reason that is expected."""
    jpeg = save(folder / "cut.jpg", gray(0, (64, 64)))
    jpeg.write_bytes(jpeg.read_bytes()[:-200])
    png = save(folder / "cut.png", gray(0, (64, 64)))
    png.write_bytes(png.read_bytes()[:-2000])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture\n")
    (folder / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "folder.png").mkdir()
    return {
        "damaged or unreadable .*truncated": jpeg,
        "damaged or unreadable": png,
        "is empty": folder / "empty.png",
        "not a picture": folder / "text.png",
        "not a picture of a known format": folder / "script.png",
        "unreadable .*directory": folder / "folder.png",
        "does not exist": folder / "gone.png",
    }


def test_bad_files_are_errors_that_name_them(tmp_path):
    """Truncated, empty, foreign and missing files raise an error with their name and the cause."""
    good = save(tmp_path / "good.png", gray())
    for reason, path in bad_files(tmp_path).items():
        with pytest.raises(PictureError, match=f"{path.name} cannot be used: it .*{reason}"):
            read_pictures([good, path], image_size=8)


def test_skipped_files_are_listed_and_leave_no_gap(tmp_path):
    """Under "skip" bad files are left out, listed with the reason, and the order is kept."""
    bad = list(bad_files(tmp_path).values())
    good = [save(tmp_path / f"good{i}.png", gray(i)) for i in range(3)]
    paths = [bad[0], good[2], *bad[1:4], good[0], good[1], *bad[4:]]
    store = read_pictures(paths, image_size=None, on_error="skip")
    assert store.paths == (good[2], good[0], good[1])
    assert [path for path, _ in store.skipped] == bad
    assert all(reason.startswith("it ") for _, reason in store.skipped)
    expected = np.stack([gray(2), gray(0), gray(1)])[..., None]
    assert np.array_equal(store.batch(slice(None)), expected)
    assert np.array_equal(store.array, expected)


def test_all_skipped_is_an_error(tmp_path):
    """When nothing is left there is no store."""
    with pytest.raises(InputError, match=r"all 1 pictures were skipped.*gone\.png.*not exist"):
        read_pictures([tmp_path / "gone.png"], on_error="skip")


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [10_000, 14_000])
def test_oversized_picture_is_an_error(tmp_path, action, side):
    """A header of too many pixels is refused, whether Pillow's warning is an error or not."""
    path = tmp_path / "bomb.pgm"
    path.write_bytes(b"P5 %d %d 255\n" % (side, side))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(PictureError, match=r"bomb\.pgm .*more than 89478485 pixels"):
            read_pictures([path])


def test_any_exception_of_a_decoder_names_the_file(tmp_path, monkeypatch):
    """A decoder that trips over bytes in an unforeseen way is no crash."""

    def trip(*_: object, **__: object) -> None:
        raise ZeroDivisionError("tripped")

    path = save(tmp_path / "a.png", gray())
    monkeypatch.setattr(Image, "open", trip)
    with pytest.raises(PictureError, match=r"a\.png .*unreadable \(tripped\)"):
        read_pictures([path])


def test_filling_in_truncated_files_is_refused(tmp_path, monkeypatch):
    """Pillow's global switch would turn truncated files into half gray pictures, silently."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = save(tmp_path / "a.png", gray())
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES"):
        read_pictures([path])
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES"):
        read_mask(path)


# Parameters


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"image_size": 8.0}, r"image_size is 8\.0"),
        ({"image_size": True}, "image_size is True"),
        ({"image_size": (8, 8, 3)}, r"image_size is \(8, 8, 3\)"),
        ({"image_size": 10_000}, "more than 89478485 pixels"),
        ({"channels": 2}, "channels is 2; give one of 'auto', 1, 3"),
        ({"channels": True}, "channels is True"),
        ({"on_error": "zero"}, "on_error is 'zero'"),
        ({"threads": 0}, "threads is 0"),
        ({"memory_budget": -1}, "memory_budget is -1"),
    ],
)
def test_parameters_out_of_range(tmp_path, options, message):
    """A parameter out of range is an error that says which values are wanted."""
    path = save(tmp_path / "a.png", gray())
    with pytest.raises(InputError, match=message):
        read_pictures([path], **options)


def test_no_pictures_and_a_lone_path_are_errors():
    """An empty list has no shape, and a lone path would be taken letter by letter."""
    with pytest.raises(InputError, match="no pictures"):
        read_pictures([])
    with pytest.raises(InputError, match=r"one path, a\.png"):
        read_pictures("a.png")


def test_progress_counts_every_file(tmp_path):
    """Progress counts files from one to the last, skipped ones included."""
    paths = [save(tmp_path / f"{i}.png", gray(i)) for i in range(5)]
    paths.insert(2, tmp_path / "gone.png")
    seen: list[int] = []
    read_pictures(paths, on_error="skip", progress=seen.append, threads=2)
    assert seen == [1, 2, 3, 4, 5, 6]


# Memory


def test_small_budget_maps_and_the_file_goes_with_the_store(tmp_path):
    """Beyond the budget the store is in a file, alike in its pixels, which its last view removes."""
    paths = [save(tmp_path / f"{i}.png", gray(i)) for i in range(5)]
    in_memory = read_pictures(paths, image_size=None, memory_budget=5 * 6 * 8)
    store = read_pictures(paths, image_size=None, memory_budget=5 * 6 * 8 - 1)
    assert in_memory.in_memory
    assert not store.in_memory
    assert store.checksum() == in_memory.checksum()
    assert type(store.batch(np.array([0]))) is np.ndarray
    file = Path(store.array.filename)
    view = store.take([1])
    del store
    gc.collect()
    assert file.exists()
    assert np.array_equal(view.batch(slice(None))[0, ..., 0], gray(1))
    del view
    gc.collect()
    assert not file.exists()


def test_cache_file_is_private(tmp_path):
    """Nobody else may read the pixels in the temporary folder."""
    store = read_pictures([save(tmp_path / "a.png", gray())], memory_budget=0)
    assert isinstance(store.array, np.memmap)
    if os.name == "posix":
        assert Path(store.array.filename).stat().st_mode & 0o077 == 0


def test_cache_file_goes_with_the_interpreter(tmp_path):
    """A store that is alive at the end of the process leaves no file behind."""
    path = save(tmp_path / "a.png", gray())
    code = (
        "from recon_anomaly.pictures import read_pictures; import tempfile, os\n"
        f"store = read_pictures([{str(path)!r}], memory_budget=0)\n"
        "print(len(os.listdir(tempfile.gettempdir())))"
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    source = str(Path(pictures.__file__).parents[1])
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

    path = save(tmp_path / "a.png", gray())
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(cache))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"No space left on device.*raise memory_budget"):
        read_pictures([path], memory_budget=0)
    assert list(cache.iterdir()) == []


def test_free_memory_is_the_default_budget(tmp_path, monkeypatch):
    """Without a budget a quarter of the free memory is the limit."""
    path = save(tmp_path / "a.png", gray())
    monkeypatch.setattr(pictures, "_free_memory", lambda: 4 * 6 * 8)
    assert read_pictures([path], image_size=None).in_memory
    monkeypatch.setattr(pictures, "_free_memory", lambda: 4 * 6 * 8 - 1)
    assert not read_pictures([path], image_size=None).in_memory


def test_free_memory_is_known_without_proc(monkeypatch):
    """Where /proc is missing sysconf stands in, and one GiB where that is missing too."""
    monkeypatch.setattr(Path, "read_text", lambda _: "MemTotal: 1 kB\n")
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 5}[name])
    assert pictures._free_memory() == 15
    monkeypatch.delattr(os, "sysconf")
    assert pictures._free_memory() == 2**30


# Listing


def test_list_is_recursive_sorted_and_leaves_hidden_ones_out(tmp_path):
    """Known endings in any case, at any depth, sorted; nothing hidden, nothing else."""
    wanted = ["B.JPG", "a.png", "sub/deep/c.TiF", "sub/d.webp"]
    others = [".hidden.png", ".folder/e.png", "sub/notes.txt", "png"]
    for name in wanted + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_pictures(tmp_path) == sorted(tmp_path / name for name in wanted)


def test_list_survives_a_loop_of_links(tmp_path):
    """A link to a parent adds nothing; a link to a folder elsewhere is followed."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.png").touch()
    try:
        (inside / "loop").symlink_to(inside, target_is_directory=True)
        (inside / "link").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("this system lets nobody make symbolic links")
    assert list_pictures(inside) == [inside / "link" / "a.png"]


def test_list_errors(tmp_path):
    """A missing folder, a file and a folder without pictures are told apart."""
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match="gone does not exist"):
        list_pictures(tmp_path / "gone")
    with pytest.raises(InputError, match=r"a\.txt is not a folder"):
        list_pictures(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"holds no picture.*\.bmp.*\.webp"):
        list_pictures(tmp_path)


# Masks


def test_mask_is_true_from_half_of_the_range(tmp_path):
    """The threshold is 128 of 255, and 32768 of 65535."""
    path = save(tmp_path / "a.png", np.array([[0, 127, 128, 255]], np.uint8))
    assert read_mask(path).tolist() == [[False, False, True, True]]
    path = save(tmp_path / "b.png", np.array([[0, 32767, 32768, 65535]], np.uint16))
    assert read_mask(path).tolist() == [[False, False, True, True]]


def test_mask_is_resized_by_nearest_neighbour(tmp_path):
    """Single pixels are neither averaged away nor spread by a resize."""
    pixels = np.kron(np.array([[255, 0], [0, 255]], np.uint8), np.ones((4, 4), np.uint8))
    mask = read_mask(save(tmp_path / "a.png", pixels), size=(2, 4))
    assert mask.dtype == bool
    assert mask.tolist() == [[True, True, False, False], [False, False, True, True]]
    jpeg = read_mask(save(tmp_path / "a.jpg", pixels, quality=100), size=2)
    assert jpeg.tolist() == [[True, False], [False, True]]


def test_unreadable_mask_is_an_error(tmp_path):
    """A mask that cannot be read is never an empty one."""
    (tmp_path / "a.png").touch()
    with pytest.raises(PictureError, match=r"a\.png cannot be used: it is empty"):
        read_mask(tmp_path / "a.png", (4, 4))


# Real pictures


def test_real_castings_are_one_channel(real_data):
    """Casting photographs are RGB files without colour: one channel, the same mapped or not."""
    paths = list_pictures(real_data / "casting_300" / "test" / "ok_front")[:40]
    store = read_pictures(paths, image_size=128)
    assert store.shape == (128, 128, 1)
    assert 20 < store.batch(slice(None)).mean() < 235
    assert read_pictures(paths, image_size=128, memory_budget=0).checksum() == store.checksum()


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("RECON_ANOMALY_DATA")
    if not folder:
        pytest.skip("RECON_ANOMALY_DATA is not set: no real pictures")
    return Path(folder)
