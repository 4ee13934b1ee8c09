"""The worker's side of `detection.py`: reads the pictures, lets one contender fit and score, and answers once.

The driver starts a contender's script with the interpreter of its environment and writes one line of JSON to its
standard input: the folder with ``train``, ``validation`` and ``test``, the row with its parameters, seed, threads,
and how long training may take. The answer is one line of JSON. No contender is told a label. Needs NumPy and Pillow.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Contender:
    """What a script brings: something that learns good pictures and scores others.

    Pictures are uint8 (n, h, w, c) with one channel or three, decoded before anything is timed.
    """

    calls = 1
    """How many times `score` runs the network, where it averages; the time is that of one call."""

    epochs: int | None = None
    """How many epochs were trained; None where there are none."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.notes: list[str] = []
        """What a reader of the row has to know, such as another size."""

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        """Learn from good pictures; the validation pictures may choose an epoch, and nothing else."""
        raise NotImplementedError  # each contender has its own; this class is not used alone

    def score(self, pictures: np.ndarray) -> np.ndarray:
        """Return the anomaly scores (n,): raw, the higher the more abnormal."""
        raise NotImplementedError  # each contender has its own; this class is not used alone

    def maps(self, pictures: np.ndarray) -> np.ndarray | None:
        """Return the anomaly maps (n, h, w) at the pictures' size, or None where there are none."""
        return None

    def epochs_in_time(self) -> Iterator[int]:
        """Count the epochs that are asked for, and stop where the next one would not end in time."""
        asked, started = self.settings["epochs"], time.perf_counter()
        for epoch in range(1, asked + 1):
            yield epoch
            self.epochs = epoch
            passed = time.perf_counter() - started
            if epoch < asked and passed * (epoch + 1) / epoch > self.settings["seconds"]:
                self.notes.append(f"{epoch} of {asked} epochs, for the time limit")
                return


def compete(make: Callable[[dict[str, Any]], Contender]) -> None:
    """Read the settings, run the contender, and answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the libraries print goes to standard error
    settings = json.loads(sys.stdin.readline())
    train, validation, test = (
        read(Path(settings["folder"]) / part) for part in ("train", "validation", "test")
    )
    contender = make(settings)
    started = time.perf_counter()
    contender.fit(train, validation)
    fit_seconds = time.perf_counter() - started
    validation_scores = contender.score(validation)  # before the clock runs: all are warm then
    started = time.perf_counter()
    scores = contender.score(test)
    seconds = time.perf_counter() - started
    peak = peak_memory()
    maps = contender.maps(test) if settings["maps"] else None
    if maps is not None:
        np.save(settings["maps"], np.asarray(maps, np.float32))
    answer = {
        "scores": np.asarray(scores, float).tolist(),
        "validation_scores": np.asarray(validation_scores, float).tolist(),
        "has_maps": maps is not None,
        "fit_seconds": round(fit_seconds, 3),
        "milliseconds_per_picture": round(1000 * seconds / len(test) / contender.calls, 4),
        "peak_memory_mib": peak,
        "epochs_trained": contender.epochs,
        "notes": contender.notes,
    }
    print(json.dumps(answer), file=answers, flush=True)


def read(folder: Path) -> np.ndarray:
    """Return the pictures of a folder in the order of their names, uint8 (n, h, w, c)."""
    pictures = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            pictures.append(np.asarray(image))
    pixels = np.stack(pictures)
    return pixels[..., None] if pixels.ndim == 3 else pixels


def in_colour(pictures: np.ndarray) -> np.ndarray:
    """Return pictures of three channels; a gray one is repeated."""
    return np.repeat(pictures, 3, axis=-1) if pictures.shape[-1] == 1 else pictures


def peak_memory() -> float | None:
    """Return the most memory that this process has had at a time in MiB, where the system tells it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return round(int(lines["VmHWM"].split()[0]) / 1024, 1)
