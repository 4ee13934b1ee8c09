"""Every kind of X, brought into one store and checked against what a detector was fitted on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .datasets import good_pictures
from .errors import InputError
from .images import as_pictures
from .pictures import list_pictures, read_pictures
from .protocols import ImageShape
from .store import Pictures, from_array

__all__ = ["read_anomalous", "read_input", "split_validation"]


def read_input(detector: Any, X: Any, *, fitting: bool) -> Pictures:
    """Return X as a store, setting ``n_features_in_`` where ``fitting``.

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
    if isinstance(X, str | os.PathLike):
        path = Path(X)
        X = [path] if path.is_file() else good_pictures(path) if fitting else list_pictures(path)
    if _are_paths(X):
        X = read_pictures(
            [Path(path) for path in X],
            image_size=detector.image_size if fitting else detector.image_shape_[:2],
            channels=detector.channels if fitting else detector.image_shape_[2],
            memory_budget=detector.memory_budget,
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


def split_validation(pictures: Pictures, share: float, seed: int) -> tuple[Pictures, Pictures]:
    """Return training and validation pictures, at least one each; the seed decides which."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    held_out = min(max(1, round(share * len(pictures))), len(pictures) - 1)
    return pictures.take(np.sort(order[held_out:])), pictures.take(np.sort(order[:held_out]))


def _read_array(detector: Any, X: Any, fitting: bool) -> Pictures:
    array = as_pictures(X)
    shape: ImageShape | None = None
    if array is not None:
        shape = array.shape[1:]
        if not fitting:
            _check_shape(shape, detector)
        # Cameras and file formats write big-endian 16-bit pictures, too.
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        array = array.reshape(len(array), int(np.prod(shape)))
    try:
        rows = validate_data(
            detector,
            X if array is None else array,
            reset=fitting,
            # The first is what other types become; pictures as cameras give them stay so.
            dtype=[np.float32, np.uint8, np.uint16],
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
