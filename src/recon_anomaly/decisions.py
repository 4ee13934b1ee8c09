"""Decisions: what each threshold rule makes of the scores that a record keeps.

A record keeps the scores of its test and validation pictures, so a rule, or another parameter of one,
needs no new training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import InputError
from .metrics import decision_metrics
from .resampling import draw_resamples, percentile_intervals, resampled_decisions
from .thresholds import NEED_GOOD, NEED_LABELS, RULES, find_threshold

__all__ = [
    "DECIDED_RULES",
    "EVERYTHING",
    "EVERYTHING_DEFECTIVE",
    "ORACLE",
    "RECORD_RULES",
    "YOUDEN_VALIDATION",
    "called_at",
    "decide",
    "decisions_of",
    "youden_of_validation",
]

EVERYTHING_DEFECTIVE = "everything-defective"
"""The trivial row that calls each picture anomalous."""

EVERYTHING = "everything"
"""Its one rule."""

ORACLE = NEED_LABELS
"""Rules that choose by looking at the test labels, which in use nobody has."""

YOUDEN_VALIDATION = "youden-validation"
"""Youden's J on the labelled validation pictures: no oracle, but it wants some defects beforehand."""

RECORD_RULES = frozenset({*RULES, YOUDEN_VALIDATION})
"""Every rule that can be asked of a record."""

DECIDED_RULES = RECORD_RULES - {"conformal", "peaks-over-threshold"}
"""Those whose decisions a bench keeps, where their pictures and parameters are given."""


def decide(record: Mapping[str, Any], rule: str, **params: float) -> dict[str, Any]:
    """Return what a threshold rule makes of the scores of a record.

    Parameters
    ----------
    record : mapping
        A record of a bench; of its keys "scores", "labels", "validation_scores" and
        "validation_defect_scores" are used.
    rule : str
        "quantile", "conformal" or "peaks-over-threshold" of the good validation pictures' scores, "value" (a
        threshold that is given),
        "youden-validation" (where the bench had defects to validate on), or one that looks at the test
        labels: "youden", "best-f1", "sensitivity".
    **params : float
        The rule's own, as `recon_anomaly.thresholds.find_threshold` says.

    Returns
    -------
    dict
        "oracle" (whether the rule looks at test labels), "threshold", the counts and figures of
        `decision_metrics`, and "intervals": for each figure [low, high] or None, by the same
        resamples as those of the record's ranking figures.

    Raises
    ------
    InputError
        For an unknown rule or parameter; for a record without the scores that the rule needs; for a
        rule that needs both classes, where the test pictures are of one.

    Examples
    --------
    >>> record = {"scores": [1.0, 3.0, 2.0, 4.0], "labels": [0, 0, 1, 1]}
    >>> found = decide(record, "value", threshold=2.5)
    >>> found["true_positives"], found["false_positives"], found["recall"]
    (1, 1, 0.5)
    """
    if rule not in RECORD_RULES:
        raise InputError(f"rule={rule!r} is unknown; say one of: {', '.join(sorted(RECORD_RULES))}")
    if record["scores"] is None:
        raise InputError(f"the record of {record['model']!r} has no scores, so no rule applies")
    scores, labels = np.array(record["scores"]), np.array(record["labels"])
    validation = record.get("validation_scores") or []
    defects = record.get("validation_defect_scores") or []
    if rule in ORACLE:
        threshold = find_threshold(rule, scores, labels, **params)
    elif rule == YOUDEN_VALIDATION:
        if not defects:
            raise InputError(
                f"rule {rule!r} needs scores of defects to validate on, and the record has none; run the "
                "bench with labelled_validation=True (--labelled-validation)"
            )
        threshold = youden_of_validation(np.array(validation), np.array(defects), **params)
    else:
        if rule in NEED_GOOD and not validation:
            raise InputError(f"rule {rule!r} needs validation scores, and the record has none")
        threshold = find_threshold(rule, np.array(validation), None, **params)
    return called_at(threshold, scores, labels, draw_resamples(labels), oracle=rule in ORACLE)


def youden_of_validation(good: np.ndarray, defects: np.ndarray, **params: float) -> float:
    """Return the threshold of Youden's J between the validation pictures and the defects among them.

    Examples
    --------
    >>> youden_of_validation(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    2.5
    """
    labels = np.repeat([0, 1], [len(good), len(defects)])
    return find_threshold("youden", np.append(good, defects), labels, **params)


def decisions_of(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: float,
    counts: np.ndarray,
    youden_validation: float | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the decision of each rule that needs no parameter.

    Parameters
    ----------
    scores, labels : ndarray of shape (n,)
        Of the test pictures.
    threshold : float
        The detector's own, by the quantile of its validation pictures' scores.
    counts : ndarray of shape (resamples, n)
        From `draw_resamples`.
    youden_validation : float, optional
        The threshold of Youden's J on labelled validation pictures.

    Returns
    -------
    dict
        By rule, as `decide` returns it; without the rules that look at labels, where these hold one
        class.
    """
    found = {"quantile": called_at(threshold, scores, labels, counts, oracle=False)}
    if youden_validation is not None:
        found[YOUDEN_VALIDATION] = called_at(
            youden_validation, scores, labels, counts, oracle=False
        )
    if len(np.unique(labels)) == 2:
        for rule in ("youden", "best-f1", "sensitivity"):
            chosen = find_threshold(rule, scores, labels)
            found[rule] = called_at(chosen, scores, labels, counts, oracle=True)
    return found


def called_at(
    threshold: float, scores: np.ndarray, labels: np.ndarray, counts: np.ndarray, *, oracle: bool
) -> dict[str, Any]:
    """Return the decision that calls anomalous what exceeds a threshold; `decide` says its form."""
    anomalous = scores > threshold
    intervals = percentile_intervals(resampled_decisions(labels, anomalous, counts))
    return {
        "oracle": oracle,
        "threshold": threshold,
        **decision_metrics(labels, anomalous),
        "intervals": {
            name: None if ends is None else list(ends) for name, ends in intervals.items()
        },
    }
