"""One readable loop: gradient steps, validation, learning rate, early stopping, best weights, branches."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .allocation import large_blocks_kept
from .batches import Batches
from .distributed import ALONE, Ranks
from .errors import InputError, TrainingError, TrainingWarning
from .history import EpochRecord, History
from .protocols import Branches, Corruptor, WeightSchedule
from .races import Race, leave_branch, open_race
from .randomness import noise_of, seeded
from .resuming import check_race, check_snapshot
from .scoring import exact, reconstruct, target_of
from .snapshots import Snapshots
from .steps import TrainingStep, gradient_step
from .terms import check_given

__all__ = ["GivenUp", "Plan", "RunState", "Tick", "evaluate", "train"]

PLATEAU_EPOCHS = 2
STOPPING_EPOCHS = 7


@dataclass(frozen=True)
class Tick:
    """One batch is done: ``batch`` of ``batches`` in ``epoch`` of ``epochs``, all counted from 1.

    Epoch 0 is the one pass of a network's frozen part over the pictures, before the training. ``branch``
    names the branch that is being tried, if there are several.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    branch: str = ""


@dataclass(frozen=True)
class GivenUp:
    """A loss term diverged, and the branch that was being tried was given up, or the training; ``why`` says it."""

    why: str


@dataclass(frozen=True)
class Plan:
    """What a training is asked to do; see the detector's parameters of the same names."""

    schedule: WeightSchedule
    epochs: int
    learning_rate: float
    seed: int
    corruptor: Corruptor | None = None
    reduce_learning_rate: bool = True
    early_stopping: bool = True
    precision: torch.dtype = torch.float32
    ranks: Ranks = ALONE


