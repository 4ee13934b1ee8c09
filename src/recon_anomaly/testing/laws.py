"""A law that holds, or the sentence that says it."""

from __future__ import annotations

from typing import Any

__all__ = ["law"]


def law(holds: Any, sentence: str) -> None:
    """Raise AssertionError with ``sentence`` unless ``holds``, also where Python leaves assertions out.

    Examples
    --------
    >>> law(1 < 2, "one is less than two")
    """
    if not holds:
        raise AssertionError(sentence)
