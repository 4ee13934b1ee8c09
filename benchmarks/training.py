"""What a training step costs, beside Keras, a plain PyTorch loop, and the best loop written by hand.

    python benchmarks/training.py [--model cae|cvae] [--channels 3|1] [--image-size 256] [--batch-size 16]
        [--pictures 160] [--rounds 5] [--keras-python ENVIRONMENT/bin/python] [--compile] [--profile]

In each round, one after the other, each in a process of its own that waits while the others run:

a    ``fit`` of this library as it comes;          a32  the same with precision="float32";
b    ``model.fit`` of Keras 3 on TensorFlow;       b16  the same in mixed_bfloat16;
c    the loop that a user of PyTorch would write;
d    the best loop that could be written by hand for this network, bfloat16;   d32  the same in float32;
dc   the same as d, compiled by ``torch.compile``: only with ``--compile``, since it takes minutes and a C++ compiler.

All start from the same weights and are shown to compute the same function, each in the precision in which it is
timed: their losses agree over three steps. Timed are the steps of one epoch, from the end of the first to the end of the last; what
``fit`` costs as a whole stands beside. ``--profile`` says where each millisecond of (a) goes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import Worker, alternate, machine, median_and_spread, processors, ratios

from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.models.cvae import CVAENetwork

FIRST_LOSS = {"float32": 1e-5, "bfloat16": 1e-3}
"""Greatest relative difference of the first loss."""

MOVED = 0.1
"""Greatest difference of a later loss, in parts of how far two steps move it: Adam's denominators differ a little."""

ROWS = {
    "a": ("this library's fit", "train_library.py", "auto"),
    "a32": ("this library's fit, float32", "train_library.py", "float32"),
    "b": ("Keras' model.fit", "train_keras.py", "float32"),
    "b16": ("Keras' model.fit, mixed_bfloat16", "train_keras.py", "bfloat16"),
    "c": ("a plain PyTorch loop", "train_plain.py", "float32"),
    "d": ("the best loop by hand, bfloat16", "train_best.py", "bfloat16"),
    "dc": ("the best loop by hand, bfloat16, compiled", "train_best.py", "bfloat16"),
    "d32": ("the best loop by hand, float32", "train_best.py", "float32"),
}


