"""Grids of runs: models x seeds, each trained once, scored by every scorer on every test set.

A record is a pure function of its settings; their hash is its key, so that a bench which was stopped
goes on where it was.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .benchdata import BenchData, LabelledPictures, corrupted, embedded, from_folder
from .errors import InputError, SavedFileError
from .estimators import ReconstructionDetector
from .history import EpochRecord
from .inputs import split_validation
from .metrics import bootstrap_intervals, decision_metrics, ranking_metrics
from .registry import build, find
from .thresholds import best_f1
from .training import Tick
from .writing import whole_file

__all__ = ["DEFAULT_MODELS", "Cell", "iter_bench", "read_records", "run_bench"]

DEFAULT_MODELS = ("cae", "cvae", "mean", "brightness", "pca", "nearest")
DEFAULT_CORRUPTORS = ("gaussian", "salt-and-pepper", "objects")
EVERYTHING = "everything-defective"
"""The trivial row that calls each picture anomalous."""


@dataclass(frozen=True)
class Cell:
    """One training that is about to start: ``number`` of ``count``, from 1."""

    model: str
    seed: int
    number: int
    count: int


def run_bench(*args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """Run `iter_bench` to its end and return the records alone.

    Examples
    --------
    >>> records = run_bench(models=["pca"], corruptors=["gaussian"], image_size=32)
    >>> [(record["model"], record["test_set"]) for record in records]
    [('everything-defective', 'gaussian'), ('everything-defective', 'defects'),
     ('pca', 'gaussian'), ('pca', 'defects')]
    """
    return [event for event in iter_bench(*args, **kwargs) if isinstance(event, dict)]


def iter_bench(
    data: str | os.PathLike[str] | BenchData | None = None,
    *,
    models: Sequence[str] = DEFAULT_MODELS,
    model_params: Mapping[str, Mapping[str, Any]] | None = None,
    scorers: Sequence[str] = ("mse",),
    corruptors: Sequence[str] = DEFAULT_CORRUPTORS,
    schedule: str = "constant",
    schedule_params: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (42,),
    image_size: int | tuple[int, int] | None = None,
    epochs: int = 50,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Iterator[Cell | Tick | EpochRecord | dict[str, Any]]:
    """Train and score a grid, giving what happens as it happens; records are plain dictionaries.

    Parameters
    ----------
    data : path of a labelled folder, or BenchData, optional
        By default the embedded castings.
    models : sequence of str
        Registered names.
    model_params : mapping, optional
        Parameters by model name.
    scorers, corruptors : sequences of str
        Registered names; each corruptor makes a test set of the good test pictures and their
        corrupted copies, beside the set's own defects.
    schedule, schedule_params : str, and mapping, optional
        As in `ReconstructionDetector`.
    seeds : sequence of int
        Each trains every model once, with its own share of 20 % of the good pictures for validation.
    image_size : int or (int, int), optional
        By default 64 for the embedded set and 256 for a folder.
    epochs : int
        At the most; early stopping may end sooner.
    device : str
        "auto" or a torch device's name.
    out : path, optional
        A JSON-lines file, rewritten whole after each training.
    resume : bool
        Keep the records that ``out`` has, and run only what is missing.

    Raises
    ------
    InputError, PluginError
        For unusable data, or names that are not known: before any training.
    SavedFileError
        When ``out`` exists and ``resume`` is not given, or cannot be written.
    """
    for what, names in {"models": models, "scorers": scorers, "seeds": seeds}.items():
        if not names or len(set(names)) < len(names):
            raise InputError(f"{what}={list(names)}: at least one is wanted, and each once")
    for kind, names in {"model": models, "scorer": scorers, "corruptor": corruptors}.items():
        for name in names:
            find(kind, name)
    find("schedule", schedule)
    records = _start_records(out, resume)
    data = _data(data, image_size)
    tests = [corrupted(data, name, build("corruptor", name)[0]) for name in corruptors] + [
        data.test
    ]

    common = {
        "data": data.name,
        "data_checksum": data.checksum(),
        "image_size": list(data.image_size),
        "epochs": epochs,
        "schedule": schedule,
        "schedule_params": dict(schedule_params or {}),
        "recon_anomaly": version("recon-anomaly"),
    }
    done = {record["key"]: record for record in records}

    def settings(model: str, seed: int, scorer: str | None, test: str) -> dict[str, Any]:
        return common | {
            "model": model,
            "model_params": dict((model_params or {}).get(model, {})),
            "seed": seed,
            "scorer": scorer,
            "test_set": test,
        }

    def keep(record: dict[str, Any]) -> dict[str, Any]:
        records.append(record)
        if out is not None:
            with whole_file(out) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in records))
        return record

    for test in tests:
        made = settings(EVERYTHING, seeds[0], None, test.name)
        yield done[_key(made)] if _key(made) in done else keep(_trivial_record(made, test, data))
    grid = [(seed, model) for seed in seeds for model in models]
    for number, (seed, model) in enumerate(grid, start=1):
        wanted = {
            (scorer, test.name): settings(model, seed, scorer, test.name)
            for scorer in scorers
            for test in tests
        }
        missing = {place for place, made in wanted.items() if _key(made) not in done}
        yield from (done[_key(made)] for place, made in wanted.items() if place not in missing)
        if not missing:
            continue
        yield Cell(model, seed, number, len(grid))
        training, validation = split_validation(data.train, 0.2, seed)
        detector = ReconstructionDetector(
            model,
            model_params=(model_params or {}).get(model),
            scorer=scorers[0],
            schedule=schedule,
            schedule_params=schedule_params,
            epochs=epochs,
            random_state=seed,
            device=device,
        )
        started = time.perf_counter()
        yield from detector.iter_fit(training, validation_data=validation)
        fit_seconds = time.perf_counter() - started
        for scorer in scorers:
            scored = detector.with_scorer(scorer, validation)
            for test in tests:
                if (scorer, test.name) in missing:
                    record = _record(wanted[scorer, test.name], scored, test, data)
                    yield keep(record | {"fit_seconds": round(fit_seconds, 3)})


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


def _start_records(out: str | os.PathLike[str] | None, resume: bool) -> list[dict[str, Any]]:
    if out is None:
        return []
    if not Path(out).exists():
        with whole_file(out):  # found before hours of training, not after
            return []
    if not resume:
        raise SavedFileError(
            f"{out} exists; say --resume (resume=True) to go on with it, or name another file"
        )
    return read_records(out)


def _data(
    data: str | os.PathLike[str] | BenchData | None, image_size: int | tuple[int, int] | None
) -> BenchData:
    if isinstance(data, BenchData):
        return data
    if data is None:
        return embedded(image_size or 64)
    return from_folder(data, image_size or 256)


def _key(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _record(
    settings: dict[str, Any],
    detector: ReconstructionDetector,
    test: LabelledPictures,
    data: BenchData,
) -> dict[str, Any]:
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
        epochs_run=len(history),
        kept_epoch=history.kept_epoch,
        scorer_uses=detector.scorer_uses_,
        milliseconds_per_picture=round(1000 * seconds / len(scores), 4),
    )


def _trivial_record(
    settings: dict[str, Any], test: LabelledPictures, data: BenchData
) -> dict[str, Any]:
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
        "key": _key(settings),
        **settings,
        "n_train": len(data.train),
        "n_test_good": int((labels == 0).sum()),
        "n_test_anomalous": int((labels == 1).sum()),
        "threshold": threshold,
        **ranking_metrics(labels, scores),
        **decision_metrics(labels, scores > threshold),
        "intervals": bootstrap_intervals(labels, scores),
        "oracle": None
        if oracle is None
        else {"threshold": oracle, **decision_metrics(labels, scores > oracle)},
        **more,
        "peak_memory_mib": _peak_memory(),
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
