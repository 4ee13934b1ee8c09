"""The VAE of PyOD, a multilayer perceptron on flattened pixels, for the scoring benchmark.

Runs in an environment of its own, with pyod, torch, tqdm and pillow. PyOD reads no files: they are decoded and
resized by Pillow, as its user would.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from answering import Measure, answer, versions
from PIL import Image
from pyod.models.vae import VAE


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Fit on a handful of pictures."""
    torch.set_num_threads(settings["threads"])
    paths = sorted(Path(settings["folder"]).iterdir())
    size = settings["image_size"]
    mode = "L" if settings["channels"] == 1 else "RGB"

    def read(some: list[Path]) -> np.ndarray:
        rows = []
        for path in some:
            with Image.open(path) as image:
                rows.append(np.asarray(image.convert(mode).resize((size, size))).reshape(-1))
        return np.stack(rows).astype(np.float32) / 255

    detector = VAE(epoch_num=1, batch_size=settings["batch_size"], verbose=0, device="cpu")
    detector.fit(read(paths[: 2 * settings["batch_size"]]))

    def go() -> dict[str, float]:
        started = time.perf_counter()
        scores = detector.decision_function(read(paths))
        seconds = time.perf_counter() - started
        assert scores.shape == (len(paths),)
        return {"ms": 1000 * seconds / len(paths)}

    go()
    about = {"note": "multilayer perceptron", "versions": versions("pyod", "torch", "pillow")}
    return about, {"go": go}


if __name__ == "__main__":
    answer(prepare)
