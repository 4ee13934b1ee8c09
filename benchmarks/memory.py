"""What a picture costs in time, and what all of them cost in memory, however many there are.

    python benchmarks/memory.py [--counts 1000 4000 16000 28000 64000] [--channels 1|3] [--budget 200MB]
        [--model cae] [--model-params JSON] [--image-size 256] [--rounds 1] [--out FILE]

For each count a folder of as many JPEG files is made: some hundred drawn castings, and hard links to them, so
that decoding is real and the disk's speed is not measured. Then, each in a fresh process: ``fit`` of one epoch
from the folder, with the stated memory budget; and ``recon-anomaly score`` of the folder to a CSV file. Every
20 ms the process's anonymous memory (RssAnon of /proc/PID/status) is read, and the highest one is shown;
pages of the mapped file of pictures are the kernel's to take back, and no part of it. The times are of the
call alone, without imports and what torch sets up once. Linux only, for its /proc.

Links and the file of pictures go to the temporary folder (TMPDIR), which must be on a disk, and are removed
at the end, also of a run that is interrupted or terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from timing import machine, processors

from recon_anomaly import make_parts
from recon_anomaly.memory import bytes_of, is_memory

SAMPLE_SECONDS = 0.02
FOLDER_SIZE = 1000
TINT = np.array([1.0, 0.9, 0.75])
"""Of the castings, where three channels are wanted; gray ones would be read as one."""


def main() -> None:
    """Measure all counts, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 4000, 16000, 28000, 64000])
    parser.add_argument("--channels", type=int, choices=[1, 3], default=1)
    parser.add_argument("--budget", default="200MB", help="memory budget of fit, such as 200MB")
    parser.add_argument("--model", default="cae")
    parser.add_argument(
        "--model-params", default="{}", help="JSON; a small network for a quick look"
    )
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--distinct", type=int, default=300, help="how many castings are drawn")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON lines, one a measurement")
    parser.add_argument("--measured", choices=list(MEASURED), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measured:
        print(json.dumps(MEASURED[options.measured](options)))
        return
    if not Path("/proc/self/status").exists():
        raise SystemExit("this system has no /proc to read a process's memory from")
    if is_memory(tempfile.gettempdir()):
        raise SystemExit(
            f"{tempfile.gettempdir()} is memory itself; set TMPDIR to a folder on a disk"
        )
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, _leave)
    with tempfile.TemporaryDirectory(prefix="recon-anomaly-benchmark-") as place:
        options.place = Path(place)
        _run(options)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _run(options: argparse.Namespace) -> None:
    drawn = _draw(options)
    with _folder(options.place, drawn, min(options.counts)):
        _measure("save", options)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for number in range(options.rounds):
        for count in options.counts[:: -1 if number % 2 else 1]:
            with _folder(options.place, drawn, count):
                for name in ("fit", "score"):
                    row = _measure(name, options) | {"measured": name, "pictures": count}
                    row["seconds_a_picture"] = row["seconds"] / count
                    found.setdefault((name, count), []).append(row)
                    print(f"round {number + 1}: {row}", file=sys.stderr)
                    if options.out is not None:
                        with options.out.open("a") as lines:
                            print(json.dumps(row | _stated(options)), file=lines)
    _print(found, options)


def _stated(options: argparse.Namespace) -> dict[str, Any]:
    named = ("channels", "budget", "model", "model_params", "image_size")
    return {name: getattr(options, name) for name in named}


def _print(found: dict[tuple[str, int], list[dict[str, Any]]], options: argparse.Namespace) -> None:
    picture = options.image_size**2 * options.channels
    budget = bytes_of(options.budget)
    counts = sorted(options.counts)
    beyond = [count for count in counts if count * picture > budget]
    baseline = statistics.median(row["baseline"] for rows in found.values() for row in rows)
    rounds = "one run for each count"
    if options.rounds > 1:
        rounds = f"{options.rounds} rounds, median [least, greatest]"
    print(machine(processors(), "recon-anomaly", "torch", "numpy", "pillow"))
    print(
        f"{options.model} {options.model_params}, {options.image_size}x{options.image_size}x"
        f"{options.channels}, budget {options.budget}; {rounds}; "
        f"after the imports {baseline / 1e6:.0f} MB are anonymous"
    )
    print("pictures   pixels MB  beyond  measured    ms a picture            peak RssAnon, MB")
    for count in counts:
        for name in ("fit", "score"):
            rows = found[name, count]
            print(
                f"{count:8}  {count * picture / 1e6:10.0f}  {'yes' if count in beyond else 'no':6}  {name:8}  "
                f"{_shown([1000 * row['seconds_a_picture'] for row in rows], 2)}  "
                f"{_shown([row['peak'] / 1e6 for row in rows], 0)}"
            )
    # What is scored is never kept, so all of its rows have to be flat.
    for name, flat in (("fit", beyond), ("score", counts)):
        if len(flat) < 2:
            print(f"{name}: fewer than two counts beyond the budget, so nothing is said of flat")
            continue
        said = []
        for figure in ("seconds_a_picture", "peak"):
            medians = [statistics.median(row[figure] for row in found[name, n]) for n in flat]
            high, low = max(medians), min(medians)
            said.append(f"{figure} {high / low:.3f} (±{100 * (high - low) / (high + low):.1f} %)")
        print(f"flat, {name}, {flat[0]} to {flat[-1]} pictures, max/min: {', '.join(said)}")


