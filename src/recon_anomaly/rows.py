"""Records become rows: all seeds of one way of training, under a name that no other row has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .cells import in_words
from .trainings import training

__all__ = ["TRIVIAL", "epochs_of", "made_by", "row_names", "rows_of", "ways_of"]

TRIVIAL = ("mean", "brightness", "pca", "nearest")
"""Models that the networks have to beat; they have a closed form and no schedule."""

_Record = Mapping[str, Any]


def row_names(records: Sequence[_Record]) -> list[str]:
    """Return the name of each record's row: the model, and what else tells it apart.

    Parameters
    ----------
    records : sequence of mapping
        All that are shown together, since a name says no more than it has to.

    Returns
    -------
    list of str
        One a record: the model with its parameters; the schedule with its own where the networks
        have several; and what else differs between rows of one name.

    Examples
    --------
    >>> record = {"model": "vae", "model_params": {}, "schedule": "constant", "schedule_params": {}}
    >>> row_names([record | {"epochs": 9}, record | {"epochs": 9, "schedule": "awl-auc"}])
    ['vae, constant', 'vae, awl-auc']
    >>> row_names([record | {"epochs": 9}, record | {"epochs": 20}])
    ['vae, at most 9 epochs', 'vae, at most 20 epochs']
    """
    several = len({way[0] for way in ways_of(records)}) > 1
    names = []
    details: dict[str, list[list[str]]] = {}
    for record in records:
        name, way = in_words(record["model"], record["model_params"]), _way(record)
        if several and way is not None:
            name = f"{name}, {way[0]}"
        names.append(name)
        details.setdefault(name, []).append(_details(record))
    shared = {name: set.intersection(*map(set, of_name)) for name, of_name in details.items()}
    return [
        ", ".join([name, *(one for one in _details(record) if one not in shared[name])])
        for name, record in zip(names, records, strict=True)
    ]


def rows_of(records: Sequence[_Record]) -> dict[str, list[_Record]]:
    """Return the records by the name of their row, in their order."""
    found: dict[str, list[_Record]] = {}
    for name, record in zip(row_names(records), records, strict=True):
        found.setdefault(name, []).append(record)
    return found


def ways_of(records: Iterable[_Record]) -> list[tuple[str, ...]]:
    """Return how the networks were trained, as `training` says it, each way once."""
    return list(dict.fromkeys(way for record in records if (way := _way(record)) is not None))


def epochs_of(records: Sequence[_Record]) -> list[int]:
    """Return how many epochs were asked for, of the networks where there are some; ascending."""
    networks = [record for record in records if record["model"] not in TRIVIAL]
    asked = [(record.get("recipe") or record)["epochs"] for record in networks or records]
    return sorted({epochs for epochs in asked if epochs is not None})


def made_by(record: _Record) -> tuple[str, ...]:
    """Return in words what tells rows apart beside the model, the scorer and how it was trained.

    Parameters
    ----------
    record : mapping
        Of a bench.

    Returns
    -------
    tuple of str
        The beginnings of the checksums of frozen weights, the versions of plugins and of this library; the
        batch size where no gradient was followed, since `training` says nothing then.

    Examples
    --------
    >>> made_by({"model": "pca", "schedule": None, "batch_size": 8, "recon_anomaly": "1.0"})
    ('batch size 8', 'version 1.0')
    """
    batch_size = record.get("batch_size") if training(record) is None else None
    return (
        *([] if batch_size is None else [f"batch size {batch_size}"]),
        *(f"weights {checksum[:8]}" for checksum in (record.get("weights") or {}).values()),
        *(f"{plugin} {version}" for plugin, version in (record.get("plugins") or {}).items()),
        f"version {record.get('recon_anomaly')}",
    )


def _way(record: _Record) -> tuple[str, ...] | None:
    return None if record["model"] in TRIVIAL else training(record)


def _details(record: _Record) -> list[str]:
    """Return what may tell rows of one model and schedule apart."""
    return [*(training(record) or ())[1:], *made_by(record)]
