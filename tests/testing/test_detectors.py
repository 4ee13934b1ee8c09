"""The check of a detector finds what breaks its laws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon_anomaly import CAE, ReconstructionDetector, SavedFileError
from recon_anomaly.saving import from_bytes
from recon_anomaly.testing import Case, check_detector, detectors

CASE = Case(6, 5, 1, "uint8", count=5)


class Mean(ReconstructionDetector):
    """Keeps the laws. The broken ones derive from it."""


class InPlace(Mean):
    def fit(self, X, y=None):
        super().fit(X)
        X[0] = 0
        return self


class Drawing(Mean):
    def fit(self, X, y=None):
        torch.rand(1)
        return super().fit(X)


class Single(Mean):
    def anomaly_score(self, X):
        return super().anomaly_score(X).astype(np.float32)


class NotANumber(Mean):
    def anomaly_score(self, X):
        return super().anomaly_score(X) * np.nan


class SmallMaps(Mean):
    def anomaly_map(self, X):
        return super().anomaly_map(X)[:, ::2, ::2]


class Turned(Mean):
    def score_samples(self, X):
        return self.anomaly_score(X)


class Trusting(Mean):
    def predict(self, X):
        return np.ones(len(X), int)


class Unseeded(Mean):
    def fit(self, X, y=None):
        super().fit(X)
        self.factor = np.random.default_rng().uniform(1, 2)
        return self

    def anomaly_score(self, X):
        return super().anomaly_score(X) * self.factor


class Resuming(Mean):
    """Goes on from where the fit before ended."""

    def fit(self, X, y=None):
        self.fits = getattr(self, "fits", 0) + 1
        return super().fit(X)

    def anomaly_score(self, X):
        return super().anomaly_score(X) * self.fits


class Noisy(Mean):
    def anomaly_score(self, X):
        return super().anomaly_score(X) + np.random.default_rng().uniform()


class OfTheBatch(Mean):
    def anomaly_score(self, X):
        return super().anomaly_score(X) * len(X)


class ByPlace(Mean):
    def anomaly_score(self, X):
        return super().anomaly_score(X) * (1 + 1e-5 * np.arange(len(X)))


@pytest.fixture
def forgotten(monkeypatch):
    """Detectors forget their threshold when they are saved."""
    monkeypatch.setattr(detectors, "from_bytes", lambda content, device: _raised(content))


def _raised(content):
    detector = from_bytes(content, device="cpu")
    detector.offset_ -= 1
    return detector


def test_a_detector_that_keeps_the_laws_passes():
    """What is given stays unfitted; one that cannot be saved passes where that is said."""
    detector = CAE(kernels=(2,), epochs=1, device="cpu")
    check_detector(detector, case=CASE)
    assert not hasattr(detector, "offset_")
    check_detector(Mean("mean"), case=replace(CASE, count=2), saved=False)
    with pytest.raises(SavedFileError, match="cannot be saved"):
        check_detector(Mean("mean"), case=CASE)


@pytest.mark.usefixtures("forgotten")
def test_one_that_is_loaded_with_another_threshold_fails():
    """Scores alone would not tell."""
    with pytest.raises(AssertionError, match="a loaded detector has the threshold"):
        check_detector(ReconstructionDetector("mean", device="cpu"), case=CASE)


@pytest.mark.parametrize(
    ("detector", "law"),
    [
        (InPlace, "the pictures are left as they are"),
        (Drawing, "torch's generator"),
        (Single, "float64"),
        (NotANumber, "finite"),
        (SmallMaps, "at the pictures' size"),
        (Turned, "minus the anomaly score"),
        (Trusting, "is predicted -1"),
        (Unseeded, "one random_state"),
        (Resuming, "a fit forgets"),
        (Noisy, "minus the anomaly score"),
        (OfTheBatch, "does not depend on the batch"),
        (ByPlace, "does not depend on the order"),
    ],
)
def test_a_detector_that_breaks_a_law_fails(detector, law):
    """Each broken detector raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_detector(detector("mean", device="cpu"), case=CASE)
