import numpy as np
import pytest

from recon_anomaly import PictureError, PictureWarning
from recon_anomaly.masks import GOOD, UNKNOWN, Masks, read_masks


@pytest.fixture
def spots(save):
    """Files of masks 4 x 4: one with a spot, and one that is empty."""
    spot = np.zeros((4, 4), np.uint8)
    spot[:2, 2:] = 255
    return save("spot.png", spot), save("empty.png", np.zeros((4, 4), np.uint8))


def test_masks_are_those_of_the_files(spots):
    """Resized by nearest pixel; a good picture is good everywhere, and one whose mask is empty or missing unknown."""
    spot, empty = spots
    masks = read_masks([None, spot, empty, None], np.array([0, 1, 1, 1]), (2, 2))
    assert masks.rows.tolist() == [GOOD, 0, UNKNOWN, UNKNOWN]
    assert [None if mask is None else mask.tolist() for mask in masks] == [
        [[False, False], [False, False]],
        [[False, True], [False, False]],
        None,
        None,
    ]


def test_without_any_mask_there_are_none(spots):
    """Also where the only one is empty."""
    assert read_masks([None, spots[1]], np.array([0, 1]), (4, 4)) is None
    assert read_masks([None, None], np.array([0, 1]), (4, 4)) is None


def test_a_mask_that_cannot_be_read_is_an_error_or_unknown(spots, tmp_path):
    """The error names it; left out, a warning does."""
    (tmp_path / "bad.png").write_bytes(b"no picture")
    paths, labels = [spots[0], tmp_path / "bad.png"], np.array([1, 1])
    with pytest.raises(PictureError, match=r"bad\.png"):
        read_masks(paths, labels, (4, 4))
    with pytest.warns(PictureWarning, match=r"1 of 2 masks .*bad\.png"):
        masks = read_masks(paths, labels, (4, 4), on_error="skip")
    assert [mask is None for mask in masks] == [False, True]


def test_masks_that_seem_empty_and_are_not_are_told(spots, save):
    """Masks of 0 and 1, of 8 and of 16 bits, and a defect that no pixel is left of; a black mask says nothing."""
    ones = np.zeros((4, 4), np.uint8)
    ones[0, 0] = 1
    dark = [save("ones.png", ones), save("deep.png", ones.astype(np.uint16))]
    thin = save("thin.png", 255 * ones)
    paths, labels = [*dark, thin, *spots], np.ones(5)
    with pytest.warns(PictureWarning) as said:
        masks = read_masks(paths, labels, (2, 2))
    assert [mask is None for mask in masks] == [True, True, True, False, True]
    dark_ones, vanished = (str(one.message) for one in said)
    assert dark_ones.startswith("2 of the masks have no pixel of half the full range")
    assert "ones.png" in dark_ones
    assert vanished.startswith("1 of the masks have defects that vanish at 2 x 2 pixels")
    assert "thin.png" in vanished


def test_some_are_taken_in_their_order():
    """Masks go with their pictures, and the checksum is theirs alone."""
    store = np.eye(3, dtype=bool)[:, None]
    masks = Masks(store, np.array([GOOD, 0, 1, UNKNOWN, 2]))
    taken = masks.take(np.array([4, 0, 1]))
    assert [mask.tolist() for mask in taken] == [[[0, 0, 1]], [[0, 0, 0]], [[1, 0, 0]]]
    other = Masks(store[[2, 0]], np.array([0, GOOD, 1]))
    assert taken.checksum == other.checksum
    assert len({m.checksum for m in (masks, taken, taken.take(np.array([1, 0, 2])))}) == 3
