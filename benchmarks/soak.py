"""Score pictures in one process for long, and watch its anonymous memory, file descriptors and threads.

    python benchmarks/soak.py [--pictures 100000] [--model cae] [--image-size 64] [--most-mib 16]

One detector, loaded from its file, scores folders of files and single arrays by turns, with heat maps, as a
server does; every tenth file is broken and left out. A row is printed each twentieth of the way. Exit code 1
where the last tenth has more descriptors or threads than the first one had, or its memory is higher by more
than ``--most-mib``. Linux only, for its /proc.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from recon_anomaly import ReconstructionDetector, load

FILES = 50
"""In the folder that is scored again and again."""
ROWS = 20


class Counted(NamedTuple):
    """What a process holds: anonymous memory in MiB, open descriptors, Python's threads."""

    memory: float
    descriptors: int
    threads: int


def main() -> None:
    """Score, print the rows, and say whether they are flat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--model", default="cae")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--most-mib", type=float, default=16.0, help="of growth")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = soak(Path(place), options.pictures, options.model, options.image_size)
    part = max(1, len(rows) // 10)
    before, after = peak(rows[:part]), peak(rows[-part:])
    grown = [last - first for first, last in zip(before, after, strict=True)]
    print(
        f"{options.pictures} pictures of {options.image_size} x {options.image_size}, {options.model}: from the "
        f"first to the last tenth {grown[0]:+.1f} MiB of anonymous memory, {grown[1]:+d} descriptors, "
        f"{grown[2]:+d} threads"
    )
    if grown[0] > options.most_mib or grown[1] > 0 or grown[2] > 0:
        sys.exit("not flat")


def soak(place: Path, pictures: int, model: str, size: int) -> list[Counted]:
    """Score so many pictures, and return what the process held in each twentieth of the way."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (FILES, size, size, 1), dtype=np.uint8)
    (folder := place / "pictures").mkdir()
    for number, picture in enumerate(array):
        path = folder / f"{number}.png"
        Image.fromarray(picture[..., 0]).save(path)
        if number % 10 == 9:
            path.write_bytes(path.read_bytes()[:60])
    file = place / "m.safetensors"
    ReconstructionDetector(model=model, epochs=1, image_size=size).fit(array).save(file)
    detector = load(file)
    rows: list[Counted] = []
    done, started = 0, time.monotonic()
    while done < pictures:
        if done % (5 * FILES):
            skipped: list[tuple[Path, str]] = []
            for part in detector.iter_files(sorted(folder.iterdir()), skipped=skipped):
                done += len(part.scores)
            done += len(skipped)
        else:
            for picture in array:
                detector.predict(picture[None])
                detector.anomaly_map(picture[None])
            done += FILES
        if done >= pictures * (len(rows) + 1) / ROWS:
            gc.collect()
            rows.append(counted())
            print(
                f"{done:>8} pictures  {rows[-1].memory:8.1f} MiB  {rows[-1].descriptors:3} descriptors  "
                f"{rows[-1].threads:3} threads  {time.monotonic() - started:7.0f} s",
                flush=True,
            )
    return rows


def peak(rows: list[Counted]) -> Counted:
    """Return the most of each."""
    return Counted(*(max(column) for column in zip(*rows, strict=True)))


def counted() -> Counted:
    """Return what this process holds now."""
    status = Path("/proc/self/status").read_text().split("RssAnon:")[1]
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a Path for each would be work
    return Counted(int(status.split()[0]) / 2**10, descriptors, threading.active_count())


if __name__ == "__main__":
    main()