def _shown(values: list[float], digits: int) -> str:
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) > 1:
        text += f" [{min(values):.{digits}f}, {max(values):.{digits}f}]"
    return text.rjust(22)


# Pictures ----------------------------------------------------------------------------------------


def _draw(options: argparse.Namespace) -> list[Path]:
    """Draw the distinct castings into files."""
    count = min(options.distinct, max(options.counts))
    folder = options.place / "drawn"
    folder.mkdir()
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    drawn = make_parts(count, 0, 0, 0, image_size=options.image_size).train
    for path, picture in zip(paths, drawn, strict=True):
        gray = picture[..., 0]
        pixels = gray if options.channels == 1 else (gray[..., None] * TINT).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=90)
    return paths


@contextlib.contextmanager
def _folder(place: Path, drawn: list[Path], count: int) -> Iterator[Path]:
    """Give a folder of so many files, all links to the drawn ones."""
    folder = place / "pictures"
    for number in range(count):
        inner = folder / f"{number // FOLDER_SIZE:03}"
        if number % FOLDER_SIZE == 0:
            inner.mkdir(parents=True)
        path = inner / f"{number:06}.jpg"
        try:
            path.hardlink_to(drawn[number % len(drawn)])
        except OSError:  # no links here, or too many of one file
            shutil.copyfile(drawn[number % len(drawn)], path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


# Measuring ---------------------------------------------------------------------------------------


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one measurement in a fresh process, and add its peak of anonymous memory."""
    command = [sys.executable, __file__, "--measured", name, "--place", str(options.place)]
    for option, value in _stated(options).items():
        command += [f"--{option.replace('_', '-')}", str(value)]
    # Its file of pictures goes with this run's folder, even if the process is killed.
    environment = {**os.environ, "TMPDIR": str(options.place)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    peaks = {"RssAnon": 0, "RssFile": 0}
    try:
        while process.poll() is None:
            for field, size in anonymous(process.pid).items():
                peaks[field] = max(peaks[field], size)
            time.sleep(SAMPLE_SECONDS)  # the peak is sampled: RssAnon has no high-water mark
    finally:
        process.kill()
    answer, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{name} ended with code {process.returncode}")
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found | {"peak": peaks["RssAnon"], "peak_of_files": peaks["RssFile"]}


def anonymous(process: int | str) -> dict[str, int]:
    """Return a process's resident memory in bytes, of its own and of files; empty if it has ended."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            field, _, rest = line.partition(":")
            if field in ("RssAnon", "RssFile"):
                found[field] = 1024 * int(rest.split()[0])
    return found


def _save(options: argparse.Namespace) -> dict[str, Any]:
    """Fit on few pictures, so that there is a detector to score with; what it learnt does not matter."""
    paths = sorted((options.place / "drawn").iterdir())[:8]
    _detector(options).fit(paths).save(options.place / "detector.safetensors")
    return {}


def _fit(options: argparse.Namespace) -> dict[str, Any]:
    """Time one epoch, after a fit of few pictures that does not count: torch imports much of itself then."""
    detector, baseline = _detector(options), anonymous("self")["RssAnon"]
    _save(options)
    started = time.perf_counter()
    detector.fit(options.place / "pictures")
    return {"baseline": baseline, "seconds": time.perf_counter() - started}


def _score(options: argparse.Namespace) -> dict[str, Any]:
    """Time the command, from its arguments to the written table; its imports were made before."""
    import recon_anomaly.cli.scoring  # noqa: F401  # so that its imports are not timed
    from recon_anomaly.cli import main as command

    table = options.place / "scores.csv"
    sys.argv = ["recon-anomaly", "score", str(options.place / "detector.safetensors")]
    sys.argv += [str(options.place / "pictures"), "--csv", str(table), "--device", "cpu"]
    baseline, started = anonymous("self")["RssAnon"], time.perf_counter()
    try:
        command()
    except SystemExit as stopped:
        if stopped.code:
            raise
    return {"baseline": baseline, "seconds": time.perf_counter() - started}


def _detector(options: argparse.Namespace) -> Any:
    from recon_anomaly import ReconstructionDetector

    return ReconstructionDetector(
        options.model,
        model_params=json.loads(options.model_params),
        image_size=options.image_size,
        epochs=1,
        memory_budget=bytes_of(options.budget),
        device="cpu",
    )


MEASURED = {"save": _save, "fit": _fit, "score": _score}


if __name__ == "__main__":
    main()
