import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.ramps import fall


def logistic(x):
    return 1 / (1 + math.exp(-x))


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.1, 40))
def test_it_is_the_stretched_sigmoid(share, steepness):
    """The value is that of the formula, written with the logistic function."""
    low, high = logistic(-steepness / 2), logistic(steepness / 2)
    expected = (logistic(steepness * (0.5 - share)) - low) / (high - low)
    assert fall(share, steepness) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.floats(0, 200))
def test_it_begins_at_one_and_ends_at_zero(steepness):
    """Both ends are exact for every steepness."""
    assert fall(0.0, steepness) == 1.0
    assert fall(1.0, steepness) == 0.0


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 200))
def test_it_is_symmetric(share, steepness):
    """What has fallen at a share is what is left at the rest."""
    assert fall(share, steepness) + fall(1 - share, steepness) == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(st.floats(0, 40), st.integers(2, 200))
def test_it_falls_strictly(steepness, steps):
    """From step to step there is less left, whatever the steepness."""
    left = [fall(step / steps, steepness) for step in range(steps + 1)]
    assert all(after < before for before, after in itertools.pairwise(left))


@settings(deadline=None)
@given(st.floats(0, 1))
def test_small_steepnesses_are_nearly_a_straight_line(share):
    """Zero is the line itself, and 1e-9 differs from it by rounding alone."""
    assert fall(share, 0.0) == 1 - share
    assert fall(share, 1e-9) == pytest.approx(1 - share, abs=1e-12)
