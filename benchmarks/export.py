"""What an exported graph costs on the CPU, in onnxruntime and OpenVINO, beside PyTorch.

    python benchmarks/export.py [--models cae cvae vae] [--image-size 256] [--channels 3|1]
        [--batch-size 16] [--calls 30] [--rounds 5] [--threads N]

Bytes in memory become scores, one picture a call and a batch a call; decoding and resizing are not measured. The
runtimes take turns, round by round, after a round that does not count, each with the same number of threads; all
score in float32. Ratios are those of the rounds. The training, of two pictures, is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import alternate, machine, median_and_spread, processors, ratios

from recon_anomaly import CAE, CVAE, VAE

MODELS = {"cae": CAE, "cvae": CVAE, "vae": VAE}
PACKAGES = {"onnxruntime": "onnxruntime", "OpenVINO": "openvino"}


def main() -> None:
    """Measure, and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--calls", type=int, default=30, help="of one picture, in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=processors())
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    present = {name: package for name, package in PACKAGES.items() if find_spec(package)}
    print(f"{options.rounds} rounds\n{machine(options.threads, 'torch', *present.values())}")
    for model in options.models:
        measure(model, present, options)


def measure(model: str, present: dict[str, str], options: argparse.Namespace) -> None:
    """Print what one model costs in each runtime, alone and in batches."""
    size, channels = options.image_size, options.channels
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (options.batch_size, size, size, channels), np.uint8)
    detector = MODELS[model](epochs=1, batch_size=options.batch_size, device="cpu").fit(pixels[:2])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.onnx")
        written = detector.export_onnx(path)
        runs = {"PyTorch": detector.anomaly_score}
        runs |= {name: RUNTIMES[name](path, options.threads) for name in present}
        print(f"\n{model}, {size}x{size}x{channels}, {path.stat().st_size / 1e6:.1f} MB", end="")
        print("" if written.difference is None else f", scores differ by {written.difference:.1g}")
        for count, calls in ((1, options.calls), (len(pixels), max(1, options.calls // 10))):
            found = alternate(
                {name: partial(timed, run, pixels[:count], calls) for name, run in runs.items()},
                options.rounds,
            )
            ms = {name: [answer["ms"] for answer in answers] for name, answers in found.items()}
            print(
                f"\n{f'ms a picture, {count} a call':28} {'median [least, greatest]':32} PyTorch / it"
            )
            for name, values in ms.items():
                faster = median_and_spread(ratios(ms["PyTorch"], values), "5.2f")
                print(f"{name:28} {median_and_spread(values):32} {faster}")


def timed(run: Callable[[np.ndarray], Any], pixels: np.ndarray, calls: int) -> dict[str, float]:
    """Return the milliseconds a picture of several calls."""
    started = time.perf_counter()
    for _ in range(calls):
        run(pixels)
    return {"ms": 1000 * (time.perf_counter() - started) / calls / len(pixels)}


def in_onnxruntime(path: Path, threads: int) -> Callable[[np.ndarray], Any]:
    """Return what scores pixels in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["score", "map"], {"pixels": pixels})


def in_openvino(path: Path, threads: int) -> Callable[[np.ndarray], Any]:
    """Return what scores pixels in OpenVINO, in float32: its own choice may be bfloat16."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.compile_model(path, "CPU", settings)
    return lambda pixels: compiled(pixels)["score"]


RUNTIMES = {"onnxruntime": in_onnxruntime, "OpenVINO": in_openvino}

if __name__ == "__main__":
    main()
