"""What the checks are run on: pictures that follow from a case, and strategies of cases and scores."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings

from recon_anomaly.errors import InputError
from recon_anomaly.testing import Case, cases, scores_and_labels


@pytest.mark.parametrize(
    ("dtype", "full"), [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)]
)
def test_images_are_the_pictures_as_networks_take_them(dtype, full):
    """Channels come first, and the full scale becomes one; batches are the same images in order."""
    case = Case(5, 4, 3, dtype, count=7, batch_size=3)
    pictures, images = case.pictures(), case.images()
    assert pictures.dtype == dtype
    assert full / 2 < pictures.max() <= full
    np.testing.assert_allclose(images[6, 2, 4, 1], pictures[6, 4, 1, 2] / full, rtol=1e-6)
    batches = list(case.batches())
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.array_equal(np.concatenate(batches), images)


def test_contents_differ():
    """Noise is another in each picture and of each seed, alike is one for all, black is zero."""
    noise, alike = Case(4, 4, 1).pictures(), Case(4, 4, 1, content="alike").pictures()
    assert not np.array_equal(noise[0], noise[1])
    assert not np.array_equal(noise, Case(4, 4, 1, seed=4).pictures())
    assert np.array_equal(noise, Case(4, 4, 1).pictures())
    assert np.array_equal(alike, noise[:1].repeat(6, 0))
    assert not Case(4, 4, 1, content="black").pictures().any()


def test_every_kind_of_case_is_drawn():
    """All types, contents and channels, several shapes, and batches that do not divide the number."""
    seen = []

    @settings(max_examples=60, derandomize=True, database=None)
    @given(cases(largest=5))
    def look(case):
        assert case.pictures().shape == (case.count, *case.shape)
        seen.append(case)

    look()
    assert {case.dtype for case in seen} == {"uint8", "uint16", "float32", "float64"}
    assert {case.content for case in seen} == {"noise", "alike", "black"}
    assert {case.channels for case in seen} == {1, 3}
    assert {case.height for case in seen} == set(range(1, 6))
    assert any(1 < case.batch_size < case.count and case.count % case.batch_size for case in seen)


def test_scores_are_of_both_classes():
    """With ties, both signs, and single good pictures among them; no more than are asked for."""
    seen = []

    @settings(max_examples=100, derandomize=True, database=None)
    @given(scores_and_labels(most=9))
    def look(found):
        scores, anomalous = found
        assert len(scores) == len(anomalous) <= 9
        assert anomalous.any()
        assert not anomalous.all()
        seen.append((scores, anomalous))

    look()
    assert any(len(set(scores)) < len(scores) for scores, _ in seen)
    assert any(scores.min() < 0 < scores.max() for scores, _ in seen)
    assert any((~anomalous).sum() == 1 for _, anomalous in seen)


@pytest.mark.parametrize("strategy", [cases, scores_and_labels])
def test_without_hypothesis_the_error_says_how_to_install_it(strategy, monkeypatch):
    """The other checks need none of it."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(InputError, match="pip install hypothesis"):
        strategy()
