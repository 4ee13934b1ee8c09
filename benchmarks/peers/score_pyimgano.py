"""The convolutional VAE of pyimgano, from files to scores by its public API, for the scoring benchmark.

Runs in an environment of its own, with pyimgano.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answering import Measure, answer, versions
from pyimgano.models import create_model


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Fit on a handful of pictures."""
    torch.set_num_threads(settings["threads"])
    paths = [str(path) for path in sorted(Path(settings["folder"]).iterdir())]
    detector = create_model(
        "vae_conv",
        image_size=settings["image_size"],
        batch_size=settings["batch_size"],
        epochs=1,
        device="cpu",
    )
    detector.fit(paths[:8])
    detector.decision_function(paths[: settings["batch_size"]])

    def go() -> dict[str, float]:
        started = time.perf_counter()
        scores = np.asarray(detector.decision_function(paths))
        seconds = time.perf_counter() - started
        assert scores.shape == (len(paths),)
        return {"ms": 1000 * seconds / len(paths)}

    return {"note": "vae_conv", "versions": versions("pyimgano", "torch")}, {"go": go}


if __name__ == "__main__":
    answer(prepare)
