"""What one big picture takes in memory and time, scored in tiles.

    python benchmarks/tiles.py [--side 10000] [--channels 1|3] [--tile 256] [--overlap 64] [--budget 1GB]
        [--model cae] [--model-params JSON] [--scorer mse] [--maps]

A detector is fitted for one epoch on four small pictures, in tiles. Then, in a fresh process, one picture of side x side
pixels is scored from its file, with its map if ``--maps`` asks for it. Every 20 ms that process's anonymous memory (RssAnon of
/proc/PID/status) is read; shown is how far the highest one lies above that after the imports. More than the
budget is an error. Linux only, for its /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from memory import SAMPLE_SECONDS, anonymous
from PIL import Image
from timing import machine, processors

from recon_anomaly.memory import bytes_of


def main() -> None:
    """Measure one picture, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--channels", type=int, choices=[1, 3], default=1)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--budget", default="1GB", help="of the scoring, such as 500MB")
    parser.add_argument("--model", default="cae")
    parser.add_argument("--model-params", default="{}", help="JSON")
    parser.add_argument("--scorer", default="mse")
    parser.add_argument(
        "--maps", action="store_true", help="make the map of the whole picture, too"
    )
    parser.add_argument("--scored", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scored:
        print(json.dumps(_score(options.scored, options.maps)))
        return
    if not Path("/proc/self/status").exists():
        raise SystemExit("this system has no /proc to read a process's memory from")
    budget = bytes_of(options.budget)
    with tempfile.TemporaryDirectory(prefix="recon-anomaly-benchmark-") as place:
        tiles = _prepare(Path(place), options)
        found = _measured(Path(place), options)
    taken = found["peak"] - found["baseline"]
    pixels = options.side**2 * options.channels
    print(machine(processors(), "recon-anomaly", "torch", "numpy", "pillow"))
    print(
        f"{options.model} {options.model_params} by {options.scorer}, one picture of {options.side} x {options.side} x "
        f"{options.channels} ({pixels / 1e6:.0f} MB), {tiles} tiles of {options.tile} that overlap by {options.overlap}"
    )
    print(
        f"{found['seconds']:.1f} s, {taken / 1e6:.0f} MB beyond the {found['baseline'] / 1e6:.0f} MB of the imports"
    )
    if taken > budget:
        raise SystemExit(f"that is more than the budget of {options.budget}")
    print(f"within the budget of {options.budget}")


def _prepare(place: Path, options: argparse.Namespace) -> int:
    """Write a detector and the picture, and return how many tiles it has."""
    from recon_anomaly import ReconstructionDetector

    side = options.tile + options.tile // 2
    detector = ReconstructionDetector(
        options.model,
        model_params=json.loads(options.model_params),
        scorer=options.scorer,
        tile=options.tile,
        overlap=options.overlap,
        max_pixels=max(options.side**2, 1),
        epochs=1,
        device="cpu",
    )
    small = [_drawn(side, options.channels, seed) for seed in range(4)]
    detector.fit(small).save(place / "detector.safetensors")
    Image.fromarray(_drawn(options.side, options.channels, 9).squeeze()).save(place / "big.png")
    return len(detector.tiling_.grid((options.side, options.side)))


def _drawn(side: int, channels: int, seed: int) -> np.ndarray:
    """Return a weave with noise, made of rows that repeat, so that it costs no more than its pixels."""
    rng = np.random.default_rng(seed)
    rows = (110 + 40 * np.sin(np.arange(side) / 5)).astype(np.uint8)
    block = rows[None, :, None] + rng.integers(0, 30, (64, side, channels), dtype=np.uint8)
    return np.tile(block, (-(-side // 64), 1, 1))[:side]


def _measured(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--scored", str(place)] + ["--maps"] * options.maps
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, anonymous(process.pid).get("RssAnon", 0))
            time.sleep(SAMPLE_SECONDS)  # the peak is sampled: RssAnon has no high-water mark
    finally:
        process.kill()
    answer, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the scoring ended with code {process.returncode}")
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found | {"peak": peak}


def _score(place: Path, maps: bool) -> dict[str, Any]:
    """Score the picture, after one tile's worth of pixels that does not count: torch imports much of itself then."""
    from recon_anomaly import load

    detector = load(place / "detector.safetensors", device="cpu")
    height, width, channels = detector.image_shape_
    detector.score_samples(np.zeros((1, height, width, channels), np.uint8))
    baseline, started = anonymous("self")["RssAnon"], time.perf_counter()
    if maps:
        detector.anomaly_map(place / "big.png")
    else:
        detector.score_samples(place / "big.png")
    return {"baseline": baseline, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    main()
