import numpy as np
import pytest
import torch
from torch import nn

from recon_anomaly.errors import InputError, WeightsWarning
from recon_anomaly.protocols import MapAndTerms, Reconstruction
from recon_anomaly.registry import KINDS, offers
from recon_anomaly.testing import (
    CHECKS,
    check_corruptor,
    check_model,
    check_schedule,
    check_scorer,
)


def names(kind):
    return [offer.full_name for offer in offers(kind) if offer.plugin == "builtin"]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in names(kind)])
def test_the_built_ins_pass(kind, name):
    """Every built-in of every kind passes the check that plugin authors run."""
    CHECKS[kind](name)


def test_there_is_a_check_for_each_kind():
    """The kinds of plugins and the checks are the same."""
    assert set(CHECKS) == set(KINDS)


def test_parameters_reach_what_is_checked():
    """Each check builds its object with the parameters that it is given."""
    check_model("cae", {"kernels": [2, 3]})
    check_scorer("reconstruction-probability", {"draws": 2})
    with pytest.warns(WeightsWarning, match="resnet18 are random"):
        check_model("tcae", {"backbone": "resnet18", "weights": None})
    check_corruptor("gaussian", {"std": 0.1})
    check_schedule("constant", {"weights": {"kl": 0.5}})
    with pytest.raises(ValueError, match="std"):
        check_corruptor("gaussian", {"std": -1.0})


# Models ------------------------------------------------------------------------------------------


class Halving(nn.Module):
    """Keeps the contract: reconstructs a picture as its half. The broken ones derive from it."""

    latent_size = 2

    def __init__(self, image_shape):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        return Reconstruction(images * self.scale)

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().sum((1, 2, 3)).mean()}


class Drawing(Halving):
    """Keeps the contract: draws by adding the row's first number."""

    def draw(self, images, noise):
        for row in noise:
            yield Reconstruction(images * self.scale + row[0])


class BatchDependent(Halving):
    def forward(self, images):
        return Reconstruction(images * self.scale + 0.01 * images.mean(0))


class NotANumber(Halving):
    def forward(self, images):
        return Reconstruction(images / 0)


class Random(Halving):
    def forward(self, images):
        return Reconstruction(torch.rand_like(images))


class Dropping(Halving):
    """Forgets that dropout ends with training."""

    def forward(self, images):
        return Reconstruction(nn.functional.dropout(images))


class Cropped(Halving):
    def forward(self, images):
        return Reconstruction(images[..., :3, :3])


class LossFree(Halving):
    def losses(self, target, reconstruction):
        return {}


class LossPerPicture(Halving):
    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().sum((1, 2, 3))}


class InfiniteLoss(Halving):
    def losses(self, target, reconstruction):
        return {"sharpness": reconstruction.mean.sum() / 0}


class CroppedDraws(Halving):
    def draw(self, images, noise):
        for _ in noise:
            yield Reconstruction(images[:1])


class OneDraw(Halving):
    """Gives one reconstruction, however many rows there are."""

    def draw(self, images, noise):
        yield Reconstruction(images + noise[0, 0])


class OwnNoise(Drawing):
    """Draws with a row of its own for each picture."""

    def draw(self, images, noise):
        for row in noise:
            yield Reconstruction(images + row[0] * torch.randn(len(images), 1, 1, 1))


class GrowingState(Halving):
    """Keeps as many rows as it saw pictures: a saved one would not fit into a fresh one."""

    def fit_batches(self, batches):
        self.register_buffer("rows", torch.cat([images.flatten(1) for images in batches]))


