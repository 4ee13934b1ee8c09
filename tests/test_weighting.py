import numpy as np
import pytest

from recon_anomaly.printed import NAKATA, NAKATA_SETS
from recon_anomaly.weighting import weighting_tables

LAST = {"schedule_params": {"keeps": "last"}, "epochs": 200}
LOSS = {"schedule": "awl-loss", "schedule_params": {"milestones": [100, 150, 200]}, "epochs": None}
LOSS |= {"recipe": {"epochs": 200}}
AUC = {"schedule": "awl-auc", "schedule_params": {}}
CLOSED = {"model": "pca", "model_params": {}, "schedule": None, "schedule_params": {}}
CLOSED |= {"epochs": None, "observed": None}


def epochs(*aurocs):
    """Return figures of every epoch, with a sensitivity and specificity that tell the epoch."""
    return [
        {"epoch": k, "auroc": auroc, "sensitivity": k / 10, "specificity": 1 - k / 10}
        for k, auroc in enumerate(aurocs, start=1)
    ]


def decision(recall, specificity):
    return {"recall": recall, "specificity": specificity}


def record(seed=1, **changes):
    """Return what the tables need of a record: by default the conventional run of experiment I."""
    return {
        "data": "tiles",
        "data_checksum": "a",
        "drop_leaked": False,
        "test_set": "defects",
        "image_size": [128, 128],
        "epochs": 100,
        "schedule": "constant",
        "schedule_params": {"keeps": "auroc"},
        "model": "vae",
        "model_params": {"likelihood": "bernoulli"},
        "scorer": "mse",
        "seed": seed,
        "auroc": 0.7,
        "observed": epochs(0.6, 0.9, 0.9, 0.8),
        "decisions": {
            "youden": decision(0.5, 0.6),
            "youden-validation": decision(0.3, 0.4),
        },
    } | changes


def rows(*records, number=0):
    """Return our rows of one table, as lists of cells under here and honest."""
    table = weighting_tables(records)[number]
    return {row[:3]: row[5:] for row in table.rows[len(NAKATA_SETS) :]}


VAE = ("tiles", "vae (likelihood=bernoulli)", "mse")


def test_the_papers_rows_come_first():
    """Its data sets have its figures in columns of their own, and no figure of ours."""
    found = weighting_tables([record(), record(**LAST)])
    assert len(found) == 6
    printed = [table for experiment in NAKATA for table in experiment.tables]
    for table, paper in zip(found, printed, strict=True):
        assert table.title.startswith(f"nakata, {paper.title} (%): ")
        assert table.columns[3:5] == ("paper, conventional", "paper, adapted")
        assert [row[0] for row in table.rows] == [*NAKATA_SETS, "tiles"]
        for row, (data_set, (likelihood, scorer)) in zip(
            table.rows, NAKATA_SETS.items(), strict=False
        ):
            assert row[1:3] == (f"vae (likelihood={likelihood})", scorer)
            assert row[3:] == (*paper.printed[data_set], "-", "-", "-", "-")
        assert table.rows[-1][3:5] == ("-", "-")
    assert found[0].rows[0][3:5] == ("83.64 ± 0.34", "88.41 ± 1.13")


def test_tables_6_to_8_take_the_best_epoch_of_both_columns():
    """The first epoch of the highest test AUROC stands in all three; the honest one is that kept."""
    adapted = record(auroc=0.75, observed=epochs(0.95, 0.1), **AUC)
    both = (record(), adapted)
    assert rows(*both)[VAE] == ("90.00", "95.00", "70.00", "75.00")
    assert rows(*both, number=1)[VAE] == ("20.00", "10.00", "30.00", "30.00")
    assert rows(*both, number=2)[VAE] == ("80.00", "90.00", "40.00", "40.00")
    for table in weighting_tables(both):
        assert table.columns[5:] == (
            "here, conventional (oracle)",
            "here, adapted (oracle)",
            "honest, conventional",
            "honest, adapted",
        )


def test_tables_9_to_11_take_the_last_epoch():
    """What every epoch was worth is not looked at; of these, the AUROC alone is no oracle."""
    both = (record(**LAST), record(auroc=0.75, **LOSS))
    assert rows(*both)[VAE] == ("70.00", "75.00", "70.00", "75.00")
    assert rows(*both, number=1)[VAE] == ("50.00", "50.00", "30.00", "30.00")
    assert rows(*both, number=2)[VAE] == ("60.00", "60.00", "40.00", "40.00")
    oracle = ["(oracle)" in table.columns[5] for table in weighting_tables(both)]
    assert oracle == [False, True, True]


def test_seeds_are_averaged_with_the_papers_decimals():
    """Mean and standard deviation of a sample, in % with two decimals."""
    best = [0.81234, 0.9, 0.86]
    records = [record(seed, observed=epochs(0.5, value)) for seed, value in enumerate(best)]
    assert rows(*records)[VAE][0] == f"{100 * np.mean(best):.2f} ± {100 * np.std(best, ddof=1):.2f}"
    assert rows(*records)[VAE][1] == "-"


