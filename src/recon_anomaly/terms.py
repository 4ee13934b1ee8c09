"""The loss terms of a model: weights by term, patterns of terms, and what a schedule is given of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from .checks import check_number
from .errors import InputError

__all__ = [
    "check_given",
    "check_patterns",
    "check_terms",
    "check_weights",
    "numeral",
    "proper_subsets",
    "weights_by_term",
]


def check_weights(weights: Any) -> dict[str, float]:
    """Return the weights that a schedule is given, by term, as floats; none for None.

    Raises
    ------
    InputError
        When it is no mapping of names to finite numbers from 0 on.

    Examples
    --------
    >>> check_weights({"kl": 4}), check_weights(None)
    ({'kl': 4.0}, {})
    """
    wanted = 'give weights from 0 on by term, such as {"kl": 4}'
    if weights is None:
        return {}
    if not isinstance(weights, Mapping) or not all(isinstance(term, str) for term in weights):
        raise InputError(f"weights is {weights!r}; {wanted}")
    return {
        term: check_number(f"the weight of {term}", weight, "a finite one from 0 on", 0)
        for term, weight in weights.items()
    }


def check_given(weights: Any, terms: Sequence[str]) -> None:
    """Refuse what a schedule gave unless it is one weight for each term of the model.

    Raises
    ------
    InputError
        When a term has no weight, a weight has no term, or one is negative or not finite.

    Examples
    --------
    >>> check_given({"reconstruction": 1.0, "kl": 0.5}, ("reconstruction", "kl"))
    """
    wanted = f"wanted is a finite one >= 0 for each of: {', '.join(terms)}"
    try:
        complete = set(check_weights(weights)) == set(terms)
    except InputError as error:
        raise InputError(f"the schedule gave the weights {weights!r}; {wanted}: {error}") from error
    if not complete:
        raise InputError(f"the schedule gave the weights {weights!r}; {wanted}")


def check_terms(what: str, named: Iterable[str], terms: Sequence[str]) -> None:
    """Refuse names that are no terms of the model.

    Raises
    ------
    InputError
        With ``what`` in front of the unknown names, and the model's terms behind them.
    """
    if unknown := sorted(set(named) - set(terms)):
        raise InputError(f"{what} {', '.join(unknown)}; the model's terms are: {', '.join(terms)}")


def weights_by_term(weights: Mapping[str, float], terms: Sequence[str]) -> dict[str, float]:
    """Return the weight of every term; those that are not named weigh 1.

    Raises
    ------
    InputError
        When a weight is for a term that the model does not have.

    Examples
    --------
    >>> weights_by_term({"kl": 4}, ("reconstruction", "kl"))
    {'reconstruction': 1.0, 'kl': 4.0}
    """
    check_terms("weights are given for", weights, terms)
    return {term: float(weights.get(term, 1.0)) for term in terms}


def proper_subsets(terms: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every subset that is neither empty nor all: by size, then in the order of the terms.

    Examples
    --------
    >>> proper_subsets("MAD")
    [('M',), ('A',), ('D',), ('M', 'A'), ('M', 'D'), ('A', 'D')]
    """
    return [chosen for size in range(1, len(terms)) for chosen in combinations(terms, size)]


def check_patterns(patterns: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Return patterns, such as JSON gives them, as tuples of terms.

    Raises
    ------
    InputError
        When there is none, or one is empty, names a term twice, is a bare string or has none in it.

    Examples
    --------
    >>> check_patterns([["kl"], ["reconstruction", "kl"]])
    (('kl',), ('reconstruction', 'kl'))
    """
    wanted = 'give one or more lists of terms, such as [["kl"], ["reconstruction"]]'
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise InputError(f"patterns is {patterns!r}; {wanted}")
    listed = list(patterns)
    for pattern in listed:
        if isinstance(pattern, str) or not isinstance(pattern, Iterable):
            raise InputError(f"the pattern {pattern!r} is no list of terms; {wanted}")
    checked = tuple(tuple(pattern) for pattern in listed)
    if not checked or not all(checked):
        raise InputError(f"patterns is {listed!r}, with nothing in it, or in one of it; {wanted}")
    for pattern in checked:
        if not all(isinstance(term, str) for term in pattern):
            raise InputError(f"the pattern {list(pattern)} has what is no name of a term; {wanted}")
        if len(set(pattern)) != len(pattern):
            raise InputError(f"the pattern {list(pattern)} names a term twice; {wanted}")
    return checked


def numeral(number: int) -> str:
    """Return a whole number from 1 on as a Roman numeral, as the paper names its patterns.

    Examples
    --------
    >>> [numeral(number) for number in (1, 4, 7, 14)]
    ['I', 'IV', 'VII', 'XIV']
    """
    signs = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC")]
    signs += [(50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
    written = ""
    for value, sign in signs:
        written += number // value * sign
        number %= value
    return written
