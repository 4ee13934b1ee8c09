"""The check of a rule for thresholds finds what breaks its laws."""

import numpy as np
import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.testing import check_threshold


def highest(scores):
    """Keep the laws, by good pictures alone."""
    return float(scores.max())


def lowest_defect(scores, anomalous):
    """Keep the laws, by labels."""
    return float(scores[anomalous].min())


def by_share(scores, *, false_alarm):
    """Keep the laws, by a share."""
    return float(np.sort(scores)[int((1 - false_alarm) * (len(scores) - 1))])


def wants_many(scores):
    if len(scores) < 100:
        raise InputError("a hundred are wanted")
    return highest(scores)


def infinite(scores):
    return np.inf


def numpy_number(scores):
    return scores.max().astype(np.float32)


def negating(scores, anomalous):
    np.abs(scores, out=scores)
    return float(scores.max())


def noisy(scores):
    return float(scores.max() + np.random.default_rng().random())


def last(scores):
    return float(scores[-1])


def turned(scores, *, false_alarm):
    return by_share(scores, false_alarm=1 - false_alarm)


def refusing(scores):
    raise InputError("scores of the moon are wanted")


@pytest.mark.parametrize("rule", [highest, lowest_defect, wants_many])
def test_a_rule_that_keeps_the_laws_passes(rule):
    """Of good scores alone, of all with their labels, and one that refuses a few sets."""
    check_threshold(rule)


def test_a_rule_with_a_share_passes():
    """Half of the share gives no lower threshold; rules have names, too."""
    check_threshold(by_share, {"false_alarm": 0.2})
    check_threshold(lambda scores: float(scores.mean() + 3 * scores.std()))
    check_threshold("quantile", {"false_alarm": 0.2})


@pytest.mark.parametrize(
    ("rule", "params", "law"),
    [
        (infinite, {}, "a finite float"),
        (numpy_number, {}, "a finite float"),
        (negating, {}, "left as they are"),
        (noisy, {}, "the same scores give the same"),
        (last, {}, "the order of the scores"),
        (turned, {"false_alarm": 0.2}, "does not lower the threshold"),
        (refusing, {}, "at least one set of scores .*of the moon"),
    ],
)
def test_a_rule_that_breaks_a_law_fails(rule, params, law):
    """Each broken rule raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_threshold(rule, params)


def test_scores_may_be_given():
    """Those alone are then looked at, and a refusal of them is no fault."""
    scores, anomalous = np.array([1.0, 2.0, 3.0]), np.array([False, False, True])
    check_threshold(last, scores=np.ones(3), anomalous=anomalous)
    check_threshold(refusing, scores=scores, anomalous=anomalous)
    with pytest.raises(AssertionError, match="the order"):
        check_threshold(last, scores=scores[[1, 0, 2]], anomalous=anomalous)
    with pytest.raises(InputError, match="go together"):
        check_threshold(highest, scores=scores)
