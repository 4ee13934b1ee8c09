"""The weights of the loss terms over the epochs of a training, as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .figures import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SMALL,
    VERMILION,
    entitle,
    in_lines,
    legend_beside,
    plain_frame,
    term_in_words,
)
from .history import EpochRecord, History
from .stages import movement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_weights", "weight_lines", "weights_change"]

_COLOURS = (ORANGE, BLUE, GREEN, PURPLE, "#000000", VERMILION)
_ACROSS, _WORD = 110, 12  # letters in the width of the axes, and in a long word
_DECADES = 2  # a linear axis would put all lighter terms on the ground


def weights_change(history: History) -> bool:
    """Return whether any weight on the way to the network differs between two epochs."""
    return any(one.weights != history.records[0].weights for one in history.records)


def weight_lines(record: Mapping[str, Any], title: str) -> Figure:
    """Draw the weights of the loss terms over the epochs that led to the network.

    Lines that lie on each other are told apart by their widths. Where the training went on with a
    branch, its name stands above (Nakata et al., Figs. 23 and 24).

    Parameters
    ----------
    record : mapping
        With a history of at least one epoch.
    title : str
        Stands above, in one line or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When the history has no epochs.
    """
    from matplotlib.figure import Figure

    history = History.from_dict(record["history"])
    if not history.records:
        raise InputError("the history has no epochs; there is nothing to draw")
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0.3, len(history) + 0.7)
    draw_weights(axes, history)
    axes.set_xlabel("epoch", fontsize=10)
    axes.set_ylabel("weight of the loss term", fontsize=10)
    turns = list(_turns(history.records))
    for number, (start, name, words) in enumerate(turns):
        end = turns[number + 1][0] if number + 1 < len(turns) else len(history)
        letters = int(_ACROSS * (end - start) / len(history)) - 1
        axes.axvline(start, color="#666666", linestyle=(0, (2, 2)), linewidth=0.9, zorder=1)
        axes.annotate(
            in_lines(f"{name}: {words}" if letters >= _WORD else name, max(letters, 1)),
            (start, 1),
            (3, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=SMALL,
        )
    entitle(figure, title)
    return figure


def draw_weights(axes: Axes, history: History) -> None:
    """Draw a line for each term, each narrower than the one below, so that all are seen."""
    from matplotlib.ticker import MaxNLocator

    epochs = [one.epoch for one in history.records]
    weights = np.array([[one.weights[term] for term in history.terms] for one in history.records])
    for number, term in enumerate(history.terms):
        axes.plot(
            epochs,
            weights[:, number],
            color=_COLOURS[number % len(_COLOURS)],
            linewidth=1.2 * (len(history.terms) - number),
            solid_capstyle="butt",
            solid_joinstyle="miter",
            drawstyle="steps-mid",
            label=term_in_words(term),
            clip_on=False,
        )
    highest = weights.max(axis=0)  # of each term: how far one falls does not matter here
    highest = highest[highest > 0]
    if len(highest) and highest.max() >= 10**_DECADES * highest.min():
        axes.set_yscale("symlog", linthresh=float(highest.min()))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    plain_frame(axes)
    legend_beside(axes)


def _turns(records: Sequence[EpochRecord]) -> Iterator[tuple[float, str, str]]:
    """Give where the training went on with a branch, between epochs, its name, and what it did."""
    for number, one in enumerate(records):
        if one.path and (number == 0 or records[number - 1].path != one.path):
            of_branch = [other for other in records if other.path == one.path]
            words = movement([*records[max(0, number - 1) : number], *of_branch])
            yield one.epoch - 0.5, one.path[-1], words
