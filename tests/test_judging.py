"""How well scores find synthetic anomalies."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recon_anomaly import ReconstructionDetector
from recon_anomaly.judging import judge
from recon_anomaly.scorers.fused import FusedScorer
from recon_anomaly.scoring import fit_scorer
from recon_anomaly.spoiling import KINDS, spoiled_batches, spoiled_kinds
from recon_anomaly.store import Pictures


@pytest.fixture(scope="module")
def good():
    return np.random.default_rng(0).integers(60, 200, (80, 20, 20, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(good):
    return ReconstructionDetector("mean", device="cpu").fit(good)


def by_hand(detector, half, seed):
    """The mean over kinds of scikit-learn's AUROC, by the detector's own scores."""
    batches = detector._batches(Pictures(half))
    bad = np.concatenate(
        [
            detector.anomaly_score(batch.images.permute(0, 2, 3, 1).numpy())
            for batch in spoiled_batches(batches.in_order(), len(half), seed)
        ]
    )
    fine = detector.anomaly_score(half)
    kinds = np.array(spoiled_kinds(len(half)))
    return np.mean(
        [
            roc_auc_score([0] * len(fine) + [1] * len(some), [*fine, *some])
            for some in (bad[kinds == kind] for kind in KINDS)
        ]
    )


def test_the_figure_is_the_mean_over_halves_and_kinds_of_scikit_learns_auroc(detector, good):
    """Of each kind of anomaly against the good pictures of its half, for all scorers in one pass."""
    found = judge(detector, ["mse", "max1p"], Pictures(good[:70]), seed=5)
    halves = good[:70:2], good[1:70:2]
    for name in found:
        scoring = detector.with_scorer(name, good)
        wanted = [by_hand(scoring, half, 5 + number) for number, half in enumerate(halves)]
        assert found[name] == pytest.approx(np.mean(wanted), abs=1e-6)


def test_a_scorer_that_learns_is_judged_by_the_other_half(detector, good):
    """The standardised residual of one half is that of a scorer fitted on the other half."""
    found = judge(detector, ["standardised"], Pictures(good[:70]), seed=5)["standardised"]
    halves = good[:70:2], good[1:70:2]
    wanted = [
        by_hand(detector.with_scorer("standardised", other), half, 5 + number)
        for number, (half, other) in enumerate((halves, halves[::-1]))
    ]
    assert found == pytest.approx(np.mean(wanted), abs=1e-6)


def test_a_scorer_that_learns_from_anomalies_is_judged_on_kinds_that_it_has_not_seen(
    detector, good
):
    """Of each kind, the AUROC of a scorer that was fitted on the other half's anomalies of the other kinds."""
    found = judge(detector, ["fused"], Pictures(good[:70]), seed=5)["fused"]
    halves = good[:70:2], good[1:70:2]
    wanted = []
    for number, (half, other) in enumerate((halves, halves[::-1])):
        bad = list(spoiled_batches(detector._batches(Pictures(half)).in_order(), 35, 5 + number))
        bad = np.concatenate([batch.images.permute(0, 2, 3, 1).numpy() for batch in bad])
        for kind in KINDS:
            scoring = detector.with_scorer("mse", other)
            scorer = FusedScorer()
            fit_scorer(
                scorer,
                detector.network_,
                detector._batches(Pictures(other)).in_order,
                None,
                5 + number,
                kind,
            )
            scoring.scorer_ = scorer
            scores = [
                scoring.anomaly_score(part)
                for part in (half, bad[np.array(spoiled_kinds(35)) == kind])
            ]
            labels = np.repeat([0, 1], [len(part) for part in scores])
            wanted.append(roc_auc_score(labels, np.concatenate(scores)))
    assert found == pytest.approx(np.mean(wanted), abs=1e-6)


def test_a_lone_picture_is_both_halves(detector, good):
    """One validation picture gives a figure, also to a scorer that learns."""
    found = judge(detector, ["mse", "fused"], Pictures(good[:1]), seed=0)
    assert all(0 <= auroc <= 1 for auroc in found.values())


def test_a_seed_decides_everything(detector, good):
    """Judged twice the figures are the same, with another seed they are others."""
    pictures = Pictures(good)
    first = judge(detector, ["mse", "max1p"], pictures, seed=1)
    assert first == judge(detector, ["mse", "max1p"], pictures, seed=1)
    assert first != judge(detector, ["mse", "max1p"], pictures, seed=2)
