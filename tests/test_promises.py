"""What is promised of a threshold, in words and numbers."""

from __future__ import annotations

import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.promises import promise_of
from recon_anomaly.thresholds import NEED_GOOD, RULES


@pytest.mark.parametrize(
    ("good", "bound", "said"),
    [(99, 0.01, "at most 0.01,"), (250, 0.01, "at most 0.01,"), (40, 1 / 41, "1/41 = 0.0244,")],
)
def test_conformal_guarantees_what_its_pictures_allow(good, bound, said):
    """With 99 and more the rate that was asked for, with fewer the probability of the largest score."""
    promise = promise_of("conformal", good, {"false_alarm": 0.01})
    assert (promise.false_alarm, promise.guaranteed, promise.needed) == (bound, True, 99)
    assert said in promise.sentence


@pytest.mark.parametrize(
    ("rule", "rate", "needed"), [("quantile", 0.05, 19), ("peaks-over-threshold", 0.01, 99)]
)
def test_estimates_are_called_so(rule, rate, needed):
    """The rules' own default rates, no guarantee, and how many pictures one would need."""
    promise = promise_of(rule, 200, {})
    assert (promise.false_alarm, promise.guaranteed, promise.needed) == (rate, False, needed)
    assert promise.sentence.startswith(f"a share of about {rate:g} of the good pictures exceeds it")
    assert "200" in promise.sentence
    assert promise.sentence.endswith("; no guarantee (rule conformal has one)")


@pytest.mark.parametrize("rule", sorted({*RULES, "contamination"} - NEED_GOOD))
def test_other_rules_promise_nothing(rule):
    """They look at something else than the good pictures alone."""
    promise = promise_of(rule, 200, {"threshold": 1.0})
    assert (promise.false_alarm, promise.guaranteed, promise.needed) == (None, False, None)
    assert promise.sentence.startswith("nothing")


def test_a_rate_that_cannot_be_promised_is_refused():
    """As by the rule itself."""
    with pytest.raises(InputError, match="false_alarm is 2"):
        promise_of("conformal", 9, {"false_alarm": 2})


@pytest.mark.parametrize("rate", [0, 1])
def test_a_quantile_of_all_or_nothing_has_no_number(rate):
    """No number of pictures guarantees a rate of 0, and a rate of 1 needs no guarantee."""
    assert promise_of("quantile", 9, {"false_alarm": rate}).needed is None
