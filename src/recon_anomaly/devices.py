"""Which device computes."""

from __future__ import annotations

import torch

from .errors import InputError

__all__ = ["choose_device"]


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA, else MPS, else the CPU.

    Raises
    ------
    InputError
        When the name is unknown or the device is not there; the message lists the ones that are.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    known = ["cpu"]
    if torch.backends.mps.is_available():
        known.insert(0, "mps")
    if torch.cuda.is_available():
        known.insert(0, "cuda")
    if name == "auto":
        return torch.device(known[0])
    try:
        device = torch.device(name)
        if device.type in known:
            torch.empty(0, device=device)  # "cuda:7" parses on a machine that has one GPU
            return device
    except (AssertionError, RuntimeError, TypeError):  # what torch raises for names and for indices
        pass
    raise InputError(f"device={name!r} is not available here; known are: auto, {', '.join(known)}")
