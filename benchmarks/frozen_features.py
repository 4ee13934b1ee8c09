"""What computing frozen features once saves: TCAE, beside its decoder alone and beside recomputing.

    python benchmarks/frozen_features.py [--data FOLDER] [--pictures 320] [--image-size 128] [--epochs 10]

In each round, one after the other: (a) ``TCAE.fit``; (b) one pass of the backbone over the pictures;
(c) the same epochs of the decoder alone, on features in memory, in a loop written by hand; (d) the
same training as (a) with the features computed anew in every epoch. Medians over the rounds; the
weights are random unless ``RECON_ANOMALY_WEIGHTS`` names a folder that has VGG16's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings

import numpy as np
import torch

from recon_anomaly import TCAE, Pictures, find_labelled, fitting, make_parts, read_pictures
from recon_anomaly.inputs import split_validation
from recon_anomaly.losses import root_mean_squared_error
from recon_anomaly.models.tcae import TCAENetwork
from recon_anomaly.store import from_array

BATCH = 16


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a labelled folder; by default drawn castings")
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    weights = "auto" if os.environ.get("RECON_ANOMALY_WEIGHTS") else None
    if options.data:
        paths = find_labelled(options.data).train[: options.pictures]
        pictures = read_pictures(paths, image_size=options.image_size)
    else:
        pictures = from_array(
            make_parts(n_train=options.pictures, image_size=options.image_size).train
        )
    training, validation = split_validation(pictures, 0.2, 42)
    network = TCAENetwork(pictures.shape, weights=weights)
    network.to(memory_format=torch.channels_last)

    def fit() -> None:
        detector = TCAE(weights=weights, epochs=options.epochs)
        detector.fit(training, validation_data=validation)
        assert len(detector.history_) == options.epochs, "early stopping: fewer epochs were run"

    def fit_anew() -> None:
        keep, fitting.keep_frozen = fitting.keep_frozen, lambda *_, **__: iter(())
        try:
            fit()
        finally:
            fitting.keep_frozen = keep

    def one_pass() -> tuple[torch.Tensor, torch.Tensor]:
        def frozen(store: Pictures) -> torch.Tensor:
            with torch.no_grad():
                return torch.cat([network.frozen(_images(store, k)) for k in _starts(store)])

        return frozen(training), frozen(validation)

    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    steps = {
        "a  TCAE.fit": fit,
        "b  one pass of the backbone": lambda: kept.append(one_pass()),
        "c  the decoder alone": lambda: _decoder_alone(
            network.decoder, *kept.pop(), training, validation, options.epochs
        ),
        "d  TCAE.fit, features anew in every epoch": fit_anew,
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    a, b, c, d = (statistics.median(times) for times in seconds.values())
    print(
        f"{len(pictures)} pictures of {'x'.join(map(str, pictures.shape))}, {options.epochs} epochs, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, median of {options.rounds} rounds"
    )
    for name, times in seconds.items():
        print(f"{name:45} {statistics.median(times):8.2f} s")
    print(f"{'a / (b + c), wanted at most 1.10':45} {a / (b + c):8.2f}")
    print(f"{'a / d':45} {a / d:8.2f}")


def _decoder_alone(
    decoder: torch.nn.Module,
    features: torch.Tensor,
    held_out: torch.Tensor,
    training: Pictures,
    validation: Pictures,
    epochs: int,
) -> None:
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.003, fused=True)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        order = rng.permutation(len(training))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            images = _float(training.batch(chosen))
            loss = root_mean_squared_error(images, decoder(features[chosen]).sigmoid())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            for start in _starts(validation):
                part = held_out[start : start + BATCH]
                root_mean_squared_error(_images(validation, start), decoder(part).sigmoid())


def _starts(store: Pictures) -> range:
    return range(0, len(store), BATCH)


def _images(store: Pictures, start: int) -> torch.Tensor:
    return _float(store.batch(slice(start, start + BATCH)))


def _float(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32).div_(255)


if __name__ == "__main__":
    main()
