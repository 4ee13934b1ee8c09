"""The check of a scorer finds what breaks its contract."""

import pytest
import torch
from torch import nn

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import MapAndTerms, Reconstruction
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


class Scaled:
    """Keeps the contract: learns the mean error of good pictures. The broken ones derive from it."""

    level = torch.ones(())

    def fit(self, pairs):
        self.level = torch.stack([absolute(*pair).mean() for pair in pairs]).mean()

    def __call__(self, target, reconstruction):
        return absolute(target, reconstruction) / self.level

    def state_dict(self):
        return {"level": self.level}

    def load_state_dict(self, state):
        self.level = state["level"]


class Stateless(Scaled):
    state_dict = None

    def __getattribute__(self, name):
        if name == "state_dict":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Forgetful(Scaled):
    def load_state_dict(self, state):
        pass


class RandomFit(Scaled):
    def fit(self, pairs):
        self.level = torch.rand(())


class Accumulating(Scaled):
    """Takes the pictures of every fit together."""

    def __init__(self):
        self.seen = []

    def fit(self, pairs):
        self.seen += [absolute(*pair).mean() for pair in pairs]
        self.level = torch.stack(self.seen).mean()


class Telling(Scaled):
    def describe(self, network):
        return ["the mean"]


def in_place(target, reconstruction):
    return reconstruction.mean.sub_(target).abs().mean(1)


def map_of_the_batch(target, reconstruction):
    """Turn each map by a row, with the number of pictures: its mean stays."""
    return absolute(target, reconstruction).roll(len(target), 1)


def large_only(target, reconstruction):
    """Keep the contract: refuse small pictures."""
    if target.shape[-1] < 10:
        raise InputError("ten pixels are wanted")
    return absolute(target, reconstruction)


def features_only(target, reconstruction):
    """Keep the contract: refuse targets that are pictures."""
    if target.shape[1] <= 3:
        raise InputError("features are wanted")
    return absolute(target, reconstruction)


class Features(nn.Module):
    """Reconstructs eight copies of a picture's mean channel."""

    def __init__(self, image_shape):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def target(self, images):
        return images.mean(1, keepdim=True).repeat(1, 8, 1, 1)

    def forward(self, images):
        return Reconstruction(self.target(images) * self.scale)

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


def refusing(target, reconstruction):
    raise InputError("pictures of the moon are wanted")


@pytest.mark.parametrize("scorer", [absolute, Bounded, Scaled, large_only])
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
        (Stateless, "given by state_dict"),
        (Forgetful, "all that a scorer learned"),
        (RandomFit, "the same pictures make the same scorer"),
        (Accumulating, "a fit forgets the one before"),
        (Telling, "describe gives a mapping"),
        (in_place, "left as they are"),
        (map_of_the_batch, "map does not depend on its batch"),
        (refusing, "at least one model .*cae: pictures of the moon"),
    ],
)
def test_a_scorer_that_breaks_a_law_fails(scorer, law):
    """Each broken scorer raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_scorer(scorer)


def test_a_scorer_may_be_checked_with_a_model_of_its_own():
    """One that wants features refuses all models that reconstruct pictures."""
    check_scorer(features_only, model=Features)
    with pytest.raises(AssertionError, match=r"at least one model .*features are wanted"):
        check_scorer(features_only)
