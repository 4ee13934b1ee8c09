"""The autoencoder and the VAE of PyOD, multilayer perceptrons on flattened pixels, as contenders of `detection.py`.

Runs in an environment of its own, with pyod, torch, tqdm and pillow. The parameters of a row are those of PyOD's class.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from detecting import Contender, compete
from PIL import Image
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.vae import VAE

MOST = 2**16
"""Values of a picture up to which it is flattened as it is; a larger one is shrunk first."""

SIDE = 64
"""Height and width of a shrunk picture, which is gray."""

DRAWS = 10
"""Calls whose scores are averaged, since the VAE draws its latent anew in each."""

BATCH = 32


class Flattened(Contender):
    """A detector for rows of numbers."""

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        self.shrinks = math.prod(train.shape[1:]) > MOST
        if self.shrinks:
            self.notes.append(f"at {SIDE}x{SIDE} gray")
        varies = self.settings["row"] == "pyod-vae"
        if varies:
            self.calls = DRAWS
            self.notes.append(f"mean score of {DRAWS} calls")
        self.epochs = self.settings["epochs"]
        params: dict[str, Any] = {
            "random_state": self.settings["seed"],
            "epoch_num": self.epochs,
            "batch_size": min(BATCH, len(train)),  # it fails on less than a batch
            "verbose": 0,
            "device": "cpu",
        }
        self.detector = (VAE if varies else AutoEncoder)(**params | self.settings["params"])
        flat = self._flat(train)
        # It divides by the deviation, which is 0 of a pixel that never varies.
        self.varied = flat.min(0) < flat.max(0)
        if not self.varied.all():
            self.notes.append(f"without {(~self.varied).sum()} constant pixels")
        self.detector.fit(self._rows(train))

    def score(self, pictures: np.ndarray) -> np.ndarray:
        rows = self._rows(pictures)
        return np.mean([self.detector.decision_function(rows) for _ in range(self.calls)], axis=0)

    def _rows(self, pictures: np.ndarray) -> np.ndarray:
        return self._flat(pictures)[:, self.varied].astype(np.float32) / 255

    def _flat(self, pictures: np.ndarray) -> np.ndarray:
        if self.shrinks:
            pictures = np.stack([shrunk(picture) for picture in pictures])
        return pictures.reshape(len(pictures), -1)


def shrunk(picture: np.ndarray) -> np.ndarray:
    """Return a picture in gray, at the size that is feasible."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def make(settings: dict[str, Any]) -> Contender:
    """Return the row's contender."""
    torch.set_num_threads(settings["threads"])
    return Flattened(settings)


if __name__ == "__main__":
    compete(make)
