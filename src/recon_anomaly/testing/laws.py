"""A law that holds, or the sentence that says it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

__all__ = ["law", "left_as_it_was"]


def law(holds: Any, sentence: str) -> None:
    """Raise AssertionError with ``sentence`` unless ``holds``, also where Python leaves assertions out.

    Examples
    --------
    >>> law(1 < 2, "one is less than two")
    """
    if not holds:
        raise AssertionError(sentence)


@contextmanager
def left_as_it_was(what: str, *tensors: Tensor | None) -> Iterator[None]:
    """Raise AssertionError where the block writes to one of the tensors.

    Examples
    --------
    >>> import torch
    >>> pixels = torch.zeros(2)
    >>> with left_as_it_was("the pictures", pixels):
    ...     pixels += 1
    Traceback (most recent call last):
    AssertionError: the pictures are left as they are
    """
    given = [tensor for tensor in tensors if tensor is not None]
    before = [tensor.clone() for tensor in given]
    yield
    untouched = all(tensor.equal(copy) for tensor, copy in zip(given, before, strict=True))
    law(untouched, f"{what} are left as they are")
