import json

import pytest

from recon_anomaly.history import EpochRecord, History, LostBranch
from recon_anomaly.recordfigures import record_figures

TERMS = ("reconstruction", "kl")


def history(figures=False, falling=False, branches=False):
    """Return a history of two epochs as a record has it."""
    made = History(TERMS, 2, kept_epoch=2, path=("II",) if branches else ())
    for epoch in (1, 2):
        kl = 0.5 if epoch == 2 and (falling or branches) else 1.0
        made.records.append(
            EpochRecord(
                epoch,
                {},
                {"reconstruction": 3.0 - epoch, "kl": 0.0},
                {"reconstruction": 1.0, "kl": kl},
                1e-4,
                {"auroc": 0.5 + 0.1 * epoch} if figures else {},
                path=made.path if epoch == 2 else (),
            )
        )
    if branches:
        lost = EpochRecord(
            2, {}, {"reconstruction": 2.0}, dict.fromkeys(TERMS, 1.0), 1e-4, path=("I",)
        )
        made.lost.append(LostBranch(("I",), (lost,), 2.0))
    return json.loads(json.dumps(made.to_dict()))


def record(schedule="constant", **changes):
    """Return a record such as a bench writes, with some values changed."""
    return {
        "model": "vae",
        "model_params": {},
        "scorer": "mse",
        "seed": 1,
        "data": "parts",
        "data_checksum": "0",
        "test_set": "defects",
        "image_size": [64, 64],
        "epochs": 2,
        "schedule": schedule,
        "schedule_params": {},
        "drop_leaked": False,
        "scores": [0.1, 0.2, 0.3, 0.4],
        "labels": [0, 0, 1, 1],
        "decisions": {"quantile": {"threshold": 0.25}},
        "history": None,
        "observed": None,
    } | changes


def drawn(*records):
    """Return the figures of the records' trainings by name, and check those of the test sets."""
    found = list(record_figures(records))
    names = [name for name, _ in found]
    assert len(set(names)) == len(names)
    sets = [name for name in names if name.endswith(("-precision-recall", "-scores"))]
    assert sets == names[: len(sets)]
    return {name: figure for name, figure in found if name not in sets}


def panels(figure):
    """Return the titles of a figure's panels."""
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def test_records_without_a_history_have_their_test_set_alone():
    """Curves and histograms are all that there is of a closed form, or of an older bench."""
    one = record()
    old = {key: one[key] for key in one if key not in ("history", "observed")}
    for records in ([one], [old], [record(None, model="pca", epochs=None)]):
        assert drawn(*records) == {}


def test_schedules_share_a_figure_of_epochs():
    """The schedules of one model, scorer and seed stand below each other, with their parameters."""
    (figure,) = drawn(
        record(history=history(True), schedule_params={"keeps": "auroc"}),
        record("awl-auc", history=history(True, falling=True)),
    ).values()
    assert panels(figure) == ["constant (keeps=auroc)", "awl-auc"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["AUROC", "AUROC", "weight"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": 2}, "parts-vae-mse-seed2-64x64-2-epochs-auroc"),
        ({"scorer": "max1p"}, "parts-vae-max1p-seed1-64x64-2-epochs-auroc"),
        ({"model": "cvae"}, "parts-cvae-mse-seed1-64x64-2-epochs-auroc"),
        ({"model_params": {"n": 3}}, "parts-vae_n_3_-mse-seed1-64x64-2-epochs-auroc"),
        ({"data": "other"}, "other-vae-mse-seed1-64x64-2-epochs-auroc"),
        ({"drop_leaked": True}, "parts-vae-mse-seed1-64x64-2-epochs-without-leaked-auroc"),
    ],
)
def test_other_trainings_have_other_figures_of_epochs(changes, name):
    """What is no other schedule is another figure, under a name that says what differs."""
    one = record(history=history(True))
    assert list(drawn(one, one | changes)) == ["parts-vae-mse-seed1-64x64-2-epochs-auroc", name]


def test_one_schedule_trained_twice_has_two_panels():
    """Two lengths of one schedule are not drawn over each other."""
    (figure,) = drawn(
        record(history=history(True)), record(history=history(True), epochs=3)
    ).values()
    assert panels(figure) == ["vae, at most 2 epochs", "vae, at most 3 epochs"]


def test_branches_and_weights_are_drawn_once_for_all_scorers():
    """A training that no label decides is one for all scorers, so it is drawn once."""
    one = record("awl-loss", history=history(branches=True))
    found = drawn(one, one | {"scorer": "max1p"})
    start = "parts-vae-awl-loss-seed1-64x64-2-epochs"
    assert list(found) == [f"{start}-branches", f"{start}-weights"]
    assert panels(found[f"{start}-branches"])[1] == "stage 1, epochs 2 to 2: II goes on"
    assert "3 epochs trained in all" in found[f"{start}-branches"].get_suptitle()


def test_trainings_by_a_figure_are_drawn_for_each_scorer():
    """Where the schedule read a figure, each scorer had a training of its own."""
    made = history(True, branches=True)
    one = record("combined", history=made)
    found = drawn(one, one | {"scorer": "max1p"})
    assert [name for name in found if name.endswith("-branches")] == [
        f"parts-vae-combined-{scorer}-seed1-64x64-2-epochs-branches" for scorer in ("mse", "max1p")
    ]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"history": history(falling=True)}, ["weights"]),
        ({"history": history()}, []),
        ({"history": history(True, falling=True)}, ["auroc"]),
        ({"history": history(), "observed": [{"epoch": 1, "auroc": 0.5}]}, ["auroc"]),
        ({"history": history(True, branches=True)}, ["auroc", "branches", "weights"]),
    ],
)
def test_weights_are_not_drawn_twice(changes, kinds):
    """Weights that change have a figure unless they stand below the AUROC, and branches always."""
    assert [name.rpartition("-")[2] for name in drawn(record(**changes))] == kinds


def test_a_model_looks_alike_in_all_figures():
    """The colour of a row is the same on two test sets, though the first one lacks another row."""
    first = [record("awl-auc")]
    second = [record(test_set="objects"), record("awl-auc", test_set="objects")]
    figures = [figure for name, figure in record_figures([*first, *second]) if "recall" in name]
    colours = [
        {line.get_label().split(", PR")[0]: line.get_color() for line in figure.axes[0].lines}
        for figure in figures
    ]
    assert colours[0]["vae, awl-auc"] == colours[1]["vae, awl-auc"] != colours[1]["vae, constant"]
