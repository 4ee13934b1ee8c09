"""What one picture costs from its file to its score, alone, beside what a paper needs.

    python benchmarks/latency.py [--models cae cvae vae] [--data FOLDER] [--channels 3|1] [--image-size 256]
        [--pictures 50] [--rounds 3]

Each picture is scored by a call of its own, ``anomaly_score([path])``, with all threads; models take
turns, round by round, after a round that does not count. The training, of two pictures, is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scoring import fill
from timing import alternate, machine, processors

from recon_anomaly import CAE, CVAE, VAE
from recon_anomaly.pictures import list_pictures

MODELS = {"cae": CAE, "cvae": CVAE, "vae": VAE}
PAPER = "0.1 s a picture or less (Nakata et al., 2023, on a workstation with a Titan RTX)"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--data", help="a labelled folder; by default drawn castings")
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=processors())
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "pictures")
        count = fill(folder, options.data, options.channels, options.pictures)
        paths = list_pictures(folder)
        measures = {}
        for name in options.models:
            detector = MODELS[name](
                image_size=options.image_size,
                channels=options.channels,
                epochs=1,
                batch_size=2,
                device="cpu",
            )
            measures[name] = partial(one_by_one, detector.fit(paths[:2]), paths)
        found = alternate(measures, options.rounds)
    print(
        f"{count} pictures of {options.image_size}x{options.image_size}x{options.channels}, one at a time, "
        f"{options.rounds} rounds\n{machine(options.threads, 'torch')}\n"
    )
    print(f"{'from file to score':20} {'median':>10} {'95 %':>10} {'slowest':>10}")
    for name, answers in found.items():
        ms = np.concatenate([answer["ms"] for answer in answers])
        median, late = np.percentile(ms, (50, 95))
        print(f"{name:20} {median:7.1f} ms {late:7.1f} ms {ms.max():7.1f} ms")
    print(f"{'the paper':20} {PAPER}")


def one_by_one(detector: Any, paths: list[Path]) -> dict[str, list[float]]:
    """Return the milliseconds of each picture."""
    ms = []
    for path in paths:
        started = time.perf_counter()
        detector.anomaly_score([path])
        ms.append(1000 * (time.perf_counter() - started))
    return {"ms": ms}


if __name__ == "__main__":
    main()
