"""Regions of interest: boxes, and masks from files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image

from recon_anomaly import CAE, decoding
from recon_anomaly.errors import InputError, PictureError, PictureWarning
from recon_anomaly.interest import Interest, interest_of
from recon_anomaly.tiledinputs import planned_tiling


def test_no_region_and_a_box():
    """None is all of a picture; a box is kept as it is, whatever whole numbers it comes in."""
    assert interest_of(None) is None
    found = interest_of([np.int64(1), 2, 3, 4])
    assert (found.box, found.mask, found.size) == ((1, 2, 3, 4), None, None)
    found.check((6, 4))


def test_a_mask_is_the_box_around_its_pixels(tmp_path):
    """Every pixel above 0 counts, however dark; its size is that of the pictures."""
    pixels = np.zeros((6, 8), np.uint8)
    pixels[2, 3], pixels[4, 5] = 255, 1
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    found = interest_of(tmp_path / "mask.png")
    assert found.box == (3, 2, 3, 3)
    assert found.mask.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    found.check((6, 8))
    with pytest.raises(InputError, match=r"8 x 6 .*mask of roi is 6 x 8"):
        found.check((8, 6))


def test_a_mask_is_upright(tmp_path):
    """As pictures are: a file that lies on its side is turned, and colours are warned of."""
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[0, 5, 0] = 255
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # a quarter, clockwise
    Image.fromarray(pixels).save(tmp_path / "mask.png", exif=turned)
    with pytest.warns(PictureWarning, match="converted to luminance"):
        found = interest_of(tmp_path / "mask.png")
    assert (found.box, found.size) == ((5, 5, 1, 1), (8, 6))


def test_a_large_mask_has_to_be_allowed(monkeypatch, save):
    """By the same number as the pictures, which are of its size."""
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20)
    path = save("mask.png", np.ones((6, 8), np.uint8))
    with pytest.raises(PictureError, match="more than 20 pixels"):
        interest_of(path)
    assert interest_of(path, 48).size == (6, 8)
    assert planned_tiling(CAE(roi=path, max_pixels=48)).interest.size == (6, 8)
    with pytest.raises(InputError, match="max_pixels is 0"):
        interest_of(path, 0)


def test_a_box_beyond_a_picture():
    """Is refused, with both sizes."""
    with pytest.raises(InputError, match=r"roi=\(0, 0, 5, 4\).*beyond a picture of 4 x 4"):
        Interest((0, 0, 5, 4)).check((4, 4))


@pytest.mark.parametrize("roi", [7, (1, 2, 3), (0, 0, 0, 4), (-1, 0, 4, 4), (0.0, 0, 4, 4), "12ab"])
def test_what_is_no_region(roi):
    """Neither a box nor a file."""
    with pytest.raises((InputError, PictureError), match=r"roi|mask 12ab .* does not exist"):
        interest_of(roi)


def test_an_empty_mask(save, gray):
    """Has nothing to look at."""
    with pytest.raises(InputError, match="no pixel of the mask"):
        interest_of(save("mask.png", np.zeros_like(gray())))


def test_a_mask_is_as_large_as_pictures_may_be(save, gray):
    """What is allowed of pictures is allowed of their mask."""
    picture = gray() | 1
    path = save("mask.png", picture)
    with pytest.raises(PictureError, match=f"more than {picture.size - 1} pixels"):
        interest_of(path, picture.size - 1)
    assert interest_of(path, picture.size).box[:2] == (0, 0)
