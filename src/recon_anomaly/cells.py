"""Tables of texts, and how names, figures and intervals stand in their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Table", "in_words", "markdown", "mean_of", "short", "with_interval"]


@dataclass(frozen=True)
class Table:
    """A title, rows of as many texts as there are columns, and lines to stand below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown(table: Table) -> str:
    """Return the table in Markdown, its title in bold above, its notes below.

    Examples
    --------
    >>> print(markdown(Table("Sizes", ("part", "mm"), (("bolt", "8"),))))
    **Sizes**
    <BLANKLINE>
    | part | mm |
    | --- | --- |
    | bolt | 8 |
    """
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"**{table.title}**", rows, *table.notes])


def in_words(name: str, params: Mapping[str, Any]) -> str:
    """Return a part's name, with its parameters in brackets where it has some.

    Examples
    --------
    >>> in_words("cvae", {"latent_size": 64})
    'cvae (latent_size=64)'
    """
    listed = ", ".join(f"{key}={value}" for key, value in params.items())
    return f"{name} ({listed})" if listed else name


def mean_of(values: Sequence[float | None]) -> str:
    """Return the mean of what is known and, of several values, ± their standard deviation.

    Examples
    --------
    >>> mean_of([0.8, 0.6]), mean_of([0.5, None]), mean_of([None])
    ('.700 ± .141', '.500', '-')
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {short(float(np.std(known, ddof=1)))}" if len(known) > 1 else ""
    return short(float(np.mean(known))) + spread


def with_interval(
    values: Sequence[float | None], intervals: Sequence[Sequence[float] | None]
) -> str:
    """Return `mean_of` the values and, where each has an interval, the mean of these in brackets.

    Examples
    --------
    >>> with_interval([0.8, 0.6], [[0.7, 0.9], [0.5, 0.7]])
    '.700 ± .141 [.600, .800]'
    """
    if None in intervals:
        return mean_of(values)
    low, high = np.mean(np.array(intervals), axis=0)
    return f"{mean_of(values)} [{short(low)}, {short(high)}]"


def short(value: float) -> str:
    """Return three decimals without the leading zero, as papers print shares.

    Examples
    --------
    >>> short(0.8374), short(1.0)
    ('.837', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")
