"""Pictures beside their reconstructions: those that a detector decided best, and worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .errors import InputError
from .figures import Page
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

__all__ = ["Group", "choose", "reconstructions"]

# Inches.
_WIDTH_OF_TEXT = 2.5
_TOP, _MARGIN = 0.95, 0.3
_HEADING, _TITLE, _BLOCK_GAP, _ROW_GAP = 0.26, 0.34, 0.3, 0.22


class Group(NamedTuple):
    """Pictures of one label that were decided alike."""

    label: int
    called: int
    positions: np.ndarray
    """The chosen ones, the farthest from the threshold first, intp."""
    total: int
    """How many there are in all."""


_NAMES = {
    (0, 0): "Good, called good",
    (0, 1): "Good, called anomalous (false alarms)",
    (1, 1): "Anomalous, called anomalous (found)",
    (1, 0): "Anomalous, called good (missed)",
}


def choose(scores: np.ndarray, labels: np.ndarray, threshold: float, count: int) -> list[Group]:
    """Choose the most confident right and wrong decisions among good and among anomalous pictures.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Anomaly scores; above the threshold is called anomalous.
    labels : ndarray of shape (n,)
        1 is anomalous, 0 good.
    threshold : float
        In the scores' unit.
    count : int
        How many to choose of each group, at the most.

    Returns
    -------
    list of Group
        Good ones called good, false alarms, found and missed ones; empty groups are left out.

    Raises
    ------
    InputError
        When ``count`` is below 1.

    Examples
    --------
    >>> scores, labels = np.array([1.0, 2.0, 5.0, 4.0, 6.0]), np.array([0, 0, 0, 1, 1])
    >>> [group.positions.tolist() for group in choose(scores, labels, 3.0, count=1)]
    [[0], [2], [4]]
    """
    if count < 1:
        raise InputError(f"count={count}: at least one picture of each group is wanted")
    called = np.asarray(scores) > threshold
    order = np.argsort(-np.abs(np.asarray(scores) - threshold), kind="stable")
    groups = []
    for label, call in _NAMES:
        of_group = order[(np.asarray(labels)[order] == label) & (called[order] == bool(call))]
        if len(of_group):
            groups.append(Group(label, call, of_group[:count], len(of_group)))
    return groups


def reconstructions(detector: Scoring, labelled: Labelled, title: str, count: int) -> Figure:
    """Draw pictures, their reconstructions and squared errors, a row for each group of `choose`.

    Parameters
    ----------
    detector : fitted detector
        Its threshold is ``-offset_``.
    labelled : labelled pictures
        At least one.
    title : str
        Stands above.
    count : int
        As in `choose`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When there are no pictures, or ``count`` is below 1.
    """
    if not len(labelled.pictures):
        raise InputError("got no pictures to draw; give at least one")
    threshold = -detector.offset_
    scores = detector.anomaly_score(labelled.pictures)
    groups = choose(scores, labelled.labels, threshold, count)
    chosen = np.concatenate([group.positions for group in groups])
    columns, maps, unit = as_shown(detector, labelled.pictures.take(chosen))
    scale = error_scale(maps)

    high, wide = inches(labelled.pictures.shape[:2])
    block = max(len(columns) * (wide + GAP) - GAP, _WIDTH_OF_TEXT)
    row = _HEADING + _TITLE + high + _ROW_GAP
    across = max(len(group.positions) for group in groups)
    # Never narrower than the line of explanation.
    blocks = max(across * (block + _BLOCK_GAP), 6.5)
    lines = Page.lines(title, _MARGIN + blocks + BAR)
    more = (len(lines) - 1) * Page.LINE
    page = Page(_MARGIN + blocks + BAR, _TOP + more + len(groups) * row)
    page.write(_MARGIN, 0.2, "\n".join(lines), Page.TITLE)
    explained = (
        f"Left to right: {', '.join(columns)}. Called anomalous: scores above {threshold:.4g}."
    )
    page.write(_MARGIN, 0.52 + more, explained, 10)
    number = 0
    for line, group in enumerate(groups):
        upper = _TOP + more + line * row
        some = f" of {group.total}" if group.total > len(group.positions) else ""
        heading = f"{_NAMES[group.label, group.called]}: {len(group.positions)}{some}"
        page.write(_MARGIN, upper, heading, 11, weight="bold")
        for place, position in enumerate(group.positions):
            left = _MARGIN + place * (block + _BLOCK_GAP)
            decision = "anomalous" if group.called else "good"
            text = f"{labelled.kinds[position]}\nscore {scores[position]:.4g}, called {decision}"
            page.write(left, upper + _HEADING, text, 8.5)
            for step, images in enumerate(columns.values()):
                axes = page.place(left + step * (wide + GAP), upper + _HEADING + _TITLE, wide, high)
                heat = draw_picture(axes, images[number], scale)  # maps are the last column
            number += 1
    first = _TOP + more + _HEADING + _TITLE
    bar = page.place(page.width - BAR, first, 0.14, (len(groups) - 1) * row + high)
    colour_bar(bar, heat, maps, unit)
    return page.figure
