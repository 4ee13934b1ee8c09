import warnings
from dataclasses import replace

import pytest
import torch

from recon_anomaly.backbones import Backbone
from recon_anomaly.benchdata import embedded
from recon_anomaly.errors import InputError, PluginError
from recon_anomaly.registry import find
from recon_anomaly.settings import Settings, build_once, check_grid, key_of

GRID = {
    "models": ["cae", "pca"],
    "model_params": {"cae": {"kernels": (4, 8)}},
    "scorers": ["mse"],
    "corruptors": ["gaussian"],
    "seeds": [1, 2],
    "epochs": 1,
}


@pytest.fixture(scope="module")
def settings():
    """Those of the embedded castings at 16 px."""
    data = embedded(16)
    return Settings(data, 3, "constant", {}, False, {"cae": {"kernels": [4]}}, {}, data.checksum())


def test_a_whole_grid_passes():
    """Known names, each once, with parameters of a model that is there."""
    check_grid(**GRID)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"models": []}, InputError, r"models=\[\]: at least one"),
        ({"seeds": [1, 1]}, InputError, r"seeds=\[1, 1\]: at least one is wanted, and each once"),
        ({"seeds": [-1]}, InputError, r"seeds=\[-1\], epochs=1: seeds of at least 0"),
        ({"epochs": 0}, InputError, "epochs=0: .* one epoch"),
        ({"corruptors": ["objects", "objects"]}, InputError, "each is wanted once"),
        ({"models": ["cea"]}, PluginError, "known are"),
        ({"scorers": ["mes"]}, PluginError, "known are"),
        ({"corruptors": ["gauss"]}, PluginError, "known are"),
        ({"model_params": {"cvae": {}}}, InputError, "'cvae', which is none of the models"),
    ],
)
def test_what_is_wrong_in_a_grid_is_named(changes, error, words):
    """Unknown, repeated and missing names, and parameters of a model that is not there."""
    with pytest.raises(error, match=words):
        check_grid(**GRID | changes)


def test_every_network_is_built_once_and_leaves_no_trace():
    """Building draws no random number of the process, and plain networks have no checksums."""
    state = torch.get_rng_state()
    found = build_once(["cae", "pca"], {"cae": {"kernels": (4, 8)}}, (16, 16, 1))
    assert found == {}
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("params", [{"depth": 3}, {"weights": 1}])
def test_a_wrong_parameter_shows_when_building(params):
    """A parameter that a model does not take is named with it."""
    with pytest.raises(InputError, match="does not take"):
        build_once(["mean", "cae"], {"cae": params}, (16, 16, 1))


class WithBackbone(torch.nn.Module):
    """A model around a frozen backbone that claims pretrained weights."""

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


def test_pretrained_weights_decide_the_key(settings, monkeypatch):
    """The checksum of a frozen backbone joins the settings of its model, and other weights another key."""
    monkeypatch.setattr("recon_anomaly.settings.load", lambda kind, name: WithBackbone)
    (zero,) = build_once(["cae"], {}, (16, 16, 1)).values()
    (one,) = build_once(["cae"], {"cae": {"value": 1.0}}, (16, 16, 1)).values()
    assert list(zero) == ["backbone"]
    keys = set()
    for weights in ({}, {"cae": zero}, {"cae": one}):
        made = replace(settings, weights=weights).of("cae", 1, "mse", "defects")
        assert made.get("weights") == weights.get("cae")
        keys.add(key_of(made))
        assert "weights" not in replace(settings, weights=weights).of("pca", 1, "mse", "defects")
    assert len(keys) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 4},
        {"drop_leaked": True},
        {"schedule_params": {"weights": {"kl": 2}}},
        {"model_params": {}},
        {"checksum": "0"},
    ],
)
def test_each_setting_changes_the_key(settings, changes):
    """Two records differ in their key as soon as one setting differs."""
    first, second = (
        s.of("cae", 1, "mse", "defects") for s in (settings, replace(settings, **changes))
    )
    assert key_of(first) != key_of(second)


def test_the_key_depends_on_what_a_record_is_of(settings):
    """Model, seed, scorer and test set give keys of their own, and the order of settings none."""
    places = [
        ("cae", 1, "mse", "defects"),
        ("pca", 1, "mse", "defects"),
        ("cae", 2, "mse", "defects"),
        ("cae", 1, "max1p", "defects"),
        ("cae", 1, "mse", "objects"),
    ]
    made = [settings.of(*place) for place in places]
    assert len({key_of(one) for one in made}) == len(places)
    assert key_of(dict(reversed(made[0].items()))) == key_of(made[0])


def test_parameters_are_those_of_the_model(settings):
    """A record holds its own model's parameters, and none of another's."""
    assert settings.of("cae", 1, "mse", "defects")["model_params"] == {"kernels": [4]}
    assert settings.of("pca", 1, "mse", "defects")["model_params"] == {}


def test_versions_of_third_parties_join_the_settings(settings, acme):
    """A record of a plugin's model names the plugin's package and version."""
    made = settings.of("skip-ae", 1, "mse", "defects")
    offer = find("model", "skip-ae")
    assert made["plugins"] == {offer.distribution: offer.version}
    assert "plugins" not in settings.of("cae", 1, "mse", "defects")
