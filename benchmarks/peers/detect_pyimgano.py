"""The convolutional autoencoder and VAE of pyimgano, by its public API, as contenders of `detection.py`.

Runs in an environment of its own, with pyimgano. The parameters of a row are those of pyimgano's model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detecting import Contender, compete, in_colour
from PIL import Image
from pyimgano.datasets import VisionArrayDataset
from pyimgano.models import create_model

MODELS = {"pyimgano-ae": "ae_resnet_unet", "pyimgano-vae": "vae_conv"}

DRAWS = 10
"""Calls whose scores, and maps, are averaged: the VAE draws its latent anew in each."""

STRIDE = 8
"""Of both networks, which fail at sizes that are no multiple of it."""


class Convolutional(Contender):
    """A convolutional network of pyimgano."""

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        height, width = train.shape[1:3]
        size = tuple(-(-side // STRIDE) * STRIDE for side in (height, width))
        if size != (height, width):
            self.notes.append(f"at {size[0]}x{size[1]}, multiples of {STRIDE}")
        name = MODELS[self.settings["row"]]
        if name == "vae_conv":
            self.calls = DRAWS
            self.notes.append(f"mean score of {DRAWS} calls")
        self.epochs = self.settings["epochs"]
        params: dict[str, Any] = {
            "image_size": size,
            "epochs": self.epochs,
            "random_state": self.settings["seed"],
            "device": "cpu",
        }
        self.detector = create_model(name, **params | self.settings["params"])
        pictures = list(in_colour(train))
        self._check(pictures[0])
        self.detector.fit(pictures)

    def score(self, pictures: np.ndarray) -> np.ndarray:
        listed = list(in_colour(pictures))
        return np.mean([self.detector.decision_function(listed) for _ in range(self.calls)], axis=0)

    def maps(self, pictures: np.ndarray) -> np.ndarray:
        height, width = pictures.shape[1:3]
        maps = np.empty(pictures.shape[:3], np.float32)
        for picture, made in zip(in_colour(pictures), maps, strict=True):
            draws = [self.detector.get_anomaly_map(picture) for _ in range(self.calls)]
            mean = Image.fromarray(np.mean(draws, axis=0, dtype=np.float32))
            made[:] = np.asarray(mean.resize((width, height), Image.Resampling.BILINEAR))
        return maps

    def _check(self, picture: np.ndarray) -> None:
        """Stop where the picture does not reach the network: pyimgano puts zeros in place of what it cannot read."""
        transform = self.detector.train_transform
        reached = VisionArrayDataset([picture], transform=transform)[0][0]
        wanted = transform(Image.fromarray(picture))
        assert torch.equal(reached, wanted), "pyimgano does not read the pictures"


def make(settings: dict[str, Any]) -> Contender:
    """Return the row's contender."""
    torch.set_num_threads(settings["threads"])
    return Convolutional(settings)


if __name__ == "__main__":
    compete(make)
