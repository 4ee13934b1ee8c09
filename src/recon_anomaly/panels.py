"""Pictures beside their reconstructions: those that a detector decided best, and worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .errors import InputError
from .images import PixelRange, range_for
from .store import Pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Group", "Labelled", "Scoring", "choose", "reconstructions"]

# Inches.
_SHORTER_SIDE, _LONGER_SIDE, _WIDTH_OF_TEXT = 1.25, 1.9, 2.5
_TOP, _MARGIN, _BAR = 0.95, 0.3, 1.2
_HEADING, _TITLE, _GAP, _BLOCK_GAP, _ROW_GAP = 0.26, 0.34, 0.04, 0.3, 0.22
_BRIGHTEST = (
    0.995  # the share of error pixels below the top of the scale: one outlier hides all else
)


class Scoring(Protocol):
    """What is asked of a fitted detector."""

    offset_: float
    pixel_range_: PixelRange
    network_: Any

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return the anomaly scores (n,)."""

    def iter_scores(self, X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give scores (n,) and maps (n, h, w), batch by batch."""

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the reconstructions (n, h, w, c), in the pixel unit of ``X``."""


class Labelled(Protocol):
    """Labelled pictures, as a bench has them: 1 is anomalous; ``kinds`` names the defects."""

    @property
    def pictures(self) -> Pictures:
        """The pictures, n of them."""

    @property
    def labels(self) -> np.ndarray:
        """0 or 1 each, shape (n,)."""

    @property
    def kinds(self) -> Sequence[str]:
        """Say "good" or the kind of defect each, n of them."""


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

    Models that reconstruct features have the anomaly map in place of the last two. Pictures are shown
    in the range that the detector takes them in; what a reconstruction has beyond it is cut in the
    display, not in the error.

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
    from matplotlib.colors import Normalize

    if not len(labelled.pictures):
        raise InputError("got no pictures to draw; give at least one")
    threshold = -detector.offset_
    scores = detector.anomaly_score(labelled.pictures)
    groups = choose(scores, labelled.labels, threshold, count)
    chosen = np.concatenate([group.positions for group in groups])
    columns, errors, unit = _columns(detector, labelled.pictures, chosen)
    top = float(np.quantile(errors, _BRIGHTEST))
    scale = Normalize(0, top if top > 0 else 1.0)

    page = _Page(labelled.pictures.shape[:2], groups, len(columns))
    page.write(_MARGIN, 0.2, title, 13)
    explained = (
        f"Left to right: {', '.join(columns)}. Called anomalous: scores above {threshold:.4g}."
    )
    page.write(_MARGIN, 0.52, explained, 10)
    number = 0
    for line, group in enumerate(groups):
        upper = _TOP + line * page.row
        some = f" of {group.total}" if group.total > len(group.positions) else ""
        heading = f"{_NAMES[group.label, group.called]}: {len(group.positions)}{some}"
        page.write(_MARGIN, upper, heading, 11, weight="bold")
        for place, position in enumerate(group.positions):
            left = _MARGIN + place * (page.block + _BLOCK_GAP)
            decision = "anomalous" if group.called else "good"
            text = f"{labelled.kinds[position]}\nscore {scores[position]:.4g}, called {decision}"
            page.write(left, upper + _HEADING, text, 8.5)
            for step, images in enumerate(columns.values()):
                axes = page.place(
                    left + step * (page.wide + _GAP),
                    upper + _HEADING + _TITLE,
                    page.wide,
                    page.high,
                )
                axes.set_axis_off()
                if images.ndim == 3:  # maps have no channels
                    heat = axes.imshow(images[number], cmap="inferno", norm=scale, aspect="auto")
                else:
                    axes.imshow(images[number], cmap="gray", vmin=0, vmax=1, aspect="auto")
            number += 1
    first = _TOP + _HEADING + _TITLE
    bar = page.place(page.width - _BAR, first, 0.14, (len(groups) - 1) * page.row + page.high)
    page.figure.colorbar(heat, cax=bar, extend="max" if errors.max() > top else "neither")
    bar.yaxis.set_major_formatter("{x:.3g}")  # an exponent above would touch the bar's arrow
    bar.set_ylabel(unit, fontsize=10)
    bar.tick_params(labelsize=8.5)
    return page.figure


def _columns(
    detector: Scoring, pictures: Pictures, chosen: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
    """Return what stands beside each other, by name; its maps; and their unit."""
    some = pictures.take(chosen)
    images = some.batch(slice(None))
    low, high, _ = range_for(pictures, detector.pixel_range_)
    originals = {"picture": _displayed(images, low, high)}
    if hasattr(detector.network_, "target"):
        maps = np.concatenate([maps for _, maps in detector.iter_scores(some)])
        return originals | {"anomaly map": maps}, maps, "anomaly map"
    made = detector.reconstruct(some)
    difference = (made.astype(np.float64) - images) / (high - low)
    errors = np.square(difference).mean(axis=-1)
    columns = {"reconstruction": _displayed(made, low, high), "squared error": errors}
    return originals | columns, errors, "squared error (range of the pixels: 1)"


def _displayed(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return pictures (n, h, w, 1 or 3) in [0, 1]; one or two channels are shown gray."""
    shown = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
    return np.asarray(np.clip((shown - low) / (high - low), 0, 1), np.float32)


class _Page:
    """A figure on which things are placed by inches from its upper left corner."""

    def __init__(self, size: tuple[int, int], groups: Sequence[Group], columns: int) -> None:
        from matplotlib.figure import Figure

        zoom = min(_SHORTER_SIDE / min(size), _LONGER_SIDE / max(size))
        self.high, self.wide = zoom * size[0], zoom * size[1]
        self.block = max(columns * self.wide + (columns - 1) * _GAP, _WIDTH_OF_TEXT)
        self.row = _HEADING + _TITLE + self.high + _ROW_GAP
        across = max(len(group.positions) for group in groups)
        # Never narrower than the line of explanation.
        blocks = max(across * (self.block + _BLOCK_GAP), 6.5)
        self.width = _MARGIN + blocks + _BAR
        self.height = _TOP + len(groups) * self.row
        self.figure = Figure(figsize=(self.width, self.height))

    def place(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def write(self, left: float, top: float, text: str, size: float, **more: Any) -> None:
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text.replace("$", r"\$"),  # no formulas
            fontsize=size,
            verticalalignment="top",
            **more,
        )
