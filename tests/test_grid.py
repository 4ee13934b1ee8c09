import warnings

import numpy as np
import pytest
import torch

from recon_anomaly.backbones import Backbone
from recon_anomaly.errors import InputError
from recon_anomaly.grid import Row, build_rows
from recon_anomaly.protocols import Branches, Reconstruction
from recon_anomaly.store import from_array

SMALL = {"cae": {"kernels": [2, 4]}}


@pytest.fixture
def pictures(good):
    """Some to train on."""
    return from_array(good[:4])


def rows(pictures, models, params=None, grid=None, schedules=("constant",), **recipe):
    """The rows of a grid, most of which is left as it is by default."""
    return build_rows(models, params or {}, grid or {}, schedules, pictures, **recipe)


def test_every_network_is_built_once_and_leaves_no_trace(pictures):
    """Building draws no random number of the process, and plain networks have no checksums."""
    state = torch.get_rng_state()
    found = rows(pictures, ["cae", "pca"], SMALL)
    assert [row.weights for row in found] == [{}, {}]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("params", [{"depth": 3}, {"weights": 1}])
def test_a_wrong_parameter_shows_when_building(pictures, params):
    """A parameter that a model does not take is named with it."""
    with pytest.raises(InputError, match="does not take"):
        rows(pictures, ["mean", "cae"], {"cae": params})


def test_a_closed_form_has_no_schedule_and_no_epochs(pictures):
    """It is one row whatever the schedules, so that its record is the same beside all of them."""
    found = rows(pictures, ["pca"], schedules=["constant", "awl-loss"], epochs=3, learning_rate=0.1)
    assert found == [Row("pca")]


def test_networks_are_trained_by_each_schedule_with_their_own_recipe(pictures):
    """What is given goes to the detector, but no epochs to a schedule that has its own; labels are noted."""
    schedules = ["constant", ("awl-loss", {"milestones": [1, 2]}), "awl-auc"]
    found = rows(pictures, ["cae"], SMALL, schedules=schedules, epochs=4, batch_size=8)
    assert [(row.schedule, row.epochs, row.planned, row.needs_labels) for row in found] == [
        ("constant", 4, 4, False),
        ("awl-loss", None, 2, False),
        ("awl-auc", 4, 4, True),
    ]
    assert {row.batch_size for row in found} == {8}
    detector = found[1].detector("max1p", 7)
    assert (detector.schedule, detector.schedule_params) == ("awl-loss", {"milestones": [1, 2]})
    assert (detector.scorer, detector.random_state, detector.batch_size) == ("max1p", 7, 8)
    assert detector.model_params == {"kernels": [2, 4]}
    (default,) = rows(pictures, ["cae"], SMALL)
    assert (default.epochs, default.planned) == (None, 50)


def test_every_scorer_is_rehearsed_with_every_model(pictures):
    """One that cannot score one of them is named, with it, before any training; a closed form is fitted for that."""
    ganomaly = {"ganomaly": {"kernels": [4, 4], "latent_size": 2}}
    rows(pictures, ["ganomaly"], ganomaly, scorers=["mse", "latent-distance", "fused"])
    for model in ("cae", "pca"):
        with pytest.raises(InputError, match=f"'elbo' cannot score model '{model}': elbo needs"):
            rows(pictures, [model], SMALL if model == "cae" else {}, scorers=["mse", "elbo"])
    rows(pictures, ["pca", "nearest", "mean", "brightness"], scorers=["mse", "standardised"])


def test_networks_are_trained_with_each_corruptor(pictures):
    """By schedule and then by corruptor; a closed form knows none, and clean pictures are none, too."""
    found = rows(
        pictures,
        ["cae", "pca"],
        SMALL,
        schedules=["constant", ("constant", {"keeps": "last"})],
        training_corruptors=["none", ("gaussian", {"std": 0.2}), "objects"],
    )
    spoiled = [(None, {}), ("gaussian", {"std": 0.2}), ("objects", {})]
    assert [(row.corruptor, row.corruptor_params) for row in found] == [
        *spoiled,
        *spoiled,
        (None, {}),
    ]
    assert [row.schedule_params for row in found[:4]] == [{}, {}, {}, {"keeps": "last"}]
    detector = found[1].detector("mse", 0)
    assert (detector.corruptor, detector.corruptor_params) == ("gaussian", {"std": 0.2})
    assert found[0].detector("mse", 0).corruptor is None


