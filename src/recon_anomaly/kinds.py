"""How well good test pictures are told apart from each kind of defect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from .cells import Table, with_interval
from .resampling import draw_resamples, percentile_intervals, resampled_ranking

__all__ = ["kinds_table"]

_Record = Mapping[str, Any]


def kinds_table(
    title: str, heads: Sequence[str], rows: Mapping[tuple[str, ...], Sequence[_Record]]
) -> Table | None:
    """Return the AUROC of the good test pictures against each kind of defect.

    Parameters
    ----------
    title : str
        Stands after "AUROC against each kind of defect: ".
    heads : sequence of str
        The names of the first columns; the first as many texts of a row's key stand in them.
    rows : mapping of tuple of str to sequence of mapping
        The records of each row, one a seed, all of one test set. Those without scores or kinds (of
        a file that was written before records kept them) are left out.

    Returns
    -------
    Table or None
        A column for each kind with its number of pictures. Cells are means over the seeds, with the
        mean of the seeds' 95 % bootstrap intervals. None where there are less than two kinds, or no
        good picture.
    """
    told = {
        row: [r for r in records if r.get("kinds") is not None and r["scores"] is not None]
        for row, records in rows.items()
    }
    told = {row: records for row, records in told.items() if records}
    if not told:
        return None
    first = next(iter(told.values()))[0]
    labels, kinds = np.array(first["labels"]), np.array(first["kinds"])
    names = list(dict.fromkeys(kinds[labels == 1].tolist()))
    if len(names) < 2 or labels.all():
        return None
    chosen = {name: np.flatnonzero((labels == 0) | (kinds == name)) for name in names}
    counts = {name: draw_resamples(labels[chosen[name]]) for name in names}
    cells = []
    for row, records in told.items():
        figures = [
            [_figure(np.array(r["scores"]), labels, chosen[name], counts[name]) for r in records]
            for name in names
        ]
        cells.append((*row[: len(heads)], *(with_interval(*zip(*f, strict=True)) for f in figures)))
    columns = (*heads, *(f"{name} ({(kinds[labels == 1] == name).sum()})" for name in names))
    note = f"the {(labels == 0).sum()} good test pictures against those of one kind (how many)"
    return Table(f"AUROC against each kind of defect: {title}", columns, tuple(cells), (note,))


def _figure(
    scores: np.ndarray, labels: np.ndarray, chosen: np.ndarray, counts: np.ndarray
) -> tuple[float, tuple[float, float] | None]:
    """Return the AUROC of the chosen pictures, and its interval."""
    labels, scores = labels[chosen], scores[chosen]
    interval = percentile_intervals(resampled_ranking(labels, scores, counts))["auroc"]
    return float(roc_auc_score(labels, scores)), interval
