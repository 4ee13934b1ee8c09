"""What ``recon-anomaly bench --preset`` runs: the paper's grids, as far as no option beats them, and its data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from recon_anomaly.benchdata import BenchData, from_folder
from recon_anomaly.errors import InputError
from recon_anomaly.labelling import with_labels
from recon_anomaly.presets import Preset, find_preset
from recon_anomaly.registry import build, load
from recon_anomaly.variants import named, variants_of

__all__ = ["announced", "grids_of", "preset_of", "read"]


def preset_of(name: str, data: Path | None, given: Mapping[str, Any]) -> Preset:
    """Return the preset of that name, refusing the options that it has no place for."""
    try:
        preset = find_preset(name)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    if data is None:
        raise typer.BadParameter(
            f"--preset {name} wants --data, the folder that holds its pictures"
        )
    if given.get("split_by_part"):
        raise typer.BadParameter(f"--preset {name} says itself which data it splits by part")
    if given.keys() & {"training_corruptors", "training_corruptor_params"}:
        raise typer.BadParameter(f"--preset {name} trains on clean pictures, as its paper does")
    said = "schedules" in given or "schedule_params" in given
    if said and any("schedules" in grid for grid in preset.grids()):
        raise typer.BadParameter(f"--preset {name} says itself which schedules it trains by")
    return preset


def grids_of(preset: Preset, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the preset's grids with the options that were given in place of its own settings.

    A grid keeps those of the models named that it has; a model that no grid has joins those that say
    their schedules, or the only grid. A grid without a model is left out. A model's parameter that is given
    takes the place of the preset's, the others stay.
    """
    grids = preset.grids(given.get("epochs"))
    options = {
        name: value
        for name, value in given.items()
        if name not in ("epochs", "models", "model_params", "model_grid")
    }
    known = {model for grid in grids for model in grid["models"]}
    found = []
    for grid in grids:
        takes_new = len(grids) == 1 or "schedules" in grid
        models = [
            model
            for model in given.get("models", grid["models"])
            if model in grid["models"] or (takes_new and model not in known)
        ]
        if models:
            found.append(grid | options | _params(grid, given, models) | {"models": models})
    return found


def announced(preset: Preset, grids: Sequence[Mapping[str, Any]], sets: int) -> str:
    """Return a line that says how much the grids train, if nothing of it is in the records yet.

    Parameters
    ----------
    preset : Preset
        Whose they are.
    grids : sequence of mapping
        From `grids_of`.
    sets : int
        On how many data sets they are run.
    """
    networks = closed = 0
    for grid in grids:
        labels = [
            bool(getattr(build("schedule", name, params)[0], "needs", ()))
            for name, params in named(grid.get("schedules", ("constant",)))
        ]
        # A schedule that reads figures of labelled pictures trains anew for each scorer.
        ways = sum(len(grid["scorers"]) if needs else 1 for needs in labels)
        for model in grid["models"]:
            variants = len(variants_of(model, grid["model_params"], grid["model_grid"]))
            runs = sets * variants * len(grid["seeds"])
            if hasattr(load("model", model), "fit_batches"):
                closed += runs
            else:
                networks += runs * ways
    return (
        f"preset {preset.name}, data sets: {sets}, trainings of networks: {networks}, "
        f"models in closed form: {closed}"
    )


def read(
    preset: Preset,
    folder: Path,
    image_size: int | tuple[int, int],
    *,
    labelled: bool,
    skip_unreadable: bool,
    memory_budget: int | None = None,
) -> list[BenchData]:
    """Read the data sets of a preset, so that a damaged picture of the last one shows first."""
    found = preset.find_data(folder)
    for protocol in preset.protocols:
        for place in found.get(protocol, ()):
            print(f"{place}: {protocol.about}", file=sys.stderr)
        if protocol not in found:
            print(
                f"left out, since {folder} holds no folder of layout {protocol.layout}: "
                f"{protocol.about} (wanted: {protocol.wanted})",
                file=sys.stderr,
            )
    usable: list[BenchData] = []
    refused: list[str] = []
    sets: dict[Path, BenchData] = {}
    for protocol, places in found.items():
        for place in places:
            if place not in sets:
                sets[place] = from_folder(
                    place,
                    image_size,
                    skip_unreadable=skip_unreadable,
                    memory_budget=memory_budget,
                )
            try:
                data = sets[place]
                if protocol.split_by_part:
                    data = data.by_part(memory_budget=memory_budget)
                usable.append(with_labels(data) if labelled else data)
            except InputError as error:  # of parts or labels; the other data sets can be run
                refused.append(str(error))
                print(f"left out: {place}, {protocol.about} ({error})", file=sys.stderr)
    if not usable:
        raise InputError("; ".join(refused))
    return usable


def _params(
    grid: Mapping[str, Any], given: Mapping[str, Any], models: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the models' parameters and grids of them; what is given beats the preset's of that name."""
    params: Mapping[str, Mapping[str, Any]] = given.get("model_params", {})
    grids: Mapping[str, Mapping[str, Any]] = given.get("model_grid", {})
    merged: dict[str, dict[str, Any]] = {"model_params": {}, "model_grid": {}}
    for model in models:
        said = {*params.get(model, {}), *grids.get(model, {})}
        for what, own in {"model_params": params, "model_grid": grids}.items():
            preset = grid.get(what, {}).get(model, {})
            kept = {name: value for name, value in preset.items() if name not in said}
            if kept or own.get(model):
                merged[what][model] = kept | dict(own.get(model, {}))
    return merged
