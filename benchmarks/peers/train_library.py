"""The library's own ``fit``, for the training benchmark, and where its time goes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from answering import Measure, answer, between
from torch.profiler import ProfilerActivity, profile

from recon_anomaly import CAE, CVAE
from recon_anomaly.batches import Batch
from recon_anomaly.registry import build_network, resolve
from recon_anomaly.steps import TrainingStep, gradient_step
from recon_anomaly.training import Tick

GROUPS = {
    "optimiser": ("adam", "Optimizer"),
    "convolution, backward": ("convolution_backward", "conv_backward"),
    "convolution, forward": ("convolution", "conv_transpose", "conv2d"),
    "max-pooling, backward": ("max_pool2d_with_indices_backward", "pool_backward"),
    "max-pooling, forward": ("max_pool",),
    "zero fills": ("zero", "fill"),
    "ReLU": ("relu", "threshold", "clamp_min"),  # in place it is the latter
    "dense layers": ("addmm", "::mm", "linear", "mkldnn_matmul"),
    "sigmoid and loss": ("sigmoid", "mse_loss", "mean", "sum", "sqrt", "exp", "clamp"),
    "conversions and copies": (
        "copy",
        "::to",
        "clone",
        "contiguous",
        "cat",
        "div",
        "sub",
        "reorder",
    ),
}
"""What names of torch's operators belong to; the first group that fits counts."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Compare the losses, and fit once without counting it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    pixels = np.load(settings["pictures"])
    size = settings["batch_size"]
    about: dict[str, Any] = {}

    def fit() -> Iterator[object]:
        detector = {"cae": CAE, "cvae": CVAE}[settings["model"]](
            epochs=1,
            batch_size=size,
            learning_rate=1e-3,
            precision=settings["precision"],
            device="cpu",
        )
        yield from detector.iter_fit(pixels, validation_data=pixels[:size])
        about["precision"] = about["note"] = detector.recipe_["precision"]

    def go() -> dict[str, float]:
        started = time.perf_counter()
        moments = [time.perf_counter() for event in fit() if isinstance(event, Tick)]
        seconds = time.perf_counter() - started
        return between(moments, size) | {"whole_ms": 1000 * seconds / len(pixels)}

    def look() -> dict[str, Any]:
        ticks = (event for event in fit() if isinstance(event, Tick))
        next(ticks)
        steps = len(pixels) // size - 1
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            started = time.perf_counter()
            for _ in range(steps):
                next(ticks)
            ms = 1000 * (time.perf_counter() - started) / (steps * size)
        ticks.close()
        return {"ms": ms, "groups": grouped(seen, steps * size)}

    go()
    precision = getattr(torch, about["precision"])
    about["losses"] = first_losses(settings, pixels[:size], precision)
    return about, {"go": go, "profile": look}


def first_losses(
    settings: dict[str, Any], pixels: np.ndarray, precision: torch.dtype
) -> list[float]:
    """Return the losses of three steps on the first batch, from the given weights."""
    weights = np.load(settings["weights"])
    network = build_network(resolve("model", settings["model"])[0], pixels.shape[1:], {})
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    network.to(memory_format=torch.channels_last)
    network.eval()  # without the latent's noise, to compare
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    batch = Batch(images, images)
    step = TrainingStep(network, precision)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    ones = dict.fromkeys(step(images, images), 1.0)
    return [float(sum(gradient_step(step, optimizer, batch, ones).values())) for _ in range(3)]


def grouped(seen: profile, count: int) -> dict[str, float]:
    """Return milliseconds a picture of each group of operators, without those they call."""
    found = dict.fromkeys([*GROUPS, "other operators"], 0.0)
    for event in seen.key_averages():
        group = next(
            (name for name, parts in GROUPS.items() if any(part in event.key for part in parts)),
            "other operators",
        )
        found[group] += event.self_cpu_time_total / 1000 / count
    return found


if __name__ == "__main__":
    answer(prepare)
