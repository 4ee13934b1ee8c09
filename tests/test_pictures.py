"""Picture files become one store: order, channels, warnings, errors, memory; and listing them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from recon_anomaly.errors import InputError, PictureError, PictureWarning
from recon_anomaly.pictures import list_pictures, read_pictures


def read_one(path: Path, **options: object) -> np.ndarray:
    return read_pictures([path], **{"image_size": None, **options}).batch(slice(None))[0]


def test_gray_pixels_come_through_unchanged_and_in_order(save, gray):
    """Without a resize the store holds the very pixels of the files, in the order of the paths."""
    paths = [save(f"{i:02}.png", gray(i)) for i in range(40)]
    store = read_pictures(paths[::-1], image_size=None, threads=4)
    assert store.paths == tuple(paths[::-1])
    expected = np.stack([gray(i) for i in range(39, -1, -1)])[..., None]
    assert np.array_equal(store.batch(slice(None)), expected)
    assert store.dtype == np.uint8


def test_rgb_with_equal_channels_becomes_one_channel(save, gray):
    """An RGB file without colour is one channel under "auto" and three under 3."""
    path = save("a.png", np.repeat(gray()[..., None], 3, 2))
    assert np.array_equal(read_one(path), gray()[..., None])
    assert np.array_equal(read_one(path, channels=3), np.repeat(gray()[..., None], 3, 2))
    assert read_one(save("b.png", gray().astype(np.uint16)), channels=3).shape == (6, 8, 3)


@pytest.mark.parametrize("memory_budget", [None, 0])
def test_late_coloured_picture_makes_the_store_three_channels(memory_budget, save, gray, colour):
    """A coloured picture after gray ones turns all of them to three channels, and none is lost."""
    paths = [save(f"{i}.png", gray(i)) for i in range(5)]
    paths += [save("5.png", colour()), save("6.png", gray(6))]
    store = read_pictures(paths, image_size=None, memory_budget=memory_budget)
    grays = np.stack([gray(i) for i in range(5)])[..., None]
    assert store.shape == (6, 8, 3)
    assert np.array_equal(store.batch(slice(0, 5)), np.repeat(grays, 3, 3))
    assert np.array_equal(store.batch(slice(5, 6))[0], colour())
    assert np.array_equal(store.batch(slice(6, 7))[0], np.repeat(gray(6)[..., None], 3, 2))


def test_one_channel_converts_colours_with_one_warning(save, gray, colour):
    """channels=1 makes luminance of coloured files, and one warning counts them."""
    paths = [save("0.png", gray()), save("1.png", colour(1))]
    paths.append(save("2.png", colour(2)))
    with pytest.warns(PictureWarning, match=r"2 of 3 pictures .*luminance.*1\.png") as caught:
        store = read_pictures(paths, image_size=None, channels=1)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    expected = colour(2) @ [0.299, 0.587, 0.114]
    assert np.abs(store.batch(slice(2, 3))[0, ..., 0] - expected).max() <= 1


def test_eight_and_sixteen_bits_do_not_mix(save, gray):
    """A call with both kinds of grayscale is an error that names one of each."""
    paths = [save("a.png", gray()), save("b.png", gray().astype(np.uint16))]
    with pytest.raises(InputError, match=r"a\.png has 8 bits and .*b\.png has 16"):
        read_pictures(paths)


def test_alpha_is_dropped_with_one_counting_warning(save, gray, colour):
    """RGBA, LA and transparent palettes lose their alpha, and one warning counts them."""
    rgba = np.dstack([colour(), gray(9)])
    palette = Image.fromarray(colour()).quantize(4)
    paths = [
        save("0.png", colour()),
        save("1.png", rgba),
        save("2.png", np.dstack([gray(), gray(9)])),
        save("3.png", palette, transparency=b"\x00\x80\xff\xff"),
        save("4.png", palette, transparency=2),
    ]
    with pytest.warns(PictureWarning, match=r"4 of 5 pictures had an alpha .*1\.png") as caught:
        store = read_pictures(paths, image_size=None)
    assert len(caught) == 1
    pixels = store.batch(slice(None))
    assert np.array_equal(pixels[1], colour())
    assert np.array_equal(pixels[2, ..., 0], gray())
    for position in (3, 4):
        assert np.array_equal(pixels[position], np.asarray(palette.convert("RGB")))


def test_mixed_sizes_need_an_image_size(save, gray):
    """Without image_size the first file of another size is named; with it they all fit."""
    paths = [save(f"{i}.png", gray(0, (4 + i // 2, 5))) for i in range(4)]
    with pytest.raises(InputError, match=r"2\.png is 5 x 5 .*0\.png is 4 x 5; give image_size"):
        read_pictures(paths, image_size=None)
    assert read_pictures(paths, image_size=4).shape == (4, 4, 1)


@pytest.fixture
def bad_files(tmp_path, save, gray) -> dict[str, Path]:
    """Write one bad file of each kind; by a part of the reason that is expected."""
    jpeg = save("cut.jpg", gray(0, (64, 64)))
    jpeg.write_bytes(jpeg.read_bytes()[:-200])
    png = save("cut.png", gray(0, (64, 64)))
    png.write_bytes(png.read_bytes()[:-2000])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not a picture\n")
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (tmp_path / "folder.png").mkdir()
    return {
        "damaged or unreadable .*truncated": jpeg,
        "damaged or unreadable": png,
        "is empty": tmp_path / "empty.png",
        "not a picture": tmp_path / "text.png",
        "not a picture of a known format": tmp_path / "script.png",
        "unreadable .*directory": tmp_path / "folder.png",
        "does not exist": tmp_path / "gone.png",
    }


def test_bad_files_are_errors_that_name_them(tmp_path, save, gray, bad_files):
    """Truncated, empty, foreign and missing files raise an error with their name and the cause."""
    good = save("good.png", gray())
    for reason, path in bad_files.items():
        with pytest.raises(PictureError, match=f"{path.name} cannot be used: it .*{reason}"):
            read_pictures([good, path], image_size=8)


def test_skipped_files_are_listed_and_leave_no_gap(tmp_path, save, gray, bad_files):
    """Under "skip" bad files are left out, listed with the reason, and the order is kept."""
    bad = list(bad_files.values())
    good = [save(f"good{i}.png", gray(i)) for i in range(3)]
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
    with pytest.raises(
        InputError, match=r"none of the 1 pictures can be used.*gone\.png.*not exist"
    ):
        read_pictures([tmp_path / "gone.png"], on_error="skip")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size is 0"),
        ({"channels": 2}, "channels is 2; give one of 'auto', 1, 3"),
        ({"channels": True}, "channels is True"),
        ({"on_error": "zero"}, "on_error is 'zero'"),
        ({"threads": 0}, "threads is 0"),
        ({"memory_budget": -1}, "memory_budget is -1"),
    ],
)
def test_parameters_out_of_range(options, message, save, gray):
    """A parameter out of range is an error that says which values are wanted."""
    path = save("a.png", gray())
    with pytest.raises(InputError, match=message):
        read_pictures([path], **options)


def test_filling_in_truncated_files_is_refused(monkeypatch, save, gray):
    """Pillow's global switch is an error even where bad files are skipped."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES"):
        read_pictures([save("a.png", gray())], on_error="skip")


