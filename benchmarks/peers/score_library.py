"""The library's scoring of files, and what it consists of, for the scoring benchmark."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from answering import Measure, answer

from recon_anomaly import CAE, CVAE, VAE, read_pictures
from recon_anomaly.allocation import large_blocks_kept
from recon_anomaly.cli import app
from recon_anomaly.pictures import list_pictures
from recon_anomaly.scoring import exact

MODELS = {"cae": CAE, "cvae": CVAE, "vae": VAE}


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Fit on two pictures; their scores mean nothing, and cost what those of a trained network cost."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    folder, place = Path(settings["folder"]), Path(settings["place"])
    paths = list_pictures(folder)
    detector = MODELS[settings["model"]](
        image_size=settings["image_size"],
        channels=settings["channels"],
        epochs=1,
        batch_size=settings["batch_size"],
        device="cpu",
    )
    detector.fit(paths[:2])
    saved, csv = place / "detector.safetensors", place / "scores.csv"
    detector.save(saved)
    height, width, channels = detector.image_shape_

    def read() -> Any:
        return read_pictures(paths, image_size=(height, width), channels=channels)

    pictures = read().batch(slice(None))
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32).div_(255)

    def decode() -> None:
        with large_blocks_kept():  # as scoring does
            read()

    def forward() -> None:
        with large_blocks_kept(), exact():
            for batch in images.split(settings["batch_size"]):
                detector.network_(batch)

    def command() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # the progress
            app(
                ["score", str(saved), str(folder), "--csv", str(csv), "--device", "cpu"],
                standalone_mode=False,
            )
        lines = csv.read_text().count("\n")
        assert lines == len(paths) + 1, f"{lines} lines for {len(paths)} pictures"

    steps: dict[str, Callable[[], object]] = {
        "score": lambda: detector.anomaly_score(folder),
        "csv": command,
        "decode": decode,
        "forward": forward,
    }
    for step in steps.values():
        step()

    def timed(step: Callable[[], object]) -> Measure:
        def go() -> dict[str, float]:
            started = time.perf_counter()
            step()
            return {"ms": 1000 * (time.perf_counter() - started) / len(paths)}

        return go

    return {"shape": [height, width, channels]}, {name: timed(step) for name, step in steps.items()}


if __name__ == "__main__":
    answer(prepare)
