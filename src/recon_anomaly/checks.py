"""Whether a parameter is the number or the word that is wanted; an error names it, and says what to give."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

from .errors import InputError

__all__ = ["at_least", "check_choice", "check_counts", "check_number"]


def at_least(name: str, value: Any, least: int) -> int:
    """Return a whole number that is large enough, as an int.

    Raises
    ------
    InputError
        For anything else: a bool, 3.0 and the text of a number among them.

    Examples
    --------
    >>> at_least("epochs", 3, 1)
    3
    """
    with contextlib.suppress(TypeError):
        number = operator.index(value)
        if number >= least and not isinstance(value, bool):
            return number
    raise InputError(f"{name} is {value!r}; give a whole number of at least {least}")


def check_counts(name: str, values: Any) -> tuple[int, ...]:
    """Return a list of one or more whole numbers from 1 on as a tuple, such as the kernels of each layer.

    Raises
    ------
    InputError
        When it is no list, empty, or one of it is something else.

    Examples
    --------
    >>> check_counts("kernels", [16, 32])
    (16, 32)
    """
    if isinstance(values, Iterable) and not isinstance(values, str):
        listed = tuple(values)
        with contextlib.suppress(InputError):
            if listed:
                return tuple(at_least(name, value, 1) for value in listed)
    raise InputError(
        f"{name} is {values!r}; give a list of one or more whole numbers of at least 1, such as (16, 32)"
    )


def check_number(
    name: str,
    value: Any,
    wanted: str = "a finite number",
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number that lies in a range, as a float.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : object
        What was given for it.
    wanted : str
        The range in words.
    least, most : float
        Its ends where they belong to it.
    above, below : float
        Its ends where they do not.

    Raises
    ------
    InputError
        For anything else, a bool or the text of a number among them; it says what was ``wanted``.

    Examples
    --------
    >>> check_number("steepness", 10)
    10.0
    >>> check_number("share", 1, "a share above 0 and at most 1", most=1, above=0)
    1.0
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and least <= number <= most and above < number < below:
            return number
    raise InputError(f"{name} is {value!r}; give {wanted}")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return a word that is one of the choices; anything else is an InputError that lists them.

    Examples
    --------
    >>> check_choice("ramp", "linear", ("linear", "sigmoid"))
    'linear'
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name} is {value!r}; give one of: {', '.join(choices)}")
    return value
