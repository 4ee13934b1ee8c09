"""Records become histograms of scores: what a threshold has to tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .figures import (
    BLUE,
    SMALL,
    VERMILION,
    entitle,
    in_lines,
    plain_frame,
    scores_and_labels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["histograms"]

_BINS = 32
_DECADES = 2  # a linear axis would put everything of the lower ones into its first bin


def histograms(rows: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> Figure:
    """Draw how the scores of good and of anomalous pictures spread, a panel for each row.

    Both classes share a panel's bins. Scores that are positive and span two decades or more stand on a
    logarithmic axis. With several seeds the heights are means over them; each has its threshold.

    Parameters
    ----------
    rows : mapping of str to sequence of mapping
        Records of one test set and scorer, with scores, by the name of their row.
    title : str
        Stands above, in one line or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When a record has not one finite score for each label, or there is none.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise InputError("no record has scores; there is nothing to draw")
    across = min(3, len(rows))
    down = -(-len(rows) // across)
    # Never narrower than the legend in one row.
    figure = Figure(figsize=(max(6.6, 3.4 * across), 2.4 * down + 1.1), layout="constrained")
    panels = [figure.add_subplot(down, across, place + 1) for place in range(len(rows))]
    for axes, (label, group) in zip(panels, rows.items(), strict=True):
        _histogram(axes, group)
        seeds = f" (mean of {len(group)} seeds)" if len(group) > 1 else ""
        axes.set_title(in_lines(label + seeds, 38), fontsize=10, loc="left")
    handles = {  # a panel may lack a class or a threshold
        str(handle.get_label()): handle
        for axes in panels
        for handle in axes.get_legend_handles_labels()[0]
    }
    for place, axes in enumerate(panels):
        if place >= len(panels) - across:  # nothing stands below
            axes.set_xlabel("anomaly score", fontsize=10)
        if place % across == 0:
            axes.set_ylabel("pictures", fontsize=10)
    figure.legend(
        handles=handles.values(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=SMALL,
    )
    entitle(figure, title)
    return figure


def _histogram(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    """Draw one model's scores, of one seed or several."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    pairs = [scores_and_labels(record) for record in records]
    scores = np.concatenate([scores for scores, _ in pairs])
    labels = np.concatenate([labels for _, labels in pairs])
    rules = [record["decisions"].get("quantile") for record in records]
    thresholds = [rule["threshold"] for rule in rules if rule is not None]
    every = np.concatenate([scores, thresholds])
    if every.min() > 0 and every.max() >= 10**_DECADES * every.min():
        edges = np.geomspace(every.min(), every.max(), _BINS + 1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        # Bins of scores that are all but equal would be narrower than the numbers can tell.
        room = max(0.0, 1e-6 * np.abs(every).max() - np.ptp(every)) or float(not every.any())
        edges = np.linspace(every.min() - room, every.max() + room, _BINS + 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.ticklabel_format(axis="x", scilimits=(-2, 3), useMathText=True)
    for label, name, colour in ((0, "good", BLUE), (1, "anomalous", VERMILION)):
        of_class = scores[labels == label]
        if len(of_class):
            heights = np.histogram(of_class, edges)[0] / len(records)
            axes.stairs(
                heights,
                edges,
                fill=True,
                facecolor=(colour, 0.35),
                edgecolor=colour,
                linewidth=1.2,
                label=name,
            )
    for number, threshold in enumerate(thresholds):
        axes.axvline(
            threshold,
            color="black",
            linestyle=(0, (4, 2)),
            linewidth=1.1,
            label=None if number else "threshold, from the validation pictures",
        )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    plain_frame(axes)
