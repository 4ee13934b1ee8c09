"""Grids of runs: models x seeds, each trained once, scored by every scorer on every test set.

A record is a pure function of its settings; their hash is its key, so that a bench which was stopped
goes on where it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from .benchdata import DEFECTS, BenchData, corrupted, embedded, from_folder
from .errors import InputError, TrainingError
from .estimators import ReconstructionDetector
from .history import EpochRecord
from .inputs import split_validation
from .records import key_of, record_of, start_records, trivial_record
from .registry import build, find
from .training import Tick
from .writing import whole_file

__all__ = ["DEFAULT_MODELS", "Cell", "iter_bench", "run_bench"]

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
    TrainingError
        At the end, when trainings failed; the records of the others are whole.
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
    records = start_records(out, resume)
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

    def settings(model: str, seed: int | None, scorer: str | None, test: str) -> dict[str, Any]:
        used = {"model": model, "scorer": scorer, "corruptor": test, "schedule": schedule}
        return (
            common
            | _plugin_versions(used)
            | {
                "model": model,
                "model_params": dict((model_params or {}).get(model, {})),
                "seed": seed,
                "scorer": scorer,
                "test_set": test,
            }
        )

    def keep(record: dict[str, Any]) -> dict[str, Any]:
        records.append(record)
        if out is not None:
            with whole_file(out) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in records))
        return record

    for test in tests:
        made = settings(EVERYTHING, None, None, test.name)
        yield done[key_of(made)] if key_of(made) in done else keep(trivial_record(made, test, data))
    failed: list[str] = []
    grid = [(seed, model) for seed in seeds for model in models]
    for number, (seed, model) in enumerate(grid, start=1):
        wanted = {
            (scorer, test.name): settings(model, seed, scorer, test.name)
            for scorer in scorers
            for test in tests
        }
        missing = {place for place, made in wanted.items() if key_of(made) not in done}
        yield from (done[key_of(made)] for place, made in wanted.items() if place not in missing)
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
        try:
            yield from detector.iter_fit(training, validation_data=validation)
        except TrainingError as error:  # the other cells are worth having
            failed.append(f"{model}, seed {seed}: {error}")
            continue
        fit_seconds = time.perf_counter() - started
        for scorer in scorers:
            scored = detector.with_scorer(scorer, validation)
            for test in tests:
                if (scorer, test.name) in missing:
                    record = record_of(wanted[scorer, test.name], scored, test, data)
                    yield keep(record | {"fit_seconds": round(fit_seconds, 3)})
    if failed:
        raise TrainingError(f"{len(failed)} of {len(grid)} trainings failed: {'; '.join(failed)}")


def _plugin_versions(used: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the versions of third parties' parts, which decide a record as the settings do."""
    versions = {}
    for kind, name in used.items():
        if name not in (None, EVERYTHING, DEFECTS):
            offer = find(kind, str(name))
            if offer.plugin != "builtin":
                versions[offer.distribution] = offer.version
    return {"plugins": versions} if versions else {}


def _data(
    data: str | os.PathLike[str] | BenchData | None, image_size: int | tuple[int, int] | None
) -> BenchData:
    if isinstance(data, BenchData):
        return data
    if data is None:
        return embedded(image_size or 64)
    return from_folder(data, image_size or 256)
