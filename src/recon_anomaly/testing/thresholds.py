"""The laws of a rule that turns anomaly scores into a threshold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature

import numpy as np

from recon_anomaly.errors import CalibrationWarning, InputError
from recon_anomaly.thresholds import find_threshold

from .laws import law

__all__ = ["check_threshold"]


def check_threshold(
    rule: str | Callable[..., float],
    rule_params: Mapping[str, float] | None = None,
    *,
    scores: np.ndarray | None = None,
    anomalous: np.ndarray | None = None,
) -> None:
    """Check a rule for thresholds: a finite number, which follows from the scores and from nothing else.

    A rule may refuse scores with an `InputError`, such as too few of them.

    Parameters
    ----------
    rule : str or callable
        One of `recon_anomaly.thresholds.RULES`; or, to try one of your own, whose thresholds go into ``calibrate(rule="value")``, a
        function of the good pictures' scores, an ndarray of shape (n,), or of
        all scores and ``anomalous`` where it has an argument of that name.
    rule_params : mapping, optional
        Its parameters. Where ``false_alarm`` is given, half of it must not give a lower threshold.
    scores : ndarray of shape (n,), optional
        Anomaly scores; by default several sets after one another, with ties, of equal ones and of two.
    anomalous : ndarray of shape (n,), bool, optional
        Given with ``scores``: which of them are of anomalous pictures. Both classes are wanted.

    Raises
    ------
    InputError
        When one of ``scores`` and ``anomalous`` is given without the other.
    """
    if (scores is None) != (anomalous is None):
        raise InputError("scores and anomalous go together; give both, or neither")
    given = scores is not None
    sets = (
        [(np.asarray(scores, np.float64), np.asarray(anomalous, bool))]
        if given
        else _default_sets()
    )
    apply = _of_both(rule)
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)  # few scores are a case like others
        for one in sets:
            try:
                _check_on(apply, dict(rule_params or {}), *one)
            except InputError as error:
                refusals.append(str(error))
    law(
        given or len(refusals) < len(sets), f"it takes at least one set of scores ({refusals[-1:]})"
    )


def _check_on(
    apply: Callable[..., float], params: dict[str, float], scores: np.ndarray, anomalous: np.ndarray
) -> None:
    before = scores.copy(), anomalous.copy()
    threshold = apply(scores, anomalous, **params)
    law(isinstance(threshold, float) and np.isfinite(threshold), "the threshold is a finite float")
    untouched = np.array_equal(scores, before[0]) and np.array_equal(anomalous, before[1])
    law(untouched, "the scores and labels are left as they are")
    law(apply(scores, anomalous, **params) == threshold, "the same scores give the same threshold")
    order = np.arange(len(scores))
    for turned in (order[::-1], np.random.default_rng(0).permutation(order)):
        found = apply(scores[turned], anomalous[turned], **params)
        # Sums round otherwise in another order.
        apart = abs(found - threshold) > 1e-12 * max(abs(threshold), np.abs(scores).max())
        law(not apart, "the order of the scores does not matter")
    if "false_alarm" in params:
        lower = params | {"false_alarm": params["false_alarm"] / 2}
        law(
            apply(scores, anomalous, **lower) >= threshold,
            "a lower false_alarm does not lower the threshold",
        )


def _of_both(rule: str | Callable[..., float]) -> Callable[..., float]:
    """Return the rule as a function of all scores and of which are anomalous."""
    if isinstance(rule, str):
        return partial(find_threshold, rule)
    if "anomalous" in signature(rule).parameters:
        return rule
    return lambda scores, anomalous, **params: rule(scores[~anomalous], **params)


def _default_sets() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    labels = np.repeat([False, True], [300, 20])
    spread = rng.gamma(2.0, size=320) + 2.0 * labels
    few = np.array([False, True])
    return [
        (spread, labels),
        (spread - 1e3, labels),
        (spread.round(), labels),
        (np.array([0.25, 0.5]), few),
        (np.zeros(2), few),
    ]