@pytest.mark.parametrize("model", [Halving, Drawing])
def test_a_model_that_keeps_the_contract_passes(model):
    """An object that is no plugin passes as well as a name does."""
    check_model(model)


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (BatchDependent, "does not depend on its batch"),
        (NotANumber, "the reconstruction is finite"),
        (Random, "the same bits"),
        (Dropping, "the same bits"),
        (Cropped, "the shape of the target"),
        (LossFree, "at least one loss term"),
        (LossPerPicture, "'reconstruction' is a finite scalar"),
        (InfiniteLoss, "'sharpness' is a finite scalar"),
        (CroppedDraws, "draw"),
        (OneDraw, "draw"),
        (OwnNoise, "draw"),
        (GrowingState, "shapes"),
    ],
)
def test_a_model_that_breaks_a_law_fails(model, law):
    """Each broken model raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_model(model)


# Scorers -----------------------------------------------------------------------------------------


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


# Corruptors --------------------------------------------------------------------------------------


def stripe(image, rng):
    """Keep the contract: blacken one row."""
    corrupted = image.copy()
    corrupted[rng.integers(len(image))] = 0
    return corrupted, (corrupted != image).any(-1)


def in_place(image, rng):
    before = image.copy()
    image[0] = 0
    return image, (before != image).any(-1)


def lying_mask(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted, ~mask


def generous_mask(image, rng):
    """Mark a pixel more than was changed: a black one painted black again."""
    corrupted, mask = stripe(image, rng)
    return corrupted, np.ones_like(mask)


def mask_of_channels(image, rng):
    corrupted, _ = stripe(image, rng)
    return corrupted, corrupted != image


def integer_mask(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted, mask.astype(np.uint8)


def own_randomness(image, rng):
    return stripe(np.roll(image, 0), np.random.default_rng())


def doubled(image, rng):
    corrupted = image.astype(np.float64) / 2
    return corrupted, (corrupted != image).any(-1)


def too_bright(image, rng):
    corrupted = image + np.float32(1)
    return corrupted, (corrupted != image).any(-1)


def cropped(image, rng):
    corrupted, mask = stripe(image, rng)
    return corrupted[:-1], mask[:-1]


def test_a_corruptor_that_keeps_the_contract_passes():
    """A plain function passes."""
    check_corruptor(stripe)


@pytest.mark.parametrize(
    ("corruptor", "law"),
    [
        (in_place, "left as it is"),
        (lying_mask, "marks what changed"),
        (generous_mask, "marks what changed"),
        (mask_of_channels, r"\(h, w\) bool"),
        (integer_mask, r"\(h, w\) bool"),
        (own_randomness, "the same bytes"),
        (doubled, "float32"),
        (too_bright, r"in \[0, 1\]"),
        (cropped, "the same shape"),
    ],
)
def test_a_corruptor_that_breaks_a_law_fails(corruptor, law):
    """Each broken corruptor raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_corruptor(corruptor)


# Schedules ---------------------------------------------------------------------------------------


def annealed(history):
    """Keep the contract: the KL term rises over ten epochs, and falls if the loss did."""
    share = min(1.0, len(history) / 10)
    if len(history) > 1 and history.records[-1].loss > history.records[-2].loss:
        share /= 2
    return {term: share if term == "kl" else 1.0 for term in history.terms}


class ByAccuracy:
    """Keeps the contract: reads the figure that it needs."""

    needs = ("auroc",)

    def __call__(self, history):
        weight = history.records[-1].figures["auroc"] if history.records else 1.0
        return dict.fromkeys(history.terms, weight)


class Counting:
    """Counts its own calls."""

    calls = 0

    def __call__(self, history):
        self.calls += 1
        return dict.fromkeys(history.terms, 1 / self.calls)


class Remembering:
    """Remembers the epochs it was asked for, which a resumed run would not know."""

    def __init__(self):
        self.seen = set()

    def __call__(self, history):
        self.seen.add(len(history))
        return dict.fromkeys(history.terms, 1 / len(self.seen))


def forgetful(history):
    return {"reconstruction": 1.0}


def inventive(history):
    return dict.fromkeys((*history.terms, "beta"), 1.0)


def rewarding(history):
    return {"reconstruction": 1.0, "kl": -0.5}


def diverging(history):
    return {"reconstruction": 1.0, "kl": float("inf") if len(history) > 5 else 1.0}


def tidying(history):
    del history.records[:-3]
    return dict.fromkeys(history.terms, 1.0)


@pytest.mark.parametrize("schedule", [annealed, ByAccuracy])
def test_a_schedule_that_keeps_the_contract_passes(schedule):
    """A function of the terms and of the figures that it needs passes."""
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "law"),
    [
        (Counting, "the same history gives the same weights"),
        (Remembering, "the same history gives the same weights"),
        (Remembering(), "the same history gives the same weights"),
        (forgetful, "each term has a weight"),
        (inventive, "each term has a weight"),
        (rewarding, "finite and not negative"),
        (diverging, "finite and not negative"),
        (tidying, "the history is left as it is"),
    ],
)
def test_a_schedule_that_breaks_a_law_fails(schedule, law):
    """Each broken schedule raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_schedule(schedule)
