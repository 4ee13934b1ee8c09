"""From a fresh network to a fitted one: in closed form, or by training with a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import nullcontext
from typing import Any

import torch

from .batches import Batches
from .checkpoints import Checkpoint
from .errors import InputError
from .history import EpochRecord, History
from .keeping import keep_frozen
from .randomness import seeded
from .scoring import exact
from .training import GivenUp, Plan, RunState, Tick, evaluate, train

__all__ = ["fit_network"]


def fit_network(
    network: Any,
    training: Batches,
    validation: Batches,
    plan: Plan,
    *,
    measure: Callable[[], Mapping[str, float]] = dict,
    checkpoint: Checkpoint | None = None,
    memory_budget: int | None = None,
) -> Generator[Tick | EpochRecord, None, History]:
    """Fit ``network`` by its ``fit_batches`` where it has one, else by gradient steps.

    Gives a tick a batch and a record an epoch, those of a run that goes on from its checkpoint
    included; returns the history. The network ends in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
        A fresh one, on the device of the batches.
    training, validation : Batches
        Good pictures.
    plan : Plan
        Of the training; a closed-form fit uses none of it.
    measure : callable
        As in `train`.
    checkpoint : Checkpoint, optional
        Where the run's state is kept after each epoch, and looked for first.
    memory_budget : int, optional
        As in `keep_frozen`.

    Raises
    ------
    InputError
        When a closed-form model is to be trained with a corruptor.
    TrainingError, SavedFileError
        As `train` and `Checkpoint` do; also when another process trains in the checkpoint's folder.
    """
    if hasattr(network, "fit_batches"):
        if plan.corruptor is not None:
            raise InputError(
                f"{type(network).__name__} is fitted in closed form, which knows no corruptor; leave it "
                "out, or take another model"
            )
        # As precise as the scoring, but not in inference mode, whose tensors could not be kept.
        with (
            exact(),
            torch.inference_mode(False),
            torch.no_grad(),
            seeded(training.device, plan.seed),
        ):
            network.fit_batches(training)
        network.eval()
        return History(tuple(evaluate(network, validation)), 0)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(
            f"{type(network).__name__} has no parameters to train; a model that is fitted in closed form "
            "has a method fit_batches"
        )
    first = Batches(validation.pictures.take([0]), validation.pixel_range, 1, validation.device)
    state = RunState(network, plan, tuple(evaluate(network, first)), training.device)
    with nullcontext() if checkpoint is None else checkpoint.held():
        if checkpoint is not None:
            checkpoint.load(state)
            plan.ranks.check_same({"epochs in the checkpoint": len(state.history)})
        yield from list(state.history.records)
        if plan.corruptor is None and not state.finished:
            yield from keep_frozen(network, (training, validation), plan.epochs, memory_budget)
        snapshots = None if checkpoint is None else checkpoint.snapshots
        for event in train(state, training, validation, plan, measure, snapshots):
            if checkpoint is not None and not isinstance(event, Tick):
                checkpoint.save(state)
            if not isinstance(event, GivenUp):
                yield event
    return state.history
