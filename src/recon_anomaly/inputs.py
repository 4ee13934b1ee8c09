"""Every kind of X, brought into one store and checked against what a detector was fitted on."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils.validation import validate_data

from .checks import at_least
from .datasets import good_pictures
from .errors import InputError
from .images import as_pictures
from .pictures import list_pictures, read_pictures
from .protocols import ImageShape
from .store import Pictures, allocate, budget_of, from_array
from .tiledinputs import AUTO_SIZE, for_files, read_tiled
from .tiledpictures import Stored, TiledPictures, cut_files
from .tiles import Tiling

__all__ = ["check_budget", "read_anomalous", "read_files", "read_input", "split_validation"]

_KEPT = (np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.uint16))
_CHUNK_BYTES = 2**24
_Stored = TypeVar("_Stored", Pictures, TiledPictures)


def check_budget(
    memory_budget: int | None, shape: ImageShape, dtype: DTypeLike, batch_size: int
) -> None:
    """Refuse a memory budget that does not hold one batch of pictures.

    The batch itself comes on top of the budget, which is for the pictures that are kept; who gives less
    than a batch means other units, or has too little memory for any training.

    Parameters
    ----------
    memory_budget : int or None
        Bytes; None, which takes a share of what is free, always passes.
    shape : (int, int, int)
        Height, width and channels of a picture.
    dtype : dtype
        Of the pixels.
    batch_size : int
        Pictures a batch.

    Raises
    ------
    InputError
        If the budget is no whole number of at least 0, or holds less than a batch.

    Examples
    --------
    >>> check_budget(48, (2, 4, 3), np.uint8, 2)
    >>> check_budget(None, (2, 4, 3), np.uint16, 2)
    """
    if memory_budget is None:
        return
    budget = at_least("memory_budget", memory_budget, 0)
    needed = batch_size * math.prod(shape) * np.dtype(dtype).itemsize
    if budget < needed:
        raise InputError(
            f"memory_budget is {budget} bytes, and one batch, {batch_size} pictures of "
            f"{'x'.join(map(str, shape))} {np.dtype(dtype).name}, takes {needed}; give at least that, or a "
            "smaller batch_size or image_size"
        )


def read_input(detector: Any, X: Any, *, fitting: bool) -> Stored:
    """Return X as a store, of tiles where the detector cuts pictures, setting ``n_features_in_`` where ``fitting``.

    Parameters
    ----------
    detector : BaseDetector
        Its ``image_size``, ``channels``, ``image_shape`` and ``memory_budget`` are used; its
        ``image_shape_`` where not ``fitting``.
    X : array, folder, list of paths or Pictures
        As in ``fit``.

    Raises
    ------
    InputError
        When X cannot be used; the message says what was got and what was wanted.
    """
    if detector.tiling_ is not None:
        return read_tiled(detector, X, fitting=fitting)
    if isinstance(X, str | os.PathLike):
        path = Path(X)
        X = [path] if path.is_file() else good_pictures(path) if fitting else list_pictures(path)
    if _are_paths(X):
        X = read_files(
            detector,
            X,
            None,
            image_size=detector.image_size if fitting else detector.image_shape_[:2],
            channels=detector.channels if fitting else detector.image_shape_[2],
        )
    if not isinstance(X, Pictures):
        return _read_array(detector, X, fitting)
    if fitting:
        if len(X) < 2:
            raise InputError(
                "got 1 picture; at least 2 are needed, one to train on and one to validate on"
            )
        detector.n_features_in_ = int(np.prod(X.shape))
        if hasattr(detector, "feature_names_in_"):  # of an earlier fit, on a data frame
            del detector.feature_names_in_
    else:
        _check_shape(X.shape, detector)
    return X


def read_files(
    detector: Any,
    paths: Iterable[str | os.PathLike[str]],
    tiling: Tiling | None,
    *,
    image_size: int | tuple[int, int] | str | None,
    channels: str | int,
    on_error: Literal["raise", "skip"] = "raise",
    progress: Callable[[int], object] | None = None,
) -> Stored:
    """Return files as a store, cut where there is a ``tiling``, else brought to ``image_size``, which may be "auto".

    Parameters
    ----------
    detector : BaseDetector
        Its ``memory_budget`` and ``max_pixels`` are used.
    paths, image_size, channels, on_error, progress
        As of `recon_anomaly.read_pictures`, which says what is raised and warned of.
    tiling : Tiling or None
        How pictures are cut.
    """
    common: Any = {
        "channels": channels,
        "memory_budget": detector.memory_budget,
        "max_pixels": detector.max_pixels,
        "on_error": on_error,
        "progress": progress,
    }
    if tiling is not None:
        return cut_files(paths, for_files(tiling, image_size), **common)
    size: Any = AUTO_SIZE if image_size == "auto" else image_size
    return read_pictures(paths, image_size=size, **common)


def read_anomalous(y: Any, count: int) -> np.ndarray:
    """Return True where y, ``count`` labels of +1 (good) or -1 (anomalous), is -1."""
    labels = np.asarray(y)
    if labels.shape != (count,) or not np.isin(labels, (-1, 1)).all():
        raise InputError(
            f"labels must be {count} values of +1 (good) or -1 (anomalous); got shape "
            f"{labels.shape} with {np.unique(labels)[:5]}"
        )
    anomalous: np.ndarray = labels == -1
    return anomalous


def split_validation(pictures: _Stored, share: float, seed: int) -> tuple[_Stored, _Stored]:
    """Return training and validation pictures, at least one each; the seed decides which."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    held_out = min(max(1, round(share * len(pictures))), len(pictures) - 1)
    return pictures.take(np.sort(order[held_out:])), pictures.take(np.sort(order[:held_out]))