def test_titles_say_how_it_was_done():
    """Size, planned epochs, what was said of the training, the adaptive schedule and the seeds."""
    said = {"batch_size": 32, "learning_rate": 1e-4, "drop_leaked": True}
    both = [record(seed, **LAST, **said) for seed in (1, 10)] + [record(**LOSS, **said)]
    (title, *_) = [table.title for table in weighting_tables(both)]
    assert title == (
        "nakata, Table 9, AUC at the last epoch (%): 128x128 px, without leaked pictures, at most 200 "
        "epochs, batch size 32, learning rate 0.0001, awl-loss (milestones=[100, 150, 200]), 2 seeds"
    )
    title = weighting_tables([record()])[0].title
    assert title.endswith(" (%): 128x128 px, at most 100 epochs, 1 seed")


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": [64, 64]},
        {"epochs": 50},
        {"drop_leaked": True},
        {"batch_size": 64},
        {"schedule": "awl-auc", "schedule_params": {"update_every": 5}},
    ],
    ids=str,
)
def test_other_circumstances_have_tables_of_their_own(changes):
    """What saw other pictures, or was trained by another recipe or schedule, is never averaged in."""
    found = weighting_tables([record(), record(**AUC), record(**changes)])
    assert len(found) == 6
    assert len({table.title for table in found}) == 6
    assert all(len(table.rows) == 4 for table in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "castings"},
        {"data_checksum": "b"},
        {"scorer": "max1p"},
        {"model_params": {"likelihood": "gaussian"}},
        {"weights": {"backbone": "0123abcd"}},
        {"recon_anomaly": "9.9"},
    ],
    ids=str,
)
def test_other_data_and_models_have_rows_of_their_own(changes):
    """Data set, model, its parameters and scorer make a row; another version is not another seed."""
    table, *_ = weighting_tables([record(), record(2, **changes)])
    assert len(table.rows) == 3 + 2
    assert not any("±" in cell for row in table.rows[3:] for cell in row)


def test_data_sets_stay_together():
    """Rows go by data set, whatever was run first."""
    records = [record(), record(data="castings"), record(scorer="max1p")]
    assert [key[0] for key in rows(*records)] == ["tiles", "tiles", "castings"]


def test_models_without_epochs_stand_with_the_conventional_ones():
    """A closed form has its figures in the tables of both experiments, for the seeds of each."""
    closed = [record(seed, **CLOSED, auroc=auroc) for seed, auroc in [(1, 0.6), (10, 0.4)]]
    records = [record(), record(10), record(**LAST), *closed]
    pca = ("tiles", "pca", "mse")
    assert rows(*records)[pca] == ("50.00 ± 14.14", "-", "50.00 ± 14.14", "-")
    assert rows(*records, number=1)[pca][0] == "50.00 ± 0.00"
    assert rows(*records, number=3)[pca] == ("60.00", "-", "60.00", "-")
    assert weighting_tables(closed) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"test_set": "objects"},
        {"schedule": "kl-annealing"},
        {"schedule_params": {}},
        {"schedule_params": {"keeps": "auroc", "weights": {"kl": 4}}},
        {"model": "everything-defective", "scorer": None, "schedule": None},
    ],
    ids=str,
)
def test_what_the_paper_does_not_compare_is_left_out(changes):
    """Corrupted pictures, other schedules, other static weights and the trivial row have no place."""
    assert weighting_tables([record(**changes)]) == []
    assert list(rows(record(), record(2, **changes))) == [VAE]


def test_what_was_not_observed_or_labelled_is_a_dash():
    """Without figures of every epoch the paper's way is unknown, without labels the honest threshold."""
    bare = record(observed=None, decisions={"youden": decision(0.5, 0.6)})
    assert rows(bare, number=0)[VAE] == ("-", "-", "70.00", "-")
    assert rows(bare, number=1)[VAE] == ("-", "-", "-", "-")


def test_what_spoils_a_comparison_is_said_below():
    """Missing seeds of one side and trainings that diverged are notes of their tables."""
    what = "the training loss term 'kl' became nan in epoch 7"
    found = weighting_tables([record(1), record(10), record(1, **AUC, diverged=what)])
    name = "tiles, vae (likelihood=bernoulli), mse, adapted"
    assert found[0].notes == (
        f"{name}: seeds 1 alone",
        f"{name}: seed 1: {what}; the last good weights were kept",
    )
    found = weighting_tables([record(1), record(1, **AUC), record(10, **AUC)])
    assert found[0].notes == (f"{name.removesuffix('adapted')}conventional: seeds 1 alone",)
    assert weighting_tables([record(1), record(1, **AUC)])[0].notes == ()


def test_adapted_weights_that_never_changed_are_said_below():
    """The comparison is then one of like with like; constant weights never change, and need no word."""

    def weighed(*kl):
        weights = [{"reconstruction": 1.0, "kl": weight} for weight in kl]
        return {"history": {"records": [{"weights": one} for one in weights]}}

    stays, switches = weighed(1.0, 1.0), weighed(1.0, 1e-10)
    conventional = [record(seed, **stays) for seed in (1, 10, 20)]
    adapted = [record(seed, **AUC, **stays) for seed in (10, 1)] + [record(20, **AUC, **switches)]
    assert weighting_tables([*conventional, *adapted])[0].notes == (
        "tiles, vae (likelihood=bernoulli), mse, adapted: seeds 1, 10: the weights never changed, as in a "
        "conventional training",
    )
