"""Which figures the records of a bench make, and how each is called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .branchlines import branch_losses
from .captions import free_name, group_name, group_title, training_name, training_title
from .cells import in_words
from .curves import curves, precision_recall, styles
from .epochbars import auroc_bars, measured
from .histograms import histograms
from .history import History
from .rows import row_names, rows_of
from .stages import stages_of
from .weightlines import weight_lines, weights_change

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["record_figures"]

_TEST_SET = ("data", "data_checksum", "test_set", "image_size", "drop_leaked")
"""The settings that the rows of one figure have in common, with the scorer."""
_MODEL = ("model", "model_params", "weights", "seed")
_WAY = (
    *("schedule", "schedule_params", "epochs", "batch_size", "learning_rate"),
    *("corruptor", "corruptor_params", "recon_anomaly", "plugins"),
)

_Record = Mapping[str, Any]
_Drawn = Iterator[tuple[str, "Figure"]]


def record_figures(records: Sequence[_Record]) -> _Drawn:
    """Give the figures of records with scores: of the test sets first, then of the trainings.

    Parameters
    ----------
    records : sequence of mapping
        Of a bench; the same row looks alike in all figures.

    Yields
    ------
    str, matplotlib.figure.Figure
        The name has safe characters only; two figures may have the same.

    Raises
    ------
    InputError
        When a record has not one finite score for each label.
    """
    yield from _of_test_sets(records)
    yield from _of_epochs(records)
    yield from _of_trainings(records)


def _of_test_sets(scored: Sequence[_Record]) -> _Drawn:
    """Give the curves and the histograms of each test set and scorer."""
    look = styles(rows_of(scored))
    groups: dict[str, dict[str, list[_Record]]] = {}
    for row, record in zip(row_names(scored), scored, strict=True):
        shared = [record["scorer"], *(record.get(key) for key in _TEST_SET)]
        rows = groups.setdefault(json.dumps(shared, sort_keys=True), {})
        rows.setdefault(row, []).append(record)
    names: set[str] = set()
    for rows in groups.values():
        every = [record for group in rows.values() for record in group]
        title, name = group_title(every), free_name(group_name(every), names)
        if curves(rows):
            yield f"{name}-precision-recall", precision_recall(rows, look, title)
        yield f"{name}-scores", histograms(rows, title)


def _of_epochs(scored: Sequence[_Record]) -> _Drawn:
    """Give the AUROC after every epoch, the schedules of one model, scorer and seed in one figure."""
    with_figures = [record for record in scored if measured(record) is not None]
    groups: dict[str, dict[str, _Record]] = {}
    for row, record in zip(row_names(with_figures), with_figures, strict=True):
        shared = [record.get(key) for key in (*_TEST_SET, *_MODEL, "scorer")]
        groups.setdefault(json.dumps(shared, sort_keys=True), {})[row] = record
    for rows in groups.values():
        every = list(rows.values())
        schedules = {in_words(one["schedule"], one["schedule_params"]): one for one in every}
        panels = schedules if len(schedules) == len(rows) else rows
        about = "AUROC after each epoch, and the weights of the loss terms where they change"
        title = training_title(every[0], about, scorer=True, schedule=False)
        name = training_name(every, scorer=True, schedule=False)
        yield f"{name}-auroc", auroc_bars(panels, title)


def _of_trainings(scored: Sequence[_Record]) -> _Drawn:
    """Give the branches and the weights of each training, once for all scorers where that is so."""
    seen: set[str] = set()
    for record in scored:
        if record.get("history") is None:
            continue
        history = History.from_dict(record["history"])
        # A figure of labelled pictures, and so the training, hangs on the scorer.
        scorer = any(one.figures for one in history.records)
        trained = [record.get(key) for key in (*_TEST_SET, *_MODEL, *_WAY)] + [
            scorer and record["scorer"]
        ]
        if (key := json.dumps(trained, sort_keys=True)) in seen:
            continue
        seen.add(key)
        name = training_name([record], scorer=scorer)
        if len(stages_of(history)) > 1:
            about = f"loss of every branch; {history.epochs_trained} epochs trained in all"
            yield f"{name}-branches", branch_losses(record, _titled(record, about, scorer))
        if weights_change(history) and (history.path or measured(record) is None):
            about = "weights of the loss terms on the way to the network"
            yield f"{name}-weights", weight_lines(record, _titled(record, about, scorer))


def _titled(record: _Record, about: str, scorer: bool) -> str:
    return training_title(record, about, scorer=scorer)
