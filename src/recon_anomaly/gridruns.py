"""All trainings of a bench, one after the other in this process or several at a time in others."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .cellruns import CellRun, Ground, Missing, outcome_of, train
from .cells import in_words
from .detector import BaseDetector
from .errors import TrainingError
from .events import Cell, Event, Failed, Fitted
from .grid import Row
from .jobs import Pool
from .ledger import Ledger
from .settings import Settings, key_of
from .writing import check_writable, make_folder

__all__ = ["run_all", "runs_of", "trained_otherwise", "with_files"]


def runs_of(
    rows: Sequence[Row],
    seeds: Sequence[int],
    scorers: Sequence[str],
    tests: Sequence[str],
    settings: Settings,
) -> list[CellRun]:
    """Return every training of a grid with all records that it makes, by seed, row and scorer.

    Parameters
    ----------
    rows, seeds, scorers
        As the bench trains them: one training serves all scorers, unless its schedule reads figures of
        labelled pictures, which are a scorer's.
    tests : sequence of str
        Names of the test sets.
    settings : Settings
        What all records have in common.
    """
    cells = [
        (seed, row, group)
        for seed in seeds
        for row in rows
        for group in ([[scorer] for scorer in scorers] if row.needs_labels else [list(scorers)])
    ]
    return [
        CellRun(
            number,
            row,
            seed,
            group,
            [
                Missing(scorer, place, settings.of(row, seed, scorer, name))
                for scorer in group
                for place, name in enumerate(tests)
            ],
        )
        for number, (seed, row, group) in enumerate(cells, start=1)
    ]


def with_files(
    runs: Sequence[CellRun], folder: str | os.PathLike[str], ledger: Ledger
) -> list[CellRun]:
    """Name the file in which each training's detector is kept, after the key of its first record.

    Raises
    ------
    SavedFileError
        When the folder cannot be made or written to.
    """
    folder = make_folder(folder)
    check_writable(folder / "detector.safetensors")
    return [
        replace(run, file=os.path.relpath(folder / f"{key}.safetensors", _base(ledger)))
        for run in runs
        for key in [key_of(run.missing[0].settings)]
    ]


def trained_otherwise(
    runs: Sequence[CellRun], ledger: Ledger, rows: Sequence[Row], precisions: Sequence[str | None]
) -> tuple[str, ...]:
    """Say which records that are gone on from were trained in another precision than "auto" would take now.

    Parameters
    ----------
    runs, rows
        Of the grid.
    ledger : Ledger
        Whose records are not made anew.
    precisions : sequence of (str or None)
        What each row would be trained in now, from `recon_anomaly.readiness`.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for row, now in zip(rows, precisions, strict=True):
        known = (
            ledger.known(record.settings)
            for run in runs
            if run.row is row and row.precision == "auto"
            for record in run.missing
            if ledger.knows(record.settings)
        )
        for then in {record["recipe"]["precision"] for record in known}:
            if now is not None and then != now:
                found.setdefault((then, now), []).append(in_words(row.model, row.model_params))
    return tuple(
        f"records that were there before are of networks trained in {then} ({', '.join(dict.fromkeys(models))}), "
        f"where precision 'auto' now takes {now}; name a precision to have all trained in one"
        for (then, now), models in found.items()
    )


def run_all(
    ground: Ground, runs: Sequence[CellRun], ledger: Ledger, workers: Pool | None
) -> Iterator[Event]:
    """Train whatever the ledger does not have, give the events, and keep each record at once.

    Without ``workers`` the trainings run here in their order. With them a training is told of when it
    has ended, and the records that the ledger has come first.
    """
    if workers is None:
        yield from _here(ground, runs, ledger)
    else:
        yield from _elsewhere(workers, ground, runs, ledger)


def _left(run: CellRun, ledger: Ledger) -> Generator[dict[str, Any], None, CellRun]:
    """Give the records of a training that the ledger has, and return what is left to do."""
    missing = []
    for record in run.missing:
        if ledger.knows(record.settings):
            yield ledger.known(record.settings)
        else:
            missing.append(record)
    return replace(run, missing=missing)


def _here(ground: Ground, runs: Sequence[CellRun], ledger: Ledger) -> Iterator[Event]:
    """Train in this process, one after the other, on all its cores."""
    for whole in runs:
        run = yield from _left(whole, ledger)
        if not run.missing:
            continue
        said = _said_of(run)
        yield Cell(**said, number=run.number, count=len(runs), epochs=run.row.planned)
        training = train(ground, run, partial(_keep, run, ledger))
        try:
            while True:
                event = next(training)
                yield ledger.keep(event) if isinstance(event, dict) else event
        except StopIteration as ended:
            yield Fitted(**said, detector=ended.value, tests=list(ground.tests))
        except TrainingError as error:  # the other trainings are worth having
            yield Failed(**said, error=error)


def _elsewhere(
    workers: Pool, ground: Ground, runs: Sequence[CellRun], ledger: Ledger
) -> Iterator[Event]:
    """Train in other processes, several at a time; each training is told of when it has ended."""
    waiting = []
    for whole in runs:
        run = yield from _left(whole, ledger)
        if run.missing:
            waiting.append(run)
    if not waiting:
        return
    device = ground.device if workers.client is None else "auto"
    with closing(workers.unordered(outcome_of, ground.bare(), waiting)) as outcomes:
        for outcome in outcomes:
            run, said = outcome.run, _said_of(outcome.run)
            detector = None if outcome.error is not None else outcome.detector(device)
            if detector is not None:
                _keep(run, ledger, detector)
            # First, since a filter may turn a warning into an error.
            kept = [ledger.keep(record) for record in outcome.records]
            for warning in outcome.warned:
                warnings.warn(warning, stacklevel=3)
            yield Cell(**said, number=run.number, count=len(runs), epochs=run.row.planned)
            yield from kept
            if outcome.error is not None:
                yield Failed(**said, error=outcome.error)
            else:
                assert detector is not None
                yield Fitted(**said, detector=detector, tests=list(ground.tests))


def _base(ledger: Ledger) -> Path:
    """Return the folder from which records name files."""
    return Path() if ledger.out is None else Path(ledger.out).parent


def _keep(run: CellRun, ledger: Ledger, detector: BaseDetector) -> None:
    if run.file is not None:
        detector.save(_base(ledger) / run.file)


def _said_of(run: CellRun) -> dict[str, Any]:
    """Return what the events of a training say of it."""
    row = run.row
    return {
        "model": row.model,
        "model_params": row.model_params,
        "schedule": row.schedule,
        "schedule_params": row.schedule_params,
        "corruptor": row.corruptor,
        "corruptor_params": row.corruptor_params,
        "seed": run.seed,
        "scorer": run.scorers[0] if row.needs_labels else None,
    }
