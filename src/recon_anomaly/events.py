"""What happens in a bench, told as it happens, for whoever draws progress, figures or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .audit import Leakage
from .benchdata import BenchData, LabelledPictures
from .cells import in_words
from .detector import BaseDetector
from .errors import TrainingError
from .grid import Row
from .history import EpochRecord
from .training import Tick
from .trainings import way_of

__all__ = ["Begun", "Cell", "Event", "Failed", "Fitted", "Training", "begin"]


@dataclass(frozen=True)
class Begun:
    """Nothing is trained yet.

    Attributes
    ----------
    data : BenchData
        What will be trained and tested on.
    leakage : Leakage
        Which test pictures, counted before any were dropped, stand in the training pictures.
    notes : tuple of str
        What a reader of the figures has to know: what was left out, the leakage, where labels to validate
        on come from, and where schedules train for different numbers of epochs.
    defects_leakage : Leakage or None
        Which test pictures stand in the defects to validate on; none is dropped for it.
    keys : tuple of str
        Those of all records that will come, in the grid's order; where several are trained at a time,
        they come as they are ready.
    """

    data: BenchData
    leakage: Leakage
    notes: tuple[str, ...]
    defects_leakage: Leakage | None = None
    keys: tuple[str, ...] = ()

    @property
    def leaked(self) -> dict[str, int]:
        """How many test pictures leak and how, as it stands in the records."""
        near = self.leakage.count("near")
        counts = {"identical": len(self.leakage.twins) - near, "near": near}
        if self.defects_leakage is not None:
            counts["validation_defects"] = len(self.defects_leakage.twins)
        return counts


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a bench.

    Attributes
    ----------
    model, model_params : str, and mapping
        What is trained.
    schedule, schedule_params : str or None, and mapping
        None for a model that is fitted in closed form.
    seed : int
        Of everything random.
    scorer : str or None
        Whose figures the schedule reads, so that another scorer has a training of its own; None where one
        training serves all scorers.
    corruptor, corruptor_params : str or None, and mapping
        What spoils the training pictures of a denoising model.

    Examples
    --------
    >>> training = Training(model="cvae", model_params={"latent_size": 8}, schedule="constant",
    ...                     schedule_params={}, seed=1, scorer=None)
    >>> training.title
    'cvae (latent_size=8), constant, seed 1'
    """

    model: str
    model_params: Mapping[str, Any]
    schedule: str | None
    schedule_params: Mapping[str, Any]
    seed: int
    scorer: str | None
    corruptor: str | None = None
    corruptor_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The model and its parameters in words."""
        return in_words(self.model, self.model_params)

    @property
    def schedule_words(self) -> str:
        """Schedule and corruptor with their parameters in words; empty where there is none."""
        return "" if self.schedule is None else way_of(vars(self))

    @property
    def way(self) -> str:
        """The schedule in words, with the scorer that it depends on."""
        by = "" if self.scorer is None else f" by {self.scorer}"
        return f"{self.schedule_words}{by}"

    @property
    def title(self) -> str:
        """All of it in words."""
        return ", ".join(part for part in (self.variant, self.way, f"seed {self.seed}") if part)


@dataclass(frozen=True, kw_only=True)
class Cell(Training):
    """One training that is about to start; with jobs or Dask, one that has just ended.

    Attributes
    ----------
    number, count : int
        It is the ``number``-th of ``count``, from 1.
    epochs : int or None
        How many are planned; None for a closed form.
    """

    number: int
    count: int
    epochs: int | None


@dataclass(frozen=True, kw_only=True)
class Fitted(Training):
    """One training that went well, with the test sets that its detector was scored on."""

    detector: BaseDetector
    tests: list[LabelledPictures]


@dataclass(frozen=True, kw_only=True)
class Failed(Training):
    """One training that failed, and why."""

    error: TrainingError


Event = Begun | Cell | Tick | EpochRecord | Fitted | Failed | dict[str, Any]
"""What `iter_bench` gives; the dictionaries are records."""


def begin(
    data: BenchData,
    rows: Sequence[Row],
    corruptors: Sequence[str],
    drop_leaked: bool,
    every_epoch: bool,
) -> Begun:
    """Look for leakage, drop it where that is wanted, and say so, with what else has to be known.

    Parameters
    ----------
    data : BenchData
        As it was read.
    rows : sequence of Row
        What will be trained.
    corruptors, drop_leaked, every_epoch
        As in `iter_bench`.

    Raises
    ------
    InputError
        When no test picture is left.
    """
    leakage, defects_leakage = data.leakage, data.defects_leakage
    stores = [data.train, data.test.pictures, *([] if data.defects is None else [data.defects])]
    skipped = {path: reason for store in stores for path, reason in store.skipped}
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
    if data.defects is not None:
        notes.append(f"{data.name}: labels to validate on come from {data.defects_from}")
    if defects_leakage is not None and defects_leakage.twins:
        notes.append(
            f"{data.name}: {len(defects_leakage.twins)} of {defects_leakage.n_test} test pictures stand in "
            "the defects to validate on, so the epochs and thresholds that these choose are optimistic"
        )
    if every_epoch and len(np.unique(data.test.labels)) < 2:
        notes.append(
            f"{data.name}: test pictures of one class, so the figures of every epoch are left out"
        )
    notes += _different_epochs(rows)
    return Begun(data, leakage, tuple(notes), defects_leakage)


def _different_epochs(rows: Sequence[Row]) -> list[str]:
    """Say of each model whose schedules train for different numbers of epochs what these are."""
    planned: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.schedule is not None and row.planned is not None:
            variant = in_words(row.model, row.model_params)
            way = in_words(row.schedule, row.schedule_params)
            planned.setdefault(variant, {})[way] = row.planned
    variants: dict[str, list[str]] = {}
    for variant, ways in planned.items():
        if len(set(ways.values())) > 1:
            listed = ", ".join(f"{way} {epochs}" for way, epochs in ways.items())
            variants.setdefault(listed, []).append(variant)
    return [
        f"{', '.join(alike)}: planned epochs differ between the schedules: {listed}"
        for listed, alike in variants.items()
    ]
