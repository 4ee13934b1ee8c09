"""What a cold start costs: Python alone, the library, its command, torch, and the score of one picture.

    python benchmarks/startup.py [--rounds 11] [--image-size 256]

In each round a fresh process for each row, one after the other, every other round in reverse; the first round
fills the file cache and does not count. The rows of imports say what the score of one picture, by the command
and with a saved CAE, is made of.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image
from timing import alternate, machine, median_and_spread, processors

from recon_anomaly import CAE, make_parts

IMPORT_LIMIT = 50
COMMAND_LIMIT = 400


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--image-size", type=int, default=256)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        _measure(_rows(Path(place), options.image_size), options.rounds)


def _rows(place: Path, image_size: int) -> dict[str, list[str]]:
    """Save a detector and a picture, and return the command of each row."""
    parts = make_parts(8, 1, 0, 0, image_size=image_size)
    detector, picture = place / "cae.safetensors", place / "part.png"
    CAE(image_size=image_size, epochs=1, device="cpu").fit(parts.train).save(detector)
    Image.fromarray(parts.test[0, ..., 0]).save(picture)
    python = [sys.executable, "-c"]
    installed = Path(sys.executable).with_name("recon-anomaly")
    command = [str(installed)] if installed.exists() else [sys.executable, "-m", "recon_anomaly"]
    return {
        "bare Python": [*python, "pass"],
        "import recon_anomaly": [*python, "import recon_anomaly"],
        "recon-anomaly --help": [*command, "--help"],
        "recon-anomaly plugins": [*command, "plugins"],
        "import torch": [*python, "import torch"],
        "import torch, sklearn.base": [*python, "import torch, sklearn.base"],
        "recon-anomaly score, one picture": [*command, "score", str(detector), str(picture)],
    }


def _run(command: list[str]) -> dict[str, float]:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr}")
    return {"ms": 1000 * seconds}


def _measure(rows: dict[str, list[str]], rounds: int) -> None:
    measures: dict[str, Callable[[], dict[str, float]]] = {
        name: partial(_run, command) for name, command in rows.items()
    }
    found = alternate(measures, rounds)
    times = {name: [answer["ms"] for answer in answers] for name, answers in found.items()}
    bare, library, helped, plugins, torch, sklearn, score = map(statistics.median, times.values())
    print(machine(processors(), "recon-anomaly", "torch", "scikit-learn", "typer"))
    print(f"median of {rounds} fresh processes, and the least and the greatest, in ms")
    for name, values in times.items():
        print(f"{name:34} {median_and_spread(values, '7.0f')}")
    print(f"import recon_anomaly adds {library - bare:.0f} ms, wanted at most {IMPORT_LIMIT}")
    print(f"--help {helped:.0f} ms, plugins {plugins:.0f} ms, wanted less than {COMMAND_LIMIT}")
    print(
        f"of the score's {score:.0f} ms: torch {100 * (torch - bare) / score:.0f} %, scikit-learn beside it "
        f"{100 * (sklearn - torch) / score:.0f} %, Python {100 * bare / score:.0f} %, all else "
        f"{100 * (score - sklearn) / score:.0f} %"
    )


if __name__ == "__main__":
    main()
