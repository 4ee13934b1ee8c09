"""One training of a bench: a function of its settings that any process can compute."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .benchdata import BenchData, LabelledPictures
from .detector import BaseDetector, Observed
from .errors import TrainingError
from .grid import Row
from .history import EpochRecord
from .records import record_of
from .saving import from_bytes, to_bytes
from .store import Pictures, budget_of, joined
from .training import Tick

__all__ = ["CellRun", "Ground", "Missing", "Outcome", "outcome_of", "train"]


@dataclass(frozen=True)
class Ground:
    """What all trainings of a bench share.

    Attributes
    ----------
    data : BenchData
        What is trained and tested on.
    tests : sequence of LabelledPictures
        The corrupted ones, and last the set's own.
    every_epoch : bool
        Whether the set's own test pictures are scored after every epoch.
    device : str
        As in `iter_bench`.
    memory_budget : int or None
        Bytes of pictures and features that the trainings of one machine keep in memory together; None: a
        quarter of what is available there.
    sharing : int
        How many trainings that is at a time.
    """

    data: BenchData
    tests: Sequence[LabelledPictures]
    every_epoch: bool
    device: str
    memory_budget: int | None = None
    sharing: int = 1

    def budget(self) -> int | None:
        """Return how many bytes one training may keep in memory, asked in the process that trains."""
        if self.memory_budget is None and self.sharing == 1:
            return None  # what is available is asked anew whenever something is kept
        return budget_of(self.memory_budget) // self.sharing

    def bare(self) -> Ground:
        """Return what a training needs of it: pixels and labels, without the paths of files."""

        def labelled(test: LabelledPictures) -> LabelledPictures:
            return replace(test, pictures=_bare(test.pictures))

        data, tests = self.data, [labelled(test) for test in self.tests]
        defects = None if data.defects is None else _bare(data.defects)
        data = replace(data, train=_bare(data.train), test=tests[-1], defects=defects, spare=None)
        return replace(self, data=data, tests=tests)


@dataclass(frozen=True)
class Missing:
    """A record that is wanted: of which scorer, on which of the test sets, under which settings."""

    scorer: str
    test: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class CellRun:
    """One training, and what is to be recorded of it.

    Attributes
    ----------
    number : int
        Its place in the grid, from 1.
    row : Row
        What is trained, and how.
    seed : int
        Of everything random.
    scorers : sequence of str
        The first is the detector's own.
    missing : sequence of Missing
        The records, in the grid's order.
    file : str or None
        Where the fitted detector is kept, as the records name it: from the folder of their file.
    """

    number: int
    row: Row
    seed: int
    scorers: Sequence[str]
    missing: Sequence[Missing]
    file: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a training in another process; all of it can be sent.

    Attributes
    ----------
    run : CellRun
        Which training.
    records : list of dict
        Its records; none where it failed.
    saved : bytes or None
        The fitted detector, as a file of its own.
    error : TrainingError or None
        Why it failed.
    warned : tuple of Warning
        What was warned of meanwhile.
    """

    run: CellRun
    records: list[dict[str, Any]]
    saved: bytes | None
    error: TrainingError | None
    warned: tuple[Warning, ...]

    def detector(self, device: str) -> BaseDetector:
        """Return the fitted detector, on a device of this process."""
        assert self.saved is not None
        return from_bytes(self.saved, device=device)


def train(
    ground: Ground, run: CellRun, keep: Callable[[BaseDetector], object] | None = None
) -> Generator[Tick | EpochRecord | dict[str, Any], None, BaseDetector]:
    """Train once and score; give ticks and epochs, then the records, and return the detector.

    ``keep`` gets the detector before there is a record that names its file.

    Raises
    ------
    TrainingError
        Before any record, when the training fails.
    """
    data, row = ground.data, run.row
    good, validation = data.split_validation(run.seed)
    budget = ground.budget()
    detector = row.detector(run.scorers[0], run.seed, ground.device, budget)
    started = time.perf_counter()
    fitting = detector.iter_fit(
        good,
        validation_data=_labelled(validation, data, budget) if row.needs_labels else validation,
        observed=data.test.pictures if ground.every_epoch and row.schedule is not None else None,
        observed_scorers=run.scorers,
    )
    seen = yield from _without_observed(fitting)
    more: dict[str, Any] = {"fit_seconds": round(time.perf_counter() - started, 3)}
    if run.file is not None:
        more["detector"] = run.file
    if keep is not None:
        keep(detector)
    for scorer in run.scorers:
        scored = detector.with_scorer(scorer, validation)
        defects = None if data.defects is None else scored.anomaly_score(data.defects)
        for missing in run.missing:
            if missing.scorer == scorer:
                test = ground.tests[missing.test]
                record = record_of(
                    missing.settings,
                    scored,
                    test,
                    data,
                    defect_scores=defects,
                    observed=seen,
                    memory_budget=budget,
                )
                yield record | more
    return detector


def outcome_of(ground: Ground, run: CellRun) -> Outcome:
    """Run `train` to its end, in whichever process this is called."""
    records: list[dict[str, Any]] = []
    saved = failed = None
    with warnings.catch_warnings(record=True) as caught:
        training = train(ground, run)
        try:
            while True:
                event = next(training)
                if isinstance(event, dict):
                    records.append(event)
        except StopIteration as ended:
            saved = to_bytes(ended.value)
        except TrainingError as error:  # the other trainings are worth having
            failed = error
    warned = tuple(
        said.message if isinstance(said.message, Warning) else said.category(said.message)
        for said in caught
    )
    return Outcome(run, records, saved, failed, warned)


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


def _labelled(
    validation: Pictures, data: BenchData, budget: int | None
) -> tuple[Pictures, np.ndarray]:
    """Return the good validation pictures with the defects, and labels as ``fit`` wants them."""
    assert data.defects is not None
    labels = np.repeat([1, -1], [len(validation), len(data.defects)])
    return joined(validation, data.defects, budget), labels


def _bare(pictures: Pictures) -> Pictures:
    return Pictures(pictures.array, index=pictures.index)
