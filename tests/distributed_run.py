"""What the tests of training in several processes start under torchrun, or alone."""

import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

from recon_anomaly import EpochRecord, InputError, ReconstructionDetector
from recon_anomaly.models.cvae import CVAENetwork

PARAMS = {"kernels": (3, 4), "latent_size": 3}


class DoubleCVAE(CVAENetwork):
    """A CVAE that computes in float64."""

    def __init__(self, image_shape):
        super().__init__(image_shape, **PARAMS)
        self.double()

    def forward(self, images):
        return super().forward(images.double())

    def losses(self, target, reconstruction):
        return super().losses(target.double(), reconstruction)


class FirstIsRight:
    """A scorer that takes good for bad in every process but the first."""

    def __call__(self, target, reconstruction):
        error = (target - reconstruction.mean).square().mean(1)
        return -error if rank() else error


class LateFailure:
    """Weights of 1, until the process of rank 1 fails in the second epoch."""

    def __call__(self, history):
        if len(history) == 1 and rank() == 1:
            raise RuntimeError("the schedule fails here")
        return dict.fromkeys(history.terms, 1.0)


def rank():
    return int(os.environ.get("RANK", "0"))


def write(path, values):
    """Write values as JSON, under a name that ends in the rank or in "alone"."""
    name = f"{path.name}-{os.environ.get('RANK', 'alone')}.json"
    path.with_name(name).write_text(json.dumps(values))


def pictures(count=13, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 12, 1)).astype(np.uint8)


def fitted(model, data, validation_data, **params):
    """A detector that was trained with the plainest of loops: no epoch is left out."""
    params = {"learning_rate": 0.01, "device": "cpu", "random_state": 3} | params
    detector = ReconstructionDetector(model, early_stopping=False, **params)
    return detector.fit(data, validation_data=validation_data)


def train(model, folder, **params):
    """Twenty steps, each an epoch of one batch, so that the history has the losses of every step.

    There are four batches to validate on: 11, 11, 11 and 5 pictures.
    """
    data = pictures(49)
    detector = fitted(model, data[:11], data[11:], epochs=20, batch_size=11, **params)
    records = detector.history_.to_dict()["records"]
    weights = {name: value.tolist() for name, value in detector.network_.state_dict().items()}
    found = {
        "records": records,
        "weights": weights,
        "scores": detector.anomaly_score(pictures()).tolist(),
    }
    write(folder / (model if isinstance(model, str) else model.__name__), found)
    return detector


def train_idle(folder):
    """Twenty epochs of batches of 2, 2 and 1 pictures, fewer than there are processes."""
    data = pictures(12)
    detector = fitted(DoubleCVAE, data[:5], data[5:], epochs=20, batch_size=2)
    write(folder / "idle", {"records": detector.history_.to_dict()["records"]})


def measure(folder):
    """Three epochs with a figure that the processes would not agree on."""
    data, labels = pictures(12), [1, 1, 1, -1, -1, -1]
    detector = fitted(
        "cvae", data[:6], (data[6:], labels), epochs=3, model_params=PARAMS, scorer=FirstIsRight()
    )
    figures = [record.figures for record in detector.history_.records]
    write(
        folder / "figures", {"figures": figures, "own": detector._ranks.of_first({"rank": rank()})}
    )


def fail(folder):
    """Refuse other data in every process, and then fail in one of them."""
    try:
        ReconstructionDetector("cae", epochs=1, device="cpu").fit(pictures(seed=rank()))
    except InputError as error:
        write(folder / "refused", str(error))
    try:
        fitted("cae", pictures(), None, epochs=3, schedule=LateFailure())
    except Exception:  # told, and it goes on: the launcher keeps the error of one process alone
        traceback.print_exc()
        raise


def race(checkpoint, folder):
    """A training with branches and a checkpoint that is left inside a race and goes on."""
    detector = ReconstructionDetector(
        "cvae",
        model_params=PARAMS,
        schedule="awl-loss",
        schedule_params={"milestones": [1, 4]},
        checkpoint=checkpoint,
        batch_size=8,
        device="cpu",
    )
    for event in detector.iter_fit(pictures()):
        if isinstance(event, EpochRecord) and event.epoch == 3 and event.path == ("II",):
            break
    detector.fit(pictures())
    write(folder / "race", detector.history_.to_dict())


def main():
    torch.set_num_threads(1)
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "train":
        train(DoubleCVAE, folder)
        train("cvae", folder, model_params=PARAMS).save(folder / f"by-{rank()}.safetensors")
        train_idle(folder)
        measure(folder)
        if os.environ["WORLD_SIZE"] == "2":
            race(folder / "together", folder)
    elif what == "fail":
        fail(folder)


if __name__ == "__main__":
    main()
