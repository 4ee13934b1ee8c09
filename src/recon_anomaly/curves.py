"""Records become precision-recall curves, those of all models in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.metrics import auc, precision_recall_curve

from .cells import short
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
    plain_frame,
    scores_and_labels,
)
from .rows import TRIVIAL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curve", "Style", "curves", "precision_recall", "styles"]

# Okabe and Ito's colours, without the yellow and the pale blue that fade on white.
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, "#000000")
_GRAYS = ("#505050", "#767676", "#9A9A9A", "#B5B5B5")
# Solid, dashed, dash-dotted, with two dots: told apart where colours are not, or where curves meet.
_LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (6, 2, 1, 2)), (0, (6, 2, 1, 2, 1, 2)))
_TRIVIAL_LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1)))

_Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class Style(NamedTuple):
    """How the curves of one row are drawn."""

    colour: str
    line: Any
    width: float


class Curve(NamedTuple):
    """A precision-recall curve, arrays (points,), and its trapezoidal area."""

    recall: np.ndarray
    precision: np.ndarray
    area: float


def styles(rows: _Rows) -> dict[str, Style]:
    """Give each row a style: networks in colours, trivial models thin and gray.

    One call for all rows of a bench makes them look alike in all figures.

    Parameters
    ----------
    rows : mapping of str to sequence of mapping
        Records by the name of their row, from `rows_of`.

    Examples
    --------
    >>> [style.colour for style in styles({"a": [{"model": "cae"}], "b": [{"model": "mean"}]}).values()]
    ['#0072B2', '#505050']
    """
    found: dict[str, Style] = {}
    counts = {True: 0, False: 0}
    for name, records in rows.items():
        trivial = records[0]["model"] in TRIVIAL
        number = counts[trivial]
        counts[trivial] += 1
        colours, patterns = (_GRAYS, _TRIVIAL_LINES) if trivial else (_COLOURS, _LINES)
        # The line changes with the colour, and once more when the colours have run out.
        line = patterns[(number + number // len(colours)) % len(patterns)]
        found[name] = Style(colours[number % len(colours)], line, 1.0 if trivial else 1.8)
    return found


def curves(rows: _Rows) -> dict[str, list[Curve]]:
    """Return the precision-recall curves of each row, one for each record with both classes.

    Raises
    ------
    InputError
        When a record has not one finite score for each label.
    """
    found: dict[str, list[Curve]] = {}
    for name, records in rows.items():
        for record in records:
            scores, labels = scores_and_labels(record)
            if 0 < labels.sum() < len(labels):
                precision, recall, _ = precision_recall_curve(labels, scores)
                curve = Curve(recall, precision, float(auc(recall, precision)))
                found.setdefault(name, []).append(curve)
    return found


def precision_recall(rows: _Rows, look: Mapping[str, Style], title: str) -> Figure:
    """Draw the precision-recall curves of all rows on one test set.

    The lines between points are straight, as the trapezoidal area in the legend takes them. Several
    seeds are thin lines of one colour, with their mean area.

    Parameters
    ----------
    rows : mapping of str to sequence of mapping
        Records of one test set and scorer, by the name of their row; one class draws nothing.
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

    drawn = curves(rows)
    if not drawn:
        raise InputError(
            "no record has scores of both good and anomalous pictures; none has a curve"
        )
    share = float(np.mean(scores_and_labels(rows[next(iter(drawn))][0])[1]))
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
