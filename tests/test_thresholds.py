import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.conformal import conformal
from recon_anomaly.errors import InputError
from recon_anomaly.tails import peaks_over_threshold
from recon_anomaly.thresholds import (
    RULES,
    best_f1,
    check_rule,
    find_threshold,
    quantile,
    sensitivity,
    value,
    youden,
)

SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
LABELS = np.array([0, 0, 1, 0, 1])


@st.composite
def labelled_scores(draw):
    """Scores with many ties, negative ones among them, and labels of both classes."""
    scores = draw(st.lists(st.integers(-6, 6), min_size=2, max_size=20))
    labels = draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    labels[0], labels[-1] = 0, 1
    return np.array(scores) / 4, np.array(labels)


def counts(scores, labels, threshold):
    """Return found, false alarms, missed and rightly passed pictures, counted one by one."""
    pairs = [(score > threshold, bool(label)) for score, label in zip(scores, labels, strict=True)]
    return tuple(
        pairs.count(kind) for kind in [(True, True), (True, False), (False, True), (False, False)]
    )


def f1(scores, labels, threshold):
    found, false_alarms, missed, _ = counts(scores, labels, threshold)
    return 2 * found / (2 * found + false_alarms + missed)


def youden_index(scores, labels, threshold):
    found, false_alarms, missed, passed = counts(scores, labels, threshold)
    return found / (found + missed) + passed / (passed + false_alarms) - 1


def every_threshold(scores):
    """Return one threshold for each set of pictures that a threshold can call anomalous."""
    return [scores.min() - 1, *scores]


@settings(deadline=None)
@given(labelled_scores())
def test_youden_is_the_best_of_all_thresholds(data):
    """No threshold has a larger sensitivity + specificity - 1 than the one of the rule."""
    scores, labels = data
    best = max(youden_index(scores, labels, at) for at in every_threshold(scores))
    # Sums of rounded fractions, hence not equal to the last bit.
    assert youden_index(scores, labels, youden(scores, labels)) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(labelled_scores())
def test_best_f1_is_the_best_of_all_thresholds(data):
    """No threshold has a larger F1 than the one of the rule."""
    scores, labels = data
    best = max(f1(scores, labels, at) for at in every_threshold(scores))
    assert f1(scores, labels, best_f1(scores, labels)) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(labelled_scores())
def test_sensitivity_is_the_highest_threshold_that_misses_nothing(data):
    """Every anomalous picture is found, and no threshold that finds them all has fewer alarms."""
    scores, labels = data
    threshold = sensitivity(scores, labels)
    _, false_alarms, missed, _ = counts(scores, labels, threshold)
    complete = [at for at in every_threshold(scores) if not counts(scores, labels, at)[2]]
    assert missed == 0
    assert false_alarms == min(counts(scores, labels, at)[1] for at in complete)
    assert threshold >= max(complete)


@settings(deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=30, unique=True), st.integers(0, 100))
def test_quantile_gives_the_share_of_false_alarms(scores, percent):
    """Of n good pictures with different scores, the share above differs by at most 1 / n."""
    threshold = quantile(np.array(scores, float), false_alarm=percent / 100)
    above = sum(score > threshold for score in scores)
    assert abs(100 * above - percent * len(scores)) <= 100


def test_quantile_interpolates_between_scores():
    """Of 1, 2 and 4, a quarter of false alarms lies halfway between the upper two."""
    assert quantile(np.array([4.0, 1.0, 2.0]), false_alarm=0.25) == 3.0


def test_thresholds_lie_halfway_to_the_next_lower_score():
    """Both rules cut between 0.2 and 0.3, where F1 is 0.8 and the Youden index 2 / 3."""
    assert f1(SCORES, LABELS, 0.25) == pytest.approx(0.8)
    assert youden_index(SCORES, LABELS, 0.25) == pytest.approx(2 / 3)
    assert best_f1(SCORES, LABELS) == pytest.approx(0.25)
    assert youden(SCORES, LABELS) == pytest.approx(0.25)
    assert sensitivity(SCORES, LABELS) == pytest.approx(0.25)


def test_without_a_lower_score_the_threshold_is_just_below():
    """Where all pictures are to be found, the threshold is the last number below the least score."""
    labels = np.array([1, 0, 0])
    assert sensitivity(np.array([1.0, 2.0, 3.0]), labels) == np.nextafter(1.0, 0)


def test_youden_of_reversed_scores_calls_nothing_anomalous():
    """Scores that rank all anomalous pictures below the good ones give the largest score."""
    assert youden(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 0, 0])) == 4.0


@pytest.mark.parametrize("rule", [best_f1, sensitivity, youden])
@pytest.mark.parametrize("steps", [0, 1])
def test_neighbouring_numbers_are_told_apart(rule, steps):
    """An anomalous score is above the threshold even if no number lies between it and a good one."""
    good = 1.0 + steps * np.finfo(float).eps
    anomalous = np.nextafter(good, 2)
    assert good <= rule(np.array([good, anomalous]), np.array([0, 1])) < anomalous


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan])
def test_a_share_outside_zero_to_one_is_refused(share):
    """The error names the parameter and its value."""
    with pytest.raises(InputError, match=f"false_alarm={share}"):
        quantile(SCORES, false_alarm=share)


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf])
def test_a_threshold_has_to_be_finite(threshold):
    """NaN and infinities are refused as thresholds, numbers come back as they are."""
    assert value(SCORES, threshold=2) == 2.0
    with pytest.raises(InputError, match="finite"):
        value(SCORES, threshold=threshold)


