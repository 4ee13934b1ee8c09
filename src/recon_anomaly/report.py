"""Records become tables: one for each test set, rows by model and scorer, means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Table", "markdown", "tables"]

COLUMNS = (
    "model",
    "scorer",
    "AUROC",
    "average precision",
    "PR-AUC",
    "F1",
    "F1 (oracle)",
    "fit s",
    "ms/picture",
)


@dataclass(frozen=True)
class Table:
    """A title, and rows of as many texts as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(records: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Summarise a bench's records.

    A figure with a bracket has its 95 % bootstrap interval over pictures there (the mean of the
    seeds' intervals); with several seeds ± is the standard deviation over them. F1 is at the threshold
    of the validation pictures; "oracle" marks what was chosen by looking at the test labels.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`.
    """
    by_table: dict[str, dict[tuple[str, str], list[Mapping[str, Any]]]] = {}
    for record in records:
        rows = by_table.setdefault(_title(record), {})
        rows.setdefault((_label(record), record["scorer"] or ""), []).append(record)
    return [
        Table(
            f"{title}, {_seeds(rows.values())}",
            COLUMNS,
            tuple(_row(model, scorer, group) for (model, scorer), group in rows.items()),
        )
        for title, rows in by_table.items()
    ]


def markdown(table: Table) -> str:
    """Return the table in Markdown, its title in bold above.

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
    return f"**{table.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(record: Mapping[str, Any]) -> str:
    """Return what a table's rows have in common: all settings but model, scorer and seed."""
    height, width = record["image_size"]
    schedule = _named(record["schedule"], record["schedule_params"])
    return (
        f"{record['data']}, {record['test_set']}: {record['n_test_good']} good and "
        f"{record['n_test_anomalous']} anomalous, {height}x{width} px, at most {record['epochs']} "
        f"epochs, {schedule} weights"
    )


def _seeds(groups: Iterable[Sequence[Mapping[str, Any]]]) -> str:
    count = len({record["seed"] for group in groups for record in group} - {None})
    return f"{count} seed{'s' if count > 1 else ''}"


def _label(record: Mapping[str, Any]) -> str:
    return _named(record["model"], record["model_params"])


def _named(name: str, params: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{key}={value}" for key, value in params.items())
    return f"{name} ({listed})" if listed else name


def _row(model: str, scorer: str, records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    oracle = [record["oracle"] or {} for record in records]
    return (
        model,
        scorer,
        *(_figure(records, name) for name in ("auroc", "average_precision", "pr_auc")),
        _figure(records, "f1"),
        _mean([figures.get("f1") for figures in oracle]) + _interval(records, "oracle_f1"),
        _time([record.get("fit_seconds") for record in records], "{:.1f}"),
        _time([record.get("milliseconds_per_picture") for record in records], "{:.2f}"),
    )


def _figure(records: Sequence[Mapping[str, Any]], name: str) -> str:
    return _mean([record[name] for record in records]) + _interval(records, name)


def _interval(records: Sequence[Mapping[str, Any]], name: str) -> str:
    intervals = [record["intervals"].get(name) for record in records]
    if None in intervals:
        return ""
    low, high = np.mean(np.array(intervals), axis=0)
    return f" [{_short(low)}, {_short(high)}]"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {_short(float(np.std(known, ddof=1)))}" if len(known) > 1 else ""
    return _short(float(np.mean(known))) + spread


def _time(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(np.mean(known)) if known else "-"


def _short(value: float) -> str:
    """Return three decimals without the leading zero, as papers print shares.

    Examples
    --------
    >>> _short(0.8374), _short(1.0)
    ('.837', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")
