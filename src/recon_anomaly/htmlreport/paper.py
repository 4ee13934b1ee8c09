"""The plots of a report as a paper prints them, by matplotlib: PNG and PDF."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon_anomaly.captions import safe_name
from recon_anomaly.cells import short
from recon_anomaly.figures import BLUE, SMALL, VERMILION, entitle, legend_beside, plain_frame
from recon_anomaly.plots import check_matplotlib
from recon_anomaly.weightlines import draw_weights
from recon_anomaly.writing import make_folder, whole_file

from .contents import Contents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_plots", "figures_of"]

_DOTS_PER_INCH = 300
_BINS = 32


def draw_plots(contents: Contents, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw each plot of a report into a folder, as PNG and as PDF.

    Parameters
    ----------
    contents : Contents
        What the report shows; the threshold is the saved one.
    folder : path
        Made if it is missing; files of the same names are replaced.

    Returns
    -------
    list of Path
        ``…-scores``, ``…-precision-recall`` and ``…-roc``, ``…-losses`` and ``…-weights``, each .png and
        .pdf, as far as there are labels of both classes, and a history.

    Raises
    ------
    InputError
        When matplotlib is missing.
    SavedFileError
        When the folder cannot be made, or a file cannot be written.
    """
    check_matplotlib()
    place = make_folder(folder)
    written = []
    for name, figure in _plainly(figures_of(contents)):
        for ending in ("png", "pdf"):
            path = place / f"{safe_name(contents.title)}-{name}.{ending}"
            # Without a date the same report gives the same bytes.
            metadata = {"CreationDate": None} if ending == "pdf" else None
            with whole_file(path) as temporary:
                figure.savefig(temporary, format=ending, dpi=_DOTS_PER_INCH, metadata=metadata)
            written.append(path)
    return written


def _plainly(figures: Iterator[tuple[str, Figure]]) -> Iterator[tuple[str, Figure]]:
    """Give figures in which a dollar is a dollar, and begins no formula: names of folders may have several."""
    from matplotlib.text import Text

    for name, figure in figures:
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        yield name, figure


def figures_of(contents: Contents) -> Iterator[tuple[str, Figure]]:
    """Give the figures of a report, each with a name for its file."""
    yield "scores", _scores(contents)
    if contents.ranking and contents.ranking["auroc"] is not None:
        yield "precision-recall", _precision_recall(contents)
        yield "roc", _roc(contents)
    if contents.history is not None:
        yield "losses", _losses(contents)
        yield "weights", _weights(contents)


def _scores(contents: Contents) -> Figure:
    figure, axes = _figure(contents.title)
    scores, labels = contents.scores, contents.labels
    ends = np.array([min(scores.min(), contents.threshold), max(scores.max(), contents.threshold)])
    if ends[0] > 0 and ends[1] >= 100 * ends[0]:
        edges = np.geomspace(ends[0], ends[1], _BINS + 1)
        axes.set_xscale("log")
    else:
        room = max(0.0, 1e-6 * np.abs(ends).max() - np.ptp(ends)) or float(not ends.any())
        edges = np.linspace(ends[0] - room, ends[1] + room, _BINS + 1)
    groups: list[tuple[str, Any, str]] = [("pictures", scores, BLUE)]
    if labels is not None:
        groups = [
            ("good", scores[labels == 0], BLUE),
            ("anomalous", scores[labels == 1], VERMILION),
        ]
    for (name, values, colour), hatch in zip(groups, (None, "///"), strict=False):
        if len(values):
            axes.stairs(
                np.histogram(values, edges)[0],
                edges,
                fill=True,
                facecolor=(colour, 0.35 if hatch is None else 0.1),
                edgecolor=colour,
                hatch=hatch,
                linewidth=1.2,
                label=f"{name} ({len(values)})",
            )
    axes.axvline(contents.threshold, color="black", linestyle=(0, (4, 2)), label="threshold")
    axes.set_xlabel(f"anomaly score ({contents.scorer})")
    axes.set_ylabel("pictures")
    axes.set_ylim(bottom=0)
    legend_beside(axes)
    return figure


def _precision_recall(contents: Contents) -> Figure:
    from sklearn.metrics import precision_recall_curve

    figure, axes = _figure(contents.title)
    precision, recall, _ = precision_recall_curve(contents.labels, contents.scores)
    area = contents.ranking["average_precision"]
    axes.plot(recall, precision, color=BLUE, label=f"average precision {short(area or 0.0)}")
    decision = contents.decision
    if decision["precision"] is not None:
        _point(axes, decision["recall"], decision["precision"])
    _unit(axes, "recall", "precision")
    return figure


def _roc(contents: Contents) -> Figure:
    from sklearn.metrics import roc_curve

    figure, axes = _figure(contents.title)
    alarms, recall, _ = roc_curve(contents.labels, contents.scores)
    axes.plot(alarms, recall, color=BLUE, label=f"AUROC {short(contents.ranking['auroc'] or 0.0)}")
    decision = contents.decision
    _point(axes, 1 - decision["specificity"], decision["recall"])
    _unit(axes, "false-alarm rate", "recall")
    return figure


def _losses(contents: Contents) -> Figure:
    assert contents.history is not None
    figure, axes = _figure(contents.title)
    records = contents.history.records
    epochs = [one.epoch for one in records]
    training = [sum(one.training.values()) for one in records]
    axes.plot(epochs, training, color=BLUE, label="training")
    axes.plot(
        epochs,
        [one.loss for one in records],
        color=VERMILION,
        linestyle=(0, (6, 2)),
        label="validation",
    )
    if contents.history.kept_epoch is not None:
        axes.axvline(
            contents.history.kept_epoch, color="black", linestyle=(0, (2, 2)), label="kept epoch"
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss: sum of its terms, without weights")
    legend_beside(axes)
    return figure


def _weights(contents: Contents) -> Figure:
    assert contents.history is not None
    figure, axes = _figure(contents.title)
    axes.set_xlim(0.3, len(contents.history) + 0.7)
    draw_weights(axes, contents.history)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("weight of the loss term")
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    plain_frame(axes)
    entitle(figure, title)
    return figure, axes


def _point(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "o", color="black", markerfacecolor="white", label="at the threshold")


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.01), xlabel=x, ylabel=y)
    axes.grid(color="#E4E4E4", linewidth=0.6)
    axes.legend(loc="lower center", frameon=False, fontsize=SMALL)
