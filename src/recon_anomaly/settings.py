"""What decides a record: its settings, and the hash of them that is its key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from .backbones import weights_checksums
from .benchdata import DEFECTS, BenchData
from .decisions import EVERYTHING_DEFECTIVE
from .devices import choose_device
from .errors import InputError
from .protocols import ImageShape
from .randomness import seeded
from .registry import build_network, find, load

__all__ = ["Settings", "build_once", "check_grid", "key_of"]


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the hash of what decides a record."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def check_grid(
    models: Sequence[str],
    model_params: Mapping[str, Mapping[str, Any]],
    scorers: Sequence[str],
    corruptors: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
) -> None:
    """Refuse unknown names, empty and repeated ones, wrong numbers, and parameters of no model there.

    Raises
    ------
    InputError, PluginError
        The message says which.
    """
    for what, names in {"models": models, "scorers": scorers, "seeds": seeds}.items():
        if not names or len(set(names)) < len(names):
            raise InputError(f"{what}={list(names)}: at least one is wanted, and each once")
    if min(seeds) < 0 or epochs < 1:
        raise InputError(
            f"seeds={list(seeds)}, epochs={epochs}: seeds of at least 0 and one epoch are wanted"
        )
    if len(set(corruptors)) < len(corruptors):
        raise InputError(f"corruptors={list(corruptors)}: each is wanted once")
    for kind, names in {"model": models, "scorer": scorers, "corruptor": corruptors}.items():
        for name in names:
            find(kind, name)
    for model in model_params:
        if model not in models:
            raise InputError(
                f"model_params has {model!r}, which is none of the models: {', '.join(models)}"
            )
        try:
            _plain(model_params[model])
        except TypeError as error:
            raise InputError(
                f"model_params of {model!r} cannot stand in a record ({error}); give numbers, texts, "
                "lists and dictionaries alone"
            ) from error


def build_once(
    models: Sequence[str], model_params: Mapping[str, Mapping[str, Any]], shape: ImageShape
) -> dict[str, dict[str, str]]:
    """Build every network and throw it away, so that what is wrong shows before hours of training.

    Parameters
    ----------
    models : sequence of str
        Registered names.
    model_params : mapping
        Parameters by model name.
    shape : tuple of int
        Height, width and channels of the pictures.

    Returns
    -------
    dict
        The checksums of the frozen pretrained weights of each model that has such.

    Raises
    ------
    InputError, PluginError
        When a parameter is wrong, weights are missing or a plugin cannot be imported.
    """
    checksums = {}
    for model in models:
        with seeded(choose_device("cpu"), 0):
            network = build_network(load("model", model), shape, model_params.get(model, {}))
        if found := weights_checksums(network):
            checksums[model] = found
    return checksums


@dataclass(frozen=True)
class Settings:
    """What all records of a bench have in common, and what each has of its own.

    Attributes
    ----------
    data : BenchData
        What is trained and tested on, after leaked pictures were dropped.
    epochs, schedule, schedule_params, drop_leaked
        As in `iter_bench`.
    model_params : mapping
        Parameters by model name.
    weights : mapping
        Checksums of pretrained weights by model name, from `build_once`.
    checksum : str
        That of ``data``.
    """

    data: BenchData
    epochs: int
    schedule: str
    schedule_params: Mapping[str, Any]
    drop_leaked: bool
    model_params: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, Mapping[str, str]]
    checksum: str

    def of(self, model: str, seed: int | None, scorer: str | None, test: str) -> dict[str, Any]:
        """Return the settings of one record."""
        used = {"model": model, "scorer": scorer, "corruptor": test, "schedule": self.schedule}
        weights = self.weights.get(model)
        return {
            "data": self.data.name,
            "layout": self.data.layout,
            "data_checksum": self.checksum,
            "drop_leaked": self.drop_leaked,
            "image_size": list(self.data.image_size),
            "epochs": self.epochs,
            "schedule": self.schedule,
            "schedule_params": _plain(self.schedule_params),
            "recon_anomaly": version("recon-anomaly"),
            **_plugin_versions(used),
            "model": model,
            "model_params": _plain(self.model_params.get(model, {})),
            **({"weights": weights} if weights else {}),
            "seed": seed,
            "scorer": scorer,
            "test_set": test,
        }


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a file of records gives them back, so that both are shown alike."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(params), default=os.fspath))
    return plain


def _plugin_versions(used: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the versions of third parties' parts, which decide a record as the settings do."""
    versions = {}
    for kind, name in used.items():
        if name not in (None, EVERYTHING_DEFECTIVE, DEFECTS):
            offer = find(kind, str(name))
            if offer.plugin != "builtin":
                versions[offer.distribution] = offer.version
    return {"plugins": versions} if versions else {}
