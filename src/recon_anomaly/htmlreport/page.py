"""The contents of a report become one HTML file: template, style and script stand beside this module."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from recon_anomaly.figures import term_in_words
from recon_anomaly.history import History
from recon_anomaly.writing import whole_file

from .contents import GOOD, Contents

__all__ = ["page", "write_page"]


def write_page(contents: Contents, path: str | os.PathLike[str]) -> None:
    """Write a report to one HTML file, whole or not at all.

    Parameters
    ----------
    contents : Contents
        From `contents_of_folder` or `contents_of_record`.
    path : path
        The file; one that exists is replaced.

    Raises
    ------
    SavedFileError
        When the file cannot be written.
    """
    text = page(contents)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def page(contents: Contents) -> str:
    """Return a report as HTML: it wants no network, and runs no script but its own.

    Names are escaped by the template; that nothing else may run or be loaded is also said in the page's
    content security policy, which names its script and its style by their hashes.

    Examples
    --------
    >>> found = Contents("<b>", ("1.png",), np.array([1.0]), None, 2.0, "given", "mse")
    >>> text = page(found)
    >>> "<b>" in text, "&lt;b&gt;" in text
    (False, True)
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = _short
    environment.filters["share"] = _share
    environment.filters["hash"] = _hash
    rank_of = np.empty(len(contents.order), np.intp)
    rank_of[contents.order] = np.arange(len(contents.order))
    tiles = [
        {
            "rank": int(rank_of[tile.position]),
            "name": contents.names[tile.position],
            "score": float(contents.scores[tile.position]),
            "called": bool(contents.scores[tile.position] > contents.threshold),
            "kind": None if contents.kinds is None else contents.kinds[tile.position],
            "thumbnail": tile.thumbnail,
            "views": tile.views,
        }
        for tile in contents.tiles
    ]
    return environment.from_string(_file("report.html")).render(
        report=contents,
        tiles=tiles,
        data=_data(contents),
        decision=contents.decision,
        ranking=contents.ranking,
        kinds=contents.by_kind(),
        called=int((contents.scores > contents.threshold).sum()),
        good=GOOD,
        style=Markup(_file("report.css")),
        scripts=[Markup(_file(name)) for name in ("plots.js", "report.js")],
    )


def _data(contents: Contents) -> dict[str, Any]:
    """Return what the script computes with: all scores from the highest to the lowest, and their kinds."""
    order = contents.order
    names = [row.kind for row in contents.by_kind()]
    number = {name: k for k, name in enumerate(names)}
    return {
        "scores": contents.scores[order].tolist(),
        "kinds": None
        if contents.kinds is None
        else [number[contents.kinds[position]] for position in order],
        "names": names,
        "good": number.get(GOOD, -1),
        "threshold": contents.threshold,
        "ratio": contents.size[1] / contents.size[0],
        "history": None if contents.history is None else _lines(contents.history),
    }


def _lines(history: History) -> dict[str, Any]:
    """Return the curves of a training: the sums of its loss terms, and each term's weight."""
    records = history.records
    return {
        "epochs": [one.epoch for one in records],
        "kept": history.kept_epoch,
        "losses": {
            "training": [_finite(sum(one.training.values())) for one in records],
            "validation": [_finite(one.loss) for one in records],
        },
        "weights": {
            term_in_words(term): [one.weights[term] for one in records] for term in history.terms
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no word for the others


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001  # as a table has it
