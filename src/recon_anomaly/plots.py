"""Plots as PNG files: a bench's curves and histograms, and pictures beside their reconstructions.

They need matplotlib, which ``pip install 'recon-anomaly[report]'`` brings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .captions import free_name, safe_name
from .errors import InputError
from .panels import reconstructions
from .recordfigures import record_figures
from .shown import Labelled, Scoring
from .sidebyside import side_by_side
from .writing import make_folder, whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_matplotlib", "draw_comparison", "draw_panels", "draw_records"]

_DOTS_PER_INCH = 150


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
    """Draw what the records of a bench hold: scores, and the histories of the trainings.

    Each test set and scorer has a file of curves and one of histograms, over all rows and seeds.
    Records without scores, as the row that calls everything defective, draw nothing; where a test set
    has one class only there are no curves. Where a training's history tells of them, there are a file of
    the AUROC after every epoch and the weights (all schedules of a model, scorer and seed in one), one of
    the loss of every branch, and one of weights that changed along branches or without any AUROC.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`.
    folder : path
        Made if it is missing; files of the same names are replaced.

    Returns
    -------
    list of Path
        The files, in the order of the records: ``…-precision-recall.png`` and ``…-scores.png``, then
        ``…-auroc.png``, ``…-branches.png`` and ``…-weights.png``.

    Raises
    ------
    InputError
        When matplotlib is missing, or a record has not one finite score for each label.
    SavedFileError
        When the folder cannot be made, or a file cannot be written.
    """
    check_matplotlib()
    scored = [record for record in records if record["scores"] is not None]
    place = make_folder(folder)
    taken: set[str] = set()
    return [
        _save(figure, place / f"{free_name(name, taken)}.png")
        for name, figure in record_figures(scored)
    ]


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
    return _save(figure, make_folder(folder) / f"{safe_name(name)}-pictures.png")


def draw_comparison(
    detectors: Mapping[str, Scoring],
    test: Labelled,
    folder: str | os.PathLike[str],
    name: str,
) -> Path:
    """Draw what several detectors make of one good and one anomalous picture, row by row.

    Beside the picture stand its reconstruction and the squared error with its mean, all errors on one
    scale of colours. The pictures are those that the first detector decides with the most certainty,
    which head its own page by `draw_panels`; the others have no say in the choice.

    Parameters
    ----------
    detectors : mapping of str to fitted detector
        Two or more, by what stands above their row.
    test : LabelledPictures
        At least one picture.
    folder : path
        Made if it is missing; a file of the same name is replaced.
    name : str
        Stands in the title and, with safe characters only, in the file's name.

    Returns
    -------
    Path
        The file, ``<name>-comparison.png``.

    Raises
    ------
    InputError
        When matplotlib is missing, there are no pictures or fewer than two detectors, or some
        reconstruct features and others pictures.
    SavedFileError
        When the folder cannot be made, or the file cannot be written.
    """
    check_matplotlib()
    figure = side_by_side(detectors, test, name)
    return _save(figure, make_folder(folder) / f"{safe_name(name)}-comparison.png")


def _save(figure: Figure, path: Path) -> Path:
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)
    return path
