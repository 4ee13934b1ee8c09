"""Records become tables: for each test set one of figures and one of decisions, means over seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .decisions import EVERYTHING, ORACLE
from .errors import InputError
from .metrics import DECISION, RANKING
from .thresholds import RULES

__all__ = [
    "DEFAULT_RULES",
    "HOW_TO_READ",
    "Table",
    "check_rules",
    "circumstances",
    "in_words",
    "markdown",
    "mean_of",
    "short",
    "tables",
]

DEFAULT_RULES = ("quantile", "best-f1")
HOW_TO_READ = (
    "brackets: 95 % bootstrap interval over pictures; rules: quantile is the 95 % quantile of the "
    "validation pictures' scores, oracle ones were chosen by the test labels; PR-AUC is by the "
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


@dataclass(frozen=True)
class Table:
    """A title, rows of as many texts as there are columns, and lines to stand below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables(records: Iterable[_Record], *, rules: Sequence[str] = DEFAULT_RULES) -> list[Table]:
    """Summarise a bench's records: for each test set a table of figures, then one of decisions.

    A figure with a bracket has its 95 % bootstrap interval over pictures there (the mean of the
    seeds' intervals); with several seeds ± is the standard deviation over them, and counts and
    thresholds are means. "(oracle)" marks a rule that looks at the test labels. The trivial row
    everything-defective has one decision, which stands for it under every rule.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`.
    rules : sequence of str
        Whose decisions are shown, as `decide` names them.

    Raises
    ------
    InputError
        For an unknown rule.
    """
    check_rules(rules)
    by_table: dict[tuple[str, ...], dict[tuple[str, ...], list[_Record]]] = {}
    for record in records:
        rows = by_table.setdefault((_title(record), record["data_checksum"]), {})
        row = (in_words(record["model"], record["model_params"]), record["scorer"] or "")
        # Other weights or another version of the library are not another seed.
        made_by = (json.dumps(record.get("weights")), str(record.get("recon_anomaly")))
        rows.setdefault((*row, *made_by), []).append(record)
    found = []
    for (title, _), rows in by_table.items():
        title = f"{title}, {_seeds(rows.values())}"
        found += [_figures(title, rows, rules), _decisions(title, rows, rules)]
    return found


def check_rules(rules: Sequence[str]) -> None:
    """Refuse a rule that does not exist, with an InputError that lists those that do."""
    for rule in rules:
        if rule not in RULES:
            raise InputError(f"rule={rule!r} is unknown; say one of: {', '.join(sorted(RULES))}")


def markdown(table: Table) -> str:
    """Return the table in Markdown, its title in bold above, its notes below.

    Examples
    --------
    >>> print(markdown(Table("Sizes", ("part", "mm"), (("bolt", "8"),))))
    **Sizes**
    <BLANKLINE>
    | part | mm |
    | --- | --- |
    | bolt | 8 |
    """
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"**{table.title}**", rows, *table.notes])


def circumstances(record: _Record) -> str:
    """Return in words how large the pictures were, and how the networks were trained."""
    height, width = record["image_size"]
    schedule = in_words(record["schedule"], record["schedule_params"])
    return f"{height}x{width} px, at most {record['epochs']} epochs, {schedule} weights"


def in_words(name: str, params: Mapping[str, Any]) -> str:
    """Return a part's name, with its parameters in brackets where it has some.

    Examples
    --------
    >>> in_words("cvae", {"latent_size": 64})
    'cvae (latent_size=64)'
    """
    listed = ", ".join(f"{key}={value}" for key, value in params.items())
    return f"{name} ({listed})" if listed else name


def mean_of(values: Sequence[float | None]) -> str:
    """Return the mean of what is known and, of several values, ± their standard deviation.

    Examples
    --------
    >>> mean_of([0.8, 0.6]), mean_of([0.5, None]), mean_of([None])
    ('.700 ± .141', '.500', '-')
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {short(float(np.std(known, ddof=1)))}" if len(known) > 1 else ""
    return short(float(np.mean(known))) + spread


def short(value: float) -> str:
    """Return three decimals without the leading zero, as papers print shares.

    Examples
    --------
    >>> short(0.8374), short(1.0)
    ('.837', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")


def _title(record: _Record) -> str:
    """Return what a table's rows have in common: all settings but model, scorer and seed."""
    dropped = " without leaked pictures" if record["drop_leaked"] else ""
    return (
        f"{record['data']}, {record['test_set']}{dropped}: {record['n_test_good']} good and "
        f"{record['n_test_anomalous']} anomalous, {circumstances(record)}"
    )


def _seeds(groups: Iterable[Sequence[_Record]]) -> str:
    count = len({record["seed"] for group in groups for record in group} - {None})
    return f"{count} seed{'s' if count > 1 else ''}"


def _figures(
    title: str, rows: Mapping[tuple[str, ...], Sequence[_Record]], rules: Sequence[str]
) -> Table:
    heads = ("AUROC", "average precision", "PR-AUC", *(f"F1, {_marked(rule)}" for rule in rules))
    cells = []
    for (model, scorer, *_), records in rows.items():
        one_class = _one_class(records)
        f1 = [[_decision(record, rule) for record in records] for rule in rules]
        cells.append(
            (
                model,
                scorer,
                *(_cell(records, name, one_class) for name in RANKING),
                *(_cell(decisions, "f1", one_class) for decisions in f1),
                _mean([record.get("fit_seconds") for record in records], "{:.1f}"),
                _mean([record.get("milliseconds_per_picture") for record in records], "{:.2f}"),
            )
        )
    columns = ("model", "scorer", *heads, "fit s", "ms/picture")
    notes: tuple[str, ...] = ()
    if any(_one_class(records) for records in rows.values()):
        notes = (
            f"{ONE_CLASS}: AUROC, average precision, PR-AUC, precision, F1 and the rules marked "
            "(oracle) need good and anomalous test pictures; recall and specificity stand",
        )
    return Table(title, columns, tuple(cells), notes)


def _decisions(
    title: str, rows: Mapping[tuple[str, ...], Sequence[_Record]], rules: Sequence[str]
) -> Table:
    columns = ("model", "scorer", "rule", "threshold", *_COUNTS)
    columns += ("precision", "recall (sensitivity)", "specificity", "F1")
    cells = []
    for (model, scorer, *_), records in rows.items():
        trivial = any(EVERYTHING in record["decisions"] for record in records)
        for rule in (EVERYTHING,) if trivial else rules:
            decisions = [_decision(record, rule) for record in records]
            if not any(decisions):  # one class, or a threshold that was not asked for
                continue
            counted = "{:.0f}" if len(decisions) == 1 else "{:.1f}"
            cells.append(
                (
                    model,
                    scorer,
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
    intervals = [figure.get("intervals", {}).get(name) for figure in figures]
    if None in intervals:
        return mean_of(values)
    low, high = np.mean(np.array(intervals), axis=0)
    return f"{mean_of(values)} [{short(low)}, {short(high)}]"


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(np.mean(known)) if known else "-"
