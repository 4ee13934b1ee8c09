"""Conformal thresholds and p-values: ranks by hand, the guarantee by simulation, laws with ties."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly import CalibrationWarning
from recon_anomaly.conformal import (
    allowed_rank,
    conformal,
    discoveries,
    p_values,
    pictures_needed,
)
from recon_anomaly.errors import InputError

TIED = st.lists(st.integers(0, 8), min_size=1, max_size=60).map(lambda found: np.array(found) / 8)
SHARES = st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=60)


@pytest.mark.parametrize(
    ("scores", "false_alarm", "threshold"),
    [
        ([5, 1, 4, 2, 3, 9, 8, 7, 6], 0.1, 9),  # ceil(10 * 0.9) = 9th of 9
        ([5, 1, 4, 2, 3, 9, 8, 7, 6], 0.2, 8),
        ([5, 1, 4, 2, 3, 9, 8, 7, 6], 0.25, 8),  # ceil(7.5)
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], 0.4, 2),  # the 6th, one of three that are equal
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], 0.3, 3),
        ([7], 0.5, 7),
        (list(range(1, 100)), 0.01, 99),
        (list(range(1, 100)), 0.29, 71),  # 0.29 * 100 is below 29 in floats
    ],
)
def test_the_threshold_is_the_score_of_that_rank(scores, false_alarm, threshold):
    """The ceil((n + 1) (1 - false_alarm))-th smallest score, counted by hand."""
    assert conformal(np.array(scores, float), false_alarm=false_alarm) == threshold


@settings(deadline=None)
@given(st.integers(1, 300), SHARES)
def test_ranks_are_those_of_exact_arithmetic(count, share):
    """Where the share is a ratio of small numbers, rounding moves no rank and no number of pictures."""
    assert allowed_rank(count, float(share)) == int(share * (count + 1))
    assert pictures_needed(float(share)) == ceil(1 / share - 1)


def test_a_share_just_below_a_ratio_does_not_allow_its_rank():
    """Where the product with n + 1 rounds up to a whole number, that number is one too many."""
    pairs = [(k, n) for n in range(2, 60) for k in range(1, n)]
    rounded = [(k, n) for k, n in pairs if np.nextafter(k / n, 0) * n == k]
    assert rounded
    for k, n in rounded:
        assert allowed_rank(n - 1, np.nextafter(k / n, 0)) == k - 1


@pytest.mark.parametrize(
    ("count", "false_alarm"),
    [
        (count, false_alarm)
        for count in (9, 19, 50, 99, 250)
        for false_alarm in (0.013, 0.05, 0.1, 0.3)
        if false_alarm * (count + 1) >= 1  # fewer pictures are another test
    ],
)
def test_the_guarantee_holds_in_finite_samples(count, false_alarm):
    """Over 1,000 calibrations the exact false alarm probability stays in (alpha - 1/(n + 1), alpha] on average."""
    rng = np.random.default_rng([count, int(1000 * false_alarm)])
    thresholds = [
        conformal(rng.exponential(size=count), false_alarm=false_alarm) for _ in range(1000)
    ]
    realised = np.exp(-np.array(thresholds))  # the survival function of the scores
    error = 3 * realised.std() / 1000**0.5
    assert false_alarm - 1 / (count + 1) - error < realised.mean() <= false_alarm + error
    # The mean that the docstring says is exact, and lies well inside these bounds.
    assert realised.mean() == pytest.approx(
        allowed_rank(count, false_alarm) / (count + 1), abs=error
    )


def test_with_too_few_pictures_the_bound_of_the_largest_score_holds():
    """Of 20 pictures and a rate of 0.01 what remains is 1/21, which is what is realised on average."""
    rng = np.random.default_rng(0)
    with pytest.warns(CalibrationWarning):
        thresholds = [conformal(rng.exponential(size=20), false_alarm=0.01) for _ in range(1000)]
    realised = np.exp(-np.array(thresholds))
    assert realised.mean() == pytest.approx(1 / 21, abs=3 * realised.std() / 1000**0.5)


def test_too_few_pictures_are_warned_of():
    """The warning names the pictures, how many are needed and what does hold; one more than 98 is enough."""
    scores = np.arange(98.0)
    with pytest.warns(
        CalibrationWarning, match=r"98 good.* 99 are needed.*1/99 = 0\.0101"
    ) as warned:
        assert conformal(scores, false_alarm=0.01) == 97
    assert warned[0].filename == __file__  # it points at who asked
    assert conformal(np.arange(99.0), false_alarm=0.01) == 98


@settings(deadline=None)
@given(TIED, TIED, SHARES)
def test_p_values_are_counted_one_by_one(scores, calibration, share):
    """A plain loop over the calibration scores, ties included."""
    found = p_values(scores, np.sort(calibration))
    wanted = [
        (1 + sum(other >= score for other in calibration)) / (len(calibration) + 1)
        for score in scores
    ]
    assert found.tolist() == wanted
    assert found.dtype == np.float64


@settings(deadline=None)
@given(TIED, TIED, SHARES)
def test_the_threshold_decides_as_the_p_value_does(scores, calibration, share):
    """A score exceeds the threshold exactly if p <= alpha; with too few pictures, if it exceeds them all."""
    share = float(share)
    values = p_values(scores, np.sort(calibration))
    if len(calibration) >= pictures_needed(share):
        assert np.array_equal(scores > conformal(calibration, false_alarm=share), values <= share)
    else:
        with pytest.warns(CalibrationWarning):
            threshold = conformal(calibration, false_alarm=share)
        assert np.array_equal(scores > threshold, values == 1 / (len(calibration) + 1))
        assert not (values <= share).any()


def test_p_values_of_good_pictures_are_valid():
    """The probability of a p-value of at most t is at most t, for several t, averaged over calibrations."""
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [p_values(rng.normal(size=50), np.sort(rng.normal(size=30))) for _ in range(1000)]
    )
    for level in (0.04, 0.1, 0.5, 0.9):
        assert (values <= level).mean() == pytest.approx(int(level * 31) / 31, abs=0.01)


@settings(deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda n: st.lists(st.integers(1, n + 1).map(lambda k: Fraction(k, n + 1)), max_size=40)
    ),
    SHARES,
)
def test_discoveries_follow_the_definition(values, share):
    """Benjamini and Hochberg by a plain loop in exact arithmetic, on p-values that often lie on the bound."""
    ordered = sorted(values)
    taken = 0
    for k, value in enumerate(ordered, 1):
        if value <= share * k / len(ordered):
            taken = k
    wanted = [taken > 0 and value <= ordered[taken - 1] for value in values]
    found = discoveries(np.array([float(value) for value in values]), float(share))
    assert found.tolist() == wanted
    assert found.dtype == bool


def test_the_false_discovery_rate_is_kept():
    """Of 40 pictures 10 are defective: on average at most a fifth of those that are called so are good."""
    rng = np.random.default_rng(2)
    shares, found = [], 0
    for _ in range(300):
        calibration = np.sort(rng.normal(size=100))
        scores = np.append(rng.normal(size=30), rng.normal(4, 1, 10))
        called = discoveries(p_values(scores, calibration), 0.2)
        shares.append(called[:30].sum() / max(1, called.sum()))
        found += called[30:].sum()
    assert np.mean(shares) <= 0.2 + 3 * np.std(shares) / 300**0.5
    assert found > 0.8 * 3000


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, np.nan])
def test_shares_lie_between_zero_and_one(share):
    """Neither end is a share that can be promised; the message says which was got."""
    for name, ask in (
        ("false_alarm", lambda: conformal(np.arange(9.0), false_alarm=share)),
        ("false_discovery", lambda: discoveries(np.array([0.5]), share)),
        ("false_alarm", lambda: pictures_needed(share)),
    ):
        with pytest.raises(InputError, match=rf"{name} is {share}; give a share between 0 and 1"):
            ask()


@pytest.mark.parametrize("values", [[-0.1], [1.1], [np.nan], [[0.5]]])
def test_what_is_no_p_value_is_refused(values):
    """Numbers outside [0, 1], NaN, and tables."""
    with pytest.raises(InputError, match="p-values"):
        discoveries(np.array(values))


def test_without_scores_there_is_no_threshold():
    """The rule says so, and no index error."""
    with pytest.raises(InputError, match="at least one good picture"):
        conformal(np.array([]))
