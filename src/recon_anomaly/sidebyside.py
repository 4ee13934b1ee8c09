"""Detectors side by side: what each makes of one good and one anomalous picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError
from .figures import Page
from .panels import choose
from .shown import (
    BAR,
    GAP,
    Labelled,
    Scoring,
    as_shown,
    colour_bar,
    draw_picture,
    error_scale,
    inches,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["side_by_side", "typical"]

# Inches.
_TOP, _MARGIN, _HEADING, _TEXT, _BLOCK_GAP = 1.0, 0.3, 0.24, 0.52, 0.12
_WIDTH_OF_TEXT, _LEAST_WIDTH = 2.5, 8.4


def typical(detector: Scoring, labelled: Labelled) -> list[int]:
    """Return the position of one good and of one anomalous picture, where there are such.

    Of each label it is the one that the detector decides rightly with the most certainty, or if all
    are decided wrongly, the worst: the first that `choose` finds.
    """
    scores = detector.anomaly_score(labelled.pictures)
    first: dict[int, int] = {}
    for group in choose(scores, labelled.labels, -detector.offset_, 1):  # right ones come first
        first.setdefault(group.label, int(group.positions[0]))
    return [first[label] for label in sorted(first)]


def side_by_side(detectors: Mapping[str, Scoring], labelled: Labelled, title: str) -> Figure:
    """Draw what every detector makes of the same two pictures, a row for each detector.

    A row has, for the good and for the anomalous picture, the picture, its reconstruction and the
    squared error with its mean (Nakata et al., Figs. 16 to 19). The errors of one picture share a scale
    of colours. Where models reconstruct features, the anomaly map stands for the last two.

    Parameters
    ----------
    detectors : mapping of str to fitted detector
        Two or more, by what stands above their row. The first one alone chooses the pictures, as
        `typical` says.
    labelled : labelled pictures
        At least one.
    title : str
        Stands above.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When there are no pictures, fewer than two detectors, or detectors whose maps are not of one
        unit.
    """
    if len(detectors) < 2:
        raise InputError(f"got {len(detectors)} detectors; at least two stand side by side")
    if not len(labelled.pictures):
        raise InputError("got no pictures to draw; give at least one")
    chooser = next(iter(detectors))
    chosen = typical(detectors[chooser], labelled)
    pictures = labelled.pictures.take(np.array(chosen))
    made = {label: as_shown(detector, pictures) for label, detector in detectors.items()}
    units = {one.unit for one in made.values()}
    if len(units) > 1:
        raise InputError(
            f"the detectors' maps are of different units ({', '.join(sorted(units))}), which one scale "
            "of colours cannot show; draw those that reconstruct features by themselves"
        )
    columns = list(made[chooser].columns)
    mean = "MSE" if columns[-1] == "squared error" else "mean"

    high, wide = inches(labelled.pictures.shape[:2])
    block = max(len(columns) * (wide + GAP) - GAP, _WIDTH_OF_TEXT)
    row = _HEADING + high + _TEXT
    width = max(_MARGIN + len(chosen) * (block + _BLOCK_GAP + BAR), _LEAST_WIDTH)
    lines = Page.lines(title, width)
    top = _TOP + (len(lines) - 1) * Page.LINE
    page = Page(width, top + len(made) * row)
    page.write(_MARGIN, 0.14, "\n".join(lines), Page.TITLE)
    labels = [int(labelled.labels[position]) for position in chosen]
    page.write(_MARGIN, top - 0.54, _explained(columns, labels), 9)
    for line, label in enumerate(made):
        page.write(_MARGIN, top + line * row, label, 10.5, weight="bold")
    scores = {label: detector.anomaly_score(pictures) for label, detector in detectors.items()}
    for number, position in enumerate(chosen):
        left = _MARGIN + number * (block + _BLOCK_GAP + BAR)
        maps = np.stack([one.maps[number] for one in made.values()])
        scale = error_scale(maps)
        for line, (label, one) in enumerate(made.items()):
            upper = top + line * row + _HEADING
            for step, images in enumerate(one.columns.values()):
                axes = page.place(left + step * (wide + GAP), upper, wide, high)
                heat = draw_picture(axes, images[number], scale)  # maps are the last column
            called = "anomalous" if scores[label][number] > -detectors[label].offset_ else "good"
            text = (
                f"{labelled.kinds[position]}, called {called}\n{mean} {one.maps[number].mean():.4g}"
            )
            page.write(left, upper + high + 0.04, text, 9)
        bar = page.place(left + block + 0.12, top + _HEADING, 0.14, (len(made) - 1) * row + high)
        colour_bar(bar, heat, maps, made[chooser].unit)
    return page.figure


def _explained(columns: list[str], labels: list[int]) -> str:
    """Return what stands where, and why these pictures are shown and no others."""
    which = {
        (0,): "good picture",
        (1,): "anomalous picture",
        (0, 1): "good and the anomalous picture",
    }
    return (
        f"Left to right: {', '.join(columns)}; the scale of colours is that of the one picture.\nShown: the {which[tuple(labels)]} that the first "
        "detector decides with the most certainty; the others have no say."
    )
