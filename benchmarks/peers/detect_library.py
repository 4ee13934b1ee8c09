"""The models of this library, and the standardised distance to the mean picture, as contenders of `detection.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from detecting import Contender, compete

from recon_anomaly import AutoDetector, ReconstructionDetector
from recon_anomaly.backbones import weights_checksums

STANDARDISED, AUTO = "standardised-distance", "auto"

TRAINING = frozenset(
    {
        *("scorer", "scorer_params", "schedule", "schedule_params", "corruptor"),
        *("corruptor_params", "epochs", "batch_size", "learning_rate", "reduce_learning_rate"),
        *("early_stopping", "precision"),
    }
)
"""Parameters of a row that are the detector's; all others are the model's."""


class Library(Contender):
    """A registered model, as `recon-anomaly bench` trains it."""

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        params = self.settings["params"]
        common = {"random_state": self.settings["seed"], "device": "cpu"}
        if self.settings["row"] == AUTO:
            self.detector = AutoDetector(**params, **common).fit(train, validation_data=validation)
            chosen = self.detector.chosen_
            self.notes.append(
                f"chose {chosen.model} {chosen.model_params}, scored by {chosen.scorer}"
            )
            return
        own = {name: value for name, value in params.items() if name in TRAINING}
        self.detector = ReconstructionDetector(
            self.settings["row"],
            model_params={name: value for name, value in params.items() if name not in TRAINING},
            **common,
            **own,
        )
        self.detector.fit(train, validation_data=validation)
        history = self.detector.history_
        if history.planned_epochs:
            self.epochs = len(history)
            self.notes.append(f"trained in {self.detector.recipe_['precision']}")
        if history.diverged:
            self.notes.append(f"{history.diverged}; the last good weights were kept")
        for name, checksum in weights_checksums(self.detector.network_).items():
            self.notes.append(f"weights of {name} {checksum[:8]}")

    def score(self, pictures: np.ndarray) -> np.ndarray:
        return self.detector.anomaly_score(pictures)

    def maps(self, pictures: np.ndarray) -> np.ndarray:
        return self.detector.anomaly_map(pictures)


class Standardised(Contender):
    """The mean over pixels and channels of ((picture - mean) / deviation)², both of the training pictures.

    A deviation below one gray level counts as one: pixels that never varied would outweigh all others.
    """

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        self.mean = sum(part.sum(0) for part in _parts(train)) / len(train)
        variance = sum(((part - self.mean) ** 2).sum(0) for part in _parts(train)) / len(train)
        self.deviation = np.maximum(np.sqrt(variance), 1)

    def score(self, pictures: np.ndarray) -> np.ndarray:
        return np.concatenate([found.mean((1, 2)) for found in self._maps(pictures)])

    def maps(self, pictures: np.ndarray) -> np.ndarray:
        return np.concatenate([found.astype(np.float32) for found in self._maps(pictures)])

    def _maps(self, pictures: np.ndarray) -> Iterator[np.ndarray]:
        for part in _parts(pictures):
            yield (((part - self.mean) / self.deviation) ** 2).mean(-1)


def _parts(pictures: np.ndarray, size: int = 32) -> Iterator[np.ndarray]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size].astype(float)


def make(settings: dict[str, Any]) -> Contender:
    """Return the row's contender."""
    torch.set_num_threads(settings["threads"])
    return (Standardised if settings["row"] == STANDARDISED else Library)(settings)


if __name__ == "__main__":
    compete(make)
