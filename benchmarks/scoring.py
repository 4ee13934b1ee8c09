"""What it costs to get from files to scores, beside decoding and a forward pass alone, and beside other libraries.

    python benchmarks/scoring.py [--model cvae|cae|vae] [--data FOLDER] [--channels 3|1] [--image-size 256]
        [--batch-size 32] [--pictures 320] [--rounds 5] [--anomalib-python ENVIRONMENT/bin/python]
        [--pyimgano-python ENVIRONMENT/bin/python] [--pyod-python ENVIRONMENT/bin/python]

In each round, one after the other, each library in a process of its own that waits while the others run:
``anomaly_score`` of a folder, and the command ``score`` of the same folder to a CSV file; the files decoded and
resized; one forward pass of the network over batches that are ready; then the other libraries, each
from the same files to scores. The folder has JPEGs of 512 x 512, drawn castings, unless ``--data`` names one.
All are trained on a handful of pictures, which is not measured; ``peers`` has one script for each.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from timing import Worker, alternate, machine, median_and_spread, processors, ratios

from recon_anomaly import find_labelled, make_parts

DRAWN = 40
"""Castings that are drawn; further files repeat them."""

OURS = {
    "score": "anomaly_score of the folder",
    "csv": "recon-anomaly score FILE FOLDER --csv OUT",
    "decode": "decoding alone",
    "forward": "a forward pass alone",
}
PEERS = {
    "padim": ("anomalib's PaDiM, ResNet-18", "score_anomalib.py", "anomalib"),
    "fre": ("anomalib's FRE, ResNet-18", "score_anomalib.py", "anomalib"),
    "pyimgano": ("pyimgano's convolutional VAE", "score_pyimgano.py", "pyimgano"),
    "pyod": ("PyOD's VAE", "score_pyod.py", "pyod"),
}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["cvae", "cae", "vae"], default="cvae")
    parser.add_argument("--data", help="a labelled folder; by default drawn castings")
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=processors())
    for name in ("anomalib", "pyimgano", "pyod"):
        parser.add_argument(f"--{name}-python", help=f"of an environment with {name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        folder = Path(place, "pictures")
        count = fill(folder, options.data, options.channels, options.pictures)
        told = {
            "folder": str(folder),
            "place": place,
            **{name: getattr(options, name) for name in ("model", "image_size", "channels")},
            **{name: getattr(options, name) for name in ("batch_size", "threads")},
        }
        library = stack.enter_context(Worker("score_library.py", **told))
        asked = {name: functools.partial(library.ask, name) for name in OURS}
        labels, notes = dict(OURS), []
        for name, (label, script, environment) in PEERS.items():
            python = getattr(options, f"{environment}_python")
            if python is None:
                continue
            worker = Worker(script, python=python, anomalib=name, **told)
            stack.enter_context(worker)
            asked[name] = functools.partial(worker.ask, "go")
            labels[name] = f"{label} ({worker.about['note']})"
            notes.append(f"{label}: {worker.about['versions']}")
            if "trials" in worker.about:
                notes[-1] += f"; ms a picture tried: {worker.about['trials']}"
        found = alternate(asked, options.rounds)
    shape = "x".join(map(str, library.about["shape"]))
    print(
        f"{options.model}, {count} pictures of {shape}, batch size {options.batch_size}, "
        f"{options.rounds} rounds\n{machine(options.threads, 'torch', 'pillow')}"
    )
    print_table(
        {name: [answer["ms"] for answer in answers] for name, answers in found.items()}, labels
    )
    print(*notes, sep="\n")


def print_table(ms: dict[str, list[float]], labels: dict[str, str]) -> None:
    """Print milliseconds a picture and pictures a second, and what they come to."""
    print(f"\n{'':58} {'ms a picture, median [least, greatest]':42} pictures/s")
    for name, times in ms.items():
        rate = 1000 / statistics.median(times)
        print(f"{labels[name]:58} {median_and_spread(times):42} {rate:8.1f}")
    print()
    slower = [max(pair) for pair in zip(ms["decode"], ms["forward"], strict=True)]
    both = [sum(pair) for pair in zip(ms["decode"], ms["forward"], strict=True)]
    for name in ("score", "csv"):
        print_ratio(
            f"{name}: rate / the slower of decoding and forward", slower, ms[name], "at least 0.85"
        )
    # Both parts can use all cores when they are alone, so overlapping them gains only what they leave idle.
    print_ratio("the same, if one followed the other", slower, both, "")
    print_ratio("score: time / (decoding + forward)", ms["score"], both, "at most 1.20")
    anomalib = [name for name in ("padim", "fre") if name in ms]
    if anomalib:
        fastest = min(anomalib, key=lambda name: statistics.median(ms[name]))
        print_ratio(
            f"rate of score / anomalib's fastest, {fastest}", ms[fastest], ms["score"], "at least 3"
        )
    for name, wanted in (("pyimgano", "at least 1.2"), ("pyod", "level, 1")):
        if name in ms:
            print_ratio(f"rate of score / {name}'s", ms[name], ms["score"], wanted)


def print_ratio(label: str, above: Sequence[float], below: Sequence[float], wanted: str) -> None:
    """Print the median and the spread of the rounds' ratios."""
    share = median_and_spread(ratios(above, below), "6.2f")
    print(f"{label:58} {share}" + (f"   wanted {wanted}" if wanted else ""))


def fill(folder: Path, data: str | None, channels: int, count: int) -> int:
    """Put so many pictures of a labelled folder, or drawn castings, into ``folder``; return how many there are."""
    folder.mkdir()
    if data:
        labelled = find_labelled(data)
        paths = [*labelled.test, *labelled.train][:count]
        if len(paths) < count:
            print(f"{data} has {len(paths)} pictures, {count} were asked for")
        for number, path in enumerate(paths):
            shutil.copy(path, folder / f"{number:06d}{path.suffix}")
        return len(paths)
    drawn: list[Any] = []
    for picture in make_parts(min(count, DRAWN), 0, 0, 0, image_size=512).train:
        gray = Image.fromarray(picture[..., 0])
        # A warm light: blue is darker, as no picture in colour has three channels alike.
        tinted = Image.merge(
            "RGB", [gray, gray.point(lambda v: 0.9 * v), gray.point(lambda v: 0.7 * v)]
        )
        drawn.append(tinted if channels == 3 else gray)
    for number in range(count):
        drawn[number % len(drawn)].save(folder / f"{number:06d}.jpg", quality=90)
    return count


if __name__ == "__main__":
    main()
