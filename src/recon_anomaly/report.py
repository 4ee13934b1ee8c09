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
    by_set: dict[tuple[str, str], dict[tuple[str, str], list[Mapping[str, Any]]]] = {}
    for record in records:
        groups = by_set.setdefault((record["data"], record["test_set"]), {})
        groups.setdefault((record["model"], record["scorer"] or ""), []).append(record)
    found = []
    for (data, test), groups in by_set.items():
        first = next(iter(groups.values()))[0]
        seeds = {record["seed"] for group in groups.values() for record in group}
        height, width = first["image_size"]
        title = (
            f"{data}, {test}: {first['n_test_good']} good and {first['n_test_anomalous']} anomalous, "
            f"{height}x{width} px, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
        )
        rows = [_row(model, scorer, group) for (model, scorer), group in groups.items()]
        found.append(Table(title, COLUMNS, tuple(rows)))
    return found


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


def _row(model: str, scorer: str, records: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    oracle = [record["oracle"] or {} for record in records]
    return (
        model,
        scorer,
        *(_figure(records, name) for name in ("auroc", "average_precision", "pr_auc")),
        _mean([record["f1"] for record in records]),
        _mean([figures.get("f1") for figures in oracle]),
        _mean([record.get("fit_seconds") for record in records], "{:.1f}"),
        _mean([record.get("milliseconds_per_picture") for record in records], "{:.2f}"),
    )


def _figure(records: Sequence[Mapping[str, Any]], name: str) -> str:
    text = _mean([record[name] for record in records])
    intervals = [record["intervals"][name] for record in records]
    if None in intervals:
        return text
    low, high = np.mean(np.array(intervals), axis=0)
    return f"{text} [{_short(low)}, {_short(high)}]"


def _mean(values: Sequence[float | None], form: str = "") -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"

    def show(value: float) -> str:
        return form.format(value) if form else _short(value)

    spread = f" ± {show(float(np.std(known, ddof=1)))}" if len(known) > 1 else ""
    return show(float(np.mean(known))) + spread


def _short(value: float) -> str:
    """Return three decimals without the leading zero, as papers print shares.

    Examples
    --------
    >>> _short(0.8374), _short(1.0)
    ('.837', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")