def _read_array(detector: Any, X: Any, fitting: bool) -> Pictures:
    budget = at_least("memory_budget", budget_of(detector.memory_budget), 0)
    array = as_pictures(X, partial(allocate, budget=budget))
    shape: ImageShape | None = None
    if array is not None:
        shape = array.shape[1:]
        if not fitting:
            _check_shape(shape, detector)
        array = _as_kept(array, budget)
        array = array.reshape(len(array), int(np.prod(shape)))
    elif isinstance(X, np.ndarray) and X.ndim == 2:
        X = _as_kept(X, budget)
    try:
        rows = validate_data(
            detector,
            X if array is None else array,
            reset=fitting,
            # The first is what other types become; pictures as cameras give them stay so.
            dtype=list(_KEPT),
            ensure_min_samples=2 if fitting else 1,
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    if shape is None:
        shape = tuple(detector.image_shape or (1, rows.shape[1], 1))
        if not fitting:
            shape = detector.image_shape_
        if len(shape) != 3 or int(np.prod(shape)) != rows.shape[1]:
            raise InputError(
                f"image_shape={shape} does not fit rows of {rows.shape[1]} values; it is (height, "
                "width, channels)"
            )
    return from_array(rows.reshape(len(rows), *shape))


def _as_kept(array: np.ndarray, budget: int) -> np.ndarray:
    """Return real numbers as a type that a store keeps, row by row in C order; a copy keeps to the budget.

    What needs no copy, and what scikit-learn has to judge, comes back as it is.
    """
    # Cameras and file formats write big-endian 16-bit pictures, too.
    kept = array.dtype.newbyteorder("=")
    if kept.kind not in "biuf":
        return array
    if kept not in _KEPT:
        kept = _KEPT[0]
    if array.dtype == kept and array[:1].flags.c_contiguous:
        return array
    copy = allocate(array.shape, kept, budget)
    step = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    with np.errstate(over="ignore"):  # what becomes infinite is refused afterwards
        for start in range(0, len(array), step):
            copy[start : start + step] = array[start : start + step]
    return copy


def _check_shape(shape: ImageShape, detector: Any) -> None:
    if shape != detector.image_shape_:
        raise InputError(
            f"X holds pictures of shape {shape} (height, width, channels), but the detector was "
            f"fitted on {detector.image_shape_}"
        )


def _are_paths(X: Any) -> bool:
    if isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.ndim == 1):
        return len(X) > 0 and all(isinstance(path, str | os.PathLike) for path in X)
    return False
