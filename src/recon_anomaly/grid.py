"""The rows of a bench: models x schedules, each built once before any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from .backbones import weights_checksums
from .batches import Batches
from .decisions import EVERYTHING_DEFECTIVE
from .devices import choose_device, choose_precision
from .errors import InputError, TrainingError
from .estimators import ReconstructionDetector
from .history import History
from .images import measure_range
from .protocols import Branches
from .randomness import seeded
from .registry import build, build_network, load
from .scoring import exact, make_noise, rehearse
from .store import Pictures
from .terms import check_given
from .training import evaluate
from .variants import Schedule, named, spoilers, variants_of

__all__ = ["UNTRAINED", "Row", "build_rows"]


@dataclass(frozen=True)
class Row:
    """One way to train, which each seed does once: a model and a schedule, each with its parameters.

    Attributes
    ----------
    model, model_params : str, and mapping
        A registered name; parameters as a file of records gives them back.
    schedule, schedule_params : str or None, and mapping
        None where the model is fitted in closed form, which knows no schedule.
    epochs, batch_size, learning_rate : int, int, float or None
        What the detector is given. A closed form gets no epochs and no learning rate, a schedule that
        lays out its own epochs none either.
    precision : str or None
        In which the network is trained, as in `ReconstructionDetector`; None for a closed form.
    planned : int or None
        How many epochs that makes, at the most; None for a closed form.
    needs_labels : bool
        Whether the schedule reads figures of labelled pictures: the training then depends on the scorer.
    weights : mapping
        Checksums of frozen pretrained weights.
    parts : tuple of str
        Registered names of the schedules that the schedule is made of.
    corruptor, corruptor_params : str or None, and mapping
        What spoils the training pictures of a denoising model.
    """

    model: str
    model_params: Mapping[str, Any] = field(default_factory=dict)
    schedule: str | None = None
    schedule_params: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    precision: str | None = None
    planned: int | None = None
    needs_labels: bool = False
    weights: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    corruptor: str | None = None
    corruptor_params: Mapping[str, Any] = field(default_factory=dict)

    def detector(
        self, scorer: str, seed: int, device: str = "auto", memory_budget: int | None = None
    ) -> ReconstructionDetector:
        """Return the detector that this row trains, not yet fitted."""
        return ReconstructionDetector(
            self.model,
            model_params=self.model_params,
            scorer=scorer,
            schedule=self.schedule or "constant",
            schedule_params=self.schedule_params,
            corruptor=self.corruptor,
            corruptor_params=self.corruptor_params,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            random_state=seed,
            device=device,
            precision=self.precision or "auto",
            memory_budget=memory_budget,
        )

    def batch(self) -> int:
        """Return how many pictures a batch has, whoever says it: the row or the model's own recipe."""
        size: int = self.detector("mse", 0)._recipe()["batch_size"]
        return size


_FITTED = 6  # pictures; as many as `check_model` fits a closed form on

UNTRAINED = Row(EVERYTHING_DEFECTIVE)
"""The row that calls each picture anomalous; nothing is trained."""


def build_rows(
    models: Sequence[str],
    model_params: Mapping[str, Mapping[str, Any]],
    model_grid: Mapping[str, Any],
    schedules: Sequence[Schedule],
    pictures: Pictures,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    precision: str = "auto",
    scorers: Sequence[str] = (),
    training_corruptors: Sequence[Schedule] = ("none",),
) -> list[Row]:
    """Build every network once and throw it away, so that what is wrong shows before hours of training.

    The first of ``pictures`` goes through each network that is trained and through each scorer, and each schedule
    weighs the loss terms of each network once. What has a closed form is fitted on some pictures, and scored likewise.

    Parameters
    ----------
    models, model_params, model_grid, schedules, epochs, batch_size, learning_rate, precision
        As in `iter_bench`.
    scorers, training_corruptors
        The same.
    pictures : Pictures
        To train on.

    Returns
    -------
    list of Row
        By model, its variants, and the schedules and corruptors where it is trained by one.

    Raises
    ------
    InputError, PluginError
        When a parameter is wrong, weights are missing, a plugin cannot be imported, a scorer cannot score a model, or a
        schedule names a term that a model does not have or gives weights that no training takes.
    """
    cpu = choose_device("cpu")
    choose_precision(precision, cpu, 0)
    rows = []
    for model in models:
        for params in variants_of(model, model_params, model_grid):
            with seeded(cpu, 0):
                network = build_network(load("model", model), pictures.shape, params)
            weights = weights_checksums(network)
            _rehearse(network, model, scorers, pictures)
            if hasattr(network, "fit_batches"):
                row = Row(model, params, batch_size=batch_size, weights=weights)
                row.detector("mse", 0)._recipe()
                rows.append(row)
                continue
            terms = _terms(network, pictures)
            ways = product(named(schedules), spoilers(training_corruptors))
            for (name, schedule_params), (corruptor, corruptor_params) in ways:
                schedule, _ = build("schedule", name, schedule_params)
                row = Row(
                    model,
                    params,
                    name,
                    schedule_params,
                    epochs=epochs if getattr(schedule, "planned_epochs", None) is None else None,
                    batch_size=batch_size,
                    learning_rate=learning_rate,
                    precision=precision,
                    needs_labels=bool(getattr(schedule, "needs", ())),
                    weights=weights,
                    parts=tuple(getattr(schedule, "parts", ())),
                    corruptor=corruptor,
                    corruptor_params=corruptor_params,
                )
                row = replace(row, planned=row.detector("mse", 0)._recipe()["epochs"])
                if terms and row.planned:
                    given = schedule(History(terms, row.planned))
                    if not isinstance(given, Branches):
                        check_given(given, terms)
                rows.append(row)
    return rows


def _rehearse(network: Any, model: str, scorers: Sequence[str], pictures: Pictures) -> None:
    """Score a picture by each scorer, as a detector does before its training by the one that it has."""
    closed = hasattr(network, "fit_batches")
    some = pictures.take(range(min(_FITTED if closed else 1, len(pictures))))
    device = choose_device("cpu")
    images = next(iter(Batches(some, measure_range(pictures), len(some), device)))
    if closed and scorers:
        with seeded(device, 0), exact():
            network.fit_batches([images])
    for name in scorers:
        scorer, _ = build("scorer", name)
        try:
            rehearse(network, scorer, images, make_noise(network, scorer, 0, device))
        except InputError as error:
            raise InputError(f"scorer {name!r} cannot score model {model!r}: {error}") from error


def _terms(network: Any, pictures: Pictures) -> tuple[str, ...]:
    """Return the loss terms of an untrained network; none where they are not finite, as its training says."""
    first = pictures.take([0])
    device = choose_device("cpu")
    with seeded(device, 0):
        try:
            return tuple(evaluate(network, Batches(first, measure_range(pictures), 1, device)))
        except TrainingError:
            return ()