def test_a_schedule_is_asked_for_every_networks_terms(pictures):
    """A weight for a term that one of the models does not have is found before any training."""
    schedules = [("constant", {"weights": {"kl": 2}})]
    cvae = {"cvae": {"kernels": [2], "latent_size": 2}}
    assert len(rows(pictures, ["cvae"], cvae, schedules=schedules)) == 1
    with pytest.raises(InputError, match="kl; the model's terms are: reconstruction"):
        rows(pictures, ["cvae", "cae"], cvae | SMALL, schedules=schedules)


def test_what_no_training_takes_is_found_before_any(pictures, monkeypatch):
    """A stranger's schedule that gives a negative weight is refused while the rows are built."""

    def negative(history):
        return dict.fromkeys(history.terms, -1.0)

    monkeypatch.setattr("recon_anomaly.grid.build", lambda kind, name, params: (negative, name))
    with pytest.raises(InputError, match=r"gave the weights .*each of: reconstruction"):
        rows(pictures, ["cae"], SMALL)


def test_a_row_names_the_parts_of_its_schedule(pictures):
    """So that the versions of plugins inside of a combination can be told; others have no parts."""
    parts = ("combined", {"schedules": ["constant", ["awl-loss", {"milestones": [1, 2]}]]})
    plain, combined = rows(pictures, ["cae"], SMALL, schedules=["constant", parts])
    assert (plain.parts, combined.parts) == ((), ("builtin:constant", "builtin:awl-loss"))


def test_branches_may_be_asked_for_at_once(pictures, monkeypatch):
    """A schedule that branches before the first epoch gives no weights to check."""

    def forking(history):
        return Branches(("one", "two"), until=2)

    monkeypatch.setattr("recon_anomaly.grid.build", lambda kind, name, params: (forking, name))
    assert len(rows(pictures, ["cae"], SMALL)) == 1


class Overflowing(torch.nn.Module):
    """A model whose loss is infinite before it has learned anything."""

    def __init__(self, image_shape):
        super().__init__()

    def forward(self, images):
        return Reconstruction(images)

    def losses(self, target, reconstruction):
        return {"error": torch.tensor(np.inf)}


def test_a_network_whose_loss_is_not_finite_is_left_to_its_training(pictures, monkeypatch):
    """Its training will fail and say so, which is no reason to end a bench of other models."""
    monkeypatch.setattr("recon_anomaly.grid.load", lambda kind, name: Overflowing)
    (row,) = rows(pictures, ["cae"], schedules=[("constant", {"weights": {"kl": 2}})])
    assert row.planned == 50


class WithBackbone(torch.nn.Module):
    """A model around a frozen backbone that claims pretrained weights, and has a closed form."""

    def __init__(self, image_shape, value=0.0):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights are what this test wants
            self.backbone = Backbone("vgg16", None, None)
        with torch.no_grad():
            for tensor in self.backbone.state_dict().values():
                tensor.fill_(value)
        self.backbone.source = "a test"

    def losses(self, target, reconstruction):
        return {}

    def fit_batches(self, batches):
        pass


def test_pretrained_weights_are_named_by_their_checksum(pictures, monkeypatch):
    """The checksum of a frozen backbone joins the row of its model, and other weights have another."""
    monkeypatch.setattr("recon_anomaly.grid.load", lambda kind, name: WithBackbone)
    zero, one = rows(pictures, ["pca"], grid={"pca": {"value": [0.0, 1.0]}})
    assert list(zero.weights) == list(one.weights) == ["backbone"]
    assert zero.weights != one.weights
