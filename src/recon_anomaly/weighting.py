"""The tables of Nakata et al., with the figures that a bench reached beside those that they print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .benchdata import DEFECTS
from .cells import Table, in_words
from .decisions import YOUDEN_VALIDATION
from .printed import NAKATA, NAKATA_SETS, WeightingExperiment, WeightingTable
from .trainings import ended_early, size_of, training

__all__ = ["HOW_TO_READ", "weighting_tables"]

HOW_TO_READ = (
    "paper's tables: mean ± standard deviation over seeds in %; the paper's data sets are not public, "
    "so its rows cannot be compared with the others; (oracle): the epoch of Tables 6 to 8 and the "
    "threshold, by Youden's J, of Tables 7, 8, 10 and 11 are chosen by the test labels, as the paper "
    "does, in both columns alike; honest: the epoch of Tables 6 to 8 and all thresholds are chosen by "
    "labelled validation pictures; models without epochs stand with the conventional ones"
)
"""A line to stand below the tables."""

COLUMNS = ("data set", "model", "scorer", "paper, conventional", "paper, adapted")
"""The first ones of each table."""

_Record = Mapping[str, Any]
_BySeed = dict[int, _Record]


class _Compared(NamedTuple):
    """What stands in one set of an experiment's tables."""

    circumstances: str
    seeds: set[int]
    rows: dict[tuple[str, ...], tuple[_BySeed, _BySeed]]
    """By data set, its checksum, model and scorer: conventional and adapted."""


def weighting_tables(records: Iterable[_Record]) -> list[Table]:
    """Return the paper's Tables 6 to 11: its own data sets first, then those of the records.

    A cell has the mean over seeds ± their standard deviation, in %. The columns of the paper's way come
    before those of the honest one: the epoch and the threshold by labelled validation pictures.

    Parameters
    ----------
    records : iterable of mapping
        From `iter_bench` or `read_records`. Used are those of the data sets' own defects, by the
        schedules `awl-auc` and `awl-loss`, by the `constant` weights that keep the best epoch by AUROC
        or the last, and by models that have no schedule.

    Returns
    -------
    list of Table
        The three tables of each experiment, for each size, recipe and parameters of the adaptive
        schedule among the records.
    """
    tested = [r for r in records if r["test_set"] == DEFECTS and r["scorer"] is not None]
    return [
        _table(table, experiment, compared)
        for experiment in NAKATA
        for compared in _compared(tested, experiment)
        for table in experiment.tables
    ]


def _compared(records: list[_Record], experiment: WeightingExperiment) -> Iterator[_Compared]:
    """Put together what saw the same pictures and was trained by the same recipe."""
    conventional = in_words("constant", {"keeps": experiment.keeps})
    groups: dict[tuple[str, tuple[str, ...]], dict[str, list[_Record]]] = {}
    for record in records:
        way = training(record)
        if way and (way[0] == conventional or record["schedule"] == experiment.adapted):
            group = groups.setdefault((_pictures(record), way[1:]), {})
            group.setdefault(way[0], []).append(record)
    for (pictures, recipe), group in groups.items():
        left = group.pop(conventional, [])
        for schedule, right in (group or {"": []}).items():
            seeds = {record["seed"] for record in (*left, *right)}
            closed_forms = [
                record
                for record in records
                if training(record) is None
                and _pictures(record) == pictures
                and record["seed"] in seeds
            ]
            count = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
            circumstances = ", ".join(filter(None, [pictures, *recipe, schedule, count]))
            yield _Compared(circumstances, seeds, _rows([*left, *closed_forms], right))


def _pictures(record: _Record) -> str:
    return size_of(record) + (", without leaked pictures" if record["drop_leaked"] else "")


def _rows(
    left: list[_Record], right: list[_Record]
) -> dict[tuple[str, ...], tuple[_BySeed, _BySeed]]:
    """Return the conventional and the adapted records of each row, data set by data set."""
    rows: dict[tuple[str, ...], tuple[_BySeed, _BySeed]] = {}
    for side, records in enumerate((left, right)):
        for record in records:
            model = in_words(record["model"], record["model_params"])
            made_by = (str(record.get("weights")), str(record.get("recon_anomaly")))
            row = (record["data"], record["data_checksum"], model, record["scorer"], *made_by)
            rows.setdefault(row, ({}, {}))[side][record["seed"]] = record
    sets = [row[:2] for row in rows]
    return {row: rows[row] for row in sorted(rows, key=lambda row: sets.index(row[:2]))}


def _table(table: WeightingTable, experiment: WeightingExperiment, compared: _Compared) -> Table:
    oracle = " (oracle)" if experiment.over_epochs or table.figure != "auroc" else ""
    here = (f"here, conventional{oracle}", f"here, adapted{oracle}")
    rows: list[tuple[str, ...]] = []
    for data_set, (likelihood, scorer) in NAKATA_SETS.items():
        model = in_words("vae", {"likelihood": likelihood})
        rows.append((data_set, model, scorer, *table.printed[data_set], *"----"))
    notes: list[str] = []
    for (data, _, model, scorer, *_), sides in compared.rows.items():
        in_the_papers_way = [
            _percent(_as_in_the_paper(record, experiment, table.figure) for record in side.values())
            for side in sides
        ]
        honest = [
            _percent(_kept(record, YOUDEN_VALIDATION, table.figure) for record in side.values())
            for side in sides
        ]
        rows.append((data, model, scorer, "-", "-", *in_the_papers_way, *honest))
        for side, records in zip(("conventional", "adapted"), sides, strict=True):
            remarks = _remarks(records, compared.seeds, adapts=side == "adapted")
            notes += [f"{data}, {model}, {scorer}, {side}: {remark}" for remark in remarks]
    columns = (*COLUMNS, *here, "honest, conventional", "honest, adapted")
    title = f"nakata, {table.title} (%): {compared.circumstances}"
    return Table(title, columns, tuple(rows), tuple(notes))


def _as_in_the_paper(record: _Record, experiment: WeightingExperiment, figure: str) -> float | None:
    """Return a figure of the epoch with the best AUROC on the test pictures, or of the last epoch."""
    if not experiment.over_epochs or record["schedule"] is None:
        return _kept(record, "youden", figure)
    epochs = record.get("observed") or ()
    best: Mapping[str, float] = max(epochs, key=lambda epoch: epoch["auroc"], default={})
    return best.get(figure)


def _kept(record: _Record, rule: str, figure: str) -> float | None:
    """Return a figure of the network that was kept; the rule chose its threshold."""
    figures = record if figure == "auroc" else record["decisions"].get(rule, {})
    found: float | None = figures.get("recall" if figure == "sensitivity" else figure)
    return found


def _percent(values: Iterable[float | None]) -> str:
    """Return mean ± standard deviation in %, with the paper's two decimals."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.2f}" if len(known) > 1 else ""
    return f"{np.mean(known):.2f}{spread}"


def _remarks(records: _BySeed, seeds: set[int], *, adapts: bool) -> Iterator[str]:
    """Say where a cell is not what its table says: seeds miss, weights stayed, a training ended early."""
    if records and set(records) != seeds:
        yield f"seeds {_listed(records)} alone"
    stayed = [seed for seed, record in records.items() if adapts and _stayed(record)]
    if stayed:
        yield f"seeds {_listed(stayed)}: the weights never changed, as in a conventional training"
    yield from filter(None, map(ended_early, records.values()))


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _stayed(record: _Record) -> bool:
    """Return whether every epoch that led to the network had the same weights."""
    epochs = (record.get("history") or {}).get("records", ())
    return len({tuple(sorted(epoch["weights"].items())) for epoch in epochs}) == 1