@pytest.mark.parametrize("rule", ["best-f1", "sensitivity", "youden"])
def test_find_threshold_gives_labels_to_the_rules_that_need_them(rule):
    """A rule by name is the function of that name, for integer and for bool labels."""
    wanted = RULES[rule](SCORES, LABELS)
    assert find_threshold(rule, SCORES, LABELS) == wanted
    assert find_threshold(rule, SCORES, LABELS.astype(bool)) == wanted


def test_the_quantile_is_that_of_the_good_pictures():
    """Labels keep anomalous pictures out of the quantile; without labels all are good."""
    assert find_threshold("quantile", SCORES, LABELS, false_alarm=0.5) == 0.2
    assert find_threshold("quantile", SCORES, false_alarm=0.5) == 0.3


def test_the_quantile_leaves_five_percent_by_default():
    """Of the scores 0 to 100, five lie above the default threshold."""
    scores = np.arange(101.0)
    assert (scores > find_threshold("quantile", scores)).sum() == 5


@pytest.mark.parametrize("rule", ["best-f1", "sensitivity", "youden"])
@pytest.mark.parametrize("labels", [None, np.zeros(5), np.ones(5)])
def test_one_class_is_refused_where_both_are_needed(rule, labels):
    """The error names the rule and says what labels it wants."""
    with pytest.raises(InputError, match=rf"{rule}.*both classes"):
        find_threshold(rule, SCORES, labels)


@pytest.mark.parametrize("rule", ["quantile", "conformal", "peaks-over-threshold"])
def test_a_rule_of_good_pictures_needs_one(rule):
    """Labels that call everything anomalous raise an InputError, since nothing is left to rank."""
    with pytest.raises(InputError, match=f"'{rule}' needs at least one good"):
        find_threshold(rule, SCORES, np.ones(5))


def test_an_unknown_rule_is_refused():
    """The error lists all rules."""
    with pytest.raises(InputError, match=", ".join(sorted(RULES))):
        find_threshold("median", SCORES)


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("quantile", {"threshold": 1.0}),
        ("value", {}),
        ("youden", {"false_alarm": 0.1}),
        ("conformal", {"tail": 0.1}),
    ],
)
def test_a_parameter_of_another_rule_is_refused(rule, params):
    """A parameter that the rule does not take, or one that is missing, names the rule; with and without scores."""
    with pytest.raises(InputError, match=f"'{rule}' does not take"):
        find_threshold(rule, SCORES, LABELS, **params)
    with pytest.raises(InputError, match=f"'{rule}' does not take"):
        check_rule(rule, **params)


@pytest.mark.parametrize(("rule", "name"), [("quantile", "false_alarm"), ("value", "threshold")])
def test_a_parameter_is_a_number(rule, name):
    """Text is refused by name, and NumPy's numbers are taken as Python's."""
    with pytest.raises(InputError, match=f"{name}='0.25': rule '{rule}' wants a number"):
        find_threshold(rule, SCORES, **{name: "0.25"})
    wanted = find_threshold(rule, SCORES, **{name: 0.25})
    for number in (np.float32(0.25), np.float64(0.25)):
        assert find_threshold(rule, SCORES, **{name: number}) == wanted


def test_rules_of_good_pictures_leave_the_others_out():
    """Conformal thresholds and tails are those of the good pictures' scores alone."""
    rng = np.random.default_rng(0)
    scores, labels = rng.random(300), np.arange(300) % 3 == 0
    for rule in (conformal, peaks_over_threshold):
        name = rule.__name__.replace("_", "-")
        assert find_threshold(name, scores, labels) == rule(scores[~labels])


@pytest.mark.parametrize(("share", "threshold"), [(0, 0.5), (1, 0.1)])
def test_both_ends_are_shares(share, threshold):
    """No false alarm is the largest score, and nothing but false alarms the least."""
    assert find_threshold("quantile", SCORES, false_alarm=share) == threshold


@pytest.mark.parametrize("params", [{"false_alarm": 5}, {"false_alarm": -0.1}, {"tail": 2}])
def test_a_share_out_of_range_is_refused_before_anything_is_scored(params):
    """The rule is checked with its numbers, not only with their names."""
    with pytest.raises(
        InputError, match=f"{next(iter(params))} is .*; give a share between 0 and 1"
    ):
        check_rule("peaks-over-threshold", **params)


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"value"}))
def test_a_threshold_does_not_depend_on_the_type_of_the_scores(rule):
    """Scores of half the digits have the threshold of the same numbers in full."""
    scores = np.random.default_rng(1).random(300).astype(np.float32)
    labels = np.arange(300) % 3 == 0
    assert find_threshold(rule, scores, labels) == find_threshold(
        rule, scores.astype(float), labels
    )
