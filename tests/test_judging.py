"""How well scores find synthetic anomalies."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recon_anomaly import ReconstructionDetector
from recon_anomaly.judging import judge
from recon_anomaly.spoiling import KINDS, spoiled_batches, spoiled_kinds
from recon_anomaly.store import Pictures


@pytest.fixture(scope="module")
def good():
    return np.random.default_rng(0).integers(60, 200, (80, 20, 20, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(good):
    return ReconstructionDetector("mean", device="cpu").fit(good)


def test_the_figure_is_the_mean_over_kinds_of_scikit_learns_auroc(detector, good):
    """Of each kind of anomaly against all good pictures, by the detector's own scores."""
    pictures = Pictures(good[:70])
    found = judge(detector, ["mse"], pictures, seed=5)
    batches = detector._batches(pictures)
    bad = np.concatenate(
        [
            detector.anomaly_score(batch.images.permute(0, 2, 3, 1).numpy())
            for batch in spoiled_batches(batches.in_order(), 70, 6)
        ]
    )
    fine = detector.anomaly_score(good[:70])
    kinds = np.array(spoiled_kinds(70))
    by_kind = [
        roc_auc_score([0] * 70 + [1] * int((kinds == kind).sum()), [*fine, *bad[kinds == kind]])
        for kind in KINDS
    ]
    assert found["mse"] == pytest.approx(np.mean(by_kind), abs=1e-6)


def test_a_seed_decides_everything(detector, good):
    """Judged twice the figures are the same, with another seed they are others."""
    pictures = Pictures(good)
    first = judge(detector, ["mse", "max1p"], pictures, seed=1)
    assert first == judge(detector, ["mse", "max1p"], pictures, seed=1)
    assert first != judge(detector, ["mse", "max1p"], pictures, seed=2)
