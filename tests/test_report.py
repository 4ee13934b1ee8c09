import numpy as np
import pytest

from recon_anomaly.bench import run_bench
from recon_anomaly.cells import with_interval
from recon_anomaly.errors import InputError
from recon_anomaly.metrics import pr_auc
from recon_anomaly.pixelmetrics import PIXEL
from recon_anomaly.report import HOW_TO_READ, markdown, tables

NAMES = ("precision", "recall", "specificity", "f1")


def decision(threshold=0.125, counts=(3, 1, 9, 1), shares=(0.75, 0.75, 0.9, 0.75), **changes):
    """Return a decision such as a record holds: counts are TP, FP, TN, FN."""
    places = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    return {
        "oracle": False,
        "threshold": threshold,
        **dict(zip(places, counts, strict=True)),
        **dict(zip(NAMES, shares, strict=True)),
        "intervals": dict.fromkeys(NAMES),
    } | changes


def record(**changes):
    """Return a record such as a bench writes, with some values changed."""
    return {
        "key": "0",
        "data": "castings",
        "layout": "castings",
        "data_checksum": "a",
        "drop_leaked": False,
        "test_set": "defects",
        "image_size": [64, 48],
        "epochs": 5,
        "schedule": "constant",
        "schedule_params": {},
        "model": "cae",
        "model_params": {},
        "scorer": "mse",
        "seed": 42,
        "n_test_good": 10,
        "n_test_anomalous": 4,
        "auroc": 0.8374,
        "average_precision": 0.5,
        "pr_auc": 0.25,
        "intervals": {
            "auroc": [0.7, 0.9],
            "average_precision": [0.4, 0.6],
            "pr_auc": [0.2, 0.3],
        },
        "decisions": {"quantile": decision(), "best-f1": decision(f1=0.8, oracle=True)},
        "fit_seconds": 12.34,
        "milliseconds_per_picture": 1.234,
    } | changes


def cells(*records, rules=("quantile", "best-f1")):
    """Return the only row of the only table of figures, by column."""
    figures, _ = tables(records, rules=rules)
    (row,) = figures.rows
    return dict(zip(figures.columns, row, strict=True))


def decided(*records, rules=("quantile", "best-f1")):
    """Return the rows of the only table of decisions, by column."""
    _, decisions = tables(records, rules=rules)
    return [dict(zip(decisions.columns, row, strict=True)) for row in decisions.rows]


def test_one_record_is_one_row():
    """A record's figures stand in their columns, with three decimals and their intervals."""
    assert cells(record()) == {
        "model": "cae",
        "scorer": "mse",
        "AUROC": ".837 [.700, .900]",
        "average precision": ".500 [.400, .600]",
        "PR-AUC": ".250 [.200, .300]",
        "F1, quantile": ".750",
        "F1, best-f1 (oracle)": ".800",
        "fit s": "12.3",
        "ms/picture": "1.23",
    }


def test_one_record_has_a_row_for_each_rule():
    """Decisions have rule, threshold, counts and figures with their intervals."""
    intervals = {name: [0.5, 1.0] for name in NAMES} | {"precision": None}
    first, second = decided(
        record(
            decisions={
                "quantile": decision(),
                "best-f1": decision(0.00123456, (4, 10, 0, 0), f1=0.8, intervals=intervals),
            }
        )
    )
    assert first == {
        "model": "cae",
        "scorer": "mse",
        "rule": "quantile",
        "threshold": "0.125",
        "TP": "3",
        "FP": "1",
        "TN": "9",
        "FN": "1",
        "precision": ".750",
        "recall (sensitivity)": ".750",
        "specificity": ".900",
        "F1": ".750",
    }
    assert second["rule"] == "best-f1 (oracle)"
    assert [second[name] for name in ("threshold", "TP", "FP")] == ["0.00123", "4", "10"]
    assert (second["precision"], second["F1"]) == (".750", ".800 [.500, 1.000]")


def test_rules_are_those_that_are_asked_for():
    """Each rule has its column and its row; one that a record lacks shows a dash and no row."""
    rules = ("best-f1", "value")
    fixed = record(decisions=record()["decisions"] | {"value": decision(f1=0.1)})
    assert [name for name in cells(fixed, rules=rules) if "F1" in name] == [
        "F1, best-f1 (oracle)",
        "F1, value",
    ]
    assert [row["rule"] for row in decided(fixed, rules=rules)] == ["best-f1 (oracle)", "value"]
    assert cells(record(), rules=rules)["F1, value"] == "-"
    assert [row["rule"] for row in decided(record(), rules=rules)] == ["best-f1 (oracle)"]
    with pytest.raises(InputError, match="rule='best' is unknown; say one of: best-f1, quantile"):
        tables([record()], rules=["best"])


