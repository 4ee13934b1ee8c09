from __future__ import annotations

import numpy as np
import pytest

from recon_anomaly.castings import DEFECT_KINDS, make_part


@pytest.mark.parametrize("kind", DEFECT_KINDS)
@pytest.mark.parametrize("sides", [(16, 16), (64, 64), (33, 50)])
def test_a_defective_part_is_its_sound_twin_outside_the_defect(kind, sides):
    """Changed pixels differ by at least 6 gray levels, and are few; all others are equal."""
    for number in range(20):
        good, picture = make_part(sides, kind, np.random.default_rng(number))
        changed = picture != good
        assert 0 < changed.mean() < 0.25
        assert np.abs(picture.astype(int) - good)[changed].min() >= 6


def test_burrs_stick_out_and_short_fills_do_not():
    """A burr brightens the ground beyond the rim; no other kind touches it."""
    y, x = np.mgrid[:64, :64] - 31.5
    ground = np.hypot(x, y) > 0.93 * 32
    for number in range(10):
        for kind in DEFECT_KINDS:
            good, picture = make_part((64, 64), kind, np.random.default_rng(number))
            if kind != "burr":
                assert not (picture != good)[ground].any()
    good, picture = zip(
        *(make_part((64, 64), "burr", np.random.default_rng(k)) for k in range(10)), strict=True
    )
    rise = np.subtract(picture, good, dtype=int)[:, np.hypot(x, y) > 0.88 * 32]
    assert (rise.max(axis=1) > 20).all()


def test_a_good_part_has_no_defect():
    """A good part is its own twin."""
    good, picture = make_part((32, 32), "good", np.random.default_rng(0))
    np.testing.assert_array_equal(good, picture)


def test_good_parts_vary_and_defects_spread():
    """Good parts differ by more than the camera's grain; defects go from subtle to gross."""
    good = np.stack([make_part((64, 64), "good", np.random.default_rng(k))[0] for k in range(20)])
    assert good.astype(float).std(axis=0).max() > 10
    for kind in DEFECT_KINDS:
        twins = [make_part((64, 64), kind, np.random.default_rng(k)) for k in range(40)]
        change = [np.linalg.norm(a.astype(float) - b) for a, b in twins]
        assert np.quantile(change, 0.9) > 2 * np.quantile(change, 0.1)
