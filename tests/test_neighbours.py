import numpy as np
import pytest
from PIL import Image

from recon_anomaly import InputError, Pictures, neighbours
from recon_anomaly.images import PixelRange
from recon_anomaly.neighbours import TURNS, GrayCopies, Neighbours, turned

UINT8 = PixelRange(0.0, 255.0, "uint8")


def _noise(count, size=(12, 12, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size), dtype=np.uint8)


def _ranked(train, test, shape=(12, 12), turns=range(8)):
    small = np.stack([GrayCopies(Pictures(test), UINT8).copy(k, shape) for k in range(len(test))])
    return list(Neighbours(GrayCopies(Pictures(train), UINT8), shape, turns).rank(small))


def test_turns_are_what_pillow_calls_them():
    """Each of the eight words does what Pillow's flip and rotation of that name do."""
    picture = _noise(1)[0, ..., 0]
    for turn, words in enumerate(TURNS):
        image = Image.fromarray(picture)
        if "mirrored" in words:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if "turned" in words:
            image = image.transpose(getattr(Image.Transpose, f"ROTATE_{words[-4:-1].strip()}"))
        np.testing.assert_array_equal(turned(picture, turn), np.asarray(image))
    assert len(set(TURNS)) == 8


def test_order_and_turns_are_those_of_plain_loops():
    """The ranking is that of NumPy's correlation of every pair in every turn."""
    train, test = _noise(7), _noise(3, seed=1)
    for position, (order, turns) in enumerate(_ranked(train, test)):
        wanted = np.array(
            [
                [
                    np.corrcoef(test[position].ravel(), turned(known[..., 0], turn).ravel())[0, 1]
                    for turn in range(8)
                ]
                for known in train
            ]
        )
        assert order.tolist() == np.argsort(-wanted.max(1)).tolist()
        assert turns.tolist() == wanted.argmax(1)[order].tolist()


def test_chunks_of_rows_change_nothing(monkeypatch):
    """One test picture at a time gives what all at once give."""
    train, test = _noise(6), _noise(5, seed=1)
    whole = _ranked(train, test)
    monkeypatch.setattr(neighbours, "_CELLS", 1)
    for one, other in zip(whole, _ranked(train, test), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_picture_that_is_no_square_keeps_its_shape():
    """Of the four turns that keep 8 x 12 pixels, the planted one is found."""
    train = _noise(5, (8, 12, 1))
    test = np.stack([turned(train[3, ..., 0], 6)])[..., None]
    ((order, turns),) = _ranked(train, test, (8, 12), (0, 2, 4, 6))
    assert (order[0], turns[0]) == (3, 6)


def test_constant_pictures_are_like_none():
    """Without contrast the correlation is 0, whatever the other picture."""
    train = np.concatenate([np.full((1, 12, 12, 1), 80, np.uint8), _noise(1)])
    test = np.concatenate([_noise(1), np.full((1, 12, 12, 1), 90, np.uint8)])
    (first, _), (second, _) = _ranked(train, test)
    assert first.tolist() == [1, 0]
    assert second.tolist() == [0, 1]


def test_copies_are_gray_shares_of_the_range():
    """Channels are averaged, the range becomes 0 to 1, and flips commute with the resizing."""
    picture = _noise(1, (20, 20, 3))
    copies = GrayCopies(Pictures(picture), PixelRange(55.0, 255.0, "uint8"))
    np.testing.assert_allclose(
        copies.copy(0, (20, 20)), (picture[0].mean(-1) - 55) / 200, atol=1e-6
    )
    flipped = GrayCopies(Pictures(picture[:, :, ::-1].copy()), copies.units)
    np.testing.assert_allclose(flipped.copy(0, (7, 7)), copies.copy(0, (7, 7))[:, ::-1], atol=1e-6)


def test_pixels_that_are_not_finite_are_refused():
    """NaN would be like nothing and everything; the picture is named."""
    pixels = np.zeros((3, 12, 12, 1), np.float32)
    pixels[1, 0, 0] = np.nan
    with pytest.raises(InputError, match="picture 1 has pixels that are not finite"):
        GrayCopies(Pictures(pixels), PixelRange(0.0, 1.0, "float32")).copy(1, (12, 12))