def main() -> None:
    """Compare the losses, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=["cae", "cvae"], default="cae")
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--image-size", type=int, default=256, help="a multiple of 8")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--keras-python", help="of an environment with keras and tensorflow-cpu")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--compile", action="store_true", help="the row dc, too")
    parser.add_argument(
        "--profile", action="store_true", help="where the time of a goes; no rounds"
    )
    options = parser.parse_args()
    if options.image_size % 8 or options.pictures < 3 * options.batch_size:
        parser.error("--image-size is a multiple of 8, --pictures at least three batches")
    if options.pictures % options.batch_size:
        parser.error("--pictures is a multiple of --batch-size, so that all steps cost the same")
    asked_for = ["a"] if options.profile else [*options.only, *["dc"] * options.compile]
    left_out = set() if options.compile else {"dc"}
    if not options.keras_python:
        left_out |= {"b", "b16"}
    if not computes_bfloat16():
        left_out |= {name for name, row in ROWS.items() if row[2] == "bfloat16"}
    names = [name for name in ROWS if name in asked_for and name not in left_out]
    if not names:
        parser.error(f"none of --only {' '.join(options.only)} can be measured with these options")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        told = {
            "model": options.model,
            "batch_size": options.batch_size,
            "threads": options.threads,
            **_write(options, Path(place)),
        }
        workers: dict[str, Worker] = {}
        for name in names:
            _, script, precision = ROWS[name]
            python = {"python": options.keras_python} if name.startswith("b") else {}
            worker = Worker(script, precision=precision, compiled=name == "dc", **python, **told)
            workers[name] = stack.enter_context(worker)
        print(
            f"{options.model}, {options.pictures} pictures of "
            f"{options.image_size}x{options.image_size}x{options.channels}, batch size "
            f"{options.batch_size}\n{machine(options.threads, 'torch')}"
            + "".join(
                sorted(
                    {f", {w.about['versions']}" for w in workers.values() if "versions" in w.about}
                )
            )
            + (
                ""
                if computes_bfloat16()
                else "\nno rows in bfloat16: this processor only emulates it"
            )
        )
        if options.profile:
            _print_profile(workers["a"])
            return
        _compare(
            {name: worker.about["losses"] for name, worker in workers.items()},
            {
                name: worker.about.get("precision", ROWS[name][2])
                for name, worker in workers.items()
            },
        )
        asked = {name: functools.partial(worker.ask, "go") for name, worker in workers.items()}
        found = alternate(asked, options.rounds)
        notes = {name: worker.about.get("note", "") for name, worker in workers.items()}
    _print_table(found, notes)


def computes_bfloat16() -> bool:
    """Return whether this processor has bfloat16 in hardware; older versions of torch cannot say."""
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def _write(options: argparse.Namespace, place: Path) -> dict[str, str]:
    """Write pictures and weights for all workers, and return where.

    The pictures are noise that is smoothed over some pixels: what they show does not matter for the time.
    """
    rng = np.random.default_rng(0)
    size, channels = options.image_size, options.channels
    coarse = rng.integers(0, 256, (options.pictures, size // 8, size // 8, channels), np.uint8)
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2)
    pixels += rng.integers(0, 32, (1, size, size, channels), np.uint8)  # wraps, and so be it
    np.save(place / "pictures.npy", pixels)
    torch.manual_seed(0)
    network = {"cae": CAENetwork, "cvae": CVAENetwork}[options.model]((size, size, channels))
    state = network.state_dict()
    layers = ("encoder", "latent_mean", "latent_log_variance", "from_latent", "decoder")
    np.savez(
        place / "weights.npz",
        **{
            name: state[name].numpy()
            for layer in layers
            for name in state
            if name.startswith(f"{layer}.")
        },
    )
    return {"pictures": str(place / "pictures.npy"), "weights": str(place / "weights.npz")}


def _compare(losses: dict[str, list[float]], precisions: dict[str, str]) -> None:
    """Stop unless all compute the same function, and move down its gradient alike.

    All are compared with the first one in float32, if there is one.
    """
    wanted = np.array(losses[min(losses, key=lambda name: precisions[name] != "float32")])
    moved = np.abs(wanted - wanted[0]).max()
    print("\nlosses of three steps from the same weights")
    for name, found in losses.items():
        print(f"{name:5}", *(f"{loss:14.7g}" for loss in found))
        apart = np.abs(np.array(found) - wanted)
        first, later = apart[0] / wanted[0], apart[1:].max() / moved
        if not (first <= FIRST_LOSS[precisions[name]] and later <= MOVED):
            raise SystemExit(f"{name} is another function, or another optimiser")


def _print_table(found: dict[str, list[dict[str, Any]]], notes: dict[str, str]) -> None:
    ms = {name: [answer["ms"] for answer in answers] for name, answers in found.items()}
    print(
        f"\nms a picture of the steps, median [least, greatest] of {len(next(iter(ms.values())))}"
    )
    for name, times in ms.items():
        whole = statistics.median(answer["whole_ms"] for answer in found[name])
        label = f"{name:4} {ROWS[name][0]}" + (f" ({notes[name]})" if notes[name] else "")
        print(f"{label:60} {median_and_spread(times)}   the whole epoch or fit {whole:8.2f}")
    print()

    def fastest(names: str) -> str:
        return min((n for n in names.split() if n in ms), key=lambda n: statistics.median(ms[n]))

    for above, below, wanted in (
        ("d d32 dc", "a", "at least 0.97"),
        ("b b16", "a", "at least 1.50"),
        ("b", "a", "at least 1.50"),
        ("b", "a32", ""),
        ("c", "a", "at least 1.80"),
        ("c", "a32", ""),
        ("d32", "a32", ""),
        ("dc", "d", ""),
    ):
        if below not in ms or not any(name in ms for name in above.split()):
            continue
        name = fastest(above)
        share = median_and_spread(ratios(ms[name], ms[below]), "6.2f")
        text = f"{name} / {below}" + (", the fastest of its kind" if " " in above else "")
        print(f"{text:60} {share}" + (f"   wanted {wanted}" if wanted else ""))


def _print_profile(worker: Worker) -> None:
    answer = worker.ask("profile")
    total = answer["ms"]
    groups = answer["groups"]
    groups["outside operators (Python, reading pictures)"] = total - sum(groups.values())
    print(f"\n{'where a step goes':50} {'ms a picture':>12} {'share':>8}")
    for name, ms in sorted(groups.items(), key=lambda item: -item[1]):
        print(f"{name:50} {ms:12.2f} {ms / total:8.1%}")
    print(f"{'all, with the profiler':50} {total:12.2f}")
    print(f"{'all, without it':50} {worker.ask('go')['ms']:12.2f}")


if __name__ == "__main__":
    main()
