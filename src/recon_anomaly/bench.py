"""Grids of runs: models x seeds, each trained once, scored by every scorer on every test set.

A record is a pure function of its settings; their hash is its key, so that a bench which was stopped
goes on where it was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .audit import find_leakage
from .benchdata import BenchData, corrupted, embedded, from_folder
from .decisions import EVERYTHING_DEFECTIVE, decide
from .devices import choose_device
from .errors import InputError, TrainingError
from .estimators import ReconstructionDetector
from .events import Begun, Cell, Event, Failed, Fitted
from .records import record_of, start_records, trivial_record
from .registry import build
from .settings import Settings, build_once, check_grid, key_of
from .thresholds import value
from .writing import whole_file

__all__ = ["DEFAULT_CORRUPTORS", "DEFAULT_EPOCHS", "DEFAULT_MODELS", "iter_bench", "run_bench"]

DEFAULT_MODELS = ("cae", "cvae", "mean", "brightness", "pca", "nearest")
DEFAULT_CORRUPTORS = ("gaussian", "salt-and-pepper", "objects")
DEFAULT_EPOCHS = 50


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
    epochs: int = DEFAULT_EPOCHS,
    split_by_part: bool = False,
    drop_leaked: bool = False,
    threshold: float | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Iterator[Event]:
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
    split_by_part : bool
        Split the good pictures anew, those to validate on too, so that no part is on both sides:
        augmented copies of one photograph are kept together (`recon_anomaly.parts.find_parts`).
    drop_leaked : bool
        Leave out the test pictures that `find_leakage` finds in the training pictures.
    threshold : float, optional
        Adds the decisions of this fixed threshold, in the unit of the one scorer.
    skip_unreadable : bool
        Leave out files that cannot be read, and list them in the notes of `Begun`.
    device : str
        "auto" or a torch device's name.
    out : path, optional
        A JSON-lines file, rewritten whole after each record.
    resume : bool
        Keep the records that ``out`` has, and run only what is missing.

    Yields
    ------
    Begun, Cell, Tick, EpochRecord, Fitted, Failed or dict
        `Begun` once, before any training. For each training a `Cell`, ticks and epochs, then
        its records and `Fitted`, or `Failed`. Records that ``out`` has come without their training.

    Raises
    ------
    InputError, PluginError
        For unusable data, parameters, or names that are not known: before any training.
    TrainingError
        At the end, when trainings failed; the records of the others are whole.
    SavedFileError
        When ``out`` exists and ``resume`` is not given, or cannot be written.
    """
    params = dict(model_params or {})
    check_grid(models, params, scorers, corruptors, seeds, epochs)
    for scorer in scorers:
        build("scorer", scorer)
    build("schedule", schedule, schedule_params)
    choose_device(device)
    if threshold is not None:
        value(np.empty(0), threshold=threshold)
        if len(scorers) > 1:
            raise InputError(
                f"threshold={threshold} is in the unit of one scorer; got {', '.join(scorers)}: name "
                "one, or leave the threshold out"
            )
    records = start_records(out, resume)
    data = _data(data, image_size, skip_unreadable)
    if split_by_part and data.parts is None:
        data = data.by_part()
    weights = build_once(models, params, data.train.shape)
    begun = _begun(data, corruptors, drop_leaked)
    yield begun
    data = begun.data
    spoiling = corruptors if (data.test.labels == 0).any() else ()
    tests = [corrupted(data, name, build("corruptor", name)[0]) for name in spoiling] + [data.test]
    settings = Settings(
        data,
        epochs,
        schedule,
        dict(schedule_params or {}),
        drop_leaked,
        params,
        weights,
        data.checksum(),
    )
    near = begun.leakage.count("near")
    leakage = {"identical": len(begun.leakage.twins) - near, "near": near}
    for record in records:  # what is known of the data now, also beside figures of an earlier day
        if record["data_checksum"] == settings.checksum:
            record["leakage"] = leakage
    done = {record["key"]: record for record in records}

    def decided(record: dict[str, Any]) -> dict[str, Any]:
        if threshold is None or record["scores"] is None:
            return record
        fixed = decide(record, "value", threshold=threshold)
        return record | {"decisions": record["decisions"] | {"value": fixed}}

    def keep(record: dict[str, Any], **more: Any) -> dict[str, Any]:
        record = decided(record | {"leakage": leakage, **more})
        records.append(record)
        if out is not None:
            with whole_file(out) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in records))
        return record

    for test in tests:
        made = settings.of(EVERYTHING_DEFECTIVE, None, None, test.name)
        yield done[key_of(made)] if key_of(made) in done else keep(trivial_record(made, test, data))
    failed: list[str] = []
    grid = [(seed, model) for seed in seeds for model in models]
    for number, (seed, model) in enumerate(grid, start=1):
        wanted = {
            (scorer, test.name): settings.of(model, seed, scorer, test.name)
            for scorer in scorers
            for test in tests
        }
        missing = {place for place, made in wanted.items() if key_of(made) not in done}
        for place, made in wanted.items():
            if place not in missing:
                yield decided(done[key_of(made)])
        if not missing:
            continue
        yield Cell(model, seed, number, len(grid))
        training, validation = data.split_validation(0.2, seed)
        detector = ReconstructionDetector(
            model,
            model_params=params.get(model),
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
            yield Failed(model, seed, error)
            continue
        fit_seconds = round(time.perf_counter() - started, 3)
        for scorer in scorers:
            scored = detector.with_scorer(scorer, validation)
            for test in tests:
                if (scorer, test.name) in missing:
                    record = record_of(wanted[scorer, test.name], scored, test, data)
                    yield keep(record, fit_seconds=fit_seconds)
        yield Fitted(model, seed, detector, tests)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(grid)} trainings failed: {'; '.join(failed)}")


def _data(
    data: str | os.PathLike[str] | BenchData | None,
    image_size: int | tuple[int, int] | None,
    skip_unreadable: bool,
) -> BenchData:
    if isinstance(data, BenchData):
        return data
    if data is None:
        return embedded(64 if image_size is None else image_size)
    size = 256 if image_size is None else image_size
    return from_folder(data, size, skip_unreadable=skip_unreadable)


def _begun(data: BenchData, corruptors: Sequence[str], drop_leaked: bool) -> Begun:
    """Look for leakage, drop it where that is wanted, and say so."""
    leakage = find_leakage(data.train, data.test.pictures)
    skipped = {**dict(data.train.skipped), **dict(data.test.pictures.skipped)}
    notes = [f"left out: {path}: {reason}" for path, reason in skipped.items()]
    notes += [f"{data.name}: {leakage.sentence(data.test.labels)}"]
    if drop_leaked and leakage.twins:
        data = data.without(leakage.leaked)
        bad = int(data.test.labels.sum())
        notes.append(
            f"{data.name}: tested without them, on {len(data.test.labels) - bad} good and {bad} "
            "anomalous pictures"
        )
    if corruptors and data.test.labels.all():
        notes.append(
            f"{data.name}: no good test picture to corrupt, so {', '.join(corruptors)} are left out"
        )
    return Begun(data, leakage, tuple(notes))
