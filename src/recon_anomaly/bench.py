"""Grids of runs: models x schedules x seeds, each trained once, scored by every scorer on every test set.

A record is a pure function of its settings; their hash is its key, so that a bench which was stopped
goes on where it was. A training whose schedule reads figures of labelled pictures depends on the scorer
that makes them, so each scorer has one of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .benchdata import BenchData, corrupted, read_data
from .detector import Observed
from .devices import choose_device
from .errors import InputError, TrainingError
from .events import Cell, Event, Failed, Fitted, begin
from .grid import UNTRAINED, Row, build_rows
from .history import EpochRecord
from .labelling import with_labels
from .ledger import Ledger
from .records import record_of, trivial_record
from .registry import build
from .settings import Settings
from .store import Pictures, joined
from .thresholds import value
from .training import Tick
from .variants import Schedule, check_grid

__all__ = ["DEFAULT_CORRUPTORS", "DEFAULT_MODELS", "iter_bench", "run_bench"]

DEFAULT_MODELS = ("cae", "cvae", "mean", "brightness", "pca", "nearest")
DEFAULT_CORRUPTORS = ("gaussian", "salt-and-pepper", "objects")


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
    model_grid: Mapping[str, Any] | None = None,
    schedules: Sequence[Schedule] = ("constant",),
    scorers: Sequence[str] = ("mse",),
    corruptors: Sequence[str] = DEFAULT_CORRUPTORS,
    seeds: Sequence[int] = (42,),
    image_size: int | tuple[int, int] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    labelled_validation: bool = False,
    every_epoch: bool = False,
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
    model_grid : mapping, optional
        By model name what scikit-learn's ``ParameterGrid`` takes, as ``{"cvae": {"latent_size": [8, 16]}}``:
        each combination is a model of its own, with the model's ``model_params`` beside.
    schedules : sequence of str or (str, mapping)
        Registered names, alone or with parameters; every model is trained by each. Models that are fitted
        in closed form are fitted once, and their records have the schedule None.
    scorers, corruptors : sequences of str
        Registered names; each corruptor makes a test set of the good test pictures and their
        corrupted copies, beside the set's own defects.
    seeds : sequence of int
        Each trains every model once, with its own share of 20 % of the good pictures for validation.
    image_size : int or (int, int), optional
        By default 64 for the embedded set and 256 for a folder.
    epochs, batch_size, learning_rate : int, int, float, optional
        As in `ReconstructionDetector`, for all that are trained; by default each model's own. A
        schedule that lays out its own epochs is trained by these; a note of `Begun` has the numbers where
        they differ.
    labelled_validation : bool
        Take labelled pictures to validate on, as `with_labels` says, also where no schedule needs them. All
        models and schedules are then tested on the same pictures, and have the decision
        "youden-validation".
    every_epoch : bool
        Score the set's own test pictures after every epoch, too, which costs time: the record has the
        figures in "observed". Whoever picks an epoch by them is an oracle.
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
    params, grid = dict(model_params or {}), dict(model_grid or {})
    check_grid(models, params, grid, schedules, scorers, corruptors, seeds, epochs)
    for scorer in scorers:
        build("scorer", scorer)
    choose_device(device)
    if threshold is not None:
        value(np.empty(0), threshold=threshold)
        if len(scorers) > 1:
            raise InputError(
                f"threshold={threshold} is in the unit of one scorer; got {', '.join(scorers)}: name "
                "one, or leave the threshold out"
            )
    ledger = Ledger(out, resume, threshold)
    data = read_data(data, image_size, skip_unreadable)
    if split_by_part and data.parts is None:
        data = data.by_part()
    recipe: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    rows = build_rows(models, params, grid, schedules, data.train, **recipe)
    if labelled_validation or any(row.needs_labels for row in rows):
        data = with_labels(data)
    begun = begin(data, rows, corruptors, drop_leaked, every_epoch)
    yield begun
    data = begun.data
    spoiling = corruptors if (data.test.labels == 0).any() else ()
    tests = [corrupted(data, name, build("corruptor", name)[0]) for name in spoiling] + [data.test]
    every_epoch = every_epoch and len(np.unique(data.test.labels)) == 2
    settings = Settings(data, drop_leaked, every_epoch, data.checksum())
    ledger.note_leakage(settings.checksum, begun.leaked)

    for test in tests:
        made = settings.of(UNTRAINED, None, None, test.name)
        if ledger.knows(made):
            yield ledger.known(made)
        else:
            yield ledger.keep(trivial_record(made, test, data))
    failed: list[str] = []
    cells = [
        (seed, row, group)
        for seed in seeds
        for row in rows
        for group in ([[scorer] for scorer in scorers] if row.needs_labels else [list(scorers)])
    ]
    for number, (seed, row, group) in enumerate(cells, start=1):
        missing = []
        for scorer in group:
            for test in tests:
                made = settings.of(row, seed, scorer, test.name)
                if ledger.knows(made):
                    yield ledger.known(made)
                else:
                    missing.append((scorer, test, made))
        if not missing:
            continue
        training = _said_of(row, seed, group)
        cell = Cell(**training, number=number, count=len(cells), epochs=row.planned)
        yield cell
        good, validation = data.split_validation(0.2, seed)
        detector = row.detector(group[0], seed, device)
        started = time.perf_counter()
        try:
            fitting = detector.iter_fit(
                good,
                validation_data=_labelled(validation, data) if row.needs_labels else validation,
                observed=data.test.pictures if every_epoch and row.schedule is not None else None,
                observed_scorers=group,
            )
            seen = yield from _without_observed(fitting)
        except TrainingError as error:  # the other cells are worth having
            failed.append(f"{cell.title}: {error}")
            yield Failed(**training, error=error)
            continue
        fit_seconds = round(time.perf_counter() - started, 3)
        for scorer in group:
            scored = detector.with_scorer(scorer, validation)
            defects = None if data.defects is None else scored.anomaly_score(data.defects)
            for wanted, test, made in missing:
                if wanted == scorer:
                    record = record_of(
                        made, scored, test, data, defect_scores=defects, observed=seen
                    )
                    yield ledger.keep(record | {"fit_seconds": fit_seconds})
        yield Fitted(**training, detector=detector, tests=tests)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(cells)} trainings failed: {'; '.join(failed)}")


def _without_observed(
    fitting: Iterator[Tick | EpochRecord | Observed],
) -> Generator[Tick | EpochRecord, None, list[Observed]]:
    """Hand a training's events on, and return what was observed of the test pictures."""
    seen = []
    for event in fitting:
        if isinstance(event, Observed):
            seen.append(event)
        else:
            yield event
    return seen


def _said_of(row: Row, seed: int, group: Sequence[str]) -> dict[str, Any]:
    """Return what the events of a training say of it."""
    return {
        "model": row.model,
        "model_params": row.model_params,
        "schedule": row.schedule,
        "schedule_params": row.schedule_params,
        "seed": seed,
        "scorer": group[0] if row.needs_labels else None,
    }


def _labelled(validation: Pictures, data: BenchData) -> tuple[Pictures, np.ndarray]:
    """Return the good validation pictures with the defects, and labels as ``fit`` wants them."""
    assert data.defects is not None
    labels = np.repeat([1, -1], [len(validation), len(data.defects)])
    return joined(validation, data.defects), labels
