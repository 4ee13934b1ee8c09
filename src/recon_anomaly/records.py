"""Records of a bench: what one detector reached on one test set, and under which circumstances."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .benchdata import BenchData, LabelledPictures
from .detector import BaseDetector
from .errors import SavedFileError
from .metrics import bootstrap_intervals, decision_metrics, ranking_metrics
from .thresholds import best_f1
from .writing import check_writable

__all__ = ["key_of", "read_records", "record_of", "start_records", "trivial_record"]


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the records of a bench.

    Raises
    ------
    SavedFileError
        When the file cannot be read or holds something else.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise SavedFileError(f"cannot read the records in {path}: {error}") from error
    if not all(isinstance(record, dict) and "key" in record for record in records):
        raise SavedFileError(f"{path} holds no records of a bench")
    return records


def start_records(out: str | os.PathLike[str] | None, resume: bool) -> list[dict[str, Any]]:
    """Return the records to go on from; a file that exists is refused unless ``resume`` is said."""
    if out is None:
        return []
    check_writable(out)  # found before hours of training, not after
    if not Path(out).exists():
        return []
    if not resume:
        raise SavedFileError(
            f"{out} exists; say --resume (resume=True) to go on with it, or name another file"
        )
    return read_records(out)


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the hash of what decides a record."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def record_of(
    settings: dict[str, Any],
    detector: BaseDetector,
    test: LabelledPictures,
    data: BenchData,
) -> dict[str, Any]:
    """Score a test set with a fitted detector and return the record of it."""
    started = time.perf_counter()
    scores = detector.anomaly_score(test.pictures)
    seconds = time.perf_counter() - started
    history = detector.history_
    return _with_figures(
        settings,
        test,
        scores,
        threshold=-detector.offset_,
        data=data,
        threshold_rule=detector.threshold_rule_["rule"],
        n_validation=len(detector.validation_scores_),
        device=str(detector._device()),
        epochs_run=len(history),
        kept_epoch=history.kept_epoch,
        scorer_uses=detector.scorer_uses_,
        milliseconds_per_picture=round(1000 * seconds / len(scores), 4),
    )


def trivial_record(
    settings: dict[str, Any], test: LabelledPictures, data: BenchData
) -> dict[str, Any]:
    """Return the record of calling every picture anomalous."""
    return _with_figures(
        settings,
        test,
        np.zeros(len(test.labels)),
        threshold=-1.0,
        data=data,
        threshold_rule="everything is anomalous",
    )


def _with_figures(
    settings: dict[str, Any],
    test: LabelledPictures,
    scores: np.ndarray,
    *,
    threshold: float,
    data: BenchData,
    **more: Any,
) -> dict[str, Any]:
    """Return the whole record; figures that look at test labels to choose stand under ``oracle``."""
    labels = test.labels
    both = 0 < labels.sum() < len(labels)
    oracle = best_f1(scores, labels) if both else None
    return {
        "key": key_of(settings),
        **settings,
        "n_good": len(data.train),
        "n_test_good": int((labels == 0).sum()),
        "n_test_anomalous": int((labels == 1).sum()),
        "threshold": threshold,
        **ranking_metrics(labels, scores),
        **decision_metrics(labels, scores > threshold),
        "intervals": bootstrap_intervals(
            labels,
            scores,
            thresholds={"f1": threshold} | ({} if oracle is None else {"oracle_f1": oracle}),
        ),
        "oracle": None
        if oracle is None
        else {"threshold": oracle, **decision_metrics(labels, scores > oracle)},
        **more,
        "process_peak_memory_mib": _peak_memory(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        },
    }


def _peak_memory() -> float | None:
    """Return the process's largest resident memory so far in MiB, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
