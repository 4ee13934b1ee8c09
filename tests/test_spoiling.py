"""Synthetic anomalies made of good pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_anomaly.batches import Batches
from recon_anomaly.images import PixelRange
from recon_anomaly.spoiling import KINDS, spoiled_batches, spoiled_kinds
from recon_anomaly.store import Pictures

CPU = torch.device("cpu")


def batches_of(count, size=4, dtype=np.uint8):
    pixels = np.random.default_rng(0).integers(60, 200, (count, 24, 20, 1)).astype(dtype)
    return Batches(Pictures(pixels), PixelRange(0.0, 255.0, "uint8"), size, CPU)


def spoiled(count, size=4, seed=7, without=None):
    return torch.cat(
        [
            batch.images
            for batch in spoiled_batches(batches_of(count, size).in_order(), count, seed, without)
        ]
    )


@pytest.mark.parametrize("count", [1, 5, 63, 64, 70])
def test_every_picture_is_spoiled_at_least_once(count):
    """Every anomaly differs from its picture; there are 64 of them, or one a picture."""
    made = spoiled(count)
    assert len(made) == len(spoiled_kinds(count)) >= max(64, count)
    assert len(made) < 64 + count
    clean = torch.cat(list(batches_of(count)))
    for image in made:
        differing = (clean != image).flatten(1).any(1)
        assert differing.all()


def test_the_same_seed_gives_the_same_anomalies():
    """They depend on the seed and their place, and not on the size of the batches."""
    assert torch.equal(spoiled(70, size=4), spoiled(70, size=64))
    assert not torch.equal(spoiled(70), spoiled(70, seed=8))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_may_be_left_out(kind):
    """The others are the same anomalies as with it, in their order."""
    kept = torch.from_numpy(np.array(spoiled_kinds(70)) != kind)
    assert torch.equal(spoiled(70, without=kind), spoiled(70)[kept])


def test_kinds_take_turns():
    """Each kind comes once in four; noise changes most pixels, a defect does not."""
    kinds = np.array(spoiled_kinds(64))
    assert all(set(kinds[start : start + 4]) == set(KINDS) for start in range(0, 64, 4))
    clean = torch.cat(list(batches_of(64)))
    shares = (spoiled(64) != clean).float().mean((1, 2, 3)).numpy()
    assert shares[kinds == "gaussian"].mean() > 0.9
    assert shares[kinds == "objects"].mean() < 0.2
    assert shares[kinds == "casting-defects"].mean() < 0.3


def test_a_picture_that_is_spoiled_often_gets_every_kind():
    """Of four pictures in one batch each gets all four kinds in 16 rounds."""
    kinds = np.array(spoiled_kinds(4)).reshape(16, 4)
    assert all(set(column) == set(KINDS) for column in kinds.T)


def test_anomalies_go_from_faint_to_gross():
    """Of the change of Gaussian noise, standard deviation 0.5, between a tenth and all is applied."""
    clean = torch.cat(list(batches_of(400, size=50)))[::2]  # at most 256 of them
    changes = (spoiled(400, size=50) - clean)[np.array(spoiled_kinds(400)) == "gaussian"].std(
        (1, 2, 3)
    )
    assert 0.03 < changes.min() < 0.06
    assert 0.25 < changes.max() < 0.5
    assert 0.09 < changes.median() < 0.2  # half of the logarithms lie below a strength of 0.32


def test_values_outside_the_range_are_left_as_they_are():
    """A corruptor sees them clipped, and only its change is added."""
    pixels = np.full((4, 16, 16, 1), 300.0, np.float32)
    outside = Batches(Pictures(pixels), PixelRange(0.0, 255.0, "float32"), 4, CPU)
    made = next(spoiled_batches(outside.in_order(), 4, 0)).images
    place = spoiled_kinds(4).index("objects")
    assert (made[place] == 300 / 255).float().mean() > 0.5