class RunState:
    """Everything that a training has at an epoch's end; saved whole, it goes on as if undisturbed.

    Random numbers are no part of it: they derive from the seed, the epoch and the step.
    """

    def __init__(self, network: Any, plan: Plan, terms: tuple[str, ...], device: torch.device):
        self.network = network
        self.history = History(terms, plan.epochs)
        self.optimizer = torch.optim.Adam(
            [parameter for parameter in network.parameters() if parameter.requires_grad],
            lr=plan.learning_rate,
            fused=device.type in ("cpu", "cuda"),
        )
        # torch reduces after more than `patience` epochs without improvement, hence the one less.
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=0.1, patience=PLATEAU_EPOCHS - 1, threshold=0.0
        )
        self.best_loss = math.inf
        self.stale_epochs = 0
        self.kept_figure = -math.inf
        self.kept_weights: dict[str, Tensor] = {}
        self.finished = False
        self.race: Race | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values alone, so that it can be loaded without trusting it.

        Open branches but the present one are named, and lie in the run's snapshots.
        """
        return {
            **self.snapshot(),
            "history": self.history.to_dict(),
            "race": None if self.race is None else self.race.to_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave; what another run gave is an InputError, and changes nothing."""
        history = self._checked(state)
        race = check_race(state["race"], history)
        self.load_snapshot(state)
        self.race = race

    def snapshot(self) -> dict[str, Any]:
        """Return what a branch goes on from: all but the race it is in and the branches lost so far."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "history": self.history.to_dict() | {"lost": []},
            "best_loss": self.best_loss,
            "stale_epochs": self.stale_epochs,
            "kept_figure": self.kept_figure,
            "kept_weights": self.kept_weights,
            "finished": self.finished,
        }

    def load_snapshot(self, state: Mapping[str, Any]) -> None:
        """Take back what ``snapshot`` gave; what another run gave is an InputError, and changes nothing."""
        self.history = self._checked(state)
        self.network.load_state_dict(state["network"])
        # All but the rate is this run's own.
        (group,) = self.optimizer.state_dict()["param_groups"]
        rate = {"lr": state["optimizer"]["param_groups"][0]["lr"]}
        moments = state["optimizer"]["state"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": [group | rate]})
        self.plateau.load_state_dict(state["plateau"])
        for name in ("best_loss", "stale_epochs", "kept_figure", "kept_weights", "finished"):
            setattr(self, name, state[name])

    def _checked(self, state: Mapping[str, Any]) -> History:
        (group,) = self.optimizer.param_groups
        return check_snapshot(state, self.snapshot(), group["params"])


def train(
    state: RunState,
    training: Batches,
    validation: Batches,
    plan: Plan,
    measure: Callable[[], Mapping[str, float]] = dict,
    snapshots: Snapshots | None = None,
) -> Iterator[Tick | EpochRecord | GivenUp]:
    """Train ``state.network`` to the plan's end, giving a tick a batch and a record an epoch.

    When an epoch's record is given, or something was given up, ``state`` is whole and has to be saved if
    it ever is; where branches are tried it may stand on the next one already. The network ends with the weights of the epoch that the schedule
    keeps, in evaluation mode.

    Parameters
    ----------
    state : RunState
        A fresh one, or one that was loaded.
    training, validation : Batches
        Good pictures.
    plan : Plan
        Epochs, schedule, seed and the rest.
    measure : callable
        Returns the validation figures of the network as it is, such as ``auroc``.
    snapshots : Snapshots, optional
        Where branches wait; by default a temporary folder.

    Raises
    ------
    TrainingError
        When a loss term becomes NaN or infinite in the first epoch. Later that ends the training, or the
        branch that is being tried, with a `TrainingWarning`, and the last good weights are kept.
    InputError
        When the schedule's weights do not fit the model's terms.
    """
    step = plan.ranks.wrapped(TrainingStep(state.network, plan.precision))
    with large_blocks_kept() as tidy, snapshots or Snapshots() as waiting:
        while not state.finished:
            asked = plan.schedule(state.history)
            if isinstance(asked, Branches):
                open_race(state, asked, waiting)
                continue
            check_given(asked, state.history.terms)
            weights = {name: float(asked[name]) for name in state.history.terms}
            try:
                record = yield from _one_epoch(
                    state, step, training, validation, plan, weights, measure
                )
            except TrainingError as error:
                if not state.kept_weights:
                    raise
                why = _give_up(state, error, waiting)
                _finish_if_done(state, plan)
                yield GivenUp(why)
                continue
            if state.race is not None and record.epoch == state.race.goal:
                leave_branch(state, waiting)
            _finish_if_done(state, plan)
            yield record
            tidy()
        waiting.remove()
    state.network.load_state_dict(state.kept_weights)
    state.network.eval()


def _one_epoch(
    state: RunState,
    step: torch.nn.Module,
    training: Batches,
    validation: Batches,
    plan: Plan,
    weights: dict[str, float],
    measure: Callable[[], Mapping[str, float]],
) -> Generator[Tick, None, EpochRecord]:
    """Train one epoch, look at it, and return its record, which ``state`` now holds."""
    network, history, device, ranks = state.network, state.history, training.device, plan.ranks
    epoch, started = len(history) + 1, time.perf_counter()
    rate = float(state.optimizer.param_groups[0]["lr"])
    branch = "" if state.race is None else history.path[-1]
    totals = _Totals(ranks)

    network.train()
    part_of = None if ranks.alone else ranks.part_of
    for number, batch in enumerate(training.shuffled(plan.seed, epoch, plan.corruptor, part_of)):
        key, part = (plan.seed, epoch, number), batch.part
        # Whatever is drawn besides differs from the latent's noise, and from process to process.
        with seeded(device, *key, ranks.rank), noise_of(device, part, *key):
            terms = gradient_step(step, state.optimizer, batch, weights, ranks.share(part))
        totals.add(terms, len(batch.images) if part is None else part.length)
        yield Tick(epoch, plan.epochs, number + 1, len(training), branch)

    record = EpochRecord(
        epoch=epoch,
        training=totals.means(len(training.pictures), epoch, "training"),
        validation=evaluate(network, validation, epoch, ranks),
        weights=weights,
        learning_rate=rate,
        figures=ranks.of_first(measure()),
        seconds=time.perf_counter() - started,
        path=history.path,
    )
    history.records.append(record)
    _keep(state, record, plan.schedule)
    if plan.reduce_learning_rate and getattr(plan.schedule, "reduces_learning_rate", True):
        state.plateau.step(record.loss)
    return record


def _finish_if_done(state: RunState, plan: Plan) -> None:
    stops = plan.early_stopping and getattr(plan.schedule, "stops_early", True)
    state.finished = state.race is None and (
        len(state.history) >= plan.epochs
        or state.history.diverged is not None
        or (stops and state.stale_epochs >= STOPPING_EPOCHS)
    )


def _give_up(state: RunState, error: TrainingError, snapshots: Snapshots) -> str:
    """Give up the branch that is being tried, or the training where there is no other; return why."""
    why = str(error).partition(";")[0]
    branch = None if state.race is None else state.history.path[-1]
    if branch is None:
        state.history.diverged = why
    else:
        leave_branch(state, snapshots, diverged=why)
    if state.history.diverged is not None:
        message = (
            f"the training ended early: {state.history.diverged}; the weights of epoch "
            f"{state.history.kept_epoch} are kept. Try a lower learning_rate, or weights further from 0"
        )
    else:
        message = f"the branch {branch} was given up: {why}"
    warnings.warn(message, TrainingWarning, stacklevel=3)
    return why


def evaluate(
    network: Any, batches: Batches, epoch: int = 0, ranks: Ranks = ALONE
) -> dict[str, float]:
    """Return the unweighted loss terms over all pictures, in evaluation mode and float32.

    Of several processes each looks at its own batches, and all return the same.
    """
    totals = _Totals(ranks)
    network.eval()
    with exact():
        for number, (images, _, kept, *_) in enumerate(batches.in_order()):
            # The first batch is everyone's, so that nobody is without the names of the terms.
            if number and number % ranks.size != ranks.rank:
                continue
            target = target_of(network, images, kept)
            terms = network.losses(target, reconstruct(network, images, kept))
            totals.add(terms, len(images) if number or ranks.first else 0)
    return totals.means(len(batches.pictures), epoch, "validation")


class _Totals:
    """Loss terms summed over batches, on their device: reading a value would wait for it."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.sums: dict[str, Tensor] = {}
        self.broken: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor], count: int) -> None:
        if not count:  # a picture that only stands in, of which nothing counts
            terms = {name: torch.zeros_like(term) for name, term in terms.items()}
        for name, term in terms.items():
            value = term.detach()
            self.sums[name] = self.sums.get(name, 0) + value * count
            self.broken[name] = self.broken.get(name, 0) + ~value.isfinite()

    def means(self, count: int, epoch: int, part: str) -> dict[str, float]:
        """Return the means over ``count`` pictures; of broken terms the one that broke first is named."""
        sums = self.ranks.summed(torch.stack(list(self.sums.values()))).tolist()
        broken = self.ranks.summed(torch.stack(list(self.broken.values())).long()).tolist()
        means = {name: total / count for name, total in zip(self.sums, sums, strict=True)}
        counts = dict(zip(self.sums, broken, strict=True))
        first = max(means, key=lambda name: (counts[name], not math.isfinite(means[name])))
        if not math.isfinite(means[first]):
            raise TrainingError(
                f"the {part} loss term {first!r} became {means[first]} in epoch {epoch}; try a lower "
                "learning_rate, and look for constant or extreme pictures"
            )
        return means


def _keep(state: RunState, record: EpochRecord, schedule: WeightSchedule) -> None:
    """Note whether the loss improved, and keep this epoch's weights if the schedule wants them."""
    if record.loss < state.best_loss:
        state.best_loss, state.stale_epochs = record.loss, 0
    else:
        state.stale_epochs += 1
    keeps = getattr(schedule, "keeps", "lowest-loss")
    if keeps == "lowest-loss":
        figure = -record.loss
    elif keeps == "last":
        figure = float(record.epoch)
    elif keeps in record.figures:
        figure = record.figures[keeps]
    else:
        raise InputError(
            f"the schedule keeps the epoch of {keeps!r}, which is not measured; known are "
            f"{', '.join(['lowest-loss', 'last', *record.figures])}"
        )
    if figure > state.kept_figure:
        state.kept_figure, state.history.kept_epoch = figure, record.epoch
        state.kept_weights = {
            name: tensor.detach().clone() for name, tensor in state.network.state_dict().items()
        }
