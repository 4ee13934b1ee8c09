"""Regions as files: a table for spreadsheets, and COCO's JSON for tools that draw and label."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import version
from typing import IO, Any

from .csvlines import csv_lines
from .errors import InputError
from .regions import Located

__all__ = ["COLUMNS", "coco", "write_table"]

COLUMNS = ("path", "region", "x", "y", "width", "height", "area", "mean", "maximum")
"""The columns of the table; ``region`` counts those of a picture from 1 on."""


def write_table(located: Iterable[Located], file: IO[str]) -> None:
    """Write a CSV line for each region, with a header line; numbers in full precision.

    Parameters
    ----------
    located : iterable of Located
        In their order; a picture without regions has no line, one without a file an empty path.
    file : text file
        Opened with ``newline=""``.
    """
    rows = (
        dict(
            zip(
                COLUMNS,
                (picture.path, number, *region.box, region.area, region.mean, region.maximum),
                strict=True,
            )
        )
        for picture in located
        for number, region in enumerate(picture.regions, 1)
    )
    file.writelines(csv_lines(COLUMNS, rows))


def coco(
    located: Iterable[Located], *, root: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Return pictures and regions as COCO's object annotations, for ``json.dump``.

    ``images`` has every picture, also those without regions; their ``file_name`` is the path, with slashes.
    ``annotations`` has a region each: ``bbox`` and ``area`` in pixels of the file, ``segmentation`` as polygons that cover
    it exactly, ``score`` its maximum in the scorer's unit, no share. The one category is "anomaly". Ids begin with 1.

    Parameters
    ----------
    located : iterable of Located
        Of files.
    root : path, optional
        A folder that all files are in; file names are then relative to it.

    Raises
    ------
    InputError
        When a picture has no file.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from recon_anomaly.regions import find_regions
    >>> regions = find_regions(np.array([[0.0, 1.0]]), 0.5, size=(2, 4))
    >>> found = coco([Located(Path("a.png"), (2, 4), 1.0, True, regions)])
    >>> found["images"][0]["file_name"], found["annotations"][0]["bbox"]
    ('a.png', [2.0, 0.0, 2.0, 2.0])
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, picture in enumerate(located, 1):
        path = picture.path
        if path is None:
            raise InputError(
                f"picture {number} has no file, and COCO names pictures by their files; give detector.regions a folder or "
                "paths, or take the table"
            )
        height, width = picture.size
        images.append(
            {
                "id": number,
                "file_name": (path if root is None else path.relative_to(root)).as_posix(),
                "width": width,
                "height": height,
                "score": picture.score,
                "anomalous": picture.anomalous,
            }
        )
        for region in picture.regions:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": list(region.box),
                    "area": region.area,
                    "segmentation": [ring.ravel().tolist() for ring in region.contours()],
                    "iscrowd": 0,
                    "score": region.maximum,
                    "mean": region.mean,
                }
            )
    return {
        "info": {"description": f"regions found by recon-anomaly {version('recon-anomaly')}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "anomaly", "supercategory": "anomaly"}],
    }
