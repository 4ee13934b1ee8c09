import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from recon_anomaly.conformal import conformal
from recon_anomaly.decisions import (
    DECIDED_RULES,
    EVERYTHING,
    ORACLE,
    YOUDEN_VALIDATION,
    called_at,
    decide,
    decisions_of,
)
from recon_anomaly.errors import InputError
from recon_anomaly.metrics import DECISION
from recon_anomaly.resampling import draw_resamples
from recon_anomaly.thresholds import RULES


@pytest.fixture
def record():
    """60 good and 40 anomalous pictures whose scores overlap, and 50 validation pictures."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [60, 40])
    return {
        "model": "pca",
        "scores": rng.normal(1.2 * labels).tolist(),
        "labels": labels.tolist(),
        "validation_scores": rng.normal(size=50).tolist(),
        "validation_defect_scores": rng.normal(1.2, size=10).tolist(),
    }


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("quantile", {}),
        ("quantile", {"false_alarm": 0.2}),
        ("value", {"threshold": 0.5}),
        ("youden", {}),
        ("best-f1", {}),
        ("sensitivity", {}),
        ("youden-validation", {}),
    ],
)
def test_a_rule_is_decided_from_the_record_alone(record, rule, params):
    """Threshold, figures and the mark of an oracle are those of plain scikit-learn and NumPy."""
    found = decide(record, rule, **params)
    scores, labels = np.array(record["scores"]), np.array(record["labels"])
    called = scores > found["threshold"]
    assert found["oracle"] == (rule in {"youden", "best-f1", "sensitivity"})
    assert found["precision"] == pytest.approx(sklearn_metrics.precision_score(labels, called))
    assert found["recall"] == pytest.approx(sklearn_metrics.recall_score(labels, called))
    assert found["f1"] == pytest.approx(sklearn_metrics.f1_score(labels, called))
    assert found["true_positives"] + found["false_negatives"] == 40
    wanted = {
        "quantile": lambda: np.quantile(
            record["validation_scores"], 1 - params.get("false_alarm", 0.05)
        ),
        "value": lambda: 0.5,
    }
    if rule == "youden-validation":
        scores = np.append(record["validation_scores"], record["validation_defect_scores"])
        labels = np.repeat([0, 1], [50, 10])
        gains = {cut: _youden(labels, scores > cut) for cut in [-np.inf, *scores]}
        assert _youden(labels, scores > found["threshold"]) == pytest.approx(max(gains.values()))
    elif rule in wanted:
        assert found["threshold"] == pytest.approx(wanted[rule]())
    else:
        cuts = [scores.min() - 1, *scores]
        every = [(sklearn_metrics.recall_score(labels, scores > cut), cut) for cut in cuts]
        best = {
            "sensitivity": lambda: max(cut for recall, cut in every if recall == 1),
            "best-f1": lambda: max(sklearn_metrics.f1_score(labels, scores > c) for c in cuts),
            "youden": lambda: max(
                recall + sklearn_metrics.recall_score(labels, scores > cut, pos_label=0)
                for recall, cut in every
            ),
        }[rule]()
        got = {
            "sensitivity": (found["recall"] == 1) * scores[scores <= found["threshold"]].max(),
            "best-f1": found["f1"],
            "youden": found["recall"] + found["specificity"],
        }[rule]
        assert got == pytest.approx(best)


def _youden(labels, called):
    recall = sklearn_metrics.recall_score
    return recall(labels, called) + recall(labels, called, pos_label=0)


def test_intervals_are_those_of_a_plain_loop(record):
    """Each interval is the quantile of scikit-learn's figure over the record's own resamples."""
    found = decide(record, "value", threshold=0.5)
    labels, called = np.array(record["labels"]), np.array(record["scores"]) > 0.5
    figures = []
    for weights in draw_resamples(labels):
        (right, alarms), (missed, found_) = sklearn_metrics.confusion_matrix(
            labels, called, sample_weight=weights
        )
        precision, recall = found_ / (found_ + alarms), found_ / (found_ + missed)
        figures.append(
            (precision, recall, right / (right + alarms), 2 / (1 / precision + 1 / recall))
        )
    wanted = np.quantile(figures, [0.025, 0.975], axis=0).T
    assert list(found["intervals"]) == list(DECISION)
    np.testing.assert_allclose(list(found["intervals"].values()), wanted)


def test_decisions_are_json(record):
    """What is decided passes through JSON as it is."""
    found = decide(record, "best-f1")
    assert json.loads(json.dumps(found)) == found


def test_all_rules_without_parameters_are_decided_at_once(record):
    """The record's own decisions equal those that are decided anew."""
    scores, labels = np.array(record["scores"]), np.array(record["labels"])
    threshold = float(np.quantile(record["validation_scores"], 0.95))
    found = decisions_of(scores, labels, threshold, draw_resamples(labels))
    assert set(found) == {"quantile"} | ORACLE == DECIDED_RULES - {"value", YOUDEN_VALIDATION}
    assert DECIDED_RULES | {"conformal", "peaks-over-threshold"} == {*RULES, YOUDEN_VALIDATION}
    assert found == {rule: decide(record, rule) for rule in found}
    chosen = decide(record, YOUDEN_VALIDATION)["threshold"]
    labelled = decisions_of(scores, labels, threshold, draw_resamples(labels), chosen)
    assert set(labelled) == DECIDED_RULES - {"value"}
    assert labelled == {rule: decide(record, rule) for rule in labelled}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_oracle(record, label):
    """With good or anomalous pictures alone the rules that look at labels are left out, or refused."""
    scores, labels = np.array(record["scores"]), np.full(100, label)
    assert set(decisions_of(scores, labels, 0.5, draw_resamples(labels))) == {"quantile"}
    with pytest.raises(InputError, match="both classes"):
        decide(record | {"labels": labels.tolist()}, "youden")


