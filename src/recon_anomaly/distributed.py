"""Several processes that train one network together, as torchrun starts them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from .errors import InputError
from .randomness import Part

__all__ = ["ALONE", "Ranks", "is_first", "own_device", "ranks_of"]


class Ranks:
    """The processes that train together, and which of them this one is.

    Parameters
    ----------
    rank, size : int
        This process, from 0, and how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def part_of(self, whole: int) -> Part:
        """Return this process's part of a batch of ``whole`` pictures."""
        return Part.of(whole, self.rank, self.size)

    def share(self, part: Part | None) -> float:
        """Return what a loss over ``part`` counts, so that the mean over the processes is that of the batch."""
        return 1.0 if part is None else part.length * self.size / part.whole

    def wrapped(self, step: nn.Module) -> nn.Module:
        """Return ``step`` with gradients that are averaged over the processes."""
        if self.alone:
            return step
        return nn.parallel.DistributedDataParallel(step, gradient_as_bucket_view=True)

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over the processes, the same bits in each."""
        if not self.alone:
            dist.all_reduce(values)
        return values

    def of_first(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the values that the first process has, so that all go on with the same."""
        every = [dict(values)]
        if not self.alone:
            dist.broadcast_object_list(every)
        return every[0]

    def wait(self) -> None:
        """Wait until every process has come here."""
        if not self.alone:
            dist.barrier()

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """Make sure that every process was given the same.

        Raises
        ------
        InputError
            In every process; the message names what differs, and where.
        """
        if self.alone:
            return
        every: list[Any] = [None] * self.size
        dist.all_gather_object(every, dict(settings))
        for rank, other in enumerate(every):
            differing = [name for name in every[0] if other.get(name) != every[0][name]]
            if differing:
                raise InputError(
                    f"the processes do not train on the same: {', '.join(differing)} of rank {rank} "
                    f"differ from rank 0 ({other.get(differing[0])!r} and {every[0][differing[0]]!r}); "
                    "give every process the same pictures, in the same order, and the same parameters"
                )


ALONE = Ranks()


def ranks_of(device: torch.device) -> Ranks:
    """Return the processes that this one trains with; joins them if torchrun started it and nothing has yet.

    Parameters
    ----------
    device : torch.device
        Where this process computes: CUDA devices talk by NCCL, others by gloo.

    Raises
    ------
    InputError
        Under torchrun, on a device that no backend of torch.distributed is known for.
    """
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
            return ALONE
        if device.type not in ("cpu", "cuda"):
            raise InputError(
                f"several processes cannot train together on {device.type!r}; give device='cpu', or start one"
            )
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return Ranks(dist.get_rank(), dist.get_world_size())


def own_device(device: torch.device) -> torch.device:
    """Return this process's own GPU where a machine runs several processes and none was named."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def is_first() -> bool:
    """Return whether this process writes the files: it is alone, or rank 0 of those that torchrun started."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not dist.is_torchelastic_launched() or os.environ.get("RANK") in (None, "0")
