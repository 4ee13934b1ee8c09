"""Records as one flat table: a row for each record and rule, every figure in a column of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .csvlines import csv_lines
from .metrics import DECISION, RANKING
from .pixelmetrics import PIXEL

__all__ = ["COLUMNS", "csv_text"]

_SETTINGS = (
    "data",
    "layout",
    "data_checksum",
    "test_set",
    "drop_leaked",
    "height",
    "width",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "schedule_params",
    "corruptor",
    "corruptor_params",
    "model",
    "model_params",
    "scorer",
    "seed",
)
_COUNTS = (
    "n_good",
    "n_validation_anomalous",
    "n_test_good",
    "n_test_anomalous",
    "leaked_identical",
    "leaked_near",
    "leaked_validation_defects",
)
_DECIDED = (
    "rule",
    "oracle",
    "threshold",
    "true_positives",
    "false_positives",
    "true_negatives",
    "false_negatives",
)
_CIRCUMSTANCES = (
    "fit_seconds",
    "milliseconds_per_picture",
    "epochs_run",
    "epochs_trained",
    "kept_epoch",
    "diverged",
    "process_peak_memory_mib",
    "device",
    "machine",
    "date",
    "recon_anomaly",
    "key",
)


def _with_ends(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from (name, f"{name}_low", f"{name}_high")


COLUMNS = (
    *_SETTINGS,
    *_COUNTS,
    *_with_ends((*RANKING, *PIXEL)),
    "pixel_pictures",
    "validation_auroc",
    *_DECIDED,
    *_with_ends(DECISION),
    *_CIRCUMSTANCES,
)
"""The columns, in their order; ``_low`` and ``_high`` are the ends of a figure's interval."""


def csv_text(records: Iterable[Mapping[str, Any]]) -> str:
    """Return all figures of records as CSV with a header line.

    Numbers are written in full precision; what is unknown is empty; parameters are JSON. Epochs, batch size
    and learning rate are those of the recipe as it was used.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`. Each gives a row for each rule among its decisions.

    Examples
    --------
    >>> csv_text([]).startswith("data,layout,data_checksum,test_set")
    True
    """
    return "".join(csv_lines(COLUMNS, _rows(records)))


def _rows(records: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records:
        height, width = record["image_size"]
        common = {name: record.get(name) for name in COLUMNS}
        common |= {"height": height, "width": width}
        recipe = record.get("recipe") or {}
        common |= {
            name: recipe[name] for name in ("epochs", "batch_size", "learning_rate") if recipe
        }
        common |= {f"leaked_{kind}": count for kind, count in record["leakage"].items()}
        common |= {
            name: json.dumps(record[name], sort_keys=True)
            for name in ("schedule_params", "corruptor_params", "model_params")
            if name in record
        }
        common |= _ends(record["intervals"])
        for rule, decision in record["decisions"].items():
            decided = {name: decision[name] for name in decision if name != "intervals"}
            yield common | decided | {"rule": rule} | _ends(decision["intervals"])


def _ends(intervals: Mapping[str, tuple[float, float] | None]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, ends in intervals.items():
        found[f"{name}_low"], found[f"{name}_high"] = ends or (None, None)
    return found
