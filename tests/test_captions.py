import pytest

from recon_anomaly.captions import (
    free_name,
    group_name,
    group_title,
    safe_name,
    training_name,
    training_title,
)


def record(model="vae", **changes):
    """Return the keys of a bench's record that are read here, with some values changed."""
    return {
        "model": model,
        "model_params": {"likelihood": "gaussian"},
        "scorer": "mse",
        "seed": 1,
        "data": "castings",
        "test_set": "defects",
        "image_size": [64, 48],
        "epochs": 5,
        "schedule": "awl-auc",
        "schedule_params": {"update_every": 3},
        "drop_leaked": False,
        "labels": [0, 0, 1],
    } | changes


def test_one_way_to_train_stands_in_the_title():
    """The title of a group says how all its networks were trained."""
    assert group_title([record(), record(seed=2), record("pca", schedule=None)]) == (
        "castings, defects, scorer mse\n"
        "2 good and 1 anomalous, 64x48 px, at most 5 epochs, awl-auc (update_every=3) weights, 2 seeds"
    )


def test_several_ways_do_not():
    """With several ways the title has their epochs alone, since rows say the rest."""
    title = group_title([record(), record(schedule="constant", epochs=9, drop_leaked=True)])
    assert title.endswith("64x48 px, at most 5 or 9 epochs, 1 seed")
    assert "without leaked pictures, 1 seed" in group_title([record(drop_leaked=True)])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "castings-defects-mse-64x48-5-epochs-awl-auc"),
        ({"schedule": "constant"}, "castings-defects-mse-64x48-5-epochs"),
        ({"drop_leaked": True}, "castings-defects-mse-64x48-5-epochs-awl-auc-without-leaked"),
        ({"model": "pca", "schedule": None, "epochs": None}, "castings-defects-mse-64x48"),
    ],
)
def test_the_name_of_a_group(changes, name):
    """Data, test set, scorer, size, epochs and a schedule that is not the plain one."""
    assert group_name([record(**changes)]) == name


def test_the_name_of_a_group_has_all_schedules():
    """Several schedules stand in the name once each, and several epochs."""
    others = [record(schedule="constant", epochs=9), record(seed=2)]
    assert (
        group_name([record(), *others]) == "castings-defects-mse-64x48-5-9-epochs-awl-auc-constant"
    )


def test_a_training_is_named_by_all_that_decides_it():
    """Model, schedule, seed, size and epochs; scorer and schedule where they are asked for."""
    one = record()
    name = "castings-vae_likelihood_gaussian_-awl-auc_update_every_3_-seed1-64x48-5-epochs"
    assert training_name([one], scorer=False) == name
    assert training_name([one], scorer=True, schedule=False) == (
        "castings-vae_likelihood_gaussian_-mse-seed1-64x48-5-epochs"
    )
    assert training_title(one, "weights", scorer=False) == (
        "castings: vae (likelihood=gaussian), awl-auc (update_every=3), seed 1, 64x48 px\nweights"
    )
    assert training_title(one, "x", scorer=True, schedule=False) == (
        "castings: vae (likelihood=gaussian), scorer mse, seed 1, 64x48 px\nx"
    )


def test_names_are_safe_and_short():
    """Only letters, digits, dots, hyphens and underscores; no dot in front; never empty."""
    assert safe_name("..\\a/b: ü") == "_a_b_"
    assert safe_name("...") == "_"
    assert len(safe_name("x" * 999)) == 150


def test_a_taken_name_is_numbered():
    """The third of one name is numbered 3, capitals or not, and what is given is taken."""
    taken = set()
    assert [free_name(name, taken) for name in ("a", "A", "a", "b")] == ["a", "A-2", "a-3", "b"]
