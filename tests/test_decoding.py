"""Decoding one file: every mode, every way to be unusable, resizing, masks."""

from __future__ import annotations

import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from recon_anomaly.decoding import Decoded, checked_size, decode, read_mask, upright_size
from recon_anomaly.errors import InputError, PictureError, PictureWarning


def pixels_of(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    result = decode(path, size, False)
    assert isinstance(result, Decoded)
    assert result.notes == []
    return result.pixels


def test_sixteen_bit_png_keeps_its_values(save):
    """A 16-bit grayscale PNG becomes uint16, pixel by pixel."""
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 4), dtype=np.uint16)
    path = save("a.png", pixels)
    assert pixels_of(path).dtype == np.uint16
    assert np.array_equal(pixels_of(path)[..., 0], pixels)


def test_sixteen_bit_resize_averages_in_sixteen_bits(save):
    """A resized 16-bit picture is as near to the resized floats as rounding allows."""
    pixels = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    path = save("a.png", pixels)
    floats = Image.fromarray(pixels.astype(np.float32))
    expected = np.asarray(floats.resize((4, 8), Image.Resampling.BILINEAR))
    result = pixels_of(path, size=(8, 4))[..., 0]
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
    assert np.array_equal(pixels_of(path)[..., 0], pixels)


def test_integers_beyond_sixteen_bits_are_refused(save):
    """A 32-bit TIFF whose values do not fit uint16 is refused, not clamped."""
    path = save("a.tif", np.array([[0, 70000]], np.int32))
    assert str(decode(path, None, False)).startswith("its values (0 to 70000) lie outside")


def test_float_tiff_is_refused_with_advice(save):
    """Floating-point pixels have no range that is known here: pass them as an array."""
    path = save("a.tif", np.zeros((2, 2), np.float32))
    assert str(decode(path, None, False)).endswith("pass them as an array")


def test_lab_tiff_is_refused(save):
    """A mode without a stated conversion is refused by its name."""
    path = save("a.tif", Image.new("LAB", (2, 2)))
    assert "mode LAB is not supported" in decode(path, None, False)


def test_sixteen_bit_colours_are_reduced_with_a_note(tmp_path):
    """Pillow keeps 8 of 16 bits of colour; that is not silent."""
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 1 1 65535\n" + np.array([65535, 0, 257], ">u2").tobytes())
    pixels, notes, _ = decode(path, None, False)
    assert pixels.ravel().tolist() == [255, 0, 1]
    assert notes == ["16-bit colours, which were reduced to 8 bits"]


