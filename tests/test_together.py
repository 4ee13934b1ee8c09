"""Pictures that are scored together, and fail alone."""

import numpy as np
import pytest

from recon_anomaly import ReconstructionDetector
from recon_anomaly.errors import InputError
from recon_anomaly.together import Found, score_together


@pytest.fixture
def detector(good):
    """A detector of 16 x 16 px that is fitted at once."""
    return ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)


def test_results_are_those_of_the_detector(detector, good, bad):
    """Score, decision, p-value, label and map of each picture are what the detector says of all."""
    pictures = np.concatenate([good[:20], bad])
    found = score_together(detector, list(pictures))
    assert np.array_equal([one.score for one in found], detector.anomaly_score(pictures))
    assert np.array_equal([one.decision for one in found], detector.decision_function(pictures))
    assert np.array_equal([one.p_value for one in found], detector.p_value(pictures))
    signs = [-1 if one.anomalous else 1 for one in found]
    assert np.array_equal(signs, detector.predict(pictures))
    assert [one.label for one in found] == [{1: "good", -1: "anomalous"}[sign] for sign in signs]
    assert np.array_equal([one.anomaly_map for one in found], detector.anomaly_map(pictures))
    assert np.array_equal([one.pixels for one in found], pictures)


def test_depths_go_apart_and_in_their_order(detector, good):
    """8 and 16 bits come mixed, and each result stands where its picture stood."""
    deep = good.astype(np.uint16) * 257
    mixed = [deep[0], good[1], deep[2], good[3]]
    found = score_together(detector, mixed)
    assert np.allclose([one.score for one in found], detector.anomaly_score(good[:4]), rtol=1e-5)
    assert [one.pixels.dtype.name for one in found] == ["uint16", "uint8"] * 2
    assert score_together(detector, []) == []


def test_one_that_cannot_be_scored_harms_no_other(detector, good, monkeypatch):
    """Where a batch fails, all but the one that spoils it have their scores."""
    scored = detector.iter_scores

    def picky(pictures):
        if (pictures == 255).all(axis=(1, 2, 3)).any():
            raise InputError("a score is NaN or infinite")
        yield from scored(pictures)

    monkeypatch.setattr(detector, "iter_scores", picky)
    white = np.full_like(good[0], 255)
    first, second, third = score_together(detector, [good[0], white, good[1]])
    assert second == "a score is NaN or infinite"
    assert isinstance(first, Found)
    assert np.allclose([first.score, third.score], detector.anomaly_score(good[:2]), rtol=1e-6)


def test_pictures_that_are_cut_come_in_their_own_size(good, gray):
    """One that no tile fits into fails alone."""
    detector = ReconstructionDetector("mean", tile=8, overlap=2, device="cpu").fit(good)
    pictures = [
        gray(0, (9, 20))[..., None],
        gray(1, (5, 5))[..., None],
        gray(2, (16, 8))[..., None],
    ]
    first, second, third = score_together(detector, pictures)
    assert "does not fit into a picture of 5 x 5" in second
    wanted = detector.anomaly_score([pictures[0], pictures[2]])
    assert [first.score, third.score] == wanted.tolist()
    assert (first.anomaly_map.shape, first.pixels.shape) == ((9, 20), (9, 20, 1))
