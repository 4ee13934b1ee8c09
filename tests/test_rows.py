import pytest

from recon_anomaly.rows import epochs_of, made_by, row_names, rows_of, ways_of


def record(model="vae", **changes):
    """Return the keys of a bench's record that are read here, with some values changed."""
    return {
        "model": model,
        "model_params": {},
        "schedule": "constant",
        "schedule_params": {},
        "epochs": 5,
        "recon_anomaly": "1.0",
    } | changes


def test_a_name_says_no_more_than_it_has_to():
    """One schedule is not named; the parameters of the model are."""
    one = {"schedule": "awl-auc"}
    records = [record(**one), record(model_params={"a": 1, "b": "x"}, **one), record("cae", **one)]
    assert row_names(records) == ["vae", "vae (a=1, b=x)", "cae"]


def test_several_schedules_are_named_at_every_network():
    """Two schedules stand in the names of all networks, and in none of a closed form."""
    records = [
        record(schedule_params={"keeps": "last"}),
        record("cae", schedule="awl-loss"),
        record("pca", schedule=None, epochs=None),
        record("mean"),
    ]
    assert row_names(records) == ["vae, constant (keeps=last)", "cae, awl-loss", "pca", "mean"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"epochs": 7}, ["vae, at most 5 epochs", "vae, at most 7 epochs"]),
        ({"recipe": {"epochs": 9}}, ["vae, at most 5 epochs", "vae, at most 9 epochs"]),
        ({"batch_size": 8}, ["vae", "vae, batch size 8"]),
        ({"learning_rate": 0.01}, ["vae", "vae, learning rate 0.01"]),
        ({"recon_anomaly": "1.1"}, ["vae, version 1.0", "vae, version 1.1"]),
        ({"plugins": {"acme": "2"}}, ["vae", "vae, acme 2"]),
        ({"weights": {"vgg": "0123456789"}}, ["vae", "vae, weights 01234567"]),
    ],
)
def test_what_differs_under_one_name_is_said(changes, names):
    """Two ways of one model and schedule are told apart by the setting that differs."""
    assert row_names([record(), record(**changes)]) == names


def test_closed_forms_differ_in_their_batch_size():
    """It is said of those that are not trained, of which nothing else is."""
    closed = record("pca", schedule=None, epochs=None)
    assert row_names([closed, closed | {"batch_size": 8}]) == ["pca", "pca, batch size 8"]


def test_what_a_row_was_made_by_by_hand():
    """Weights, plugins and the version; the batch size of a network is part of its training."""
    one = record(batch_size=8, weights={"vgg": "0123456789"}, plugins={"acme": "2"})
    assert made_by(one) == ("weights 01234567", "acme 2", "version 1.0")


def test_settings_of_other_names_are_not_said():
    """Two models with other epochs need no more than their own names."""
    assert row_names([record(), record("cae", epochs=9)]) == ["vae", "cae"]


def test_seeds_are_one_row():
    """Records that differ in seed, scorer or test set only are of one row, in their order."""
    records = [record(seed=1), record("cae"), record(seed=2), record(scorer="max1p")]
    assert rows_of(records) == {"vae": [records[0], *records[2:]], "cae": [records[1]]}


def test_ways_are_those_of_networks():
    """Each way to train a network once, without what has a closed form."""
    records = [record(), record("cae"), record(epochs=6), record("pca", epochs=50)]
    assert ways_of(records) == [
        ("constant", "at most 5 epochs"),
        ("constant", "at most 6 epochs"),
    ]


def test_epochs_are_those_of_networks():
    """Each number once, ascending; of closed forms only where there is nothing else."""
    closed = record("pca", epochs=50)
    used = record(epochs=None, recipe={"epochs": 200})
    assert epochs_of([used, record(), closed, record("cae")]) == [5, 200]
    assert epochs_of([closed]) == [50]
    assert epochs_of([record("pca", epochs=None, recipe=None)]) == []
