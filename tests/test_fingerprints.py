"""Pictures are known again by their pixels, in every type, and no others are."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from recon_anomaly import Pictures
from recon_anomaly.errors import InputError
from recon_anomaly.fingerprints import TrainedPictures, fingerprints
from recon_anomaly.images import PixelRange

BYTE = PixelRange(0.0, 255.0, "uint8")


@pytest.fixture
def array():
    """Six pictures of noise, 5 x 4 in two channels, uint8."""
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4, 2), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_hash_is_that_of_the_pixels_in_their_order(array, dtype):
    """BLAKE2b of the bytes of each picture, for a store and for a view of it in another order."""
    array = array.astype(dtype)
    wanted = [hashlib.blake2b(picture.tobytes(), digest_size=8).digest() for picture in array]
    store = Pictures(array)
    assert [bytes(row) for row in fingerprints(store)] == wanted
    assert [bytes(row) for row in fingerprints(store.take([4, 1]))] == [wanted[4], wanted[1]]
    turned = Pictures(np.asfortranarray(array))
    assert [bytes(row) for row in fingerprints(turned)] == wanted


def test_pixels_differ_by_one_and_are_another_picture(array):
    """One value of one pixel is enough."""
    other = array.copy()
    other[2, 3, 1, 0] ^= 1
    same = (fingerprints(Pictures(array)) == fingerprints(Pictures(other))).all(1)
    assert same.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    ("trained", "pixel_range"),
    [
        (lambda array: array, BYTE),
        (lambda array: array.astype(np.uint16) * 257, PixelRange(0.0, 65535.0, "uint16")),
        (lambda array: array / np.float32(255), PixelRange(0.0, 1.0, "float32")),
    ],
    ids=["uint8", "uint16", "float32"],
)
@pytest.mark.parametrize(
    "given",
    [
        lambda array: array,
        lambda array: array.astype(np.uint16) * 257,
        lambda array: array / np.float32(255),
        lambda array: (array / 255).astype(np.float32),
    ],
    ids=["uint8", "uint16", "float32", "float64"],
)
def test_pictures_are_known_again_in_another_type(array, trained, pixel_range, given):
    """Whatever of uint8, uint16 and shares was trained on, and whichever of them comes."""
    hashes = fingerprints(Pictures(trained(array)).take([0, 5]))
    looked = TrainedPictures(hashes, pixel_range)
    looked.look(given(array), list("abcdef"))
    assert looked.known == ["a", "f"]
    with pytest.raises(InputError, match="2 of the 6 pictures were trained on, the first is a"):
        looked.refuse()


def test_floats_outside_their_share_are_compared_as_they_are(array):
    """A detector that was fitted on floats of its own range knows these again."""
    floats = array.astype(np.float32) * 3 - 7
    looked = TrainedPictures(fingerprints(Pictures(floats[:1])), PixelRange(-7.0, 758.0, "float32"))
    looked.look(floats, range(6))
    assert looked.known == ["0"]


def test_other_pictures_pass(array):
    """Nothing is known, nothing is refused, and they are counted over several calls."""
    looked = TrainedPictures(fingerprints(Pictures(array[:2])), BYTE)
    looked.look(array[2:4], ["c", "d"])
    looked.look(array[4:], ["e", "f"])
    looked.refuse()
    assert (looked.known, looked.seen) == ([], 4)