def test_no_pictures_and_a_lone_path_are_errors():
    """An empty list has no shape, and a lone path would be taken letter by letter."""
    with pytest.raises(InputError, match="no pictures"):
        read_pictures([])
    with pytest.raises(InputError, match=r"one path, a\.png"):
        read_pictures("a.png")


def test_progress_counts_every_file(tmp_path, save, gray):
    """Progress counts files from one to the last, skipped ones included."""
    paths = [save(f"{i}.png", gray(i)) for i in range(5)]
    paths.insert(2, tmp_path / "gone.png")
    seen: list[int] = []
    read_pictures(paths, on_error="skip", progress=seen.append, threads=2)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_small_budget_maps_the_same_pixels(save, gray):
    """Beyond the budget the store is in a file, alike in its pixels."""
    paths = [save(f"{i}.png", gray(i)) for i in range(5)]
    in_memory = read_pictures(paths, image_size=None, memory_budget=5 * 6 * 8)
    store = read_pictures(paths, image_size=None, memory_budget=5 * 6 * 8 - 1)
    assert in_memory.in_memory
    assert not store.in_memory
    assert store.checksum() == in_memory.checksum()


def test_free_memory_is_the_default_budget(monkeypatch, save, gray):
    """Without a budget a quarter of the free memory is the limit."""
    path = save("a.png", gray())
    monkeypatch.setattr("recon_anomaly.pictures.free_memory", lambda: 4 * 6 * 8)
    assert read_pictures([path], image_size=None).in_memory
    monkeypatch.setattr("recon_anomaly.pictures.free_memory", lambda: 4 * 6 * 8 - 1)
    assert not read_pictures([path], image_size=None).in_memory


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


def test_real_castings_are_one_channel(real_data):
    """Casting photographs are RGB files without colour: one channel, the same mapped or not."""
    paths = list_pictures(real_data / "casting_300" / "test" / "ok_front")[:40]
    store = read_pictures(paths, image_size=128)
    assert store.shape == (128, 128, 1)
    assert 20 < store.batch(slice(None)).mean() < 235
    assert read_pictures(paths, image_size=128, memory_budget=0).checksum() == store.checksum()
