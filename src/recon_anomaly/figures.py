"""What the figures of a bench have in common: colours, words, checked scores, titles, frames, pages.

Figures are made without pyplot, so that neither its state nor anybody's settings are touched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .cells import in_words
from .errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "ORANGE",
    "PURPLE",
    "SMALL",
    "VERMILION",
    "Page",
    "entitle",
    "in_lines",
    "legend_beside",
    "listed",
    "plain_frame",
    "scores_and_labels",
    "term_in_words",
]

BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
"""Five of Okabe and Ito's colours, which all kinds of colour vision tell apart."""
SMALL = 9
"""The smallest letters, in points."""

_TERMS = {"kl": "KL divergence", "log_variance": "log-variance"}


def term_in_words(term: str) -> str:
    """Return a loss term as a legend has it.

    Examples
    --------
    >>> term_in_words("kl"), term_in_words("scaled_error")
    ('KL divergence', 'scaled error')
    """
    return _TERMS.get(term, term.replace("_", " "))


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def scores_and_labels(record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return a record's scores, float64 (n,), and labels, int (n,).

    Raises
    ------
    InputError
        When there is not one finite score for each label, as may be in a file.
    """
    scores, labels = np.array(record["scores"], float), np.array(record["labels"], int)
    if scores.shape != labels.shape or not len(scores) or not np.isfinite(scores).all():
        raise InputError(
            f"the record of {in_words(record['model'], record['model_params'])} on "
            f"{record['test_set']} has {len(scores)} scores, {int(np.isfinite(scores).sum())} of them finite, and {len(labels)} labels; one finite "
            "score for each label is wanted: run the bench anew"
        )
    return scores, labels


def entitle(figure: Figure, title: str) -> None:
    """Write the title above, at the left, in as many lines as it needs."""
    characters = int(12 * figure.get_figwidth())
    lines = [in_lines(line, characters) for line in title.split("\n")]
    figure.suptitle("\n".join(lines), fontsize=11, x=0.01, horizontalalignment="left")


def plain_frame(axes: Axes) -> None:
    """Take the upper and right side of the frame away, and make the numbers small."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def legend_beside(axes: Axes, order: Sequence[int] | None = None) -> None:
    """Write the legend at the right of the axes, its entries in the order given or of drawing."""
    handles, labels = axes.get_legend_handles_labels()
    order = range(len(labels)) if order is None else order
    axes.legend(
        [handles[place] for place in order],
        [in_lines(labels[place], 36) for place in order],
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        frameon=False,
        fontsize=SMALL,
    )


def in_lines(text: str, characters: int) -> str:
    """Return the text in lines, and so that matplotlib does not take dollars for formulas."""
    return _plain(textwrap.fill(text, characters, break_on_hyphens=False))


def _plain(text: str) -> str:
    """Return text without formulas, and without the broken letters that a folder's name may have."""
    return text.encode("utf-8", "replace").decode().replace("$", r"\$")


class Page:
    """A figure on which things are placed by inches from its upper left corner.

    Parameters
    ----------
    width, height : float
        In inches.
    """

    TITLE, LINE = 13, 0.24
    """The letters of a title in points, and one of its lines in inches."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    @staticmethod
    def lines(title: str, width: float) -> list[str]:
        """Return a title in lines that a page of this width has room for."""
        return textwrap.wrap(title, int(8.5 * width)) or [""]

    def place(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes of this size."""
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def write(self, left: float, top: float, text: str, size: float, **more: Any) -> None:
        """Write text of ``size`` points below ``top``; ``more`` goes to matplotlib's ``text``."""
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            _plain(text),
            fontsize=size,
            verticalalignment="top",
            **more,
        )
