"""Defects of drawn castings on other pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.castings import DEFECT_KINDS, make_part
from recon_anomaly.corruptors.casting_defects import CastingDefects
from recon_anomaly.errors import InputError
from recon_anomaly.testing import check_corruptor


def test_the_contract_holds():
    """Shapes, range, mask and repeatability are those of any corruptor."""
    check_corruptor("casting-defects")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_the_mask_is_what_changed(height, width, channels, seed):
    """Pixels of the mask differ, all others are the picture's own, and the picture is left alone."""
    image = np.random.default_rng(1).random((height, width, channels), dtype=np.float32)
    before = image.copy()
    spoiled, mask = CastingDefects()(image, np.random.default_rng(seed))
    assert np.array_equal(image, before)
    assert mask.any()
    assert np.array_equal((spoiled != image).any(2), mask)
    assert spoiled.min() >= 0
    assert spoiled.max() <= 1


def test_the_change_is_that_of_a_casting():
    """On mid-gray the changes are, sorted, those between a sound casting and its spoiled twin."""
    image = np.full((48, 48, 1), 0.5, np.float32)
    spoiled, _ = CastingDefects(kinds=("scratch",))(image, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    rng.integers(1)  # the choice of a kind
    good, bad = make_part((48, 48), "scratch", rng)
    wanted = (bad.astype(np.float64) - good) / 255
    np.testing.assert_allclose(
        np.sort((spoiled - image).ravel()), np.sort(wanted.clip(-0.5, 0.5).ravel()), atol=1e-6
    )


def test_all_channels_change_alike():
    """A defect is lit, not coloured."""
    image = np.full((32, 32, 3), 0.5, np.float32)
    spoiled, _ = CastingDefects()(image, np.random.default_rng(0))
    assert np.ptp(spoiled, axis=2).max() == 0


@pytest.mark.parametrize("kinds", [(), ("dent", "nonsense"), "nonsense"])
def test_unknown_kinds_are_refused(kinds):
    """The message lists the kinds that there are."""
    with pytest.raises(InputError, match=DEFECT_KINDS[0]):
        CastingDefects(kinds=kinds)


@pytest.mark.parametrize("shape", [(1, 3000, 1), (900, 2, 3)])
def test_long_pictures_are_spoiled_at_once(shape):
    """A line of pixels gets a part of a defect, and nothing of the size of its square is drawn."""
    image = np.full(shape, 0.5, np.float32)
    for seed in range(5):
        _, mask = CastingDefects()(image, np.random.default_rng(seed))
        assert 0 < mask.sum() <= 16 * 16