def test_the_title_says_what_was_tested():
    """Titles have data, test set, counts, height x width, the number of seeds, and what was dropped."""
    one, decisions = tables([record()])
    two, _ = tables([record(), record(seed=43)])
    dropped, _ = tables([record(drop_leaked=True)])
    words = "10 good and 4 anomalous, 64x48 px, at most 5 epochs, constant weights, "
    start = "castings, defects: " + words
    assert (one.title, two.title) == (start + "1 seed", start + "2 seeds")
    assert decisions.title == f"Decisions: {start}1 seed"
    assert dropped.title == f"castings, defects without leaked pictures: {words}1 seed"


def test_seeds_are_averaged():
    """Two seeds give the mean, the sample's standard deviation, and the mean of the intervals."""
    other = {"auroc": [0.5, 0.7], "average_precision": [0.4, 0.6], "pr_auc": [0.2, 0.3]}
    second = {"quantile": decision(0.375, (2, 0, 10, 2), f1=0.25), "best-f1": decision(f1=0.8)}
    records = (
        record(auroc=0.8),
        record(seed=43, auroc=0.6, intervals=other, decisions=second),
    )
    found = cells(*records)
    # 0.1 * sqrt(2) and 0.25 * sqrt(2)
    assert found["AUROC"] == ".700 ± .141 [.600, .800]"
    assert found["F1, quantile"] == ".500 ± .354"
    assert found["average precision"] == ".500 ± .000 [.400, .600]"
    row, _ = decided(*records)
    assert (row["threshold"], row["TP"], row["TN"]) == ("0.25", "2.5", "9.5")


def test_what_is_missing_is_a_dash():
    """Figures that are None, and rules or times that are not there, show as a dash."""
    nothing = dict.fromkeys(("auroc", "average_precision", "pr_auc"))
    bare = record(scorer=None, decisions={}, intervals=nothing, **nothing)
    del bare["fit_seconds"], bare["milliseconds_per_picture"]
    assert list(cells(bare).values()) == ["cae", ""] + ["-"] * 7
    assert decided(bare) == []
    silent = record(decisions={"quantile": decision(precision=None)})
    assert decided(silent)[0]["precision"] == "-"


def test_the_trivial_row_has_one_decision():
    """Calling everything anomalous is one rule, which stands for the row under every rule."""
    trivial = record(
        model="everything-defective",
        scorer=None,
        decisions={"everything": decision(None, (4, 10, 0, 0), f1=0.44)},
    )
    assert [cells(trivial)[name] for name in ("F1, quantile", "F1, best-f1 (oracle)")] == [
        ".440",
        ".440",
    ]
    (row,) = decided(trivial)
    assert (row["rule"], row["threshold"], row["TP"]) == ("everything", "-", "4")


@pytest.mark.parametrize(
    ("counts", "known", "column"),
    [
        ({"n_test_anomalous": 0}, "specificity", "specificity"),
        ({"n_test_good": 0}, "recall", "recall (sensitivity)"),
    ],
)
def test_one_class_is_said(counts, known, column):
    """Figures that need both classes show it, the one that does not is there, and a note explains."""
    nothing = dict.fromkeys(("auroc", "average_precision", "pr_auc"))
    only = decision(**(dict.fromkeys(NAMES) | {known: 0.9}))
    one = record(intervals=nothing, decisions={"quantile": only}, **counts, **nothing)
    found = cells(one)
    assert [name for name, cell in found.items() if cell == "one class"] == [
        "AUROC",
        "average precision",
        "PR-AUC",
        "F1, quantile",
        "F1, best-f1 (oracle)",
    ]
    (row,) = decided(one)
    assert row[column] == ".900"
    assert list(row.values()).count("one class") == 3
    assert [table.notes for table in tables([record()])] == [(), ()]
    figures, _ = tables([one])
    assert "need good and anomalous test pictures" in figures.notes[0]
    assert figures.notes[0] in markdown(figures)


