"""The check of a model finds what breaks its contract."""

import pytest
import torch
from torch import nn

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.testing import check_model


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
