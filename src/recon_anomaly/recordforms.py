"""What a bench's record has to look like when it comes from a file, before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import InputError
from .forms import PLAIN, check_form
from .history import History
from .metrics import DECISION, RANKING
from .pixelmetrics import PIXEL

__all__ = ["check_record", "parsed_record"]

_FIGURE = (float, None)
_INTERVALS = {str: ([float, float], None)}
_SCORES = ([float], None)
_RECORD = {
    "key": str,
    "data": str,
    "layout": (str, None),
    "data_checksum": str,
    "drop_leaked": bool,
    "image_size": [int, int],
    "epochs": (int, None),
    "batch_size": (int, None),
    "learning_rate": _FIGURE,
    "precision?": (str, None),
    "schedule": (str, None),
    "schedule_params": {str: PLAIN},
    "corruptor?": (str, None),
    "corruptor_params?": {str: PLAIN},
    "plugins?": {str: str},
    "weights?": {str: str},
    "model": str,
    "model_params": {str: PLAIN},
    "seed": (int, None),
    "scorer": (str, None),
    "test_set": str,
    "n_good": int,
    "n_validation_anomalous?": int,
    "n_test_good": int,
    "n_test_anomalous": int,
    "scores": _SCORES,
    "labels": [int],
    "kinds?": ([str], None),
    "validation_scores": _SCORES,
    "validation_defect_scores?": _SCORES,
    "validation_auroc?": _FIGURE,
    **dict.fromkeys(RANKING, _FIGURE),
    **{f"{name}?": _FIGURE for name in PIXEL},
    "pixel_pictures?": int,
    "intervals": _INTERVALS,
    "decisions": {str: {"oracle": bool, "threshold": _FIGURE, "intervals": _INTERVALS}},
    "observed?": (
        [{"epoch": int, "path": [str], **dict.fromkeys(("auroc", "threshold"), _FIGURE)}],
        None,
    ),
    "recipe?": (
        {"epochs": int, "batch_size": int, "learning_rate": float, "precision": str},
        None,
    ),
    **dict.fromkeys(("epochs_run?", "epochs_trained?", "kept_epoch?"), (int, None)),
    "diverged?": (str, None),
    "detector?": (str, None),
    "scorer_uses?": ({str: str}, None),
    **dict.fromkeys(("fit_seconds?", "milliseconds_per_picture?"), _FIGURE),
    "process_peak_memory_mib?": _FIGURE,
    "versions?": ({str: str}, None),
    "leakage?": {str: int},
    **dict.fromkeys(("recon_anomaly?", "device?", "machine?", "date?"), (str, None)),
}
_DECISION = frozenset({"oracle", "threshold", "intervals", *DECISION}) | {
    f"{kind}_{sign}" for kind in ("true", "false") for sign in ("positives", "negatives")
}
_LEAKAGE = frozenset({"identical", "near", "validation_defects"})


def parsed_record(line: str) -> dict[str, Any]:
    """Return the record that a line of a bench's file holds.

    Raises
    ------
    ValueError
        When it is no JSON, or no record; an InputError names the entry.
    """
    try:
        record = json.loads(line)
    except RecursionError as error:
        raise ValueError("a line is nested too deeply") from error
    check_record(record)
    found: dict[str, Any] = record
    return found


def check_record(record: Any) -> None:
    """Refuse a record in which an entry is missing, or is not what such an entry is.

    Raises
    ------
    InputError
        It names the entry.

    Examples
    --------
    >>> check_record({"key": "a"})
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: the record has no entry 'data'
    """
    check_form(record, _RECORD, "the record")
    labels, kinds = record["labels"], record.get("kinds")
    if not set(labels) <= {0, 1}:
        raise InputError("its labels are not all 0 or 1")
    for name, values in {"scores": record["scores"], "kinds": kinds}.items():
        if values is not None and len(values) != len(labels):
            raise InputError(f"it has {len(values)} {name} and {len(labels)} labels")
    _check_names(record["intervals"], (*RANKING, *PIXEL), "intervals")
    _check_names(record.get("leakage", {}), _LEAKAGE, "leakage")
    for rule, decision in record["decisions"].items():
        _check_names(decision, _DECISION, f"decisions.{rule[:40]}")
        _check_names(decision["intervals"], DECISION, f"decisions.{rule[:40]}.intervals")
        figures = {name: value for name, value in decision.items() if name != "intervals"}
        check_form(figures, {str: (float, bool, None)}, f"decisions.{rule[:40]}")
    if record.get("corruptor") is not None and "corruptor_params" not in record:
        raise InputError("its corruptor has no corruptor_params")
    if record.get("history") is not None:
        History.from_dict(record["history"])


def _check_names(found: Mapping[str, Any], known: Any, name: str) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise InputError(f"{name} has an entry {unknown[0][:40]!r}, which is not known")
