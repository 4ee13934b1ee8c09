"""The loss of every branch of a training as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .figures import BLUE, SMALL, entitle, in_lines, plain_frame
from .history import History
from .stages import CONVENTIONAL, Stage, compared_by_training, limits, stages_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["branch_losses"]

_RED = "#CC3311"
_MUTED = ("#44AA99", "#999933", "#AA4499", "#DDCC77", "#117733", "#888888", "#88CCEE", "#AA7744")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)))
_END: dict[str, dict[str, Any]] = {
    "dropped": {"marker": "o", "markersize": 4, "linestyle": "none"},
    "diverged": {"marker": "x", "markersize": 7, "linestyle": "none", "clip_on": False},
}


def branch_losses(record: Mapping[str, Any], title: str) -> Figure:
    """Draw the loss of every branch, a panel for the trunk and for each stage.

    The conventional branch is blue, the one that went on red, and both where they are one; the others
    are muted, and end where they were dropped (Nakata et al., Figs. 20 to 22). Each panel's axis shows
    the branches that matter; where it cuts others, its label says so.

    Parameters
    ----------
    record : mapping
        Whose history has branches.
    title : str
        Stands above, in one line or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When the history has no branches.
    """
    from matplotlib.figure import Figure

    history = History.from_dict(record["history"])
    stages = stages_of(history)
    if len(stages) < 2:
        raise InputError("the history has no branches; there is nothing to draw")
    across = min(3, len(stages))
    down = -(-len(stages) // across)
    names = sorted({line.name for stage in stages[1:] for line in stage.lines} - {CONVENTIONAL})
    figure = Figure(figsize=(4.1 * across, 3.6 * down + 1.5), layout="constrained")
    loss = "weighted training loss" if compared_by_training(history) else "validation loss"
    for place, stage in enumerate(stages):
        axes = figure.add_subplot(down, across, place + 1)
        _draw_stage(axes, stage, names, loss)
        heading = "trunk" if not place else f"stage {place}"
        heading = f"{heading}, epochs {stage.first} to {stage.last}"
        chosen = [line.name for line in stage.lines if line.fate == "went on" and line.name]
        if place:
            heading += f": {chosen[0]} goes on" if chosen else ": every branch diverged"
        axes.set_title(heading, fontsize=10, loc="left")
    figure.legend(
        handles=_handles(stages, names),
        loc="outside lower left",
        ncols=across,
        frameon=False,
        fontsize=SMALL,
        handlelength=3,
    )
    entitle(figure, title)
    return figure


def _draw_stage(axes: Axes, stage: Stage, names: Sequence[str], loss: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for line in stage.lines:
        axes.plot(line.epochs, line.losses, **_style(line.name, line.fate == "went on", names))
        if line.fate in ("dropped", "diverged"):
            colour = _style(line.name, False, names)["color"]
            axes.plot(line.epochs[-1], line.losses[-1], color=colour, zorder=2.6, **_END[line.fate])
    low, high, beyond = limits(stage.lines)
    axes.set_ylim(low, high)
    axes.set_ylabel(f"{loss}{beyond}", fontsize=10)
    axes.set_xlabel("epoch", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="y", useOffset=False)
    plain_frame(axes)


def _style(name: str, went_on: bool, names: Sequence[str]) -> dict[str, Any]:
    """Return how a branch's line is drawn, thin ones on top; the trunk's name is empty."""
    if went_on and name == CONVENTIONAL:
        return {"color": _RED, "gapcolor": BLUE, "linestyle": (0, (3, 3)), "linewidth": 2.8}
    if went_on and name:
        return {"color": _RED, "linewidth": 2.8}
    if name in ("", CONVENTIONAL):
        return {"color": BLUE, "linewidth": 1.8, "zorder": 2.2}
    number = names.index(name)
    dashes = _DASHES[number % len(_DASHES)]
    colour = _MUTED[number % len(_MUTED)]
    return {"color": colour, "linestyle": dashes, "linewidth": 1.2, "zorder": 2.4}


def _handles(stages: Sequence[Stage], names: Sequence[str]) -> list[Any]:
    """Return the legend's entries: each branch, the one that went on, and how others ended."""
    from matplotlib.lines import Line2D

    words: dict[str, str] = {}
    for stage in stages[1:]:
        for line in stage.lines:
            if words.get(line.name, "weights stay") == "weights stay":
                words[line.name] = line.movement
    handles = [
        Line2D([], [], label=in_lines(f"{name}: {words[name]}", 46), **_style(name, False, names))
        for name in [CONVENTIONAL, *names]
        if name in words
    ]
    handles.append(Line2D([], [], label="the branch that goes on", color=_RED, linewidth=2.8))
    fates = {line.fate for stage in stages for line in stage.lines}
    return handles + [
        Line2D([], [], color="#555555", label=fate, **look)
        for fate, look in _END.items()
        if fate in fates
    ]
