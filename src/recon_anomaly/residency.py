"""Arrays sent to a device, and arrays that live there whole, so that batches are cut where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Resident", "find_resident", "free_on", "make_resident", "sent"]

SHARE = 1 / 3
_CHUNK_BYTES = 2**26


@dataclass(frozen=True, eq=False)
class Resident:
    """An array that lives on a device for as long as somebody holds this.

    Attributes
    ----------
    array : ndarray of shape (n, ...)
        The original; held, so that no other array gets its identity.
    tensor : Tensor of shape (n, ...)
        Its numbers on the device, of the dtype that `sent` gives.
    """

    array: NDArray[Any]
    tensor: Tensor


_residents: WeakValueDictionary[tuple[int, torch.device], Resident] = WeakValueDictionary()


def find_resident(array: NDArray[Any], device: torch.device) -> Resident | None:
    """Return the resident that somebody holds of ``array`` on ``device``, if any."""
    return _residents.get((id(array), device))


def make_resident(array: NDArray[Any], device: torch.device) -> Resident | None:
    """Return ``array`` as a resident of ``device``; None where it does not fit.

    It fits where it takes at most a third of the device's memory that is free now: the rest is for the network,
    its gradients and whatever else runs there. It is sent once: who asks again, as for another view
    of the same store, gets the one that is there.

    Parameters
    ----------
    array : ndarray of shape (n, ...)
        In memory or memory-mapped; sent in chunks, so that no second copy of it is made on the host.
    device : torch.device
        Where to; see `free_on` for devices that hold nothing.

    Examples
    --------
    >>> make_resident(np.zeros((5, 4, 4, 1), np.uint8), torch.device("cpu")) is None
    True
    """
    if (found := find_resident(array, device)) is not None:
        return found
    if array.nbytes > SHARE * free_on(device):
        return None
    step = max(1, _CHUNK_BYTES // array[0].nbytes)
    first = sent(np.array(array[:step]), device)
    tensor = torch.empty(array.shape, dtype=first.dtype, device=device)
    tensor[:step] = first
    for start in range(step, len(array), step):
        tensor[start : start + step] = sent(np.array(array[start : start + step]), device)
    made = _residents[id(array), device] = Resident(array, tensor)
    return made


def free_on(device: torch.device) -> int:
    """Return how many bytes are free on a CUDA device; 0 elsewhere.

    The CPU needs no second copy, and a device that shares the CPU's memory gains nothing by one.
    """
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return ``array`` as a tensor on ``device``, on the CPU without a copy.

    To CUDA it goes from pinned memory, and nobody waits for it: the host prepares the next batch while
    the device computes. uint16 goes as the same bits in int16 to every device but the CPU, since torch knows hardly
    an operation on uint16 there.

    Parameters
    ----------
    array : ndarray
        Writable.
    device : torch.device
        Where to.

    Examples
    --------
    >>> sent(np.array([1, 2], np.uint8), torch.device("cpu"))
    tensor([1, 2], dtype=torch.uint8)
    """
    if array.dtype == np.uint16 and device.type != "cpu":
        array = array.view(np.int16)
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
