"""The check of a corruptor finds what breaks its contract."""

import numpy as np
import pytest

from recon_anomaly.testing import check_corruptor


def stripe(image, rng):
    """Keep the contract: blacken one row."""
    corrupted = image.copy()
    corrupted[rng.integers(len(image))] = 0
    return corrupted, (corrupted != image).any(-1)


def in_place(image, rng):
    before = image.copy()
    image[0] = 0
    return image, (before != image).any(-1)


def lying_mask(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted, ~mask


def generous_mask(image, rng):
    """Mark a pixel more than was changed: a black one painted black again."""
    corrupted, mask = stripe(image, rng)
    return corrupted, np.ones_like(mask)


def mask_of_channels(image, rng):
    corrupted, _ = stripe(image, rng)
    return corrupted, corrupted != image


def integer_mask(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted, mask.astype(np.uint8)


def own_randomness(image, rng):
    return stripe(np.roll(image, 0), np.random.default_rng())


def doubled(image, rng):
    corrupted = image.astype(np.float64) / 2
    return corrupted, (corrupted != image).any(-1)


def too_bright(image, rng):
    corrupted = image + np.float32(1)
    return corrupted, (corrupted != image).any(-1)


def cropped(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted[:-1], mask[:-1]


def test_a_corruptor_that_keeps_the_contract_passes():
    """A plain function passes."""
    check_corruptor(stripe)


@pytest.mark.parametrize(
    ("corruptor", "law"),
    [
        (in_place, "left as it is"),
        (lying_mask, "marks what changed"),
        (generous_mask, "marks what changed"),
        (mask_of_channels, r"\(h, w\) bool"),
        (integer_mask, r"\(h, w\) bool"),
        (own_randomness, "the same bytes"),
        (doubled, "float32"),
        (too_bright, r"in \[0, 1\]"),
        (cropped, "the same shape"),
    ],
)
def test_a_corruptor_that_breaks_a_law_fails(corruptor, law):
    """Each broken corruptor raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_corruptor(corruptor)