def test_a_missing_figure_of_one_seed_is_left_out_of_the_mean():
    """The mean runs over the seeds that have the figure."""
    first = record(decisions={"quantile": decision(f1=None)})
    second = record(seed=43, decisions={"quantile": decision(f1=0.5)})
    assert cells(first, second)["F1, quantile"] == ".500"


def test_a_perfect_figure_keeps_its_one():
    """1 shows as 1.000 and 0 as .000."""
    found = cells(record(auroc=1.0, pr_auc=0.0))
    assert (found["AUROC"][:5], found["PR-AUC"][:4]) == ("1.000", ".000")


def test_test_sets_have_tables_of_their_own():
    """Records group by data and test set, then by model and scorer, in the order they come."""
    found = tables(
        [
            record(),
            record(model="pca"),
            record(test_set="gaussian"),
            record(scorer="max1p"),
            record(data="other"),
            record(data_checksum="b"),
            record(drop_leaked=True),
        ]
    )
    figures = found[::2]
    assert [table.title.partition(":")[0] for table in figures] == [
        "castings, defects",
        "castings, gaussian",
        "other, defects",
        "castings, defects",
        "castings, defects without leaked pictures",
    ]
    assert [row[:2] for row in figures[0].rows] == [
        ("cae", "mse"),
        ("pca", "mse"),
        ("cae", "max1p"),
    ]
    assert [table.title for table in found[1::2]] == [f"Decisions: {t.title}" for t in figures]


def test_other_settings_are_not_taken_for_other_seeds():
    """Trainings of 5 and of 50 epochs, as a resumed file may hold, are not averaged into one row."""
    figures, *_ = tables(
        [
            record(),
            record(epochs=50, auroc=0.95),
            record(model_params={"n": 3}),
            record(batch_size=8),
            record(recon_anomaly="9.9"),
            record(recon_anomaly="9.9", seed=43),
        ]
    )
    assert [row[:3] for row in figures.rows] == [
        ("cae", "mse", "constant, at most 5 epochs"),
        ("cae", "mse", "constant, at most 50 epochs"),
        ("cae (n=3)", "mse", "constant, at most 5 epochs"),
        ("cae", "mse", "constant, at most 5 epochs, batch size 8"),
        ("cae", "mse", "constant, at most 5 epochs"),
    ]
    assert ["±" in row[3] for row in figures.rows] == [False] * 4 + [True]


def test_several_schedules_stand_in_a_column():
    """What trainings share is in the title, what differs in the column; a closed form has neither."""
    kept = {"schedule_params": {"keeps": "auroc"}, "batch_size": 8}
    figures, decisions = tables(
        [
            record(**kept),
            record(schedule="awl-auc", batch_size=8),
            record(model="pca", schedule=None, epochs=None),
            record(model="everything-defective", scorer=None, epochs=None, schedule=None),
        ]
    )
    words = "10 good and 4 anomalous, 64x48 px, at most 5 epochs, batch size 8, 1 seed"
    assert figures.title == f"castings, defects: {words}"
    assert figures.columns[:4] == ("model", "scorer", "schedule", "AUROC")
    assert decisions.columns[:4] == ("model", "scorer", "schedule", "rule")
    expected = [
        ("cae", "mse", "constant (keeps=auroc)"),
        ("cae", "mse", "awl-auc"),
        ("pca", "mse", ""),
        ("everything-defective", "", ""),
    ]
    assert [row[:3] for row in figures.rows] == expected
    assert [row[:3] for row in decisions.rows[::2]] == expected


def test_a_closed_form_does_not_make_a_column():
    """One schedule stands in the title, beside models that have none."""
    figures, _ = tables([record(model="pca", schedule=None, epochs=None), record()])
    assert figures.columns[:3] == ("model", "scorer", "AUROC")
    assert "64x48 px, at most 5 epochs, constant weights, 1 seed" in figures.title


def test_the_recipe_says_how_many_epochs_were_planned():
    """Where no number was asked for, the title has that of the recipe."""
    figures, _ = tables([record(epochs=None, recipe={"epochs": 100})])
    assert "at most 100 epochs" in figures.title


def test_a_record_that_stands_twice_counts_once():
    """The figures of one seed from two runs, one of which observed every epoch, are not averaged."""
    assert cells(record(), record(every_epoch=True, auroc=0.9))["AUROC"] == ".900 [.700, .900]"


