"""Grids of runs: models x schedules x seeds, each trained once, scored by every scorer on every test set.

A record is a pure function of its settings; their hash is its key, so that a bench which was stopped
goes on where it was. A training whose schedule reads figures of labelled pictures depends on the scorer
that makes them, so each scorer has one of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .benchdata import BenchData, corrupted, read_data
from .cellruns import Ground
from .devices import choose_device, choose_precision
from .errors import InputError, TrainingError
from .events import Begun, Event, Failed, begin
from .grid import UNTRAINED, build_rows
from .gridruns import run_all, runs_of, trained_otherwise, with_files
from .inputs import check_budget
from .jobs import pool
from .labelling import with_labels
from .ledger import Ledger, written_alone
from .readiness import check_everywhere, precisions_here
from .records import trivial_record
from .registry import build
from .settings import Settings, key_of
from .thresholds import value
from .variants import Schedule, check_grid

__all__ = ["DEFAULT_CORRUPTORS", "DEFAULT_MODELS", "iter_bench", "run_bench"]

DEFAULT_MODELS = ("cae", "cvae", "mean", "brightness", "pca", "nearest")
DEFAULT_CORRUPTORS = ("gaussian", "salt-and-pepper", "objects")


def run_bench(*args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """Run `iter_bench` to its end and return the records alone, in the grid's order.

    Examples
    --------
    >>> records = run_bench(models=["pca"], corruptors=["gaussian"], image_size=32)
    >>> [(record["model"], record["test_set"]) for record in records]
    [('everything-defective', 'gaussian'), ('everything-defective', 'defects'),
     ('pca', 'gaussian'), ('pca', 'defects')]
    """
    records: dict[str, dict[str, Any]] = {}
    keys: tuple[str, ...] = ()
    for event in iter_bench(*args, **kwargs):
        if isinstance(event, Begun):
            keys = event.keys
        elif isinstance(event, dict):
            records[event["key"]] = event
    return [records[key] for key in keys]


def iter_bench(
    data: str | os.PathLike[str] | BenchData | None = None,
    *,
    models: Sequence[str] = DEFAULT_MODELS,
    model_params: Mapping[str, Mapping[str, Any]] | None = None,
    model_grid: Mapping[str, Any] | None = None,
    schedules: Sequence[Schedule] = ("constant",),
    scorers: Sequence[str] = ("mse",),
    corruptors: Sequence[str] = DEFAULT_CORRUPTORS,
    training_corruptors: Sequence[Schedule] = ("none",),
    seeds: Sequence[int] = (42,),
    image_size: int | tuple[int, int] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    precision: str = "auto",
    labelled_validation: bool = False,
    every_epoch: bool = False,
    split_by_part: bool = False,
    drop_leaked: bool = False,
    threshold: float | None = None,
    skip_unreadable: bool = False,
    memory_budget: int | None = None,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    keep_detectors: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    dask: str | None = None,
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
    training_corruptors : sequence of str or (str, mapping)
        Registered names, alone or with parameters, of what spoils the training pictures of a denoising model; "none"
        for clean ones. Every model is trained with each, but for those with a closed form.
    seeds : sequence of int
        Each trains every model once, with its own share of 20 % of the good pictures for validation.
    image_size : int or (int, int), optional
        By default 64 for the embedded set and 256 for a folder.
    epochs, batch_size, learning_rate : int, int, float, optional
        As in `ReconstructionDetector`, for all that are trained; by default each model's own. A
        schedule that lays out its own epochs is trained by these; a note of `Begun` has the numbers where
        they differ.
    precision : {"auto", "float32", "bfloat16"}
        As in `ReconstructionDetector`. What "auto" takes has to be the same in all processes, and where records
        that are gone on from were trained in another one, a note of `Begun` says so.
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
    memory_budget : int, optional
        Bytes of memory for each store of pictures that is read or made, beyond which it is a memory-mapped
        file; by default a quarter of what is available. With ``jobs`` or ``dask`` the trainings that
        run at a time on a machine have as much together for what each keeps of its own, an even share
        each, which has to hold a batch.
    device : str
        "auto" or a torch device's name.
    out : path, optional
        A JSON-lines file, rewritten whole after each record.
    resume : bool
        Keep the records that ``out`` has, and run only what is missing.
    keep_detectors : path, optional
        A folder for the fitted detectors, one file a training; their records name it in "detector", from the folder
        of ``out``, and `recon-anomaly report` then shows reconstructions.
    jobs : int, optional
        Train that many models at a time, each on one thread in a process of its own; -1 means as many as
        there are cores. The records are the same for every number of jobs, but for dates, seconds and
        memory. By default models are trained one after the other in this process, on all cores,
        which may round the last bits otherwise.
    dask : str, optional
        Address of a Dask scheduler, such as ``tcp://192.168.0.2:8786``: as with ``jobs``, on a cluster.
        ``device`` is then that of the workers.

    Yields
    ------
    Begun, Cell, Tick, EpochRecord, Fitted, Failed or dict
        `Begun` once, before any training. For each training a `Cell`, ticks and epochs, then
        its records and `Fitted`, or `Failed`. Records that ``out`` has come without their training.
        With ``jobs`` or ``dask`` there are no ticks and epochs, and trainings come as they end.

    Raises
    ------
    InputError, PluginError
        For unusable data, parameters, or names that are not known: before any training.
    TrainingError
        At the end, when trainings failed; the records of the others are whole.
    SavedFileError
        When ``out`` exists and ``resume`` is not given, cannot be written, or is another process's just now.
    WorkerError
        When a process ended before its training, as for want of memory; ``out`` has what was done.
    """
    params, grid = dict(model_params or {}), dict(model_grid or {})
    check_grid(
        models, params, grid, schedules, scorers, corruptors, seeds, epochs, training_corruptors
    )
    if threshold is not None:
        value(np.empty(0), threshold=threshold)
        if len(scorers) > 1:
            raise InputError(
                f"threshold={threshold} is in the unit of one scorer; got {', '.join(scorers)}: name "
                "one, or leave the threshold out"
            )
    with pool(jobs, dask) as workers, written_alone(out):
        if workers is None or dask is None:  # else the device is that of the workers
            choose_precision(precision, choose_device(device), 0)
        ledger = Ledger(out, resume, threshold)
        data = read_data(data, image_size, skip_unreadable, memory_budget)
        if split_by_part and data.parts is None:
            data = data.by_part(memory_budget=memory_budget)
        recipe: dict[str, Any] = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "precision": precision,
            "scorers": scorers,
            "training_corruptors": training_corruptors,
        }
        rows = build_rows(models, params, grid, schedules, data.train, **recipe)
        sharing = 1 if workers is None else workers.per_machine
        share = None if memory_budget is None else memory_budget // sharing
        for row in rows:
            check_budget(share, data.train.shape, data.train.dtype, row.batch())
        if workers is None:
            precisions = precisions_here(rows, data.train.shape, device)
        else:
            precisions = check_everywhere(workers, rows, scorers, data.train.shape, device)
        if labelled_validation or any(row.needs_labels for row in rows):
            data = with_labels(data)
        begun = begin(data, rows, corruptors, drop_leaked, every_epoch)
        data = begun.data
        spoiling = corruptors if (data.test.labels == 0).any() else ()
        every_epoch = every_epoch and len(np.unique(data.test.labels)) == 2
        settings = Settings(data, drop_leaked, every_epoch, data.checksum())
        names = [*spoiling, data.test.name]
        trivial = [settings.of(UNTRAINED, None, None, name) for name in names]
        runs = runs_of(rows, seeds, scorers, names, settings)
        wanted = [missing.settings for run in runs for missing in run.missing]
        keys = tuple(map(key_of, trivial + wanted))
        if keep_detectors is not None:
            runs = with_files(runs, keep_detectors, ledger)
        notes = begun.notes + trained_otherwise(runs, ledger, rows, precisions)
        if workers is not None:
            notes += workers.notes
        yield replace(begun, keys=keys, notes=notes)

        tests = [
            corrupted(data, name, build("corruptor", name)[0], memory_budget=memory_budget)
            for name in spoiling
        ]
        tests.append(data.test)
        ledger.note_leakage(settings.checksum, begun.leaked)
        ledger.plan(keys)
        for made, test in zip(trivial, tests, strict=True):
            if ledger.knows(made):
                yield ledger.known(made)
            else:
                yield ledger.keep(trivial_record(made, test, data))
        ground = Ground(data, tests, every_epoch, device, memory_budget, sharing)
        failed: list[str] = []
        for event in run_all(ground, runs, ledger, workers):
            yield event
            if isinstance(event, Failed):
                failed.append(f"{event.title}: {event.error}")
    if failed:
        raise TrainingError(f"{len(failed)} of {len(runs)} trainings failed: {'; '.join(failed)}")
