"""The contenders of `detection.py`: what the command line asks for, checked before any of it is run."""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recon_anomaly.cells import in_words
from recon_anomaly.registry import find

STANDARDISED, AUTO = "standardised-distance", "auto"
ROWS = ("mean", "brightness", "pca", "nearest", STANDARDISED, "cae", "cvae")
"""Of this library by default: what is trivial, and the networks of its first paper."""

OURS = "detect_library.py"
SCRIPTS = {
    "anomalib": "detect_anomalib.py",
    "pyod": "detect_pyod.py",
    "pyimgano": "detect_pyimgano.py",
}
"""By environment, which is what the names of its rows begin with."""

EPOCHS = {
    "anomalib-padim": None,
    "anomalib-patchcore": None,
    "anomalib-fre": 220,
    "anomalib-ganomaly": 100,
    "pyod-autoencoder": 10,
    "pyod-vae": 30,
    "pyimgano-ae": 10,
    "pyimgano-vae": 10,
}
"""The rows of other libraries, and for how many epochs their docs or defaults train."""

WITH_BACKBONE = ("anomalib-padim", "anomalib-patchcore", "anomalib-fre")

PACKAGES = {
    "": ("recon-anomaly", "torch"),
    "anomalib": ("anomalib", "timm", "torch"),
    "pyod": ("pyod", "torch"),
    "pyimgano": ("pyimgano", "torch"),
}
"""Whose versions decide a record, by environment."""


@dataclass(frozen=True)
class Row:
    """One contender: a name with its parameters, and where it runs.

    Attributes
    ----------
    name, params : str, and mapping
        As they were asked for.
    environment, python, script : str
        Empty for this library; the interpreter; the script below ``peers``.
    epochs : int or None
        For how many a peer is trained.
    backbone, weights : str or None
        Of those that have one; without a file the weights are random.
    """

    name: str
    params: Mapping[str, Any]
    environment: str = ""
    python: str = sys.executable
    script: str = OURS
    epochs: int | None = None
    backbone: str | None = None
    weights: str | None = None

    def label(self) -> str:
        """Return what stands in the tables."""
        epochs = {} if self.epochs is None else {"epochs": self.epochs}
        label = in_words(self.name, {**self.params, **epochs})
        if self.backbone is None:
            return label
        weights = Path(self.weights).name if self.weights else "random weights"
        return f"{label}, {self.backbone}, {weights}"

    def settings(self, versions: Mapping[str, str]) -> dict[str, Any]:
        """Return what of the row decides a record."""
        return {
            "row": self.name,
            "params": dict(self.params),
            "epochs": self.epochs,
            "backbone": self.backbone,
            "weights": None if self.weights is None else _digest(self.weights),
            "versions": dict(versions),
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add to the command line what `rows_of` reads."""
    add = parser.add_argument
    add("--rows", nargs="*", default=ROWS, help="of this library")
    add("--peers", nargs="*", help="of the others; by default all whose interpreter is named")
    for name in SCRIPTS:
        add(f"--{name}-python", help=f"of an environment with {name}")
    add("--backbone", nargs="+", default=["resnet18"], help="of anomalib's models")
    add("--weights", nargs="+", default=[], metavar="NAME=FILE", help="by default random ones")
    add("--peer-epochs", type=int, help="of the others, where they train any")


def rows_of(options: argparse.Namespace) -> list[Row]:
    """Return all contenders, those of this library first."""
    weights = dict(given.partition("=")[::2] for given in options.weights)
    if wrong := sorted(set(weights) - set(options.backbone)):
        raise SystemExit(f"--weights wants NAME=FILE of a --backbone; got {', '.join(wrong)}")
    if wrong := [file for file in weights.values() if not Path(file).is_file()]:
        raise SystemExit(f"--weights names files that are not there: {', '.join(wrong)}")
    rows = []
    for name, params in map(parsed, options.rows):
        if name not in (STANDARDISED, AUTO):
            find("model", name)
        rows.append(Row(name, params))
    pythons = {name: getattr(options, f"{name}_python") for name in SCRIPTS}
    offered = [name for name in EPOCHS if pythons[name.partition("-")[0]]]
    for name, params in map(parsed, offered if options.peers is None else options.peers):
        if name not in EPOCHS:
            raise SystemExit(f"--peers: {name} is unknown; known are {', '.join(EPOCHS)}")
        environment = name.partition("-")[0]
        if not pythons[environment]:
            raise SystemExit(f"{name} needs --{environment}-python")
        epochs = EPOCHS[name] and params.pop("epochs", options.peer_epochs or EPOCHS[name])
        for backbone in options.backbone if name in WITH_BACKBONE else [None]:
            row = Row(
                name,
                params,
                environment=environment,
                python=pythons[environment],
                script=SCRIPTS[environment],
                epochs=epochs,
                backbone=backbone,
                weights=weights.get(backbone),
            )
            rows.append(row)
    return rows


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the parameters of a row, as in ``'pca:{"n_components": 16}'``."""
    name, brace, rest = text.partition(":{")
    try:
        return name, json.loads("{" + rest) if brace else {}
    except ValueError as error:
        raise SystemExit(f"the parameters of {text!r} are no JSON: {error}") from error


def versions_of(rows: list[Row]) -> dict[str, dict[str, str]]:
    """Return the versions of what the rows run with, by their environments."""
    return {name: _versions(row) for name, row in {row.environment: row for row in rows}.items()}


def last_line(text: str) -> str:
    """Return the last line that says something, in which Python has the error."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _versions(row: Row) -> dict[str, str]:
    names = PACKAGES[row.environment]
    if not row.environment:
        return {name: version(name) for name in names}
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    done = subprocess.run([row.python, "-c", code, *names], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{row.python} has no {row.environment}: {last_line(done.stderr)}")
    return dict(zip(names, done.stdout.split(), strict=True))


@functools.cache
def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
