"""The check of a scorer finds what breaks its contract."""

import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import MapAndTerms
from recon_anomaly.testing import check_scorer


def absolute(target, reconstruction):
    """Keep the contract."""
    return (target - reconstruction.mean).abs().mean(1)


def all_channels(target, reconstruction):
    return (target - reconstruction.mean).abs()


def one_number(target, reconstruction):
    return absolute(target, reconstruction).mean((1, 2))


def double(target, reconstruction):
    return absolute(target, reconstruction).double()


def not_a_number(target, reconstruction):
    return absolute(target, reconstruction) / 0 * 0


def normalised_by_the_batch(target, reconstruction):
    maps = absolute(target, reconstruction)
    return maps / maps.max()


def slightly_batch_dependent(target, reconstruction):
    """Break the law of 1e-6 by a factor of 25, with the small scores that are usual."""
    return absolute(target, reconstruction) * 0.01 * (1 + 5e-6 * len(target))


def noisy(target, reconstruction):
    return absolute(target, reconstruction) + torch.rand(target.shape[0], 1, 1)


class Bounded:
    """Keeps the contract with all that it allows: terms, a reduction of its own, and one model refused."""

    def __call__(self, target, reconstruction):
        if reconstruction.latent_mean is None:
            raise InputError("a latent is wanted")
        terms = reconstruction.latent_mean.square().sum(1)
        return MapAndTerms(absolute(target, reconstruction) - 0.25, terms)

    def reduce(self, maps):
        return maps.double().cpu().flatten(1).sort(1).values[:, 0]


class FloatScore(Bounded):
    def reduce(self, maps):
        return maps.flatten(1).amax(1)


class OneTerm(Bounded):
    def __call__(self, target, reconstruction):
        maps, terms = super().__call__(target, reconstruction)
        return MapAndTerms(maps, terms.sum())


class DoubleTerms(Bounded):
    def __call__(self, target, reconstruction):
        maps, terms = super().__call__(target, reconstruction)
        return MapAndTerms(maps, terms.double())


class TermsOfTheBatch(Bounded):
    def __call__(self, target, reconstruction):
        maps, terms = super().__call__(target, reconstruction)
        return MapAndTerms(maps, terms - terms.mean())


class NoisyTerms(Bounded):
    def __call__(self, target, reconstruction):
        maps, terms = super().__call__(target, reconstruction)
        return MapAndTerms(maps, torch.rand_like(terms))


def refusing(target, reconstruction):
    raise InputError("pictures of the moon are wanted")


@pytest.mark.parametrize("scorer", [absolute, Bounded])
def test_a_scorer_that_keeps_the_contract_passes(scorer):
    """A plain function passes, and so does a class with terms, a reduction, and a model that it refuses."""
    check_scorer(scorer)


@pytest.mark.parametrize(
    ("scorer", "law"),
    [
        (all_channels, r"the map is \(n, h, w\)"),
        (one_number, r"the map is \(n, h, w\)"),
        (double, "the map is float32"),
        (not_a_number, "the map is finite"),
        (normalised_by_the_batch, "does not depend on its batch"),
        (slightly_batch_dependent, "does not depend on its batch"),
        (noisy, "the same bits"),
        (FloatScore, "in float64 and on the CPU"),
        (OneTerm, r"terms are \(n,\), float32"),
        (DoubleTerms, r"terms are \(n,\), float32"),
        (TermsOfTheBatch, "does not depend on its batch"),
        (NoisyTerms, "the same bits"),
        (refusing, "at least one model .*cae: pictures of the moon"),
    ],
)
def test_a_scorer_that_breaks_a_law_fails(scorer, law):
    """Each broken scorer raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_scorer(scorer)
