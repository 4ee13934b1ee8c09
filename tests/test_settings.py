from dataclasses import replace

import numpy as np
import pytest

from recon_anomaly.benchdata import embedded
from recon_anomaly.grid import UNTRAINED, Row
from recon_anomaly.masks import Masks
from recon_anomaly.registry import find
from recon_anomaly.settings import Settings, key_of

CAE = Row("cae", {"kernels": [4]}, "constant", epochs=3)


@pytest.fixture(scope="module")
def settings():
    """Those of the embedded castings at 16 px."""
    data = embedded(16)
    return Settings(data, False, True, data.checksum())


@pytest.mark.parametrize(
    "changes", [{"drop_leaked": True}, {"every_epoch": False}, {"checksum": "0"}]
)
def test_each_setting_changes_the_key(settings, changes):
    """Two records differ in their key as soon as one setting differs."""
    first, second = (
        s.of(CAE, 1, "mse", "defects") for s in (settings, replace(settings, **changes))
    )
    assert key_of(first) != key_of(second)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 4},
        {"batch_size": 8},
        {"learning_rate": 0.1},
        {"schedule": "awl-auc"},
        {"schedule_params": {"weights": {"kl": 2}}},
        {"model_params": {}},
        {"weights": {"backbone": "0"}},
        {"corruptor": "gaussian"},
    ],
)
def test_each_part_of_a_row_changes_the_key(settings, changes):
    """What is trained in another way is another record."""
    first, second = (
        settings.of(row, 1, "mse", "defects") for row in (CAE, replace(CAE, **changes))
    )
    assert key_of(first) != key_of(second)


def test_the_key_depends_on_what_a_record_is_of(settings):
    """Model, seed, scorer and test set give keys of their own, and the order of settings none."""
    places = [
        (CAE, 1, "mse", "defects"),
        (replace(CAE, model="cvae"), 1, "mse", "defects"),
        (CAE, 2, "mse", "defects"),
        (CAE, 1, "max1p", "defects"),
        (CAE, 1, "mse", "objects"),
    ]
    made = [settings.of(*place) for place in places]
    assert len({key_of(one) for one in made}) == len(places)
    assert key_of(dict(reversed(made[0].items()))) == key_of(made[0])


def test_only_what_is_observed_depends_on_looking_at_every_epoch(settings):
    """Records of corrupted pictures, of closed forms and of no model are the same with and without."""
    once = replace(settings, every_epoch=False)
    for place in (
        (CAE, 1, "mse", "objects"),
        (Row("pca"), 1, "mse", "defects"),
        (UNTRAINED, None, None, "defects"),
    ):
        assert settings.of(*place) == once.of(*place)
        assert settings.of(*place)["every_epoch"] is False
    assert settings.of(CAE, 1, "mse", "defects")["every_epoch"]


def test_pretrained_weights_stand_where_there_are_some(settings):
    """A row without a backbone has no such setting."""
    with_weights = replace(CAE, weights={"backbone": "abc"})
    assert settings.of(with_weights, 1, "mse", "defects")["weights"] == {"backbone": "abc"}
    assert "weights" not in settings.of(CAE, 1, "mse", "defects")


def test_what_spoils_the_training_pictures_stands_where_something_does(settings):
    """A record of clean pictures has no such setting, so that its key is what it was before there was one."""
    row = replace(CAE, corruptor="gaussian", corruptor_params={"std": 0.2})
    made = settings.of(row, 1, "mse", "defects")
    assert (made["corruptor"], made["corruptor_params"]) == ("gaussian", {"std": 0.2})
    assert not {"corruptor", "corruptor_params"} & set(settings.of(CAE, 1, "mse", "defects"))
    other = replace(row, corruptor_params={"std": 0.3})
    assert key_of(settings.of(other, 1, "mse", "defects")) != key_of(made)


def test_versions_of_third_parties_join_the_settings(settings, acme):
    """A record of a plugin's model names the plugin's package and version."""
    made = settings.of(Row("skip-ae", schedule="constant"), 1, "mse", "defects")
    offer = find("model", "skip-ae")
    assert made["plugins"] == {offer.distribution: offer.version}
    assert "plugins" not in settings.of(CAE, 1, "mse", "defects")


def test_versions_of_a_schedules_parts_join_the_settings(settings, acme):
    """A plugin's schedule inside of a combination decides a record as one that stands alone."""
    row = replace(CAE, schedule="combined", parts=("builtin:constant", "acme:warm-up"))
    offer = find("schedule", "warm-up")
    made = settings.of(row, 1, "mse", "defects")
    assert made["plugins"] == {offer.distribution: offer.version}
    alone = settings.of(replace(CAE, schedule="warm-up"), 1, "mse", "defects")
    assert alone["plugins"] == made["plugins"]


def test_masks_change_the_key_of_the_sets_own_records_alone(settings):
    """Records of a set without masks keep their key, and so do those of corrupted copies."""
    masks = Masks(np.ones((1, 16, 16), bool), np.zeros(len(settings.data.test.labels), int))
    data = replace(settings.data, test=replace(settings.data.test, masks=masks))
    masked = replace(settings, data=data)
    own, other = (masked.of(CAE, 1, "mse", test) for test in ("defects", "objects"))
    assert own == settings.of(CAE, 1, "mse", "defects") | {"masks": masks.checksum}
    assert other == settings.of(CAE, 1, "mse", "objects")