def test_no_alarm_has_no_precision(record):
    """Above all scores nothing is called anomalous: no precision, no interval of it, F1 zero."""
    found = decide(record, "value", threshold=1e9)
    assert (found["precision"], found["intervals"]["precision"]) == (None, None)
    assert (found["f1"], found["intervals"]["f1"]) == (0.0, [0.0, 0.0])


@pytest.mark.parametrize(
    ("changes", "rule", "params", "words"),
    [
        ({}, "best", {}, "say one of: best-f1, conformal, peaks"),
        ({}, EVERYTHING, {}, "'everything' is unknown"),
        ({}, "quantile", {"threshold": 1.0}, "does not take"),
        ({}, "quantile", {"false_alarm": 2.0}, "false_alarm is 2.0"),
        ({}, "value", {"threshold": np.inf}, "finite"),
        ({"scores": None}, "quantile", {}, "the record of 'pca' has no scores"),
        ({"validation_scores": None}, "quantile", {}, "needs validation scores"),
        ({"validation_scores": []}, "conformal", {}, "'conformal' needs validation scores"),
        ({"validation_defect_scores": None}, YOUDEN_VALIDATION, {}, "--labelled-validation"),
        ({}, YOUDEN_VALIDATION, {"threshold": 1.0}, "does not take"),
    ],
)
def test_what_cannot_be_decided_is_named(record, changes, rule, params, words):
    """Unknown rules and parameters, and records without the scores, are errors."""
    with pytest.raises(InputError, match=words):
        decide(record | changes, rule, **params)


def test_what_equals_the_threshold_is_good():
    """Only what exceeds the threshold is anomalous."""
    labels = np.array([0, 1])
    found = called_at(1.0, np.array([1.0, 1.5]), labels, draw_resamples(labels), oracle=False)
    assert (found["true_positives"], found["false_positives"]) == (1, 0)


def test_a_record_can_be_decided_by_a_conformal_threshold(record):
    """It is taken from the good validation pictures' scores, which are no oracle."""
    found = decide(record, "conformal", false_alarm=0.1)
    assert found["threshold"] == conformal(np.array(record["validation_scores"]), false_alarm=0.1)
    assert not found["oracle"]
