"""The check of a model finds what breaks its contract."""

import pytest
import torch
from torch import nn

from recon_anomaly.errors import InputError
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


class Detached(Halving):
    """Nothing that it learns has a gradient."""

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean.detach()).square().mean()}


class Aside(Halving):
    """Its one parameter has no part in the loss."""

    def losses(self, target, reconstruction):
        return {"reconstruction": torch.zeros((), requires_grad=True)}


class Double(Halving):
    def forward(self, images):
        return Reconstruction((images * self.scale).double())


class InPlace(Halving):
    def forward(self, images):
        return Reconstruction(images.mul_(self.scale))


class BatchLatent(Halving):
    def forward(self, images):
        latent = images.mean((1, 2, 3))[:, None] - images.mean()
        return Reconstruction(images * self.scale, latent_mean=latent)


class OneLatent(Halving):
    def forward(self, images):
        return Reconstruction(images * self.scale, latent_mean=torch.zeros(1, 2))


class UnlikeLatents(Halving):
    def forward(self, images):
        latents = torch.zeros(len(images), 2), torch.zeros(len(images), 3)
        return Reconstruction(images * self.scale, None, *latents)


class Reseeding(Halving):
    def __init__(self, image_shape):
        torch.manual_seed(0)
        super().__init__(image_shape)


class Untold(Halving):
    """Learns a number that is no tensor."""

    def fit_batches(self, batches):
        self.level = float(sum(images.mean() for images in batches))

    def forward(self, images):
        return Reconstruction(images * self.scale + self.level)


class Counting(Halving):
    """Wants a list of batches, which a large data set is not."""

    def fit_batches(self, batches):
        self.batches = len(batches)


class Frozen(Halving):
    """Keeps the contract: a frozen part, taken or made."""

    def frozen(self, images):
        return images.detach() * 2

    def forward(self, images, kept=None):
        return Reconstruction((self.frozen(images) if kept is None else kept) * self.scale)


class OtherKept(Frozen):
    def forward(self, images, kept=None):
        return Reconstruction((self.frozen(images) if kept is None else kept + 1) * self.scale)


class NoModule:
    """Has all that is called, and none of torch's module."""

    def __init__(self, image_shape):
        pass

    def __call__(self, images):
        return Reconstruction(images / 2)

    losses = Halving.losses


class GrayOnly(Halving):
    """Keeps the contract: refuses what it cannot take."""

    def __init__(self, image_shape):
        if image_shape[-1] != 1:
            raise InputError("gray pictures are wanted")
        super().__init__(image_shape)


class NoPictures(Halving):
    def __init__(self, image_shape):
        raise InputError("pictures of the moon are wanted")


class GrowingState(Halving):
    """Keeps as many rows as it saw pictures: a saved one would not fit into a fresh one."""

    def fit_batches(self, batches):
        self.register_buffer("rows", torch.cat([images.flatten(1) for images in batches]))


@pytest.mark.parametrize("model", [Halving, Drawing, Frozen, GrayOnly])
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
        (Detached, "the loss terms have gradients"),
        (Aside, "a gradient reaches a parameter"),
        (Double, "the mean is float32"),
        (InPlace, "the pictures are left as they are"),
        (BatchLatent, "latent_mean does not depend on its batch"),
        (OneLatent, "latent_mean has a row for each picture"),
        (UnlikeLatents, "the shape of the latent_mean"),
        (Reseeding, "torch's seed"),
        (Untold, "all that a network learned"),
        (OtherKept, "kept, changes nothing"),
        (NoModule, "a torch.nn.Module"),
        (NoPictures, "pictures of one case .*of the moon"),
    ],
)
def test_a_model_that_breaks_a_law_fails(model, law):
    """Each broken model raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_model(model)


def test_a_closed_form_gets_an_iterable_and_no_list():
    """As from a data set that is not held at once."""
    with pytest.raises(TypeError, match="has no len"):
        check_model(Counting)
