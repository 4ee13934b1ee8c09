"""The fastest training loop that could be written by hand for these networks, without the library.

Channels-last, ReLU in place after the pooling, bfloat16 autocast where it is asked for, fused Adam,
pictures as bytes that become float a slice at a time, gradients gathered over slices of the batch that fit
the caches (as many as a trial finds best), and glibc told to keep large blocks. Compiled by ``torch.compile``
where that is asked for, loss and all.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from answering import Measure, answer, time_steps
from hand_networks import HandNetwork

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Build the network, compare, and find the best size of a slice."""
    refused = keep_large_blocks()
    torch.set_num_threads(settings["threads"])
    half = settings["precision"] == "bfloat16"
    size = settings["batch_size"]
    pixels = torch.from_numpy(np.load(settings["pictures"]))
    network = HandNetwork(settings["model"], pixels.shape[1], pixels.shape[3], pool_first=True)
    network.take(settings["weights"])
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def loss_of(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            made = network(images)
        return network.loss(images, made)

    if settings["compiled"]:
        loss_of = torch.compile(loss_of, dynamic=False)  # each size of a slice for itself

    def step(chosen: torch.Tensor, slice_size: int) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for part in chosen.split(slice_size):
            images = pixels[part].permute(0, 3, 1, 2).float().div_(255)
            loss = loss_of(images) * (len(part) / len(chosen))
            loss.backward()
            losses.append(loss.detach())
        optimizer.step()
        return torch.stack(losses).sum()

    first = torch.arange(size)
    network.eval()  # without the latent's noise, to compare
    about: dict[str, Any] = {"losses": [float(step(first, size)) for _ in range(3)]}
    network.train()
    trials: dict[int, float] = {}
    for slice_size in {max(1, size // parts) for parts in (1, 2, 4, 8)}:
        step(first, slice_size)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            step(first, slice_size)
            seconds.append(time.perf_counter() - started)
        trials[slice_size] = min(seconds)
    best = min(trials, key=trials.__getitem__)
    about["note"] = f"slices of {best}{refused}"

    def epoch() -> Iterator[torch.Tensor]:
        order = torch.randperm(len(pixels))
        for start in range(0, len(order), size):
            yield step(order[start : start + size], best)

    def go() -> dict[str, float]:
        started = time.perf_counter()
        found = time_steps(epoch(), size)
        return found | {"whole_ms": 1000 * (time.perf_counter() - started) / len(pixels)}

    return about, {"go": go}


def keep_large_blocks() -> str:
    """Let glibc keep freed blocks, whose pages are else given back and faulted in at every step.

    Returns what a note has to add where that was refused: else the loop is not the best one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another C library
        return ", without glibc"
    taken = [mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1)]
    return "" if all(taken) else ", mallopt refused"


if __name__ == "__main__":
    answer(prepare)
