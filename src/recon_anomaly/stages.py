"""Histories with branches become lines: the loss of every branch, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from .figures import listed, term_in_words
from .history import EpochRecord, History

__all__ = [
    "CONVENTIONAL",
    "Line",
    "Stage",
    "compared_by_training",
    "limits",
    "movement",
    "stages_of",
]

CONVENTIONAL = "I"
"""The name of the branch whose weights stay (Nakata et al., Table 3)."""

_ROOM = 0.5  # beside what is looked at, in its own height
_USUAL = 0.9  # the share of what is looked at below the top of the axis: a training begins high

_Fate = Literal["went on", "dropped", "diverged", "finished"]


class Line(NamedTuple):
    """The loss of one branch, from the epoch that it started from."""

    name: str
    epochs: np.ndarray
    """intp (n,); the first one is the last epoch before the stage."""
    losses: np.ndarray
    """float64 (n,)."""
    fate: _Fate
    """What became of it: dropped before the stage's end, or finished there and not chosen."""
    movement: str
    """What its weights did, in words."""


class Stage(NamedTuple):
    """The epochs between two choices; the trunk has one line, whose name is empty."""

    first: int
    last: int
    lines: tuple[Line, ...]


def stages_of(history: History) -> list[Stage]:
    """Return the losses of a training with branches: its trunk, then each stage.

    The loss is what the branches were compared by: the unweighted sum of the validation terms, or the
    weighted sum of the training terms.

    Returns
    -------
    list of Stage
        Of length 1 where there were no branches; empty without epochs. The conventional branch is the
        first line of its stage, the others follow by name.
    """
    weighted = compared_by_training(history)
    depths = [len(one.path) for one in history.records]
    depths += [len(branch.path) for branch in history.lost]
    found = []
    for depth in range(max(depths, default=-1) + 1):
        before = [one for one in history.records if len(one.path) < depth][-1:]
        went_on = [one for one in history.records if len(one.path) == depth]
        lost = [branch for branch in history.lost if len(branch.path) == depth]
        epochs = [one.epoch for one in went_on]
        epochs += [one.epoch for branch in lost for one in branch.records]
        if not epochs:  # every branch diverged at once
            continue
        lines = []
        if went_on:
            name = went_on[0].path[-1] if depth else ""
            lines.append(_line(name, [*before, *went_on], "went on", weighted))
        for branch in lost:
            records = [*before, *branch.records]
            fate: _Fate = "dropped" if records[-1].epoch < max(epochs) else "finished"
            if branch.value is None:
                fate = "diverged"
            lines.append(_line(branch.path[-1], records, fate, weighted))
        lines.sort(key=lambda line: (line.name != CONVENTIONAL, line.name))
        found.append(Stage(min(epochs), max(epochs), tuple(lines)))
    return found


def compared_by_training(history: History) -> bool:
    """Return whether branches were compared by the weighted training loss, which their values tell."""
    values = [
        (branch.value, branch.records[-1])
        for branch in history.lost
        if branch.value is not None and branch.records
    ]
    return bool(values) and all(
        value == record.weighted_training_loss and value != record.loss for value, record in values
    )


def movement(records: Sequence[EpochRecord]) -> str:
    """Return in words what the weights did from the first to the last of some epochs.

    Examples
    --------
    >>> first = EpochRecord(1, {}, {}, {"reconstruction": 1.0, "kl": 1.0}, 1e-4)
    >>> last = EpochRecord(2, {}, {}, {"reconstruction": 1.0, "kl": 0.1}, 1e-4)
    >>> movement([first, last]), movement([first, first])
    ('KL divergence falls', 'weights stay')
    """
    if not records:
        return "weights stay"
    start, end = records[0].weights, records[-1].weights
    moves = []
    for verb, factor in (("fall", -1), ("rise", 1)):
        terms = [term_in_words(name) for name in end if factor * (end[name] - start[name]) > 0]
        if terms:
            moves.append(f"{listed(terms)} {verb}{'s' if len(terms) == 1 else ''}")
    return ", ".join(moves) or "weights stay"


def limits(lines: Iterable[Line]) -> tuple[float, float, str]:
    """Return the ends of a panel's axis, and what its label says of losses beyond them.

    The axis shows the conventional branch and the one that went on, without the highest tenth of
    their losses, half as much again on either side, and no more than there is.
    """
    every = np.concatenate([line.losses for line in lines])
    every = every[np.isfinite(every)]
    seen = [
        line.losses for line in lines if line.fate == "went on" or line.name == CONVENTIONAL
    ] or [every]
    looked_at = np.concatenate(seen)
    looked_at = looked_at[np.isfinite(looked_at)]
    low, high = float(looked_at.min()), float(np.quantile(looked_at, _USUAL))
    room = _ROOM * (high - low)
    ends = max(low - room, float(every.min())), min(high + room, float(every.max()))
    beyond = []
    if every.max() > ends[1]:
        beyond.append(f"the highest is {_in_digits(every.max())}")
    if every.min() < ends[0]:
        beyond.append(f"the lowest is {_in_digits(every.min())}")
    spare = 0.04 * (ends[1] - ends[0]) or 1e-6 + 0.01 * abs(low)
    note = f"\n(axis cut: {', '.join(beyond)})" if beyond else ""
    return ends[0] - spare, ends[1] + spare, note


def _in_digits(value: float) -> str:
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


def _line(name: str, records: Sequence[EpochRecord], fate: _Fate, weighted: bool) -> Line:
    losses = [one.weighted_training_loss if weighted else one.loss for one in records]
    epochs = [one.epoch for one in records]
    return Line(name, np.array(epochs), np.array(losses), fate, movement(records))
