"""What type checkers see: plain functions and small classes satisfy the contracts. Checked, not run."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from recon_anomaly import CVAE, History, MapAndTerms, Reconstruction, ReconstructionDetector
from recon_anomaly.protocols import Corruptor, ImageShape, Model, Network, Scorer, WeightSchedule


class Identity(nn.Module):
    def __init__(self, image_shape: ImageShape, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def __call__(self, images: Tensor, /) -> Reconstruction:
        return Reconstruction(self.gain * images)

    def losses(self, target: Tensor, reconstruction: Reconstruction, /) -> dict[str, Tensor]:
        return {"reconstruction": (target - reconstruction.mean).abs().mean()}


def absolute(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    return (target - reconstruction.mean).abs().mean(1)


class Bounded:
    draws = 3

    def __call__(self, target: Tensor, reconstruction: Reconstruction, /) -> MapAndTerms:
        return MapAndTerms(absolute(target, reconstruction), target.sum((1, 2, 3)))

    def reduce(self, maps: Tensor) -> Tensor:
        return maps.double().cpu().flatten(1).median(1).values


def darken(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    dark: np.ndarray = image * np.float32(0.5)
    return dark, np.ones(image.shape[:2], bool)


def ones(history: History) -> Mapping[str, float]:
    return dict.fromkeys(history.terms, 1.0)


def parts() -> tuple[Network, Scorer, Corruptor, WeightSchedule]:
    return Identity((8, 8, 1)), absolute, darken, ones


scorers: list[Scorer] = [absolute, Bounded()]


def fitted() -> ReconstructionDetector:
    good = np.zeros((4, 8, 8, 1), np.uint8)
    return ReconstructionDetector(Identity, scorer=absolute).fit(good)


def scores() -> np.ndarray:
    return CVAE(latent_size=8).fit("good").score_samples("new")


model: Model = Identity
