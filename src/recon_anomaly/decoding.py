"""One picture file becomes pixels: gray or RGB, of 8 or 16 bits, at the size that is wanted."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from .checks import at_least
from .errors import InputError, PictureError, PictureWarning

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Decoded",
    "check_choice",
    "checked_size",
    "decode",
    "read_mask",
    "stored_size",
    "upright_size",
    "warn_of",
]

MAX_PIXELS = 89_478_485
"""Largest height times width that is decoded where nobody allows more; the same figure as Pillow's own."""

_OPENING = threading.Lock()

# Pillow would hand a file that is really PostScript to Ghostscript, whatever its ending says.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
"""Formats that are decoded, by Pillow's names: no others are even looked for."""
_EIGHT_BIT = {"1": "L", "L": "L", "LA": "L"} | dict.fromkeys(
    ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"), "RGB"
)
_ORIENTATION = ExifTags.Base.Orientation
_ON_ITS_SIDE = (5, 6, 7, 8)  # values of the EXIF orientation
_MARK = 173
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class Decoded(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    pixels : ndarray of shape (h, w, 1 or 3), uint8 or uint16
        At the size that was asked for.
    notes : list of str
        What was dropped or converted.
    size : (int, int)
        Height and width of the picture in the file, upright as its EXIF orientation says.
    """

    pixels: NDArray[Any]
    notes: list[str]
    size: tuple[int, int]


class _UnusableError(Exception):
    """Why a picture that Pillow can decode is refused all the same."""


def read_mask(
    path: str | os.PathLike[str], size: int | tuple[int, int] | None = None, level: float = 128
) -> NDArray[np.bool_]:
    """Read a mask of defects: True where the gray value reaches half of its range (128 of 255).

    Parameters
    ----------
    path : path
        A picture file; coloured ones are read as luminance, with a warning.
    size : int or (height, width), optional
        Size in pixels that the mask is brought to, by nearest neighbour; its own if None.
    level : float
        In place of 128; of 16 bits it is 256 times as much.

    Raises
    ------
    PictureError
        If the file cannot be used.
    """
    nearest = Image.Resampling.NEAREST
    result = decode(Path(path), checked_size(size), luminance=True, resample=nearest)
    if isinstance(result, str):
        raise PictureError(f"{path} cannot be used: {result}")
    warn_of({note: [Path(path)] for note in result.notes}, 1)
    mask: NDArray[np.bool_] = result.pixels[..., 0] >= level * 256 ** (result.pixels.itemsize - 1)
    return mask


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return height and width of the picture in a file, upright as its EXIF orientation says, from its header.

    Raises
    ------
    PictureError
        If the file cannot be read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            # A PNG file may have its orientation behind the pixels, which would have to be decoded.
            lies = width != height and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
            # Of a TIFF Pillow tells the size as it will be turned.
            lies = lies and image.format != "TIFF"
    except Exception as error:  # as in `decode`, a file that lies may raise anything
        cause = error.strerror if isinstance(error, OSError) else None
        raise PictureError(f"{path} cannot be used: {cause or error}") from error
    return (width, height) if lies else (height, width)


def decode(
    source: Path | bytes,
    size: tuple[int, int] | None,
    luminance: bool,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
    max_pixels: int | None = None,
) -> Decoded | str:
    """Decode and resize a file, or the bytes of one, or return the reason why it cannot be used.

    ``max_pixels`` takes the place of `MAX_PIXELS`. An InputError is raised if Pillow is set to fill in truncated files.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise InputError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process, so that truncated files "
            "would be filled in silently; set it to False"
        )
    allowed = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
            return "it is empty (0 bytes)"
        # Given a path Pillow would map the file: to shorten it then ends the process, and a TIFF that lies on its
        # side comes out scrambled.
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return _decode(file, size, luminance, resample, allowed)
    except _UnusableError as error:
        return str(error)
    except UnidentifiedImageError:
        return f"it is not a picture of a known format ({', '.join(FORMATS)})"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return _too_large(allowed)
    # Given bytes that lie, a decoder may raise anything (SyntaxError, struct.error, MemoryError).
    except Exception as error:
        if isinstance(error, FileNotFoundError):
            return "it does not exist"
        # The system's own text repeats the name.
        cause = error.strerror if isinstance(error, OSError) else None
        return f"it is damaged or unreadable ({cause or str(error) or type(error).__name__})"


