"""From which size on a training step is faster in bfloat16 than in float32, on this processor.

    python benchmarks/precision.py [--models cae cvae vae] [--image-sizes 32 64 128 256] [--channels 3|1]
        [--batch-size 16] [--rounds 5] [--steps 5]

For each model and size two networks with the same weights take turns, round by round: gradient steps on one batch
that is there already, the library's own, in float32 and in bfloat16. A step that does not count comes
before those of each round. Beside the ratio stands what ``precision="auto"`` takes there.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from timing import alternate, machine, median_and_spread, processors, ratios
from training import computes_bfloat16

from recon_anomaly.allocation import large_blocks_kept
from recon_anomaly.batches import Batch, as_float
from recon_anomaly.devices import choose_precision
from recon_anomaly.images import PixelRange
from recon_anomaly.registry import build_network, resolve
from recon_anomaly.steps import TrainingStep, gradient_step

CPU = torch.device("cpu")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    models = ["cae", "cvae", "vae"]
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="that are timed, in each round")
    parser.add_argument("--threads", type=int, default=processors())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"gradient steps, batches of {options.batch_size} with {options.channels} channels, "
        f"{options.rounds} rounds of {options.steps} steps\n{machine(options.threads, 'torch')}"
        + ("" if computes_bfloat16() else "\nthis processor only emulates bfloat16")
    )
    print("\nms a picture, median [least, greatest]; a ratio above 1: bfloat16 is faster")
    print(
        f"{'model':6} {'size':>4} {'pixels':>8}  {'float32':28}  {'bfloat16':28}  "
        f"{'float32 / bfloat16':22}  auto"
    )
    for model in options.models:
        for size in options.image_sizes:
            measures = {
                name: steps_of(model, size, precision, options)
                for name, precision in PRECISIONS.items()
            }
            found = alternate(measures, options.rounds)
            ms = {name: [answer["ms"] for answer in found[name]] for name in PRECISIONS}
            pixels = options.batch_size * size**2
            auto = choose_precision("auto", CPU, pixels)
            print(
                f"{model:6} {size:4} {pixels:8}  {median_and_spread(ms['float32']):28}  "
                f"{median_and_spread(ms['bfloat16']):28}  "
                f"{median_and_spread(ratios(ms['float32'], ms['bfloat16']), '6.2f'):22}  "
                f"{str(auto).removeprefix('torch.')}",
                flush=True,
            )


def steps_of(
    model: str, size: int, precision: torch.dtype, options: argparse.Namespace
) -> Callable[[], dict[str, float]]:
    """Return what times some steps of a new network."""
    # Noise: what pictures show does not matter for the time.
    shape = (size, size, options.channels)
    pixels = np.random.default_rng(0).integers(0, 256, (options.batch_size, *shape), np.uint8)
    images = as_float(pixels, PixelRange(0.0, 255.0, "uint8"), CPU)
    torch.manual_seed(0)
    network = build_network(resolve("model", model)[0], shape, {})
    network.to(memory_format=torch.channels_last)
    network.train()
    step = TrainingStep(network, precision)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    weights = dict.fromkeys(step(images, images), 1.0)
    move = partial(gradient_step, step, optimizer, Batch(images, images), weights)

    def go() -> dict[str, float]:
        with large_blocks_kept():  # as training does
            move()
            seconds = []
            for _ in range(options.steps):
                started = time.perf_counter()
                move()
                seconds.append(time.perf_counter() - started)
        return {"ms": 1000 * statistics.mean(seconds) / options.batch_size}

    return go


if __name__ == "__main__":
    main()
