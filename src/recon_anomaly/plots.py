"""Plots as PNG files: a bench's curves and histograms, and pictures beside their reconstructions.

They need matplotlib, which ``pip install 'recon-anomaly[report]'`` brings.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves import curves, precision_recall, styles
from .errors import InputError, SavedFileError
from .histograms import histograms
from .panels import Labelled, Scoring, reconstructions
from .writing import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_matplotlib", "draw_panels", "draw_records"]

_TEST_SET = (
    "data",
    "data_checksum",
    "test_set",
    "image_size",
    "epochs",
    "schedule",
    "schedule_params",
    "drop_leaked",
)
"""The settings that the curves of one plot have in common, with the scorer."""
_DOTS_PER_INCH = 150
_LONGEST_NAME = 150  # file systems take 255 bytes, with what is added while the file is written


def check_matplotlib() -> None:
    """Refuse to go on where matplotlib is missing, so that it is known before hours of training.

    Raises
    ------
    InputError
        When it is; the message says how to install it.
    """
    try:
        import matplotlib.figure  # noqa: F401  # whether it can be imported is the question
    except ImportError as error:
        raise InputError(
            f"plots need matplotlib, which cannot be imported ({error}); install it with: "
            "pip install 'recon-anomaly[report]'"
        ) from error


def draw_records(
    records: Iterable[Mapping[str, Any]], folder: str | os.PathLike[str]
) -> list[Path]:
    """Draw the precision-recall curves and the histograms of scores of a bench.

    Each test set and scorer has a file of each, over all models and seeds. Records without scores, as
    the row that calls everything defective, draw nothing; where a test set has one class only there
    are no curves, and the histograms show what there is.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`.
    folder : path
        Made if it is missing; files of the same names are replaced.

    Returns
    -------
    list of Path
        The files, in the order of the records: ``…-precision-recall.png`` and ``…-scores.png``.

    Raises
    ------
    InputError
        When matplotlib is missing, or a record has not one finite score for each label.
    SavedFileError
        When the folder cannot be made, or a file cannot be written.
    """
    check_matplotlib()
    scored = [record for record in records if record["scores"] is not None]
    look = styles(scored)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in scored:
        shared = [record["scorer"], *(record.get(name) for name in _TEST_SET)]
        groups.setdefault(json.dumps(shared, sort_keys=True), []).append(record)

    place = _folder(folder)
    written: list[Path] = []
    taken: set[str] = set()
    for group in groups.values():
        title, name = _title(group), _free(_name(group[0]), taken)
        if curves(group):
            figure = precision_recall(group, look, title)
            written.append(_save(figure, place / f"{name}-precision-recall.png"))
        written.append(_save(histograms(group, title), place / f"{name}-scores.png"))
    return written


def draw_panels(
    detector: Scoring,
    labelled: Labelled,
    folder: str | os.PathLike[str],
    name: str,
    count: int = 4,
) -> Path:
    """Draw the pictures that a detector decided best and worst, with what it made of them.

    Rows are the good pictures called good, the false alarms, the defects found and those missed; in
    each the pictures farthest from the threshold come first. Beside each picture stand its
    reconstruction and the squared error, or the anomaly map where the model reconstructs features.

    Parameters
    ----------
    detector : fitted detector
        Its own threshold decides.
    labelled : LabelledPictures
        At least one picture.
    folder : path
        Made if it is missing; a file of the same name is replaced.
    name : str
        Stands in the title and, with safe characters only, in the file's name.
    count : int
        How many pictures a row has, at the most.

    Returns
    -------
    Path
        The file, ``<name>-pictures.png``.

    Raises
    ------
    InputError
        When matplotlib is missing, there are no pictures, or ``count`` is below 1.
    SavedFileError
        When the folder cannot be made, or the file cannot be written.
    """
    check_matplotlib()
    figure = reconstructions(detector, labelled, name, count)
    return _save(figure, _folder(folder) / f"{_safe(name)}-pictures.png")


def _title(records: Sequence[Mapping[str, Any]]) -> str:
    """Return two lines: what was tested, and under which settings."""
    record = records[0]
    anomalous = sum(record["labels"])
    height, width = record["image_size"]
    parts = [
        f"{len(record['labels']) - anomalous} good and {anomalous} anomalous",
        f"{height}x{width} px",
        f"at most {record['epochs']} epochs",
    ]
    if record["schedule"] != "constant" or record["schedule_params"]:
        listed = ", ".join(f"{key}={value}" for key, value in record["schedule_params"].items())
        parts.append(f"{record['schedule']}{f' ({listed})' if listed else ''} weights")
    if record.get("drop_leaked"):
        parts.append("without leaked pictures")
    seeds = len({record["seed"] for record in records})
    parts.append(f"{seeds} seed{'s' if seeds > 1 else ''}")
    return f"{record['data']}, {record['test_set']}, scorer {record['scorer']}\n{', '.join(parts)}"


def _name(record: Mapping[str, Any]) -> str:
    height, width = record["image_size"]
    parts = [
        record["data"],
        record["test_set"],
        record["scorer"],
        f"{height}x{width}",
        f"{record['epochs']}-epochs",
    ]
    if record["schedule"] != "constant":
        parts.append(record["schedule"])
    if record.get("drop_leaked"):
        parts.append("without-leaked")
    return _safe("-".join(map(str, parts)))


def _safe(name: str) -> str:
    """Return a name with letters, digits, dots, hyphens and underscores only, no dot in front.

    Examples
    --------
    >>> _safe("../castings 300/cvae (seed 1)")
    '_castings_300_cvae_seed_1_'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:_LONGEST_NAME] or "_"


def _free(name: str, taken: set[str]) -> str:
    """Return the name, numbered if other settings have it already, and take it."""
    found, number = name, 1
    while found.casefold() in taken:  # some file systems do not tell capitals apart
        number += 1
        found = f"{name}-{number}"
    taken.add(found.casefold())
    return found


def _folder(folder: str | os.PathLike[str]) -> Path:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SavedFileError(
            f"cannot make the folder {folder} for plots: {error.strerror or error}; name another"
        ) from error
    return Path(folder)


def _save(figure: Figure, path: Path) -> Path:
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
    return path
