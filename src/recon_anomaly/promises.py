"""What a threshold promises about new good pictures, by the rule that set it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from .conformal import conformal, pictures_needed
from .tails import peaks_over_threshold
from .thresholds import quantile

__all__ = ["Promise", "defaults_of", "promise_of"]


@dataclass(frozen=True)
class Promise:
    """What may be said about new good pictures that come as the calibration pictures did.

    Attributes
    ----------
    sentence : str
        In words.
    false_alarm : float or None
        The probability that a new good picture exceeds the threshold: a bound where it is guaranteed, else
        an estimate; None where the rule says nothing about it.
    guaranteed : bool
        Whether the number of pictures is taken into account, whatever their scores are.
    needed : int or None
        How many good pictures a guarantee of the rate that was asked for needs.
    """

    sentence: str
    false_alarm: float | None = None
    guaranteed: bool = False
    needed: int | None = None


def promise_of(rule: str, good: int, params: Mapping[str, Any]) -> Promise:
    """Return what a threshold by that rule promises.

    Parameters
    ----------
    rule : str
        One of `recon_anomaly.thresholds.RULES`, or another, which promises nothing.
    good : int
        How many good pictures' scores it was taken from.
    params : mapping
        The rule's parameters, as they were given.

    Examples
    --------
    >>> promise_of("conformal", 99, {"false_alarm": 0.01}).sentence
    'a new good picture exceeds it with a probability of at most 0.01, if it is exchangeable with the 99 good ones'
    >>> promise_of("conformal", 40, {"false_alarm": 0.01}).needed
    99
    """
    if rule not in _ESTIMATES and rule != "conformal":
        return Promise("nothing about how often a new good picture exceeds it")
    whole = defaults_of(_ESTIMATES.get(rule, conformal)) | dict(params)
    rate = float(whole["false_alarm"])
    if rule == "conformal":
        return _guarantee(good, rate)
    needed = pictures_needed(rate) if 0 < rate < 1 else None
    if rule == "quantile":
        how = f"a share of about {rate:g} of the good pictures exceeds it, as estimated from {good}"
    else:
        how = (
            f"a share of about {rate:g} of the good pictures exceeds it, if the tail of their scores goes on as the "
            f"upper {whole['tail']:g} of {good} suggests"
        )
    return Promise(f"{how}; no guarantee (rule conformal has one)", rate, False, needed)


_ESTIMATES: dict[str, Callable[..., float]] = {
    "peaks-over-threshold": peaks_over_threshold,
    "quantile": quantile,
}


def _guarantee(good: int, rate: float) -> Promise:
    needed, bound = pictures_needed(rate), max(rate, 1 / (good + 1))
    said = f"{bound:g}" if good >= needed else f"1/{good + 1} = {bound:.3g}"
    return Promise(
        f"a new good picture exceeds it with a probability of at most {said}, if it is exchangeable with the "
        f"{good} good ones",
        bound,
        True,
        needed,
    )


def defaults_of(rule: Callable[..., float]) -> dict[str, Any]:
    """Return the parameters of a rule that have a default, and the default."""
    return {
        name: parameter.default
        for name, parameter in signature(rule).parameters.items()
        if parameter.default is not parameter.empty
    }
