import pytest

from recon_anomaly.comparison import paper_tables


def record(model="cae", test_set="defects", figures=(0.9, 0.7, 0.8), pr_auc=0.898, **changes):
    """Return what a table needs of a record: recall, precision and F1 at the best F1, and PR-AUC."""
    best = dict(zip(("recall", "precision", "f1"), figures, strict=True))
    trivial = model == "everything-defective"
    return {
        "data": "casting_300",
        "layout": "castings",
        "data_checksum": "a",
        "drop_leaked": False,
        "test_set": test_set,
        "image_size": [256, 256],
        "epochs": 50,
        "schedule": "constant",
        "schedule_params": {},
        "model": model,
        "model_params": {},
        "scorer": None if trivial else "mse",
        "seed": None if trivial else 42,
        "pr_auc": pr_auc,
        "decisions": {"everything" if trivial else "best-f1": best},
    } | changes


def rows(*records, number=0):
    """Return one of the tables' rows by their first cell."""
    return {row[0]: row[1:] for row in paper_tables(records)[number].rows}


def test_a_cell_has_paper_here_and_difference():
    """Table 3 of the paper stands beside the bench's figures, in the paper's columns."""
    (table,) = paper_tables([record()])
    assert table.columns == ("model", "RECALL", "PRECISION", "F1-SCORE", "PRC-AUC")
    assert table.rows == (
        (
            "cae",
            ".993 / .900 / -.093",
            ".653 / .700 / +.047",
            ".788 / .800 / +.012",
            ".837 / .898 / +.061",
        ),
    )
    assert table.title == (
        "klimkevicius, Table 3, real-world anomalies (oracle): casting_300, mse, 256x256 px, at most "
        "50 epochs, constant weights"
    )


def test_what_the_paper_lacks_is_a_dash():
    """Trivial rows have no figure of the paper and no difference."""
    found = rows(record("pca"), record("everything-defective", figures=(1.0, 0.634, 0.776)))
    assert found["pca"][3] == "- / .898 / -"
    assert found["everything-defective"][:3] == ("- / 1.000 / -", "- / .634 / -", "- / .776 / -")


def test_what_is_missing_here_is_a_dash():
    """With one class there is neither a best F1 nor a PR-AUC: the paper's figure stands alone."""
    found = rows(record(decisions={"quantile": {}}, pr_auc=None))
    assert found["cae"] == (".993 / - / -", ".653 / - / -", ".788 / - / -", ".837 / - / -")


def test_rows_come_in_the_papers_order():
    """The networks as in the paper, then the trivial rows of the preset, others, and everything last."""
    models = ["everything-defective", "pca", "skip-ae", "tcvae", "mean", "tcae", "cae", "cvae"]
    assert list(rows(*map(record, models))) == [
        "cae",
        "cvae",
        "tcae",
        "tcvae",
        "mean",
        "pca",
        "skip-ae",
        "everything-defective",
    ]


def test_table_1_has_both_noises():
    """One table holds the rows of Gaussian noise, then those of salt and pepper."""
    records = [
        record(model, noise)
        for noise in ("gaussian", "salt-and-pepper")
        for model in ("everything-defective", "cvae")
    ]
    found = rows(*records)
    assert list(found) == [
        "cvae, gaussian",
        "everything-defective, gaussian",
        "cvae, salt-and-pepper",
        "everything-defective, salt-and-pepper",
    ]
    assert found["cvae, gaussian"][1] == "1 / .700 / -.300"


def test_a_table_for_each_test_set_that_was_run():
    """Tables 1, 2 and 3 come in the paper's order, and one that was not run is left out."""
    tests = ["defects", "objects", "salt-and-pepper"]
    titles = [t.title for t in paper_tables([record(test_set=t) for t in tests])]
    assert [title.partition(",")[2][:8] for title in titles] == [" Table 1", " Table 2", " Table 3"]
    assert rows(record(test_set="objects"), number=0)["cae"][0] == ".855 / .900 / +.045"


def test_seeds_are_averaged():
    """Several seeds give mean ± standard deviation, and the difference of the mean, unrounded."""
    found = rows(record("cvae", pr_auc=0.5), record("cvae", pr_auc=0.5009, seed=43))
    assert found["cvae"][3] == ".998 / .500 ± .001 / -.498"
    assert found["cvae"][0] == ".9955 / .900 ± .000 / -.096"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_size": [128, 128]}, "128x128 px"),
        ({"epochs": 3}, "at most 3 epochs"),
        ({"drop_leaked": True}, "casting_300 without leaked pictures"),
        ({"data_checksum": "b"}, "casting_300, mse"),
        ({"scorer": "max1p"}, "casting_300, max1p"),
    ],
)
def test_other_settings_have_tables_of_their_own(changes, words):
    """Another size, training, data set or scorer is never averaged in."""
    found = paper_tables([record(), record(pr_auc=0.1, **changes)])
    assert [len(table.rows) for table in found] == [1, 1]
    assert words in found[1].title
    assert found[1].rows[0][4].startswith(".837 / .100")


def test_each_scorers_table_has_the_trivial_row():
    """Calling everything anomalous needs no scorer, so it stands in the tables of all."""
    found = paper_tables([record("everything-defective"), record(), record(scorer="max1p")])
    assert [[row[0] for row in table.rows] for table in found] == [
        ["cae", "everything-defective"]
    ] * 2


def test_the_paper_speaks_of_its_own_data_only():
    """Records of another layout have no such tables."""
    assert paper_tables([record(layout="good-and-defective"), record(layout=None)]) == []


def test_parameters_are_shown_and_compared_all_the_same():
    """A model with parameters of its own keeps the paper's figures, and says the parameters."""
    found = rows(record(model_params={"kernels": [8]}))
    assert found["cae (kernels=[8])"][3] == ".837 / .898 / +.061"


def test_what_is_not_trained_stands_in_every_table():
    """A closed form and the trivial row have neither epochs nor schedule, and count once each."""
    untrained = {"schedule": None, "epochs": None}
    records = [
        record("everything-defective", **untrained),
        record(),
        record(epochs=3),
        record("pca", **untrained),
        record("everything-defective", **untrained),
    ]
    found = paper_tables(records)
    assert [[row[0] for row in table.rows] for table in found] == [
        ["cae", "pca", "everything-defective"]
    ] * 2
    assert ["at most 50 epochs" in found[0].title, "at most 3 epochs" in found[1].title] == [
        True
    ] * 2
    assert "±" not in str(found)


def test_without_networks_there_are_the_tables_of_the_others():
    """A bench of closed forms alone has the paper's tables, whose title knows no training."""
    (table,) = paper_tables([record("pca", schedule=None, epochs=None)])
    assert table.title.endswith("casting_300, mse, 256x256 px")
