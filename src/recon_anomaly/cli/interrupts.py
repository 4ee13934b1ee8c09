"""Ctrl-C and SIGTERM end a command in order: temporary files go, and the last line says how to go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["Terminated", "interrupted_well", "terminate"]


class Terminated(SystemExit):
    """SIGTERM came; the command ends with the code 143."""


def terminate(*_: Any) -> NoReturn:
    """Raise `Terminated`: the handler of SIGTERM."""
    raise Terminated(143)


@contextmanager
def interrupted_well(remedy: str) -> Iterator[None]:
    """Say how to go on when Ctrl-C or SIGTERM ends the block, and end with the code 130 or 143."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; {remedy}", file=sys.stderr)
        sys.exit(130)
    except Terminated:
        print(f"terminated; {remedy}", file=sys.stderr)
        raise
