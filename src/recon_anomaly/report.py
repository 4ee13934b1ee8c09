"""Records become tables: figures, decisions and AUROC by kind of defect, means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .cells import Table, in_words, markdown, mean_of, short, with_interval
from .decisions import (
    DECIDED_RULES,
    EVERYTHING,
    ORACLE,
    YOUDEN_VALIDATION,
)
from .errors import InputError
from .kinds import kinds_table
from .metrics import DECISION, RANKING
from .pixeltable import pixels_table
from .rows import made_by
from .trainings import ended_early, said, size_of, training

__all__ = [
    "DEFAULT_RULES",
    "HOW_TO_READ",
    "Table",
    "check_rules",
    "in_words",
    "markdown",
    "mean_of",
    "short",
    "tables",
]

DEFAULT_RULES = ("quantile", "best-f1")
HOW_TO_READ = (
    "brackets: 95 % bootstrap interval over pictures; rules: quantile is the 95 % quantile of the "
    "good validation pictures' scores, youden-validation is Youden's J on labelled validation "
    "pictures, oracle ones were chosen by the test labels; PR-AUC is by the "
    "trapezoidal rule: about the share of anomalous pictures for random scores, but (1 + share) / 2 "
    "where all scores are equal, as in everything-defective"
)
"""A line to stand below the tables."""

ONE_CLASS = "one class"
_COUNTS = {
    "TP": "true_positives",
    "FP": "false_positives",
    "TN": "true_negatives",
    "FN": "false_negatives",
}

_Record = Mapping[str, Any]
_Rows = dict[tuple[str, ...], list[_Record]]


def tables(records: Iterable[_Record], *, rules: Sequence[str] = DEFAULT_RULES) -> list[Table]:
    """Summarise a bench's records: for each test set a table of figures, then one of decisions.

    Where a test set has several kinds of defect, a third one has the AUROC against each, and where it has masks a
    last one has figures over pixels. A figure
    with a bracket has its 95 % bootstrap interval over pictures there (the mean of the seeds'
    intervals); with several seeds ± is the standard deviation over them, and counts and thresholds
    are means. "(oracle)" marks a rule that looks at the test labels. The trivial row
    everything-defective has one decision, which stands for it under every rule.

    How the networks were trained stands in the title; where that differs, in a column "schedule".
    Where a search trained more epochs than those that led to its network, a column "epochs" has both.
    A training that ended early is named below the figures.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`.
    rules : sequence of str
        Whose decisions are shown, as `decide` names them; youden-validation always, where there is
        one.

    Raises
    ------
    InputError
        For an unknown rule.
    """
    check_rules(rules)
    by_table: dict[tuple[str, ...], list[_Record]] = {}
    for record in records:
        by_table.setdefault((_title(record), record["data_checksum"]), []).append(record)
    found: list[Table | None] = []
    for (title, _), group in by_table.items():
        labelled = any(YOUDEN_VALIDATION in record["decisions"] for record in group)
        shown = [*dict.fromkeys([*rules, *([YOUDEN_VALIDATION] if labelled else [])])]
        common, heads, rows = _rows(group)
        title = ", ".join([title, *common, _seeds(rows.values())])
        found += [
            _figures(title, heads, rows, shown),
            _decisions(title, heads, rows, shown),
            kinds_table(title, heads, rows),
            pixels_table(title, heads, rows),
        ]
    return [table for table in found if table is not None]


def check_rules(rules: Sequence[str]) -> None:
    """Refuse a rule that does not exist, with an InputError that lists those that do."""
    for rule in rules:
        if rule not in DECIDED_RULES:
            raise InputError(
                f"rule={rule!r} is unknown; say one of: {', '.join(sorted(DECIDED_RULES))}"
            )


def _title(record: _Record) -> str:
    """Return what a table's rows have in common: the test set, and how it was seen."""
    dropped = " without leaked pictures" if record["drop_leaked"] else ""
    return (
        f"{record['data']}, {record['test_set']}{dropped}: {record['n_test_good']} good and "
        f"{record['n_test_anomalous']} anomalous, {size_of(record)}"
    )


def _rows(records: Sequence[_Record]) -> tuple[list[str], tuple[str, ...], _Rows]:
    """Return what all trainings have in common, the names of the first columns, and the rows.

    A row's key begins with its texts in these columns.
    """
    ways = list(dict.fromkeys(way for record in records if (way := training(record))))
    shared = set(ways[0][1:]).intersection(*ways) if ways else set()
    heads: tuple[str, ...] = ("model", "scorer")
    if len(ways) > 1:
        heads += ("schedule",)
        common = [part for part in ways[0][1:] if part in shared]
    else:
        common = [part for way in ways for part in said(way)]
    rows: dict[tuple[str, ...], dict[int | None, _Record]] = {}
    for record in records:
        way = training(record) or ("",)
        row = [in_words(record["model"], record["model_params"]), record["scorer"] or ""]
        if len(ways) > 1:
            row.append(", ".join([way[0], *(part for part in way[1:] if part not in shared)]))
        rows.setdefault((*row, *made_by(record)), {})[record["seed"]] = record
    return common, heads, {row: list(by_seed.values()) for row, by_seed in rows.items()}


def _seeds(groups: Iterable[Sequence[_Record]]) -> str:
    count = len({record["seed"] for group in groups for record in group} - {None})
    return f"{count} seed{'s' if count > 1 else ''}"


def _figures(title: str, heads: tuple[str, ...], rows: _Rows, rules: Sequence[str]) -> Table:
    searched = any(map(_searched, (record for records in rows.values() for record in records)))
    cells = []
    for row, records in rows.items():
        one_class = _one_class(records)
        f1 = [[_decision(record, rule) for record in records] for rule in rules]
        cells.append(
            (
                *row[: len(heads)],
                *(_cell(records, name, one_class) for name in RANKING),
                *(_cell(decisions, "f1", one_class) for decisions in f1),
                _mean([record.get("fit_seconds") for record in records], "{:.1f}"),
                _mean([record.get("milliseconds_per_picture") for record in records], "{:.2f}"),
                *([_epochs(records)] if searched else []),
            )
        )
    columns = (*heads, "AUROC", "average precision", "PR-AUC")
    columns += (*(f"F1, {_marked(rule)}" for rule in rules), "fit s", "ms/picture")
    columns += ("epochs (in all)",) if searched else ()
    notes: tuple[str, ...] = ()
    if any(_one_class(records) for records in rows.values()):
        notes = (
            f"{ONE_CLASS}: AUROC, average precision, PR-AUC, precision, F1 and the rules marked "
            "(oracle) need good and anomalous test pictures; recall and specificity stand",
        )
    if searched:
        notes += (
            "epochs: those that led to the network and, in brackets, all that the search trained",
        )
    notes += tuple(
        f"{row[0]}, {row[1]}, {in_words(record['schedule'], record['schedule_params'])}, {early}"
        for row, records in rows.items()
        for record in records
        if (early := ended_early(record))
    )
    return Table(title, columns, tuple(cells), notes)


def _decisions(title: str, heads: tuple[str, ...], rows: _Rows, rules: Sequence[str]) -> Table:
    columns = (*heads, "rule", "threshold", *_COUNTS)
    columns += ("precision", "recall (sensitivity)", "specificity", "F1")
    cells = []
    for row, records in rows.items():
        trivial = any(EVERYTHING in record["decisions"] for record in records)
        for rule in (EVERYTHING,) if trivial else rules:
            decisions = [_decision(record, rule) for record in records]
            if not any(decisions):  # one class, or a threshold that was not asked for
                continue
            counted = "{:.0f}" if len(decisions) == 1 else "{:.1f}"
            cells.append(
                (
                    *row[: len(heads)],
                    _marked(rule),
                    _mean([decision.get("threshold") for decision in decisions], "{:.3g}"),
                    *(
                        _mean([decision.get(name) for decision in decisions], counted)
                        for name in _COUNTS.values()
                    ),
                    *(_cell(decisions, name, _one_class(records)) for name in DECISION),
                )
            )
    return Table(f"Decisions: {title}", columns, tuple(cells))


def _searched(record: _Record) -> bool:
    trained: int | None = record.get("epochs_trained")
    return trained is not None and trained != record.get("epochs_run")


def _epochs(records: Sequence[_Record]) -> str:
    run = _mean([record.get("epochs_run") for record in records], "{:.0f}")
    trained = _mean([record.get("epochs_trained") for record in records], "{:.0f}")
    return f"{run} ({trained})" if any(map(_searched, records)) else run


def _marked(rule: str) -> str:
    return f"{rule} (oracle)" if rule in ORACLE else rule


def _decision(record: _Record, rule: str) -> Mapping[str, Any]:
    decisions: Mapping[str, Any] = record["decisions"]
    found: Mapping[str, Any] = decisions.get(EVERYTHING) or decisions.get(rule) or {}
    return found


def _one_class(records: Sequence[_Record]) -> bool:
    return any(0 in (record["n_test_good"], record["n_test_anomalous"]) for record in records)


def _cell(figures: Sequence[_Record], name: str, one_class: bool) -> str:
    """Return a figure with its interval; ``figures`` are records, or decisions of them."""
    values = [figure.get(name) for figure in figures]
    if one_class and not any(value is not None for value in values):
        return ONE_CLASS
    return with_interval(values, [figure.get("intervals", {}).get(name) for figure in figures])


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(np.mean(known)) if known else "-"
