"""What decides a record: its settings, and the hash of them that is its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from .benchdata import DEFECTS, BenchData
from .decisions import EVERYTHING_DEFECTIVE
from .grid import Row
from .registry import find

__all__ = ["Settings", "key_of"]


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the hash of what decides a record."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Settings:
    """What all records of a bench have in common, and what each has of its own.

    Attributes
    ----------
    data : BenchData
        What is trained and tested on, after leaked pictures were dropped.
    drop_leaked, every_epoch : bool
        As in `iter_bench`.
    checksum : str
        That of ``data``.
    """

    data: BenchData
    drop_leaked: bool
    every_epoch: bool
    checksum: str

    def of(self, row: Row, seed: int | None, scorer: str | None, test: str) -> dict[str, Any]:
        """Return the settings of one record.

        Parameters
        ----------
        row : Row
            What was trained, and how.
        seed : int or None
            None where nothing was.
        scorer : str or None
            None where nothing was scored.
        test : str
            Name of the test set.
        """
        used = [("model", row.model), ("scorer", scorer), ("corruptor", test)]
        used.append(("corruptor", row.corruptor))
        used += [("schedule", name) for name in (row.schedule, *row.parts)]
        return {
            "data": self.data.name,
            "layout": self.data.layout,
            "data_checksum": self.checksum,
            "drop_leaked": self.drop_leaked,
            "image_size": list(self.data.image_size),
            "epochs": row.epochs,
            "batch_size": row.batch_size,
            "learning_rate": row.learning_rate,
            "precision": row.precision,
            "schedule": row.schedule,
            "schedule_params": dict(row.schedule_params),
            # Only these records have the figures of every epoch.
            "every_epoch": self.every_epoch and row.schedule is not None and test == DEFECTS,
            "recon_anomaly": version("recon-anomaly"),
            **_plugin_versions(used),
            "model": row.model,
            "model_params": dict(row.model_params),
            **({"weights": dict(row.weights)} if row.weights else {}),
            **_denoising(row),
            "seed": seed,
            "scorer": scorer,
            "test_set": test,
            **self._masks(test),
        }

    def _masks(self, test: str) -> dict[str, str]:
        """Return the checksum of the masks, where there are some: else the key stays what it was."""
        masks = self.data.test.masks
        return {} if masks is None or test != DEFECTS else {"masks": masks.checksum}


def _denoising(row: Row) -> dict[str, Any]:
    """Return what spoils the training pictures, where something does: else the key stays what it was."""
    if row.corruptor is None:
        return {}
    return {"corruptor": row.corruptor, "corruptor_params": dict(row.corruptor_params)}


def _plugin_versions(used: Iterable[tuple[str, str | None]]) -> dict[str, Any]:
    """Return the versions of third parties' parts, which decide a record as the settings do."""
    versions = {}
    for kind, name in used:
        if name not in (None, EVERYTHING_DEFECTIVE, DEFECTS):
            offer = find(kind, str(name))
            if offer.plugin != "builtin":
                versions[offer.distribution] = offer.version
    return {"plugins": versions} if versions else {}
