"""Lines of CSV in which no text becomes a formula, and from which every file's name can be read back."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

__all__ = ["csv_lines"]

# What spreadsheets take for the beginning of a formula, at once or after they have dropped blanks.
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
# Beside the comma what else may divide columns or lines for whoever reads it.
_QUOTED = re.compile(r'[,;"\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]|^ | $')


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    r"""Give the lines of a table: the names of its columns, then a line for each row; each ends in a line feed.

    A text that a spreadsheet would take for a formula, since it begins with =, +, -, @, a tab or the end of a line,
    gets an apostrophe before it. A path gets a ``./`` (``.\`` on Windows), so that it stays the path of the same file. Numbers are
    written in full precision, and never touched. What is None, or missing, is empty.

    Parameters
    ----------
    columns : sequence of str
        Their names.
    rows : iterable of mapping
        Values by column: numbers, texts, or paths; bytes of a name that are no UTF-8 stand in them as Python has
        them, and come out again under ``errors="surrogateescape"``.

    Raises
    ------
    ValueError
        When a row has a value for a column that there is not.

    Examples
    --------
    >>> rows = [{"path": PurePath("=1+1.png"), "score": -0.5}, {"path": PurePath("a,b"), "kind": "-x"}]
    >>> print(*csv_lines(["path", "score", "kind"], rows), sep="", end="")
    path,score,kind
    ./=1+1.png,-0.5,
    "a,b",,'-x
    """
    yield _line(columns)
    for row in rows:
        if unknown := sorted(set(row) - set(columns)):
            raise ValueError(f"{unknown[0]!r} is none of the columns {', '.join(columns)}")
        yield _line([row.get(name) for name in columns])


def _line(values: Sequence[Any]) -> str:
    return ",".join(map(_cell, values)) + "\n"


def _cell(value: Any) -> str:
    text = "" if value is None else repr(value) if isinstance(value, float) else str(value)
    if isinstance(value, PurePath | str) and _FORMULA.match(text):
        text = (f".{os.sep}" if isinstance(value, PurePath) else "'") + text
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text
