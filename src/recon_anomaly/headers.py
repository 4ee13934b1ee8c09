"""What a saved detector's header has to look like, before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from .decoding import MAX_PIXELS
from .errors import InputError
from .forms import FINITE, PLAIN, check_form

__all__ = ["check_header", "check_seal", "parsed", "sealed"]

_SEAL = "header_checksum"
_HEADER = {
    "checksum": str,
    _SEAL: str,
    "estimator": str,
    "params": {str: PLAIN},
    "names": {
        "model": str,
        "scorer": str,
        "schedule": (str, None),
        "corruptor": (str, None),
    },
    "image_shape": [int, int, int],
    "feature_names": (None, [str]),
    "pixel_range": {"low": FINITE, "high": FINITE, "dtype": str},
    "offset": FINITE,
    "threshold_rule": {str: (str, FINITE)},
    "map_scale": FINITE,
    "seed": int,
    "recipe": {
        "epochs": int,
        "batch_size": int,
        "learning_rate": FINITE,
        "reduce_learning_rate": (bool, int),
        "early_stopping": (bool, int),
        "precision": str,
    },
    "plugins": {str: {"distribution": str, "version": str}},
    "versions": {str: str},
    "frozen_weights": {str: {"checksum": str, "source": (str, None), "stored": bool}},
    "scorer_names_weights": bool,
    "tiling": (None, {"tile": (int, None), "overlap": int}),
    "interest": (None, {"box": [int, int, int, int], "size": (None, [int, int])}),
}
_DTYPES = ("uint8", "uint16", "float32")


def parsed(text: str) -> dict[str, Any]:
    """Return the JSON object of a header.

    Raises
    ------
    ValueError
        When it is none, names an entry twice, or has numbers that are NaN or too large for a float.

    Examples
    --------
    >>> parsed('{"offset": 0.5}')
    {'offset': 0.5}
    """
    try:
        found = json.loads(
            text, parse_constant=_refused, parse_float=_finite, object_pairs_hook=_each_once
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has an entry twice")
    return found


def sealed(header: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> str:
    """Return the JSON text of a header, with a checksum of all else that it holds.

    It tells damage, such as a threshold of which a digit changed on the disk, and no malice: whoever writes a header may
    seal it.

    Parameters
    ----------
    header : mapping
        A checksum that it has already is not looked at.
    default : callable, optional
        Makes what is no JSON into what is, as for `json.dumps`.

    Raises
    ------
    TypeError, ValueError
        When there is no JSON for it.

    Examples
    --------
    >>> check_seal(parsed(sealed({"offset": 0.5})))
    >>> check_seal(parsed(sealed({"offset": 0.5}).replace("0.5", "0.7")))
    Traceback (most recent call last):
    ValueError: the checksum of its header does not fit
    """
    # As it is read back: numbers and names of other types have become JSON's.
    plain = json.loads(json.dumps(header, allow_nan=False, default=default))
    return json.dumps(plain | {_SEAL: _digest(plain)})


def check_seal(header: Mapping[str, Any]) -> None:
    """Refuse a header that is not as it was sealed.

    Raises
    ------
    ValueError
        It says so.
    """
    if _digest(header) != header[_SEAL]:
        raise ValueError("the checksum of its header does not fit")


def _digest(header: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in header.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_header(header: Mapping[str, Any]) -> None:
    """Refuse a header in which an entry is missing, or is not what such an entry is.

    Raises
    ------
    InputError
        It names the entry.

    Examples
    --------
    >>> check_header({"checksum": 3})
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: the header.checksum is 3; a text is wanted
    """
    check_form(header, _HEADER, "the header")
    if header["params"].get("checkpoint") is not None:
        raise InputError("it names a checkpoint folder, and no detector is saved with one")
    if "rule" not in header["threshold_rule"]:
        raise InputError("its threshold_rule has no rule")
    shape = header["image_shape"]
    if min(shape) < 1 or math.prod(shape[:2]) > MAX_PIXELS:
        raise InputError(
            f"its pictures are {shape[0]} x {shape[1]} x {shape[2]}; at most {MAX_PIXELS} pixels are read"
        )
    names = header["feature_names"]
    if names is not None and len(names) != math.prod(shape):
        raise InputError(f"it has {len(names)} names for {math.prod(shape)} columns")
    if header["recipe"]["batch_size"] < 1:
        raise InputError(f"its batches are of {header['recipe']['batch_size']} pictures")
    pixel_range = header["pixel_range"]
    if pixel_range["dtype"] not in _DTYPES:
        raise InputError(f"its pixels are {pixel_range['dtype']!r}; {', '.join(_DTYPES)} are known")
    if not pixel_range["low"] < pixel_range["high"]:
        raise InputError(f"its pixel range is {pixel_range['low']} to {pixel_range['high']}")
