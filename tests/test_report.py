import pytest

from recon_anomaly.report import COLUMNS, Table, markdown, tables


def record(**changes):
    """Return a record such as a bench writes, with some values changed."""
    return {
        "key": "0",
        "data": "castings",
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
        "f1": 0.75,
        "intervals": {
            "auroc": [0.7, 0.9],
            "average_precision": [0.4, 0.6],
            "pr_auc": [0.2, 0.3],
        },
        "oracle": {"threshold": 0.1, "f1": 0.8},
        "fit_seconds": 12.34,
        "milliseconds_per_picture": 1.234,
    } | changes


def cells(*records):
    """Return the only row of the only table, by column."""
    (table,) = tables(records)
    (row,) = table.rows
    return dict(zip(table.columns, row, strict=True))


def test_one_record_is_one_row():
    """A record's figures stand in their columns, with three decimals and their intervals."""
    assert cells(record()) == {
        "model": "cae",
        "scorer": "mse",
        "AUROC": ".837 [.700, .900]",
        "average precision": ".500 [.400, .600]",
        "PR-AUC": ".250 [.200, .300]",
        "F1": ".750",
        "F1 (oracle)": ".800",
        "fit s": "12.3",
        "ms/picture": "1.23",
    }


def test_the_title_says_what_was_tested():
    """The title has data, test set, counts, height x width and the number of seeds."""
    (one,) = tables([record()])
    (two,) = tables([record(), record(seed=43)])
    start = "castings, defects: 10 good and 4 anomalous, 64x48 px, at most 5 epochs, "
    start += "constant weights, "
    assert (one.title, two.title) == (start + "1 seed", start + "2 seeds")


def test_seeds_are_averaged():
    """Two seeds give the mean, the sample's standard deviation, and the mean of the intervals."""
    other = {"auroc": [0.5, 0.7], "average_precision": [0.4, 0.6], "pr_auc": [0.2, 0.3]}
    found = cells(record(auroc=0.8), record(seed=43, auroc=0.6, f1=0.25, intervals=other))
    # 0.1 * sqrt(2) and 0.25 * sqrt(2)
    assert found["AUROC"] == ".700 ± .141 [.600, .800]"
    assert found["F1"] == ".500 ± .354"
    assert found["average precision"] == ".500 ± .000 [.400, .600]"


def test_what_is_missing_is_a_dash():
    """Figures that are None, and an oracle or times that are not there, show as a dash."""
    nothing = dict.fromkeys(("auroc", "average_precision", "pr_auc"))
    trivial = record(scorer=None, oracle=None, f1=None, intervals=nothing, **nothing)
    del trivial["fit_seconds"], trivial["milliseconds_per_picture"]
    assert list(cells(trivial).values()) == ["cae", ""] + ["-"] * 7


def test_a_missing_figure_of_one_seed_is_left_out_of_the_mean():
    """The mean runs over the seeds that have the figure."""
    assert cells(record(f1=None), record(seed=43, f1=0.5))["F1"] == ".500"


def test_a_perfect_figure_keeps_its_one():
    """1 shows as 1.000 and 0 as .000."""
    found = cells(record(f1=1.0, oracle={"f1": 0.0}))
    assert (found["F1"], found["F1 (oracle)"]) == ("1.000", ".000")


def test_test_sets_have_tables_of_their_own():
    """Records group by data and test set, then by model and scorer, in the order they come."""
    found = tables(
        [
            record(),
            record(model="pca"),
            record(test_set="gaussian"),
            record(scorer="max1p"),
            record(data="other"),
        ]
    )
    assert [table.title.partition(":")[0] for table in found] == [
        "castings, defects",
        "castings, gaussian",
        "other, defects",
    ]
    assert [row[:2] for row in found[0].rows] == [("cae", "mse"), ("pca", "mse"), ("cae", "max1p")]


def test_other_settings_are_not_taken_for_other_seeds():
    """A run of 5 epochs and one of 50, as a resumed file may hold, are not averaged into one row."""
    found = tables([record(), record(epochs=50, auroc=0.95), record(model_params={"n": 3})])
    assert [len(table.rows) for table in found] == [2, 1]
    assert found[0].rows[1][0] == "cae (n=3)"
    assert not any("±" in markdown(table) for table in found)


def test_no_records_give_no_tables():
    """An empty bench has no table."""
    assert tables([]) == []


@pytest.mark.parametrize("rows", [(), (("bolt", "8"), ("nut", "-"))])
def test_markdown_has_title_header_and_rows(rows):
    """Markdown is the bold title, an empty line, the header, its rule and a line for each row."""
    lines = markdown(Table("Sizes", ("part", "mm"), rows)).split("\n")
    assert lines[:4] == ["**Sizes**", "", "| part | mm |", "| --- | --- |"]
    assert lines[4:] == [f"| {part} | {size} |" for part, size in rows]


def test_every_row_has_all_columns():
    """A row is as long as the columns are."""
    assert len(cells(record())) == len(COLUMNS) == 9
