"""Ctrl-C and SIGTERM end a command in order: temporary files go, and the last line says how to go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["WORDS", "Terminated", "Told", "interrupted_well", "terminate"]

WORDS = {130: "interrupted", 143: "terminated"}
"""What is said of a command that a signal ends, by its exit code."""


class Terminated(SystemExit):
    """SIGTERM came."""


class Told(SystemExit):
    """A signal ends the command, and the user was told how to go on."""


def terminate(*_: Any) -> NoReturn:
    """Raise `Terminated`: the handler of SIGTERM."""
    raise Terminated(143)


@contextmanager
def interrupted_well(remedy: str) -> Iterator[None]:
    """Say how to go on when Ctrl-C or SIGTERM ends the block, and raise `Told` with the code 130 or 143."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as ended:
        code = 143 if isinstance(ended, Terminated) else 130
        print(f"{WORDS[code]}; {remedy}", file=sys.stderr)
        raise Told(code) from None
