"""What training and scoring cost on a GPU: in both precisions, with the pictures on the GPU and sent batch by batch.

    python benchmarks/gpu.py [--model cae|cvae] [--channels 3|1] [--image-size 256] [--batch-size 16]
        [--pictures 512] [--rounds 5] [--device cuda]

In each round, one after the other: the steps of ``fit``'s second epoch, from the end of its first step to the
end of its last, in float32 and in bfloat16, with the store resident on the GPU and sent batch by batch; the loop
that a user of PyTorch would write beside it; then ``anomaly_score`` of an array, one forward pass over batches
that are there already, and ``anomaly_score`` of one picture. The GPU has done its work whenever the clock is read.
Medians over the rounds, after one that does not count, and the most memory of the GPU that a round took.

At the end an epoch runs in which CUDA reports whatever makes the host wait within the steps; there should be
nothing. Without a GPU the script says so and ends with exit code 2; ``--device cpu`` tries the script itself.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peers.hand_networks import HandNetwork
from timing import alternate, machine, median_and_spread, ratios

from recon_anomaly import CAE, CVAE, InputError, residency
from recon_anomaly.batches import as_float
from recon_anomaly.devices import choose_device
from recon_anomaly.images import PixelRange
from recon_anomaly.scoring import exact, reconstruct
from recon_anomaly.training import Tick

MODELS = {"cae": CAE, "cvae": CVAE}


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(MODELS), default="cae")
    parser.add_argument("--channels", type=int, choices=[1, 3], default=3)
    parser.add_argument("--image-size", type=int, default=256, help="a multiple of 8")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--device", default="cuda", help="cuda, cuda:1, …; cpu tries the script itself"
    )
    options = parser.parse_args()
    if options.pictures % options.batch_size or options.pictures < 2 * options.batch_size:
        parser.error("--pictures is a multiple of --batch-size, at least two batches")
    try:
        device = choose_device(options.device)
    except InputError as error:
        parser.exit(
            2, f"Nothing was measured, since {error}; --device cpu tries the script itself.\n"
        )
    run = Run(options, device)
    print(
        f"{options.model}, {options.pictures} pictures of "
        f"{options.image_size}x{options.image_size}x{options.channels}, batch size "
        f"{options.batch_size}, on {run.name()}\n{machine(torch.get_num_threads(), 'torch')}"
    )
    _print_table("training, the steps of an epoch", alternate(run.trainings(), options.rounds))
    _print_table("scoring, from an array in memory", alternate(run.scorings(), options.rounds))
    if device.type == "cuda":
        count, steps = run.waits()
        print(f"\nthe host waited for the GPU {count} times in {steps} steps of fit; wanted 0")


class Run:
    """What is measured on one device, with one set of pictures.

    Parameters
    ----------
    options : argparse.Namespace
        The command's.
    device : torch.device
        Where.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options = options
        self.device = device
        self.taken = 0  # bytes of the GPU, before what is measured
        size, channels = options.image_size, options.channels
        # Noise: what pictures show does not matter for the time.
        self.pixels = np.random.default_rng(0).integers(
            0, 256, (options.pictures, size, size, channels), np.uint8
        )

    def name(self) -> str:
        """Return the device's name and what drives it."""
        if self.device.type != "cuda":
            return f"{self.device}: no GPU, only a trial of this script"
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(self.device))
        return (
            f"{torch.cuda.get_device_name(self.device)}, {free:.1f} of {total:.1f} GiB free, CUDA "
            f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        )

    def trainings(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Return the rows of the first table."""
        rows: dict[str, Callable[[], dict[str, Any]]] = {}
        places = {"resident": True, "sent by batches": False}
        if not residency.free_on(self.device):
            places = {"in memory": False}
        precisions = ["float32", "bfloat16"]
        if self.device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
            precisions.pop()  # it is emulated there
        for precision in precisions:
            for place, resident in places.items():
                rows[f"fit, {precision}, {place}"] = lambda p=precision, r=resident: self.fit(p, r)
        rows["a plain PyTorch loop, float32"] = self.plain_loop
        return rows

    def scorings(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Return the rows of the second table, of a detector that was trained for one epoch."""
        detector = self._detector("float32", epochs=1)
        batch = self.options.batch_size
        detector.fit(self.pixels[:batch], validation_data=self.pixels[:batch])
        pixel_range = PixelRange(0.0, 255.0, "uint8")
        ready = as_float(self.pixels, pixel_range, self.device).split(batch)

        def forward() -> None:
            with exact():
                for images in ready:
                    reconstruct(detector.network_, images)

        one, count = self.pixels[:1], len(self.pixels)
        return {
            "anomaly_score": lambda: self._timed(
                lambda: detector.anomaly_score(self.pixels), count
            ),
            "anomaly_score of one picture": lambda: self._timed(
                lambda: detector.anomaly_score(one), 1
            ),
            "one forward pass, batches there already": lambda: self._timed(forward, count),
        }

    def fit(self, precision: str, resident: bool) -> dict[str, Any]:
        """Return the cost of the steps of the second epoch: the first one chooses kernels and takes memory."""
        self._forget_peak()
        with _residency(resident):
            moments = [
                self._moment()
                for tick in self._ticks(precision)
                if tick.epoch == 2 and tick.batch in (1, tick.batches)
            ]
        return self._cost(moments, len(self.pixels) - self.options.batch_size)

    def plain_loop(self) -> dict[str, Any]:
        """Return the cost of the loop that sends floats, batch by batch, and reads the loss of every step."""
        self._forget_peak()
        options, device = self.options, self.device
        network = HandNetwork(options.model, options.image_size, options.channels, pool_first=False)
        network.to(device).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        images = torch.from_numpy(self.pixels).permute(0, 3, 1, 2).contiguous().float() / 255
        moments = []
        for epoch in range(2):
            total = 0.0
            for number, chosen in enumerate(torch.randperm(len(images)).split(options.batch_size)):
                batch = images[chosen].to(device)
                optimizer.zero_grad()
                loss = network.loss(batch, network(batch))
                loss.backward()
                optimizer.step()
                total += loss.item()
                if epoch and number == 0:
                    moments.append(self._moment())
        return self._cost([*moments, self._moment()], len(images) - options.batch_size)

    def waits(self) -> tuple[int, int]:
        """Return how often the host waited for the GPU within the steps of an epoch, and their number."""
        steps = 0
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                for tick in self._ticks("auto"):
                    if tick.epoch == 2:
                        last = tick.batch == tick.batches
                        torch.cuda.set_sync_debug_mode("default" if last else "warn")
                        steps += tick.batch > 1
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(warning.message) for warning in told), steps

    def _ticks(self, precision: str) -> Iterator[Tick]:
        detector = self._detector(precision, epochs=2)
        first = self.pixels[: self.options.batch_size]
        for event in detector.iter_fit(self.pixels, validation_data=first):
            if isinstance(event, Tick):
                yield event

    def _detector(self, precision: str, epochs: int) -> Any:
        return MODELS[self.options.model](
            epochs=epochs,
            batch_size=self.options.batch_size,
            learning_rate=1e-3,
            precision=precision,
            device=str(self.device),
        )

    def _timed(self, work: Callable[[], object], count: int) -> dict[str, Any]:
        self._forget_peak()
        moments = [self._moment()]
        work()
        return self._cost([*moments, self._moment()], count)

    def _moment(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self.taken = torch.cuda.memory_allocated(self.device)

    def _cost(self, moments: list[float], pictures: int) -> dict[str, Any]:
        """Return milliseconds a picture between two moments, and on a GPU the MiB that were taken for it."""
        start, end = moments
        cost = {"ms": 1000 * (end - start) / pictures}
        if self.device.type == "cuda":
            cost["peak"] = (torch.cuda.max_memory_allocated(self.device) - self.taken) / 2**20
        return cost


@contextmanager
def _residency(wanted: bool) -> Iterator[None]:
    """Let no store be resident inside unless it is wanted."""
    share = residency.SHARE
    residency.SHARE = share if wanted else 0.0
    try:
        yield
    finally:
        residency.SHARE = share


def _print_table(title: str, found: dict[str, list[dict[str, Any]]]) -> None:
    rounds = len(next(iter(found.values())))
    print(f"\n{title}: median [least, greatest] of {rounds}")
    print(f"{'':42} {'ms a picture':32} {'times the last':>14} {'peak MiB':>9}")
    *_, last = found.values()
    for name, answers in found.items():
        ms = [answer["ms"] for answer in answers]
        times = np.median(ratios([answer["ms"] for answer in last], ms))
        peaks = [f"{answer['peak']:.0f}" for answer in answers if "peak" in answer]
        peak = max(peaks, key=float, default="-")
        print(f"{name:42} {median_and_spread(ms, '8.3f'):32} {times:14.2f} {peak:>9}")


if __name__ == "__main__":
    main()