def stored_size(path: Path, max_pixels: int | None = None) -> tuple[int, int] | None:
    """Return height and width of the picture in a file as it is stored, upright or on its side, from its header.

    None where it is no picture, or none that `decode` would take for its size.
    """
    allowed = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        with _opened(path, allowed) as image:
            width, height = image.size
    except Exception:  # as in `decode`, which says why
        return None
    return (height, width) if width * height <= allowed else None


def _opened(file: Path | IO[bytes], allowed: int) -> Image.Image:
    """Open a file, of which Pillow reads the header; its own limit, which is the process's, is raised for that alone."""
    if allowed <= MAX_PIXELS:
        return Image.open(file, formats=FORMATS)
    with _OPENING:
        before = Image.MAX_IMAGE_PIXELS
        if before is not None:
            Image.MAX_IMAGE_PIXELS = max(before, allowed)
        try:
            return Image.open(file, formats=FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _too_large(allowed: int) -> str:
    return (
        f"it has more than {allowed} pixels; max_pixels, or --max-pixels of fit, score, threshold and "
        "watch, allows more"
    )


def _decode(
    file: IO[bytes],
    size: tuple[int, int] | None,
    luminance: bool,
    resample: Image.Resampling,
    allowed: int,
) -> Decoded:
    notes = []
    image: Image.Image
    with _opened(file, allowed) as image:
        if image.width * image.height > allowed:
            raise _UnusableError(_too_large(allowed))
        if getattr(image, "is_animated", False):
            notes.append("several frames, of which only the first was read")
        if image.mode not in _SIXTEEN_BIT and _is_deep(image):
            notes.append("16-bit colours, which were reduced to 8 bits")
        whole, drafted = image.size, False
        if size and resample != Image.Resampling.NEAREST and min(image.size) >= 2 * max(size):
            # Both sides ask for the longer one: whether the picture lies on its side is not known.
            drafted = image.draft(None, (max(size), max(size))) is not None
        lies = drafted and image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        if image.format == "PNG":
            _load_png(image, file, allowed)
        elif image.format == "TIFF":
            _check_strips(image)
        ImageOps.exif_transpose(image, in_place=True)
        width, height = whole if drafted else image.size
        upright = (width, height) if lies else (height, width)
        if image.has_transparency_data:
            notes.append("an alpha channel, which was dropped")
            image.info.pop("transparency", None)
        if image.mode == "F":
            raise _UnusableError("its pixels are floating-point numbers; pass them as an array")
        if image.mode in _SIXTEEN_BIT:
            return Decoded(_sixteen_bit(image, size, resample), notes, upright)
        if image.mode not in _EIGHT_BIT:
            raise _UnusableError(f"its mode {image.mode} is not supported; save it as RGB or gray")
        if image.mode != _EIGHT_BIT[image.mode]:  # else it would be copied
            image = image.convert(_EIGHT_BIT[image.mode])
        image = _gray_if_equal(image)
        if size:
            image = _gray_if_equal(image.resize(size[::-1], resample))
        if image.mode == "RGB" and luminance:
            notes.append("colours, which were converted to luminance")
            image = image.convert("L")
        return Decoded(np.atleast_3d(np.asarray(image)), notes, upright)


def _load_png(image: Image.Image, file: IO[bytes], allowed: int) -> None:
    """Load a PNG, and refuse one whose data end before its last row: Pillow would leave the rest black."""
    # Each pixel that is decoded is written over what stood there before.
    image.im = _filled(image, _MARK).im
    image.load()
    last = image.crop((0, image.height - 1, image.width, image.height))
    if not image.info.get("interlace") and last.tobytes() != _filled(last, _MARK).tobytes():
        return
    file.seek(0)
    with _opened(file, allowed) as again:  # that may be its colour
        again.im = _filled(again, 0).im
        if again.tobytes() != image.tobytes():
            raise _UnusableError("it is damaged or unreadable (its data end before its last row)")


def _filled(image: Image.Image, value: int) -> Image.Image:
    return Image.new(image.mode, image.size, (value,) * len(image.getbands()))


def _check_strips(image: Image.Image) -> None:
    """Refuse an uncompressed TIFF that has not all of its strips: Pillow would leave the others black."""
    covered = {tuple(tile.extents) for tile in getattr(image, "tile", ()) if tile.extents}
    # Of one that lies on its side Pillow tells the size as it will be turned.
    areas = [
        sum((min(right, w) - left) * (min(bottom, h) - top) for left, top, right, bottom in covered)
        for w, h in (image.size, image.size[::-1])
    ]
    if max(areas) < image.width * image.height:
        raise _UnusableError("it is damaged or unreadable (some of its strips are missing)")


def _gray_if_equal(image: Image.Image) -> Image.Image:
    """Return one channel of a picture in RGB whose channels are equal, else the picture.

    Equal channels stay so when they are resized, each by itself: one is a third of the work.
    """
    if image.mode != "RGB":
        return image
    middle = image.height // 2
    # Most pictures with colours show some in a single row.
    for part in (image.crop((0, middle, image.width, middle + 1)), image):
        red, green, blue = (channel.tobytes() for channel in part.split())
        if not red == green == blue:
            return image
    return image.getchannel(0)


def _sixteen_bit(
    image: Image.Image, size: tuple[int, int] | None, resample: Image.Resampling
) -> NDArray[np.uint16]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        got = f"{values.min()} to {values.max()}"
        raise _UnusableError(f"its values ({got}) lie outside 0 to 65535; pass them as an array")
    if size:
        # Pillow resizes no 16-bit mode well; float32 holds every 16-bit integer exactly.
        scaled = Image.fromarray(values.astype(np.float32)).resize(size[::-1], resample)
        values = np.rint(np.asarray(scaled))
    return values.astype(np.uint16)[..., None]


def _is_deep(image: Image.Image) -> bool:
    # Pillow tells only in its raw modes ("RGB;16B", or "RGB" and 65535 in a PPM) that it cuts bits.
    for tile in getattr(image, "tile", ()):
        ppm = tile.codec_name.startswith("ppm")
        for arg in tile.args if isinstance(tile.args, tuple) else (tile.args,):
            if ";16" in arg if isinstance(arg, str) else ppm and isinstance(arg, int) and arg > 255:
                return True
    return False


def warn_of(notes: Mapping[str, Sequence[Path]], total: int) -> None:
    """Warn the caller's caller once for each note, with the files that it is about."""
    for note, paths in sorted(notes.items()):
        message = f"{len(paths)} of {total} pictures had {note}; the first is {paths[0]}"
        warnings.warn(message, PictureWarning, stacklevel=3)


def checked_size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Return (height, width), or None for None; anything out of range is an InputError."""
    if image_size is None:
        return None
    pair = tuple(image_size) if isinstance(image_size, Sequence) else (image_size, image_size)
    if len(pair) != 2:
        raise InputError(f"image_size is {image_size!r}; give one int, (height, width) or None")
    height, width = (at_least("image_size", side, 1) for side in pair)
    if height * width > MAX_PIXELS:
        raise InputError(f"image_size is {image_size!r}; more than {MAX_PIXELS} pixels in all")
    return height, width


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse a value that is none of ``choices``, with an InputError; True is not taken for 1."""
    if isinstance(value, bool) or value not in choices:
        raise InputError(f"{name} is {value!r}; give one of {', '.join(map(repr, choices))}")
