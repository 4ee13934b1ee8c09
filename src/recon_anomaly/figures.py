"""What the figures of a bench have in common: names, checked scores, titles, frames.

Figures are made without pyplot, so that neither its state nor anybody's settings are touched.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InputError
from .report import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "SMALL",
    "VERMILION",
    "entitle",
    "in_lines",
    "model_label",
    "plain_frame",
    "scores_and_labels",
]

BLUE, VERMILION = "#0072B2", "#D55E00"
"""Two of Okabe and Ito's colours, which all kinds of colour vision tell apart."""
SMALL = 9
"""The smallest letters, in points."""


def model_label(record: Mapping[str, Any]) -> str:
    """Return the model's name, with its parameters where it has any."""
    return in_words(record["model"], record["model_params"])


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
            f"the record of {model_label(record)} on {record['test_set']} has {len(scores)} scores, "
            f"{int(np.isfinite(scores).sum())} of them finite, and {len(labels)} labels; one finite "
            "score for each label is wanted: run the bench anew"
        )
    return scores, labels


def entitle(figure: Figure, title: str) -> None:
    """Write the title above, at the left, in as many lines as it needs."""
    characters = int(12 * figure.get_figwidth())
    shown = title.encode("utf-8", "replace").decode()  # a folder's name may be any bytes
    lines = [in_lines(line, characters) for line in shown.split("\n")]
    figure.suptitle("\n".join(lines), fontsize=11, x=0.01, horizontalalignment="left")


def plain_frame(axes: Axes) -> None:
    """Take the upper and right side of the frame away, and make the numbers small."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)


def in_lines(text: str, characters: int) -> str:
    """Return the text in lines, and so that matplotlib does not take dollars for formulas."""
    return textwrap.fill(text, characters).replace("$", r"\$")
