r"""Texts for a terminal: a file's name may hold what would move the cursor or change the colours."""

from __future__ import annotations

import re

__all__ = ["in_one_line", "plain"]

_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    r"""Return a text with its control characters written out, but for line feeds.

    Examples
    --------
    >>> print(plain("\x1b[2Jred.png cannot be used"))
    \x1b[2Jred.png cannot be used
    """
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def in_one_line(text: str) -> str:
    r"""Return the same with line feeds written out, too.

    Examples
    --------
    >>> print(in_one_line("a\nerror: b.png"))
    a\nerror: b.png
    """
    return plain(text).replace("\n", r"\n")
