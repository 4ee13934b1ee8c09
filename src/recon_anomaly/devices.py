"""Which device computes, and in which precision a network trains there."""

from __future__ import annotations

from typing import Any

import torch

from .errors import InputError

__all__ = ["PRECISIONS", "choose_device", "choose_precision"]

PRECISIONS = ("auto", "float32", "bfloat16")

# From here on bfloat16 was faster on a processor that has it in hardware (docs/performance.md: benchmarks/precision.py).
_LEAST_PIXELS = 2**18


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


def choose_precision(name: str, device: torch.device, pixels: int) -> torch.dtype:
    """Return the precision in which a network trains; "auto" is bfloat16 where that is known to be faster.

    That is on CUDA devices that have it, and on processors with Intel's matrix extensions (AMX) for batches
    of at least 2**18 pixels, as 16 pictures of 128 x 128. Scores are always made in float32.

    Parameters
    ----------
    name : {"auto", "float32", "bfloat16"}
        What is asked for.
    device : torch.device
        Where the network is.
    pixels : int
        Pixels of a batch, channels not counted.

    Raises
    ------
    InputError
        When the name is unknown, or the device cannot train in bfloat16.

    Examples
    --------
    >>> choose_precision("float32", torch.device("cpu"), 16 * 256 * 256)
    torch.float32
    """
    if name not in PRECISIONS:
        raise InputError(f"precision={name!r} is unknown; it may be: {', '.join(PRECISIONS)}")
    if name == "auto":
        if device.type == "cuda":
            with torch.cuda.device(device):
                fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            fast = device.type == "cpu" and pixels >= _LEAST_PIXELS and _has_matrix_extensions()
        name = "bfloat16" if fast else "float32"
    elif name == "bfloat16" and device.type not in ("cpu", "cuda"):
        raise InputError(
            f"precision='bfloat16' is not known to work on {device.type!r}; take 'float32' there"
        )
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _has_matrix_extensions() -> bool:
    # Only newer versions of torch know what a processor can do; for older ones nothing is faster.
    known: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16", False))
