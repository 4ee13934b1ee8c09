"""Extrapolated tails: against another way to the maximum likelihood, and against known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import genpareto

from recon_anomaly.errors import InputError
from recon_anomaly.tails import peaks_over_threshold


def by_profile(scores, false_alarm, tail):
    """The same threshold by Grimshaw's profile likelihood over a fine grid, without a search."""
    start = np.quantile(scores, 1 - tail)
    excesses = scores[scores > start] - start
    inverse = np.linspace(-0.999 / excesses.max(), 8 / excesses.mean(), 40_001)
    inverse = inverse[np.abs(inverse) > 1e-6 / excesses.mean()]
    shapes = np.log1p(np.multiply.outer(inverse, excesses)).mean(axis=1)
    likelihood = -np.log(shapes / inverse) - shapes - 1
    likelihood[shapes < -0.9] = -np.inf  # it has no maximum there
    best = likelihood.argmax()
    shape, scale = shapes[best], shapes[best] / inverse[best]
    rate = false_alarm * len(scores) / len(excesses)
    return start + scale / shape * (rate**-shape - 1)


@pytest.mark.parametrize("shape", [-0.2, 0.1, 0.4])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e4])
def test_the_fit_is_that_of_maximum_likelihood(shape, unit):
    """Scores in any unit: the threshold of a grid search over the profile likelihood, to a thousandth."""
    scores = unit * genpareto.rvs(shape, size=800, random_state=np.random.default_rng(3))
    found = peaks_over_threshold(scores, false_alarm=0.002, tail=0.15)
    assert found == pytest.approx(by_profile(scores, 0.002, 0.15), rel=1e-3)


def test_ten_scores_make_a_tail():
    """The fewest that there may be are fitted like more."""
    scores = np.random.default_rng(6).exponential(size=100)
    found = peaks_over_threshold(scores)
    assert found == pytest.approx(by_profile(scores, 0.01, 0.1), rel=1e-3)


def test_the_rate_is_met_on_a_known_tail():
    """Scores of a generalised Pareto distribution: the exact rate beyond the threshold is 0.002 on average."""
    rng = np.random.default_rng(4)
    rates = [
        genpareto.sf(
            peaks_over_threshold(
                genpareto.rvs(0.1, size=2000, random_state=rng), false_alarm=0.002
            ),
            0.1,
        )
        for _ in range(25)
    ]
    assert np.mean(rates) == pytest.approx(0.002, abs=3 * np.std(rates) / 5)
    assert np.std(rates) < 0.002


def test_the_threshold_can_lie_beyond_every_score():
    """Which no rank among the scores does."""
    scores = np.random.default_rng(5).exponential(size=300)
    assert peaks_over_threshold(scores, false_alarm=1e-5) > scores.max()


@pytest.mark.parametrize(
    ("scores", "params", "message"),
    [
        (np.arange(90.0), {"false_alarm": 0.01}, "9 of 90 .*at least 10"),
        (
            np.arange(20.0),
            {},
            r"2 of 20 .*at least 10 are needed; give more good pictures or a larger",
        ),
        (np.array([]), {}, "0 of 0"),
        (np.arange(500.0), {"false_alarm": 0.2}, "0 < false_alarm < tail < 1 is wanted"),
        (np.arange(500.0), {"false_alarm": 0.1}, r"=0\.1, tail=0\.1: 0 < false_alarm < tail < 1"),
        (np.arange(500.0), {"false_alarm": 0.0}, r"false_alarm=0\.0"),
        (np.arange(500.0), {"tail": 1.0}, r"tail=1\.0"),
        (np.repeat([0.0, 1.0], [480, 20]), {"tail": 0.2}, "are all the same"),
        (
            np.repeat([0.0, 1.0, 2.0], [480, 10, 10]),
            {"tail": 0.3, "false_alarm": 0.2},
            "many are equal",
        ),
        (
            np.repeat([0.0, 1.0, 2.0], [480, 10, 10]),
            {"tail": 0.3, "false_alarm": 0.04},
            "0.04 of the scores lie above .* many are equal",
        ),
    ],
)
def test_what_cannot_be_extrapolated_is_refused(scores, params, message):
    """Too few scores, shares out of order and ties: each error says what to change."""
    with pytest.raises(InputError, match=message):
        peaks_over_threshold(scores, **params)
