"""Files that were skipped are listed, never just dropped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .plain import in_one_line

__all__ = ["list_skipped"]


def list_skipped(skipped: Sequence[tuple[Path, str]]) -> None:
    """Print the files that could not be read, and why, to stderr."""
    if skipped:
        print(f"skipped files: {len(skipped)}", file=sys.stderr)
    for path, reason in skipped:
        print(f"  {in_one_line(str(path))}: {in_one_line(reason)}", file=sys.stderr)