def test_palette_becomes_rgb(save):
    """A palette file gives the colours of its palette, not the indices."""
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert pixels_of(save("a.png", image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_bilevel_becomes_black_and_white(save):
    """A one-bit file gives 0 and 255."""
    path = save("a.png", Image.fromarray(np.array([[True, False]])))
    assert pixels_of(path).ravel().tolist() == [255, 0]


def test_portable_bitmap_is_read_by_its_content(tmp_path):
    """A plain bitmap under a .pgm name is read, whatever its number of bits."""
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P1 2 1\n0 1\n")
    assert pixels_of(path).ravel().tolist() == [255, 0]


def test_cmyk_jpeg_becomes_rgb(save):
    """A CMYK JPEG comes out in its colours, not inverted and not in four channels."""
    path = save("a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100)
    pixel = pixels_of(path)[8, 8].astype(int)
    assert np.abs(pixel - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("image_size", [None, (4, 2)])
def test_exif_orientation_is_applied(image_size, save):
    """A picture stored lying on its side stands up, before it is resized."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255
    path = save("a.jpg", pixels, exif=exif.tobytes(), quality=100)
    result = pixels_of(path, size=image_size)[..., 0]
    height = len(result)
    assert result.shape == ((32, 16) if image_size is None else image_size)
    assert result[: height // 4].min() > 240
    assert result[-height // 4 :].max() < 15


@pytest.mark.parametrize("ending", ["gif", "tif", "webp", "png"])
def test_first_frame_with_a_note(tmp_path, ending):
    """Of several frames the first is read, and a note tells it."""
    frames = [Image.new("L", (4, 4), value) for value in (255, 0)]
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    pixels, notes, _ = decode(path, None, False)
    assert pixels.min() == 255
    assert notes == ["several frames, of which only the first was read"]


def test_resize_is_bilinear_and_antialiased(save, colour):
    """Without a JPEG's shortcut the result is Pillow's own bilinear resize."""
    path = save("a.png", colour(0, (40, 60)))
    expected = Image.fromarray(colour(0, (40, 60))).resize((5, 7), Image.Resampling.BILINEAR)
    assert np.array_equal(pixels_of(path, size=(7, 5)), np.asarray(expected))


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.none() | st.tuples(st.integers(1, 16), st.integers(1, 16)),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_channels_are_compared_after_the_resize(save, side, size, spots, luminance, seed):
    """Gray or coloured is what the resized RGB picture is, however few pixels of the file have a colour."""
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.integers(0, 256, (*side, 1)), 3, axis=2)
    for _ in range(spots):  # one step in one channel, which a resize may round away
        values[rng.integers(side[0]), rng.integers(side[1]), rng.integers(3)] ^= 1
    path = save("a.png", values.astype(np.uint8))
    image = Image.open(path)
    resized = image if size is None else image.resize(size[::-1], Image.Resampling.BILINEAR)
    wanted = np.asarray(resized)
    coloured = bool((wanted != wanted[..., :1]).any())
    if not coloured:
        wanted = wanted[..., :1]
    elif luminance:
        wanted = np.asarray(resized.convert("L"))[..., None]
    found = decode(path, size, luminance)
    assert np.array_equal(found.pixels, wanted)
    assert found.pixels.shape == wanted.shape
    assert len(found.notes) == (coloured and luminance)


def test_large_jpegs_are_drafted_to_nearly_the_same_pixels(save):
    """The shortcut for large JPEGs stays near the full resize and is the same every time."""
    ramp = np.add.outer(np.arange(160), np.arange(80)).astype(np.uint8)
    path = save("a.jpg", ramp, quality=95)
    with Image.open(path) as image:
        full = np.asarray(image.resize((10, 20), Image.Resampling.BILINEAR)).astype(int)
    drafted = pixels_of(path, size=(20, 10))[..., 0]
    assert np.abs(drafted - full).max() <= 4
    assert np.array_equal(drafted, pixels_of(path, size=(20, 10))[..., 0])


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("side", [10_000, 14_000])
def test_oversized_picture_is_refused(tmp_path, action, side):
    """A header of too many pixels is refused, whether Pillow's warning is an error or not."""
    path = tmp_path / "bomb.pgm"
    path.write_bytes(b"P5 %d %d 255\n" % (side, side))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert decode(path, None, False).startswith("it has more than 89478485 pixels; max_pixels")


def test_any_exception_of_a_decoder_is_a_reason(monkeypatch, save, gray):
    """A decoder that trips over bytes in an unforeseen way is no crash."""

    def trip(*_: object, **__: object) -> None:
        raise ZeroDivisionError("tripped")

    path = save("a.png", gray())
    monkeypatch.setattr(Image, "open", trip)
    assert decode(path, None, False) == "it is damaged or unreadable (tripped)"


def test_filling_in_truncated_files_is_refused(monkeypatch, save, gray):
    """Pillow's global switch would turn truncated files into half gray pictures, silently."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = save("a.png", gray())
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES"):
        decode(path, None, False)
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES"):
        read_mask(path)


def test_mask_is_true_from_half_of_the_range(save):
    """The threshold is 128 of 255, and 32768 of 65535."""
    path = save("a.png", np.array([[0, 127, 128, 255]], np.uint8))
    assert read_mask(path).tolist() == [[False, False, True, True]]
    path = save("b.png", np.array([[0, 32767, 32768, 65535]], np.uint16))
    assert read_mask(path).tolist() == [[False, False, True, True]]


def test_mask_is_resized_by_nearest_neighbour(save):
    """Single pixels are neither averaged away nor spread by a resize."""
    pixels = np.kron(np.array([[255, 0], [0, 255]], np.uint8), np.ones((4, 4), np.uint8))
    mask = read_mask(save("a.png", pixels), size=(2, 4))
    assert mask.dtype == bool
    assert mask.tolist() == [[True, True, False, False], [False, False, True, True]]
    jpeg = read_mask(save("a.jpg", pixels, quality=100), size=2)
    assert jpeg.tolist() == [[True, False], [False, True]]


def test_coloured_mask_is_read_as_luminance_with_a_warning(save, colour):
    """A mask in colours is no error, but it is told, on the caller's line."""
    with pytest.warns(PictureWarning, match=r"1 of 1 pictures had colours.*a\.png") as caught:
        mask = read_mask(save("a.png", colour()))
    assert caught[0].filename == __file__
    assert np.array_equal(mask, np.asarray(Image.fromarray(colour()).convert("L")) >= 128)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, "image_size is 0"),
        (8.0, r"image_size is 8\.0"),
        (True, "image_size is True"),
        ((8, 8, 3), r"image_size is \(8, 8, 3\)"),
        (10_000, "more than 89478485 pixels"),
    ],
)
def test_sizes_out_of_range(size, message):
    """A size that is no size is an error; one int is a square."""
    assert checked_size(np.int64(9)) == (9, 9)
    with pytest.raises(InputError, match=message):
        checked_size(size)


def test_unreadable_mask_is_an_error(tmp_path):
    """A mask that cannot be read is never an empty one."""
    (tmp_path / "a.png").touch()
    with pytest.raises(PictureError, match=r"a\.png cannot be used: it is empty"):
        read_mask(tmp_path / "a.png", (4, 4))
    with pytest.raises(PictureError, match=r"a\.png cannot be used"):
        upright_size(tmp_path / "a.png")


@pytest.mark.parametrize("size", [None, (5, 7), (100, 90)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_the_size_is_that_of_the_upright_picture(name, orientation, size, save):
    """Whatever it is resized to, and whether the decoder of JPEG was asked for a smaller one."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(name, np.zeros((40, 101), np.uint8), exif=exif.tobytes())
    found = decode(path, size, luminance=False)
    assert found.size == ((101, 40) if orientation in (6, 8) else (40, 101))
    assert upright_size(path) == found.size
    assert found.pixels.shape[:2] == (size or found.size)


GRAY = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65536, (5, 7), dtype=np.uint16)
BILEVEL = Image.fromarray(GRAY > 99)
PALETTE = Image.fromarray(COLOUR).quantize(16)
INKS = Image.fromarray(COLOUR).convert("CMYK")


@pytest.mark.parametrize(
    ("ending", "image", "wanted"),
    [
        *((e, Image.fromarray(GRAY), GRAY) for e in ("png", "bmp", "tif", "pgm", "gif")),
        *((e, Image.fromarray(COLOUR), COLOUR) for e in ("png", "bmp", "tif", "ppm", "webp")),
        *((e, Image.fromarray(DEEP), DEEP) for e in ("png", "tif")),
        *((e, BILEVEL, 255 * (GRAY > 99)) for e in ("png", "bmp", "tif", "pgm", "gif")),
        *((e, PALETTE, np.asarray(PALETTE.convert("RGB"))) for e in ("png", "bmp", "tif", "gif")),
        ("tif", INKS, 255 - np.asarray(INKS)[..., :3]),  # without black ink in it
    ],
)
def test_every_format_gives_the_pixels_that_were_saved(ending, image, wanted, save):
    """Gray, colours, 16 bits, one bit, palettes and CMYK, in each format that keeps them without loss."""
    options = {"lossless": True} if ending == "webp" else {}
    result = pixels_of(save(f"a.{ending}", image, **options))
    assert np.array_equal(result, np.atleast_3d(wanted))
    assert result.dtype == (np.uint16 if wanted is DEEP else np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_applied(ending, orientation, save):
    """Whichever corner the first pixel stands in, it comes out where whoever looks at it sees it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(np.array([[0, 90, 250]], np.uint8), np.ones((16, 16), np.uint8))
    seen = {
        1: blocks,
        2: blocks[:, ::-1],
        3: blocks[::-1, ::-1],
        4: blocks[::-1],
        5: blocks.T,
        6: blocks.T[:, ::-1],
        7: blocks.T[::-1, ::-1],
        8: blocks.T[::-1],
    }[orientation]
    options = {"lossless": True} if ending == "webp" else {}
    result = pixels_of(save(f"a.{ending}", blocks, exif=exif, **options))[..., 0]
    assert result.shape == seen.shape
    assert np.abs(result - seen.astype(int)).max() <= 3


def png(width, height, rows, depth=8, interlace=0):
    """A gray PNG whose header says one thing and whose rows are another."""

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(height, strips):
    """A gray TIFF, 4 pixels wide and uncompressed, of strips of two rows."""
    count, first = len(strips), 8 + 2 + 12 * 9 + 4
    places = [first + 8 * count + 8 * k for k in range(count)]
    entries = [(256, 4), (257, height), (258, 8), (259, 1), (262, 1), (277, 1), (278, 2)]
    made = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries[:6])
    for tag, position in ((273, first), (279, first + 4 * count)):
        value = position if count > 1 else (places[0] if tag == 273 else 8)
        made += struct.pack("<HHII", tag, 4, count, value)
        if tag == 273:
            made += struct.pack("<HHII", 278, 4, 1, 2)
    tables = struct.pack(f"<{count}I", *places) + struct.pack(f"<{count}I", *[8] * count)
    return b"II*\0" + struct.pack("<IH", 8, 9) + made + bytes(4) + tables + b"".join(strips)


@pytest.mark.parametrize("level", [0, 100, 173])
def test_pixels_that_are_not_in_the_file_are_never_black(level, tmp_path):
    """Data that end early, which Pillow would fill up, are refused; the same picture whole is read, of any colour."""
    rows = [[level] * 4] * 6
    path = tmp_path / "a.png"
    for interlace in (0, 1):
        for count in (0, 1, 5):
            path.write_bytes(png(4, 6, rows[:count], interlace=interlace))
            assert str(decode(path, None, False)).startswith("it is damaged or unreadable")
    path.write_bytes(png(4, 6, rows))
    assert np.array_equal(pixels_of(path), np.full((6, 4, 1), level))
    strips = [bytes([level] * 8)] * 3
    path.write_bytes(tiff(6, strips))
    assert np.array_equal(pixels_of(path), np.full((6, 4, 1), level))
    for count in (1, 2):
        path.write_bytes(tiff(6, strips[:count]))
        assert decode(path, None, False).endswith("(some of its strips are missing)")


def lying(ending, save):
    """A small file of each format whose header says 60000 x 60000 pixels, or 16383 x 16383 where that is the most."""
    if ending == "png":
        return png(60_000, 60_000, [])
    if ending == "ppm":
        return b"P6 60000 60000 255\n"
    options = {"lossless": True} if ending == "webp" else {}
    data = bytearray(save(f"small.{ending}", GRAY, **options).read_bytes())
    if ending == "bmp":
        data[18:26] = struct.pack("<ii", 60_000, 60_000)
    elif ending == "gif":
        data[6:10] = struct.pack("<HH", 60_000, 60_000)
    elif ending == "jpg":
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = struct.pack(">HH", 60_000, 60_000)
    elif ending == "tif":
        data[18:20] = data[30:32] = struct.pack("<H", 60_000)
    else:
        data[21:25] = struct.pack("<I", 16_383 - 1 | (16_383 - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("ending", ["png", "ppm", "bmp", "gif", "jpg", "tif", "webp"])
def test_a_header_of_too_many_pixels_is_refused_before_they_are_made(ending, tmp_path, save):
    """In every format the limit is told from the header, so that a file of some bytes takes no gigabytes."""
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(lying(ending, save))
    assert path.stat().st_size < 2000
    tracemalloc.start()
    result = decode(path, None, False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.startswith("it has more than 89478485 pixels;")
    assert peak < 2**20


def test_what_the_system_says_of_a_file_does_not_name_it_again(tmp_path):
    """The reason stands behind the name, and is the system's own."""
    assert decode(tmp_path, None, False) == "it is damaged or unreadable (Is a directory)"
