import csv
import io

import pytest

from recon_anomaly.bench import run_bench
from recon_anomaly.spreadsheet import COLUMNS, csv_text


@pytest.fixture(scope="module")
def records():
    """A small bench of one model, with a fixed threshold."""
    return run_bench(models=["pca"], corruptors=["gaussian"], image_size=16, threshold=0.01)


def test_there_is_a_row_for_each_record_and_rule(records):
    """Rows follow the records and their rules, with all columns."""
    rows = list(csv.DictReader(io.StringIO(csv_text(records))))
    wanted = [(r["test_set"], r["model"], rule) for r in records for rule in r["decisions"]]
    assert [(row["test_set"], row["model"], row["rule"]) for row in rows] == wanted
    assert len(rows) == 2 * (1 + 5)
    assert all(list(row) == list(COLUMNS) for row in rows)


def test_figures_come_back_as_they_were(records):
    """Full precision: every number reads back as the very number of the record."""
    rows = iter(csv.DictReader(io.StringIO(csv_text(records))))
    for record in records:
        for decision in record["decisions"].values():
            row = next(rows)
            for figures in (record, decision):
                for name, ends in figures["intervals"].items():
                    got = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
                    assert [float(text) if text else None for text in got] == [
                        figures[name],
                        *(ends or (None, None)),
                    ]
            threshold = decision["threshold"]
            assert row["threshold"] == ("" if threshold is None else repr(threshold))
            assert int(row["true_positives"]) == decision["true_positives"]
            assert row["oracle"] == str(decision["oracle"])
            assert (row["height"], row["width"], row["leaked_near"]) == ("16", "16", "0")


def test_unknown_is_empty_and_parameters_are_json(records):
    """None leaves a cell empty; parameters stand as JSON."""
    *_, record = records
    changed = record | {"auroc": None, "intervals": {"auroc": None}, "model_params": {"n": [1]}}
    row = next(csv.DictReader(io.StringIO(csv_text([changed]))))
    assert (row["auroc"], row["auroc_low"], row["auroc_high"]) == ("", "", "")
    assert row["model_params"] == '{"n": [1]}'


def test_leaks_of_the_defects_to_validate_on_have_a_column(records):
    """It is empty where there were no such defects."""
    *_, record = records
    labelled = record | {"leakage": {"identical": 1, "near": 2, "validation_defects": 3}}
    for one, counts in ((labelled, ("1", "2", "3")), (record, ("0", "0", ""))):
        row = next(csv.DictReader(io.StringIO(csv_text([one]))))
        names = ("leaked_identical", "leaked_near", "leaked_validation_defects")
        assert tuple(row[name] for name in names) == counts


def test_the_recipe_is_the_one_that_was_used(records):
    """What nobody said is filled in; a closed form has none."""
    *_, record = records
    recipe = {"epochs": 50, "batch_size": 16, "learning_rate": 0.003}
    rows = list(csv.DictReader(io.StringIO(csv_text([record | {"recipe": recipe}, record]))))
    found = [{name: row[name] for name in recipe} for row in rows]
    rules = len(record["decisions"])
    assert found[:rules] == [{name: str(value) for name, value in recipe.items()}] * rules
    assert found[rules:] == [dict.fromkeys(recipe, "")] * rules


def test_no_records_leave_the_header():
    """An empty bench has the header line alone."""
    assert csv_text([]) == ",".join(COLUMNS) + "\n"
