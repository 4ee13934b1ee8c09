"""Branches of a training: from one snapshot each goes its way, rung by rung, and the best goes on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .history import EpochRecord, LostBranch
from .protocols import Branches
from .snapshots import Snapshots

if TYPE_CHECKING:
    from .training import RunState

__all__ = ["Race", "leave_branch", "open_race"]

CRITERIA = {
    "validation-loss": lambda record: record.loss,
    "training-loss": lambda record: record.weighted_training_loss,
}


@dataclass
class Race:
    """The branches of one stage: which are open, and how far they have come.

    Attributes
    ----------
    asked : Branches
        What the schedule wished for.
    start : int
        The epoch of the snapshot that all start from.
    rung : int
        Rungs that were closed.
    waiting : list of str
        The branches that have not reached the next rung; the first one is being trained.
    reached : dict of str to float or None
        The criterion of those that have; None where a term diverged.
    records : dict of str to list of EpochRecord
        The epochs of the branches that are not being trained.
    """

    asked: Branches
    start: int
    waiting: list[str]
    rung: int = 0
    reached: dict[str, float | None] = field(default_factory=dict)
    records: dict[str, list[EpochRecord]] = field(default_factory=dict)

    @property
    def goal(self) -> int:
        """The epoch of the next rung."""
        rungs = self.asked.rungs
        return rungs[self.rung][0] if self.rung < len(rungs) else self.asked.until

    def best(self) -> list[str]:
        """Return the branches that would survive the next rung, of those that have reached it."""
        rungs = self.asked.rungs
        survivors = rungs[self.rung][1] if self.rung < len(rungs) else 1
        values = {name: value for name, value in self.reached.items() if value is not None}
        ranked = sorted(values, key=lambda name: (values[name], self.asked.names.index(name)))
        return sorted(ranked[:survivors], key=self.asked.names.index)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``from_dict`` reads them back."""
        return asdict(self) | {"asked": tuple(self.asked)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Race:
        """Rebuild a race from ``to_dict``."""
        records = {
            name: list(map(EpochRecord.from_dict, records))
            for name, records in values["records"].items()
        }
        return cls(**{**values, "asked": Branches(*values["asked"]), "records": records})


def open_race(state: RunState, asked: Branches, snapshots: Snapshots) -> None:
    """Put the run on the first of the branches that its schedule asked for.

    Raises
    ------
    InputError
        When the wish cannot be met: no or repeated names, epochs out of order, or inside a branch.
    """
    start, planned = len(state.history), state.history.planned_epochs
    epochs = [start, *(epoch for epoch, _ in asked.rungs), asked.until]
    survivors = [len(asked.names), *(count for _, count in asked.rungs), 1]
    if (
        state.race is not None
        or len(set(asked.names)) != len(asked.names)
        or not all(a < b for a, b in itertools.pairwise(epochs))
        or not all(a >= b >= 1 for a, b in itertools.pairwise(survivors))
        or asked.until > planned
        or asked.criterion not in CRITERIA
    ):
        inside = "" if state.race is None else f" inside the branch {state.history.path[-1]!r}"
        raise InputError(
            f"the schedule asked for {asked} at epoch {start} of {planned}{inside}; wanted are names, each "
            "once, rungs of ascending epochs and falling survivors before `until`, an `until` within the "
            f"planned epochs, one of the criteria {', '.join(CRITERIA)}, and no branches within a branch"
        )
    snapshots.remove()  # of an earlier stage
    state.race = Race(asked, start, list(asked.names))
    snapshots.save(_name(0), state.snapshot())
    state.history.path = (*state.history.path, asked.names[0])


def leave_branch(state: RunState, snapshots: Snapshots, diverged: str | None = None) -> None:
    """Put the run on the next branch, once the present one has reached its rung or has diverged.

    After the last branch of the last rung the best one goes on, and the race is over. Where no branch is
    left because all have diverged, the race is over, too, and ``history.diverged`` says so: a branch
    that was alone keeps its last good weights, else those count that all started from. Files are
    deleted only where a run that is killed here, and goes on from its last checkpoint, does not want them.

    Parameters
    ----------
    state : RunState
        In a race, at the end of an epoch.
    snapshots : Snapshots
        Where the branches wait.
    diverged : str, optional
        Which term became NaN or infinite, and when.
    """
    race = state.race
    assert race is not None
    history, trunk = state.history, state.history.path[:-1]
    name = race.waiting.pop(0)
    record = history.records[-1]
    race.records[name] = history.records[race.start :]
    race.reached[name] = CRITERIA[race.asked.criterion](record) if diverged is None else None
    if diverged is not None and list(race.reached) == [name] and not race.waiting:
        history.diverged, state.race = f"{diverged}, in the last branch left, {name}", None
        return
    if name in race.best():
        snapshots.save(_name(race.rung + 1, name), state.snapshot())
    if race.waiting:
        _enter(state, snapshots, (*trunk, race.waiting[0]))
        return
    survivors = race.best()
    for loser, value in race.reached.items():
        if loser not in survivors:
            history.lost.append(LostBranch((*trunk, loser), tuple(race.records.pop(loser)), value))
    if not survivors:
        _load(state, snapshots, _name(0))
        history = state.history
        history.path, state.race = trunk, None
        history.diverged = f"{diverged}, as in all other branches since epoch {race.start}"
        return
    if race.rung:
        snapshots.remove(_name(race.rung))
    race.rung, race.waiting, race.reached = race.rung + 1, survivors, {}
    _enter(state, snapshots, (*trunk, survivors[0]))
    if race.rung > len(race.asked.rungs):
        state.race = None


def _enter(state: RunState, snapshots: Snapshots, path: tuple[str, ...]) -> None:
    race = state.race
    assert race is not None
    _load(state, snapshots, _name(race.rung, path[-1] if race.rung else ""))
    state.history.path = path


def _load(state: RunState, snapshots: Snapshots, name: str) -> None:
    lost = state.history.lost  # what is known by now, not when the snapshot was made
    state.load_snapshot(snapshots.load(name))
    state.history.lost = lost


def _name(rung: int, branch: str = "") -> str:
    """Return a snapshot's name; the branch in hexadecimal, since its name may hold any character."""
    return f"{rung}-{branch.encode().hex()}"
