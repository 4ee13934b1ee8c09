"""What scoring files costs, beside decoding the same files and one bare forward pass over them.

    python benchmarks/scoring.py [--data FOLDER] [--image-size 128] [--pictures 320] [--rounds 5]

In each round, one after the other: (a) ``anomaly_score`` of a fitted VAE on the files; (b) the files
decoded and resized; (c) one forward pass of its network over them, as float batches that are ready.
Medians over the rounds, after one that does not count. The training, of two pictures, is not measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from recon_anomaly import VAE, find_labelled, make_parts, read_pictures

BATCH = 32
PAPER = "0.1 s a picture or less (Nakata et al., 2023, on a workstation with a Titan RTX)"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a labelled folder; by default drawn castings")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        paths = _paths(options.data, options.pictures, options.image_size, Path(place))
        _measure(paths, options.image_size, options.rounds)


def _measure(paths: list[Path], image_size: int, rounds: int) -> None:
    detector = VAE(image_size=image_size, epochs=1, batch_size=BATCH, device="cpu")
    detector.fit(paths[:2])
    height, width, channels = detector.image_shape_
    network = detector.network_

    def decode() -> torch.Tensor:
        pictures = read_pictures(paths, image_size=(height, width), channels=channels)
        return torch.from_numpy(pictures.batch(slice(None)))

    images = decode().permute(0, 3, 1, 2).to(torch.float32).div_(255)

    def forward() -> None:
        with torch.inference_mode():
            for batch in images.split(BATCH):
                network(batch)

    steps: dict[str, Callable[[], object]] = {
        "a  anomaly_score": lambda: detector.anomaly_score(paths),
        "b  decoding": decode,
        "c  a bare forward pass": forward,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_:  # the first one warms up
                seconds[name].append(time.perf_counter() - started)
    a, b, c = (statistics.median(times) for times in seconds.values())
    print(
        f"{len(paths)} pictures of {height}x{width}x{channels}, median of {rounds} rounds\n"
        f"{platform.machine()}, {os.cpu_count()} processors, {torch.get_num_threads()} threads, "
        f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    for name, times in seconds.items():
        print(f"{name:40} {1000 * statistics.median(times) / len(paths):8.2f} ms a picture")
    print(f"{'a / (b + c), wanted at most 1.20':40} {a / (b + c):8.2f}")
    print(f"{'the paper':40} {PAPER}")


def _paths(data: str | None, count: int, image_size: int, place: Path) -> list[Path]:
    """Return that many files of a labelled folder, or of drawn castings saved at ``place``."""
    if data:
        found = find_labelled(data)
        paths = [*found.test, *found.train][:count]
        if len(paths) < count:
            print(f"{data} has {len(paths)} pictures, {count} were asked for")
        return paths
    parts = make_parts(count, 0, 0, 0, image_size=image_size)
    paths = [place / f"{number:06d}.png" for number in range(count)]
    for path, picture in zip(paths, parts.train, strict=True):
        Image.fromarray(picture[..., 0]).save(path)
    return paths


if __name__ == "__main__":
    main()
