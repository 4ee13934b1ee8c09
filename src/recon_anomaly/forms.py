"""Whether plain values, as JSON or a checkpoint gives them, have the form that is wanted.

What comes from a file of somebody else's is held against its form before anything is made of it, so that
whatever is wrong is found there and named, and not later by whoever adds a text to a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import InputError

__all__ = ["FINITE", "PLAIN", "check_form"]

FINITE = "a finite number"
"""The form of an int or float that is neither NaN nor infinite."""

PLAIN = "a plain value"
"""The form of numbers, texts, None, and lists and tables of them, at most 16 within each other."""

_DEEPEST = 16
_LARGEST = 2**63  # what neither NumPy nor a float of C takes
_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def check_form(value: Any, form: Any, name: str = "it") -> None:
    """Refuse a value that has not the form wanted.

    Parameters
    ----------
    value : object
        What was read.
    form : object
        A type (a whole number is a float, too, and a bool is neither); None; `FINITE` or `PLAIN`; a tuple of
        forms, of which it may have any; a list of one form, which all of a list have, or of several, one for each; a
        mapping from ``str`` to the form that all entries of a table have; or a mapping from names to the
        forms of these entries, beside which there may be others. A name with a question mark may be missing.
    name : str
        Of the value, for the message.

    Raises
    ------
    InputError
        It names the first part that is wrong, and says what was wanted.

    Examples
    --------
    >>> check_form({"low": 0, "names": ["a"]}, {"low": float, "names": [str], "high?": float})
    >>> check_form({"low": [1, "a"]}, {"low": [float]}, "range")
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: range.low[1] is 'a'; a number is wanted
    """
    if isinstance(form, Mapping) and isinstance(value, Mapping):
        _check_entries(value, form, name)
    elif isinstance(form, list) and isinstance(value, list | tuple):
        if len(form) > 1 and len(value) != len(form):
            raise InputError(f"{name} has {len(value)} entries; {len(form)} are wanted")
        forms = form if len(form) > 1 else form * len(value)
        for position, (item, wanted) in enumerate(zip(value, forms, strict=True)):
            check_form(item, wanted, f"{name}[{position}]")
    elif isinstance(form, tuple):
        _check_any(value, form, name)
    elif not _has(value, form):
        shown = repr(value) if _is_plain(value) else f"a {type(value).__name__}"
        raise InputError(f"{name} is {shown[:80]}; {_words(form)} is wanted")


def _check_entries(value: Mapping[Any, Any], form: Mapping[Any, Any], name: str) -> None:
    if str in form:
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError(f"{name} has an entry {key!r:.80}; its names are texts")
            check_form(item, form[str], f"{name}.{key[:40]}")
        return
    for key, wanted in form.items():
        entry = key.removesuffix("?")
        if entry in value:
            check_form(value[entry], wanted, f"{name}.{entry}")
        elif entry == key:
            raise InputError(f"{name} has no entry {entry!r}")


def _check_any(value: Any, forms: tuple[Any, ...], name: str) -> None:
    errors = []
    for form in forms:
        try:
            check_form(value, form, name)
        except InputError as error:
            errors.append(error)
        else:
            return
    # The most telling one: that of a part of it, else the last.
    raise next((error for error in errors if not str(error).startswith(f"{name} ")), errors[-1])


def _has(value: Any, form: Any) -> bool:
    if form is None:
        return value is None
    if form == PLAIN:
        return _is_plain(value)
    if form == FINITE:
        return _has(value, float) and math.isfinite(value)
    if form is int or form is float:
        if isinstance(value, bool):
            return False
        whole = isinstance(value, int) and abs(value) <= _LARGEST
        return whole or (form is float and isinstance(value, float))
    return isinstance(form, type) and isinstance(value, form)


def _is_plain(value: Any, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return all(
            isinstance(key, str) and _is_plain(item, depth + 1) for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return all(_is_plain(item, depth + 1) for item in value)
    return value is None or isinstance(value, bool | str) or _has(value, float)


def _words(form: Any) -> str:
    if isinstance(form, Mapping):
        return "a table"
    if isinstance(form, list):
        return "a list"
    return "nothing" if form is None else _WORDS.get(form, str(form))
