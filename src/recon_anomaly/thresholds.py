"""Rules that turn anomaly scores into a threshold; a score above it means "anomalous".

Scores here are anomaly scores: the higher, the more abnormal.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from numbers import Real

import numpy as np

from .conformal import conformal
from .errors import InputError
from .tails import peaks_over_threshold

__all__ = [
    "RULES",
    "best_f1",
    "check_rule",
    "find_threshold",
    "quantile",
    "sensitivity",
    "value",
    "youden",
]


def quantile(scores: np.ndarray, *, false_alarm: float = 0.05) -> float:
    """Return the threshold that a share ``false_alarm`` of good pictures exceeds.

    Examples
    --------
    >>> quantile(np.arange(101.0), false_alarm=0.05)
    95.0
    """
    if not 0 <= false_alarm <= 1:
        raise InputError(f"false_alarm={false_alarm}: a share from 0 to 1 is wanted")
    return float(np.quantile(scores, 1 - false_alarm))


def youden(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the threshold with the largest sensitivity + specificity - 1 (Nakata et al., Eq. 8).

    Examples
    --------
    >>> youden(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 1]))
    2.5
    """
    # Scoring with a saved detector needs this module and none of scikit-learn's metrics.
    from sklearn.metrics import roc_curve

    false_positive_rate, sensitivities, cuts = roc_curve(anomalous, scores, drop_intermediate=False)
    return _below(cuts[np.argmax(sensitivities - false_positive_rate)], scores)


def best_f1(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the threshold with the largest F1 of the anomalous class.

    Examples
    --------
    >>> best_f1(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1]))
    1.5
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, cuts = precision_recall_curve(anomalous, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return _below(cuts[np.argmax(f1[:-1])], scores)


def sensitivity(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """Return the highest threshold that every anomalous picture exceeds: sensitivity 100 %.

    Examples
    --------
    >>> sensitivity(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1]))
    1.5
    """
    return _below(scores[np.asarray(anomalous, bool)].min(), scores)


def value(scores: np.ndarray, *, threshold: float) -> float:
    """Return ``threshold`` itself, in the scorer's own unit."""
    if not np.isfinite(threshold):
        raise InputError(f"threshold={threshold}: a finite number is wanted")
    return float(threshold)


RULES: dict[str, Callable[..., float]] = {
    "best-f1": best_f1,
    "conformal": conformal,
    "peaks-over-threshold": peaks_over_threshold,
    "quantile": quantile,
    "sensitivity": sensitivity,
    "value": value,
    "youden": youden,
}
NEED_LABELS = frozenset({"best-f1", "sensitivity", "youden"})
NEED_GOOD = frozenset({"conformal", "peaks-over-threshold", "quantile"})


_SHARES = ("false_alarm", "tail")


def check_rule(rule: str, **params: float) -> None:
    """Refuse a rule that there is not, or parameters that it does not take, before anything is scored.

    Raises
    ------
    InputError
        With the rules that there are, or the parameters that were got.

    Examples
    --------
    >>> check_rule("conformal", false_alarm=0.01)
    """
    if rule not in RULES:
        raise InputError(f"rule={rule!r} is unknown; say one of: {', '.join(sorted(RULES))}")
    scores = (None, None) if rule in NEED_LABELS else (None,)
    try:
        signature(RULES[rule]).bind(*scores, **params)
    except TypeError as error:
        raise InputError(f"rule {rule!r} does not take {sorted(params)}: {error}") from error
    for name, given in params.items():
        if not isinstance(given, Real):
            raise InputError(f"{name}={given!r}: rule {rule!r} wants a number")
        if name in _SHARES and not 0 <= given <= 1:
            raise InputError(f"{name} is {given}; give a share between 0 and 1")


def find_threshold(
    rule: str, scores: np.ndarray, anomalous: np.ndarray | None = None, **params: float
) -> float:
    """Apply the rule of that name; rules for good pictures look at the good ones alone.

    Parameters
    ----------
    rule : str
        One of ``RULES``.
    scores : ndarray of shape (n,)
        Anomaly scores.
    anomalous : ndarray of shape (n,), optional
        True or 1 where the picture is anomalous; without it all count as good.
    **params : float
        The rule's own: ``false_alarm`` of quantile, conformal and peaks-over-threshold, ``tail`` of the last,
        ``threshold`` of value.

    Raises
    ------
    InputError
        For an unknown rule or parameter, a rule that needs good pictures and got none, or one that needs both
        classes and got one.

    Warns
    -----
    CalibrationWarning
        As `recon_anomaly.conformal.conformal` says.
    """
    check_rule(rule, **params)
    scores = np.asarray(scores, np.float64)  # lest a threshold depend on the type that they come in
    labels = np.zeros(len(scores), bool) if anomalous is None else np.asarray(anomalous, bool)
    if rule in NEED_GOOD and labels.all():
        raise InputError(f"rule {rule!r} needs at least one good picture; y has none (+1)")
    if rule not in NEED_LABELS:
        return RULES[rule](scores[~labels], **params)
    if labels.all() or not labels.any():
        raise InputError(f"rule {rule!r} needs labels of both classes; give y with +1 and -1")
    return RULES[rule](scores, labels, **params)


def _below(cut: float, scores: np.ndarray) -> float:
    """Return the middle between ``cut`` and the next lower score, so that ``cut`` itself exceeds it."""
    if np.isinf(cut):  # roc_curve's first cut, at which nothing is anomalous
        return float(scores.max())
    lower = scores[scores < cut]
    if not len(lower):
        return float(np.nextafter(cut, -np.inf))
    middle = (cut + lower.max()) / 2
    return float(middle if middle < cut else lower.max())  # between neighbours there is no middle
