"""Conformance checks for plugin authors: plain functions, each a law in one sentence.

``check_model("my-model")`` and its siblings raise AssertionError with the law that does not hold. The
built-ins pass the same checks. Those that look at pictures take a `Case`, pictures of one shape, type and number; hypothesis
finds the case that breaks a law among all that `cases` makes.

Examples
--------
>>> check_model("cae")
>>> check_scorer("max1p")
>>> check_corruptor("gaussian")
>>> check_schedule("constant")
>>> check_threshold("quantile")
"""

from __future__ import annotations

from collections.abc import Callable

from .cases import CASES, Case, cases, scores_and_labels
from .corruptors import check_corruptor
from .detectors import check_detector
from .models import check_model
from .schedules import check_schedule
from .scorers import check_scorer
from .thresholds import check_threshold

__all__ = [
    "CASES",
    "CHECKS",
    "Case",
    "cases",
    "check_corruptor",
    "check_detector",
    "check_model",
    "check_schedule",
    "check_scorer",
    "check_threshold",
    "scores_and_labels",
]

CHECKS: dict[str, Callable[..., None]] = {
    "corruptor": check_corruptor,
    "model": check_model,
    "schedule": check_schedule,
    "scorer": check_scorer,
}
"""Of each kind of plugin, the check."""
