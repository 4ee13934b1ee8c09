"""The training loop that a user of PyTorch would write, for the training benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from answering import Measure, answer, time_steps
from hand_networks import HandNetwork


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Build the network and a float tensor of all pictures, and run two steps that do not count."""
    torch.set_num_threads(settings["threads"])
    size = settings["batch_size"]
    pixels = np.load(settings["pictures"])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255
    network = HandNetwork(settings["model"], images.shape[2], images.shape[1], pool_first=False)
    network.take(settings["weights"])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step(batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = network.loss(batch, network(batch))
        loss.backward()
        optimizer.step()
        return loss

    network.eval()  # without the latent's noise, to compare
    about = {"losses": [float(step(images[:size])) for _ in range(3)]}
    network.train()

    def epoch() -> Iterator[torch.Tensor]:
        order = torch.randperm(len(images))
        for start in range(0, len(order), size):
            yield step(images[order[start : start + size]])

    def go() -> dict[str, float]:
        started = time.perf_counter()
        found = time_steps(epoch(), size)
        return found | {"whole_ms": 1000 * (time.perf_counter() - started) / len(images)}

    return about, {"go": go}


if __name__ == "__main__":
    answer(prepare)
