"""A limit on how many numbers tensors may be made of, for networks that a file asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .errors import InputError

__all__ = ["Ration"]

_MAKERS = {
    torch.empty,
    torch.full,
    torch.ones,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.zeros,
}
_RANGES = {torch.arange, torch.eye, torch.hann_window, torch.linspace, torch.randperm}


class Ration(TorchFunctionMode):
    """Within it, this thread's tensors on real devices are counted before they are made, and too many are refused.

    A saved detector of a kilobyte may say that its network has a layer of a million times a million
    weights. What is made is bounded by what the file holds, so that no memory is taken for the rest. Copies,
    and what is computed, are not counted.

    Parameters
    ----------
    numbers : int
        Elements of all tensors together.
    tensors : int
        How many there may be.

    Raises
    ------
    InputError
        Within the block, from whatever would exceed the limit.

    Examples
    --------
    >>> with Ration(numbers=10, tensors=5):
    ...     made = torch.zeros(3, 3)
    >>> with Ration(numbers=10, tensors=5):
    ...     torch.zeros(10**6, 10**6)
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: its parameters ask for more numbers or tensors than it holds
    """

    def __init__(self, numbers: int, tensors: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.tensors = tensors

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Count what ``func`` will make, then call it."""
        given = dict(kwargs or {})
        if func in _MAKERS | _RANGES and str(given.get("device")) != "meta":
            self.tensors -= 1
            self.numbers -= _count(func, args, given)
            if self.tensors < 0 or self.numbers < 0:
                raise InputError("its parameters ask for more numbers or tensors than it holds")
        return func(*args, **given)


def _count(func: Callable[..., Any], args: tuple[Any, ...], given: Mapping[str, Any]) -> int:
    if func in _RANGES:
        numbers = [abs(value) for value in args if isinstance(value, int | float)]
        return math.ceil(max(numbers, default=0)) ** (2 if func is torch.eye else 1)
    sizes = given.get("size")
    if sizes is None:
        sizes = next((value for value in args if isinstance(value, list | tuple)), args)
    return math.prod(int(side) for side in sizes)
