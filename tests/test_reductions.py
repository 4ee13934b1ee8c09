"""From what a scorer returns to scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import MapAndTerms, Reconstruction
from recon_anomaly.reductions import maps_and_scores, parts_of, reduce_map

MAPS = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
TERMS = torch.tensor([0.5, -1.0, 2.0**24])


class Median:
    """Reduces by the median, and says nothing of a reduction."""

    def __call__(self, target, reconstruction):
        return MapAndTerms((target - reconstruction.mean).square().mean(1), target[:, 0, 0, 0])

    def reduce(self, maps):
        return maps.double().flatten(1).quantile(0.5, 1)


def test_a_scorer_s_own_reduction_is_taken():
    """The score is what reduce makes of the map, whatever names there are."""
    scorer = Median()
    scorer.reduction = "max"
    found = reduce_map(scorer, MAPS)
    wanted = np.median(MAPS.double().numpy().reshape(3, -1), 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum", "max", None])
def test_terms_are_added_in_float64(reduction):
    """The score is exactly the reduced map plus the term, also where float32 could not add them."""
    scorer = Median()
    if reduction is not None:
        scorer.reduction = reduction
        scorer.reduce = None
    found = reduce_map(scorer, MAPS, TERMS)
    wanted = reduce_map(scorer, MAPS).numpy() + TERMS.double().numpy()
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "reduce",
    [
        lambda maps: maps.flatten(1).mean(1),
        lambda maps: maps.double().mean(),
        lambda maps: maps.double().mean(1),
        lambda maps: maps.double().mean((1, 2)).tolist(),
    ],
    ids=["float32", "one number", "a row", "a list"],
)
def test_a_reduction_that_is_none_is_refused(reduce):
    """The error shows what came, and says what is wanted."""
    scorer = Median()
    scorer.reduce = reduce
    with pytest.raises(InputError, match=r"the scorer's reduce gave .* shape \(3,\), in float64"):
        reduce_map(scorer, MAPS)


def test_a_map_alone_is_one_part_and_with_terms_two():
    """What is returned comes apart as it is, not copied."""
    assert parts_of(MAPS) == (MAPS,)
    parts = parts_of(MapAndTerms(MAPS, TERMS))
    assert parts[0] is MAPS
    assert parts[1] is TERMS


@pytest.mark.parametrize(
    "returned", [(MAPS, TERMS), np.zeros(3), MapAndTerms(MAPS, None), MapAndTerms(MAPS, 1.0)]
)
def test_what_is_no_map_is_refused(returned):
    """A plain tuple is not taken for a map and its terms."""
    with pytest.raises(InputError, match=r"the scorer gave a .*MapAndTerms of two"):
        parts_of(returned)


def test_a_pair_is_mapped_and_scored():
    """For one target and reconstruction: the map as it is, and the score with its term."""
    scorer = Median()
    target, made = torch.rand(2, 3, 2, 4, 5, generator=torch.Generator().manual_seed(1))
    maps, scores = maps_and_scores(scorer, target, Reconstruction(made))
    assert torch.equal(maps, (target - made).square().mean(1))
    assert torch.equal(scores, scorer.reduce(maps) + target[:, 0, 0, 0].double())