def test_the_threshold_of_labelled_validation_pictures_is_shown_without_asking():
    """The rule youden-validation has its column and row where a record has it, once, and no oracle mark."""
    labelled = record(decisions=record()["decisions"] | {"youden-validation": decision(f1=0.7)})
    names = ["quantile", "best-f1 (oracle)", "youden-validation"]
    figures, decisions = tables([labelled, record(model="pca")])
    assert [name for name in figures.columns if "F1" in name] == [f"F1, {name}" for name in names]
    assert [row[7] for row in figures.rows] == [".700", "-"]
    assert [row[2] for row in decisions.rows] == [*names, *names[:2]]
    only = cells(labelled, rules=("youden-validation",))
    assert [name for name in only if "F1" in name] == ["F1, youden-validation"]


def test_what_a_search_cost_is_shown_where_it_is_more():
    """Epochs that led to the network stand before all that were trained, where these are more."""
    searched = {"epochs_run": 200, "epochs_trained": 320, "schedule": "awl-loss"}
    plain = record(epochs_run=5, epochs_trained=5)
    figures, _ = tables([plain, record(**searched), record(seed=43, **searched)])
    assert figures.columns[-1] == "epochs (in all)"
    assert [row[-1] for row in figures.rows] == ["5", "200 (320)"]
    assert figures.notes[-1].startswith("epochs: those that led to the network")
    assert "epochs (in all)" not in cells(plain)


def test_a_training_that_ended_early_is_named_below():
    """Model, scorer, schedule and seed, and what happened; nothing is said of the others."""
    what = "the training loss term 'kl' became nan in epoch 7"
    adaptive = {"schedule": "awl-auc", "schedule_params": {"update_every": 5}}
    early = record(seed=43, diverged=what, model_params={"latent_size": 8}, **adaptive)
    figures, decisions = tables([record(diverged=None), record(seed=42, **adaptive), early])
    assert figures.notes == (
        f"cae (latent_size=8), mse, awl-auc (update_every=5), seed 43: {what}; the last good weights "
        "were kept",
    )
    assert decisions.notes == ()


def test_several_kinds_of_defect_have_a_table():
    """The third table of a test set with kinds has its title, and the columns that tell rows apart."""
    scores = {"labels": [0, 0, 1, 1], "scores": [0.1, 0.3, 0.2, 0.4], "kinds": ["good"] * 2}
    scores["kinds"] += ["crack", "dent"]
    figures, _, kinds = tables([record(**scores), record(schedule="awl-auc", **scores)])
    assert kinds.title == f"AUROC against each kind of defect: {figures.title}"
    assert kinds.columns == ("model", "scorer", "schedule", "crack (1)", "dent (1)")
    assert [row[:4] for row in kinds.rows] == [
        ("cae", "mse", "constant", ".500 [.000, 1.000]"),
        ("cae", "mse", "awl-auc", ".500 [.000, 1.000]"),
    ]
    assert len(tables([record(labels=[0], scores=[0.1], kinds=["good"])])) == 2


def test_no_records_give_no_tables():
    """An empty bench has no table."""
    assert tables([]) == []


def test_what_the_page_says_of_chance_is_true():
    """PR-AUC is about the share for random scores, and (1 + share) / 2 where all are equal."""
    assert "about the share of anomalous pictures for random scores" in HOW_TO_READ
    labels = np.repeat([0, 1], [4000, 6000])
    scores = np.random.default_rng(0).random(10000)
    assert pr_auc(labels, scores) == pytest.approx(0.6, abs=0.02)
    assert pr_auc(labels, np.zeros(10000)) == pytest.approx(0.8)


def test_figures_of_pixels_have_a_table_of_their_own():
    """It comes last, of the test sets that have masks: noise is everywhere."""
    records = run_bench(models=["mean"], corruptors=["gaussian", "objects"], image_size=16)
    titles = [table.title for table in tables(records)]
    pixels = [title for title in titles if title.startswith("Pixels")]
    assert titles[-1] == pixels[-1]
    assert [title.split(":")[1] for title in pixels] == [" embedded, objects", " embedded, defects"]
    (row,) = tables(records)[-1].rows
    own = records[-1]
    for name, cell in zip(PIXEL, row[-3:], strict=True):
        low, high = own["intervals"][name]
        assert low < own[name] < high
        assert cell == with_interval([own[name]], [(low, high)])
