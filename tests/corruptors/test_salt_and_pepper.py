from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recon_anomaly.corruptors.salt_and_pepper import SaltAndPepper
from recon_anomaly.errors import InputError

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3]))
images = shapes.flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)
shares = st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)).filter(lambda pair: sum(pair) > 0)


@given(image=images, pair=shares, seed=st.integers(0, 2**32))
def test_keeps_the_contract_of_a_corruptor(image, pair, seed):
    """Shape, type, range, mask, repeatability and an untouched input hold for any picture."""
    before = image.copy()
    image.setflags(write=False)
    corruptor = SaltAndPepper(salt=pair[0], pepper=pair[1])
    corrupted, mask = corruptor(image, np.random.default_rng(seed))
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.float32
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, (corrupted != image).any(axis=2))
    assert np.isin(corrupted[mask], [0, 1]).all()
    assert (corrupted[mask] == corrupted[mask][:, :1]).all()
    np.testing.assert_array_equal(image, before)
    again, mask_again = corruptor(image, np.random.default_rng(seed))
    assert again.tobytes() == corrupted.tobytes()
    assert mask_again.tobytes() == mask.tobytes()


@given(shape=shapes, pair=shares, seed=st.integers(0, 2**32))
def test_paints_exactly_the_stated_shares(shape, pair, seed):
    """A gray picture gets round(share · h · w) white and black pixels, and at least one in all."""
    image = np.full(shape, 0.5, dtype=np.float32)
    corrupted, mask = SaltAndPepper(salt=pair[0], pepper=pair[1])(
        image, np.random.default_rng(seed)
    )
    total = shape[0] * shape[1]
    white, black = (corrupted[:, :, 0] == 1).sum(), (corrupted[:, :, 0] == 0).sum()
    n_salt = round(pair[0] * total)
    n_pepper = min(round(pair[1] * total), total - n_salt)
    if n_salt + n_pepper:
        assert (white, black) == (n_salt, n_pepper)
    else:
        assert (white, black) == ((1, 0) if pair[0] >= pair[1] else (0, 1))
    assert mask.sum() == white + black


def test_every_pixel_is_as_likely():
    """Over many draws each pixel is painted about equally often."""
    image = np.full((4, 4, 1), 0.5, dtype=np.float32)
    rng, corruptor = np.random.default_rng(0), SaltAndPepper(salt=0.25, pepper=0.0)
    hits = sum(corruptor(image, rng)[1].astype(int) for _ in range(2000))
    assert np.abs(hits - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


def test_a_white_pixel_painted_white_has_not_changed():
    """Salt on a white picture leaves the mask empty."""
    image = np.ones((5, 5, 3), dtype=np.float32)
    corrupted, mask = SaltAndPepper(salt=0.5, pepper=0.0)(image, np.random.default_rng(0))
    np.testing.assert_array_equal(corrupted, image)
    assert not mask.any()


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"salt": -0.1}, "salt"),
        ({"pepper": 1.1}, "pepper"),
        ({"salt": np.nan}, "salt"),
        ({"salt": 0.6, "pepper": 0.6}, "sum"),
        ({"salt": 0.0, "pepper": 0.0}, "sum"),
    ],
)
def test_bad_parameters_are_refused(params, named):
    """A share outside [0, 1], or a sum that paints nothing or too much, raises an error."""
    with pytest.raises(InputError, match=named):
        SaltAndPepper(**params)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1)), np.zeros((4, 4, 1), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    """Two axes, float64 or uint8 raise an error that says what is wanted."""
    with pytest.raises(InputError, match="float32"):
        SaltAndPepper()(image, np.random.default_rng(0))
