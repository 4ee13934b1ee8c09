"""Records become precision-recall curves, those of all models in one figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.metrics import auc, precision_recall_curve

from .errors import InputError
from .figures import (
    BLUE,
    SMALL,
    VERMILION,
    entitle,
    in_lines,
    model_label,
    plain_frame,
    scores_and_labels,
)
from .report import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curve", "Style", "curves", "precision_recall", "styles"]

# Okabe and Ito's colours, without the yellow and the pale blue that fade on white.
_COLOURS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#000000")
_GRAYS = ("#505050", "#767676", "#9A9A9A", "#B5B5B5")
# Solid, dashed, dash-dotted, with two dots: told apart where colours are not, or where curves meet.
_LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (6, 2, 1, 2, 1, 2)))
_TRIVIAL_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1)))
_TRIVIAL = frozenset({"brightness", "mean", "nearest", "pca"})


class Style(NamedTuple):
    """How the curves of one model are drawn."""

    colour: str
    line: Any
    width: float


class Curve(NamedTuple):
    """A precision-recall curve, arrays (points,), and its trapezoidal area."""

    recall: np.ndarray
    precision: np.ndarray
    area: float


def styles(records: Iterable[Mapping[str, Any]]) -> dict[str, Style]:
    """Give each model with scores a style: networks in colours, trivial models thin and gray.

    One call for all records of a bench makes a model look alike in all figures.

    Returns
    -------
    dict of str to Style
        By `model_label`, in the order of the records.

    Examples
    --------
    >>> records = [{"model": name, "model_params": {}, "scores": [1.0]} for name in ("cae", "mean")]
    >>> [(label, style.colour) for label, style in styles(records).items()]
    [('cae', '#0072B2'), ('mean', '#505050')]
    """
    found: dict[str, Style] = {}
    counts = {True: 0, False: 0}
    for record in records:
        label = model_label(record)
        if record["scores"] is None or label in found:
            continue
        trivial = record["model"] in _TRIVIAL
        number = counts[trivial]
        counts[trivial] += 1
        colours, patterns = (_GRAYS, _TRIVIAL_LINES) if trivial else (_COLOURS, _LINES)
        # The line changes with the colour, and once more when the colours have run out.
        line = patterns[(number + number // len(colours)) % len(patterns)]
        found[label] = Style(colours[number % len(colours)], line, 1.0 if trivial else 1.8)
    return found


def curves(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Curve]]:
    """Return the precision-recall curves, by `model_label`, one for each record with both classes.

    Raises
    ------
    InputError
        When a record has not one finite score for each label.
    """
    found: dict[str, list[Curve]] = {}
    for record in records:
        if record["scores"] is None:
            continue
        scores, labels = scores_and_labels(record)
        if 0 < labels.sum() < len(labels):
            precision, recall, _ = precision_recall_curve(labels, scores)
            curve = Curve(recall, precision, float(auc(recall, precision)))
            found.setdefault(model_label(record), []).append(curve)
    return found


def precision_recall(
    records: Sequence[Mapping[str, Any]], look: Mapping[str, Style], title: str
) -> Figure:
    """Draw the precision-recall curves of all models on one test set.

    The lines between points are straight, as the trapezoidal area in the legend takes them. Several
    seeds are thin lines of one colour, with their mean area.

    Parameters
    ----------
    records : sequence of mapping
        Of one test set and scorer; those without scores, or with one class, draw nothing.
    look : mapping of str to Style
        From `styles`.
    title : str
        Stands above, in one line or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When a record has not one finite score for each label, or none has both classes.
    """
    from matplotlib.figure import Figure

    drawn = curves(records)
    if not drawn:
        raise InputError(
            "no record has scores of both good and anomalous pictures; none has a curve"
        )
    share = float(
        np.mean(next(scores_and_labels(record)[1] for record in records if record["scores"]))
    )
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.add_subplot()
    for label, group in drawn.items():
        colour, line, width = look[label]
        area = short(float(np.mean([curve.area for curve in group])))
        seeds = f" (mean of {len(group)} seeds)" if len(group) > 1 else ""
        for number, curve in enumerate(group):
            axes.plot(
                curve.recall,
                curve.precision,
                color=colour,
                linestyle=line,
                linewidth=width if len(group) == 1 else 0.6 * width,
                label=in_lines(f"{label}, PR-AUC {area}{seeds}", 46) if number == 0 else None,
                zorder=2.5 if look[label].width > 1 else 2,
                clip_on=False,  # a perfect curve runs on the frame
            )
    axes.axhline(
        share,
        color="black",
        linestyle=(0, (2, 2)),
        linewidth=0.9,
        label=f"every picture called anomalous, precision {short(share)}",
        zorder=1.5,
    )
    lowest = min(float(curve.precision.min()) for group in drawn.values() for curve in group)
    axes.set(xlim=(0, 1), ylim=(max(0.0, np.floor(10 * min(lowest, share) - 0.3) / 10), 1))
    axes.set_xlabel("recall (sensitivity)", fontsize=11)
    axes.set_ylabel("precision", fontsize=11)
    axes.grid(color="#E4E4E4", linewidth=0.6)
    plain_frame(axes)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        frameon=False,
        fontsize=SMALL,
        handlelength=3.6,
    )
    entitle(figure, title)
    return figure
