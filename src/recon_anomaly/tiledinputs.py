"""Every kind of X for a detector that cuts pictures: a store of tiles to fit on, or picture after picture to score."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datasets import good_pictures
from .decoding import checked_size
from .errors import InputError
from .interest import interest_of
from .pictures import named_files
from .store import Pictures
from .tiledpictures import (
    CutPicture,
    TiledPictures,
    as_kept,
    cut_arrays,
    cut_files,
    cut_one,
    iter_cut,
)
from .tiles import Tiling, checked_overlap

__all__ = ["AUTO_SIZE", "for_files", "iter_tiled", "planned_tiling", "read_tiled"]

AUTO_SIZE = (256, 256)
"""Height and width that files are brought to where ``image_size`` is "auto"; tiles then keep their own size."""


def planned_tiling(detector: Any) -> Tiling | None:
    """Return how a detector's parameters ``tile``, ``overlap``, ``roi`` and ``image_size`` cut pictures, if they do.

    Raises
    ------
    InputError, PictureError
        When one of them is out of its bounds, or a mask cannot be used.
    """
    overlap = checked_overlap(detector.tile, detector.overlap)
    interest = interest_of(detector.roi, detector.max_pixels)
    if detector.tile is None and interest is None:
        return None
    size = None if detector.image_size == "auto" else checked_size(detector.image_size)
    if size is None and detector.tile is not None:
        size = (detector.tile, detector.tile)
    return Tiling(detector.tile, overlap, interest, size)


def for_files(tiling: Tiling, image_size: Any) -> Tiling:
    """Return how files are cut: a region of interest without tiles is brought to the size of whole files, if that is "auto"."""
    if tiling.seen is None and image_size == "auto":
        return replace(tiling, seen=AUTO_SIZE)
    return tiling


def read_tiled(detector: Any, X: Any, *, fitting: bool) -> TiledPictures:
    """Return X as a store of tiles, setting ``n_features_in_`` where ``fitting``; as `recon_anomaly.inputs.read_input`.

    Raises
    ------
    InputError
        When X cannot be used or cut; the message says what was got and what was wanted.
    """
    paths = good_pictures(X) if fitting and _is_folder(X) else named_files(X)
    if isinstance(X, TiledPictures):
        pictures = X
    elif paths is not None:
        pictures = cut_files(
            paths,
            for_files(detector.tiling_, detector.image_size),
            channels=detector.channels if fitting else detector.image_shape_[2],
            memory_budget=detector.memory_budget,
            max_pixels=detector.max_pixels,
        )
    else:
        pictures = cut_arrays(_arrays(X), detector.tiling_, detector.memory_budget)
    if not fitting:
        _check(pictures.shape, detector)
        return pictures
    if len(pictures) < 2:
        raise InputError(
            "got 1 picture; at least 2 are needed, one to train on and one to validate on"
        )
    detector.tiling_ = replace(detector.tiling_, seen=pictures.shape[:2])
    detector.n_features_in_ = int(np.prod(pictures.shape))
    if hasattr(detector, "feature_names_in_"):  # of an earlier fit, on a data frame
        del detector.feature_names_in_
    return pictures


def iter_tiled(
    detector: Any, X: Any, skipped: list[tuple[Path, str]] | None = None
) -> Generator[CutPicture, None, None]:
    """Give picture after picture of X, ready to be cut; files as they are decoded.

    Parameters
    ----------
    detector : FittedDetector
        With a ``tiling_``.
    X : array, list of arrays, folder, list of paths or TiledPictures
        The pictures; those of a list may differ in size.
    skipped : list, optional
        As of `recon_anomaly.streams.PictureStream`.

    Raises
    ------
    InputError, PictureError
        When X, or a picture when its turn comes, cannot be used.
    """
    channels = detector.image_shape_[2]
    paths = named_files(X)
    if isinstance(X, TiledPictures):
        yield from X
    elif paths is not None:
        yield from iter_cut(
            paths, detector.tiling_, channels, skipped=skipped, max_pixels=detector.max_pixels
        )
    else:
        for place, array in enumerate(_arrays(X)):
            _check((*detector.image_shape_[:2], array.shape[2]), detector)
            yield cut_one(as_kept(array, place), detector.tiling_, channels)


def _is_folder(X: Any) -> bool:
    return isinstance(X, str | os.PathLike) and not Path(X).is_file()


def _arrays(X: Any) -> Iterator[NDArray[Any]]:
    """Give the pictures of an array or of a list of arrays as (h, w, c), of the type that they have."""
    if isinstance(X, Pictures):
        raise InputError(
            "got pictures that were resized to one size; a detector with tile or roi cuts them from the original ones: give "
            "arrays, files or a folder"
        )
    listed = isinstance(X, list | tuple) and X and getattr(X[0], "ndim", 0) in (2, 3)
    if not listed and getattr(X, "ndim", 0) not in (3, 4):
        raise InputError(
            "tile and roi are for pictures: a folder, paths, an array (n, h, w) or (n, h, w, c), or a list of arrays "
            f"(h, w) or (h, w, c); got {_described(X)}"
        )
    if not len(X):
        raise InputError("got no pictures; at least 1 is needed")
    for place, picture in enumerate(X):
        array = np.atleast_3d(np.asarray(picture))
        if array.ndim != 3 or 0 in array.shape or array.dtype.kind not in "biuf":
            raise InputError(
                f"picture {place} has shape {array.shape} and type {array.dtype}; real numbers of shape (h, w) or (h, w, c) "
                "are wanted"
            )
        yield array


def _described(X: Any) -> str:
    shape = getattr(X, "shape", None)
    return type(X).__name__ if shape is None else f"shape {tuple(shape)}"


def _check(shape: tuple[int, int, int], detector: Any) -> None:
    if shape != detector.image_shape_:
        raise InputError(
            f"X gives tiles of shape {shape} (height, width, channels), but the detector was fitted on "
            f"{detector.image_shape_}"
        )
