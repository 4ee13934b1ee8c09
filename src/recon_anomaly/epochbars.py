"""The AUROC after every epoch of a training as bars, above the weights of the loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .cells import short
from .errors import InputError
from .figures import BLUE, entitle, in_lines, legend_beside, plain_frame
from .history import History
from .weightlines import draw_weights, weights_change

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Measured", "auroc_bars", "measured"]


class Measured(NamedTuple):
    """The AUROC after each epoch of a training."""

    epochs: np.ndarray
    """Counted from 1, intp (n,)."""
    auroc: np.ndarray
    """float64 (n,)."""
    oracle: bool
    """Whether it was taken on the test pictures; else on labelled validation pictures."""


def measured(record: Mapping[str, Any]) -> Measured | None:
    """Return the AUROC of every epoch that led to the network, or None where none was taken.

    That on the test pictures ("observed") comes before that on the validation pictures.
    """
    observed = [(one["epoch"], one["auroc"]) for one in record.get("observed") or ()]
    of_validation = [
        (one.epoch, one.figures["auroc"])
        for one in _history(record).records
        if "auroc" in one.figures
    ]
    if not observed and not of_validation:
        return None
    epochs, auroc = zip(*(observed or of_validation), strict=True)
    return Measured(np.array(epochs), np.array(auroc), oracle=bool(observed))


def auroc_bars(rows: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw the AUROC after each epoch as bars, a panel for each training, one axis for all.

    Where weights change, they are lines on an axis of their own below the bars. The epoch whose
    network was kept is dark, and the highest one has a mark (Nakata et al., Figs. 14 and 15).

    Parameters
    ----------
    rows : mapping of str to mapping
        Records with a history, by what stands above their panel; each has what `measured` returns.
    title : str
        Stands above, in one line or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When there is no record, or one has no AUROC.
    """
    from matplotlib.figure import Figure

    found = {name: measured(record) for name, record in rows.items()}
    if not found or None in found.values():
        raise InputError("no AUROC was taken after the epochs; there is nothing to draw")
    drawn = [one for one in found.values() if one is not None]
    room = _room(np.concatenate([one.auroc for one in drawn]))
    last = max(one.epochs.max() for one in drawn)
    histories = {name: _history(record) for name, record in rows.items()}
    changing = {name: weights_change(history) for name, history in histories.items()}
    heights: list[float] = []
    for name in rows:
        heights += [1.8, 1.0] if changing[name] else [1.8]
    figure = Figure(figsize=(9.6, 1.2 * sum(heights) + 0.5 * len(rows) + 0.7), layout="constrained")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    place, first = 0, None
    for name, one in zip(found, drawn, strict=True):
        bars = figure.add_subplot(grid[place], sharex=first)
        first = first or bars
        _bars(bars, one, histories[name].kept_epoch)
        bars.set(xlim=(0.3, last + 0.7), ylim=room)
        bars.set_title(in_lines(name, 100), fontsize=10, loc="left")
        place += 1
        if changing[name]:
            bars.tick_params(labelbottom=False)
            below = figure.add_subplot(grid[place], sharex=bars)
            draw_weights(below, histories[name])
            below.set_ylabel("weight", fontsize=10)
            place += 1
    figure.axes[-1].set_xlabel("epoch", fontsize=10)
    entitle(figure, title)
    return figure


def _history(record: Mapping[str, Any]) -> History:
    found = record.get("history")
    return History((), 0) if found is None else History.from_dict(found)


def _bars(axes: Axes, one: Measured, kept: int | None) -> None:
    """Draw the bars, the kept one dark, and mark the highest."""
    from matplotlib.ticker import MaxNLocator

    where = "test pictures (oracle)" if one.oracle else "validation pictures"
    chosen = one.epochs == kept
    axes.bar(one.epochs, one.auroc, 0.8, color="#9CC3DD", label=f"after each epoch, on {where}")
    if chosen.any():
        value = float(one.auroc[chosen][0])
        label = f"epoch {kept}, which was kept: {short(value)}"
        axes.bar(one.epochs[chosen], one.auroc[chosen], 0.8, color=BLUE, label=label)
    best = int(np.argmax(one.auroc))
    axes.plot(
        one.epochs[best],
        one.auroc[best],
        linestyle="none",
        marker=7,  # a triangle whose point touches the bar
        markersize=7,
        color="black",
        clip_on=False,
        label=f"highest, epoch {one.epochs[best]}: {short(float(one.auroc[best]))}",
    )
    axes.set_ylabel("AUROC", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    plain_frame(axes)
    legend_beside(axes, [*range(1, 1 + len(axes.containers)), 0])  # the mark comes last


def _room(auroc: np.ndarray) -> tuple[float, float]:
    """Return the ends of the axis, which does not begin at 0: differences are what is looked for."""
    low, high = float(auroc.min()), float(auroc.max())
    spare = max(0.2 * (high - low), 0.01)
    return max(0.0, low - spare), min(1.0, high + spare)
