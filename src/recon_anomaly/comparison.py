"""A paper's tables, with the figures that a bench reached beside those that the paper prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .decisions import EVERYTHING, EVERYTHING_DEFECTIVE
from .presets import PaperTable, Preset
from .report import Table, circumstances, in_words, mean_of, short

__all__ = ["HOW_TO_READ", "paper_tables"]

COLUMNS = ("model", "RECALL", "PRECISION", "F1-SCORE", "PRC-AUC")
HOW_TO_READ = (
    "paper's tables: paper / here / difference; recall, precision and F1 here are at the threshold of "
    "the best F1 on the test labels (oracle), since the paper does not say how it chose its own"
)
"""A line to stand below the tables."""

_Record = Mapping[str, Any]


def paper_tables(records: Iterable[_Record], preset: Preset) -> list[Table]:
    """Return the tables of a preset's paper: its models in their order, then everything-defective.

    A cell has "paper / here / difference", with a dash for what the paper lacks. Here is the mean
    over seeds (± their standard deviation) at the threshold of the best F1 on the test labels.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`; those of the preset's own layout are used.
    preset : Preset
        Whose tables.

    Returns
    -------
    list of Table
        One set of the paper's tables for each data set, size, number of epochs, schedule and scorer
        among the records; a table none of whose test sets was run is left out.
    """
    groups: dict[tuple[Any, ...], list[_Record]] = {}
    for record in records:
        if record["layout"] == preset.layout:
            groups.setdefault(_group(record), []).append(record)
    return [
        table
        for group in groups.values()
        for scorer in dict.fromkeys(record["scorer"] for record in group if record["scorer"])
        for table in _tables_of([r for r in group if r["scorer"] in (None, scorer)], scorer, preset)
    ]


def _group(record: _Record) -> tuple[Any, ...]:
    return record["data"], record["data_checksum"], record["drop_leaked"], circumstances(record)


def _tables_of(records: Sequence[_Record], scorer: str, preset: Preset) -> list[Table]:
    found = []
    for table in preset.tables:
        rows = [
            row for test_set in table.test_sets for row in _rows(records, table, test_set, preset)
        ]
        if not rows:
            continue
        first = next(record for record in records if record["test_set"] in table.test_sets)
        dropped = " without leaked pictures" if first["drop_leaked"] else ""
        title = (
            f"{preset.name}, {table.title} (oracle): {first['data']}{dropped}, {scorer}, "
            f"{circumstances(first)}"
        )
        found.append(Table(title, COLUMNS, tuple(rows)))
    return found


def _rows(
    records: Sequence[_Record], table: PaperTable, test_set: str, preset: Preset
) -> list[tuple[str, ...]]:
    """Return the rows of one test set; the test set joins the row's name where there are several."""
    by_row: dict[tuple[str, str], list[_Record]] = {}
    for record in records:
        if record["test_set"] == test_set:
            label = in_words(record["model"], record["model_params"])
            by_row.setdefault((record["model"], label), []).append(record)
    order = [*preset.models, *(m for m, _ in by_row if m != EVERYTHING_DEFECTIVE)]
    order.append(EVERYTHING_DEFECTIVE)
    rows = []
    for model, label in sorted(by_row, key=lambda row: order.index(row[0])):
        paper = table.figures.get(model, (None,) * 4)
        here = zip(*(_figures(record) for record in by_row[model, label]), strict=True)
        cells = (_cell(printed, values) for printed, values in zip(paper, here, strict=True))
        rows.append((f"{label}, {test_set}" if len(table.test_sets) > 1 else label, *cells))
    return rows


def _figures(record: _Record) -> tuple[float | None, ...]:
    decisions = record["decisions"]
    decision = decisions.get(EVERYTHING) or decisions.get("best-f1") or {}
    return (*(decision.get(name) for name in ("recall", "precision", "f1")), record["pr_auc"])


def _cell(printed: float | None, here: Sequence[float | None]) -> str:
    known = [value for value in here if value is not None]
    difference = "-"
    if printed is not None and known:
        gap = float(np.mean(known)) - printed
        difference = ("-" if gap < 0 else "+") + short(abs(gap))
    paper = "-" if printed is None else f"{printed:g}".removeprefix("0")
    return f"{paper} / {mean_of(here)} / {difference}"
