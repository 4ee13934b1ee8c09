"""What ``recon-anomaly bench`` does."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from recon_anomaly.bench import DEFAULT_EPOCHS, DEFAULT_MODELS, iter_bench
from recon_anomaly.benchdata import BenchData, from_folder
from recon_anomaly.comparison import HOW_TO_READ as HOW_TO_COMPARE
from recon_anomaly.comparison import paper_tables
from recon_anomaly.errors import InputError, TrainingError
from recon_anomaly.events import Begun, Cell, Failed, Fitted
from recon_anomaly.presets import Preset, find_preset
from recon_anomaly.records import start_records
from recon_anomaly.report import DEFAULT_RULES, HOW_TO_READ, check_rules, tables
from recon_anomaly.spreadsheet import csv_text
from recon_anomaly.writing import check_writable, whole_file

from .pages import page, show
from .progress import followed, interrupted_well

__all__ = ["run"]

_PRESET_SETTINGS = ("models", "scorers", "corruptors", "seeds", "image_size", "epochs")


def run(
    data: Path | None,
    *,
    preset: str | None,
    out: Path | None,
    resume: bool,
    rules: Sequence[str] | None,
    csv: Path | None,
    markdown: Path | None,
    plots: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run the grid, then print the tables, or the records with ``--json``.

    Of ``options``, those of `iter_bench`, the ones that are None were not given: the preset's are
    taken for them, or the defaults.
    """
    recipe = None if preset is None else _preset(preset, data)
    if recipe is not None and options.get("split_by_part"):
        raise typer.BadParameter(f"--preset {recipe.name} says itself which data it splits by part")
    settings = {} if recipe is None else {name: getattr(recipe, name) for name in _PRESET_SETTINGS}
    settings |= {name: option for name, option in options.items() if option is not None}
    models = settings.get("models", DEFAULT_MODELS)
    for model in settings.get("model_params", {}):
        if model not in models:
            raise typer.BadParameter(
                f"--model-param names {model!r}, which is none of the models: {', '.join(models)}"
            )
    shown = _rules(rules, settings.get("threshold"))
    for path in (csv, markdown):
        if path is not None:
            check_writable(path)
    if plots is not None:
        from recon_anomaly.plots import draw_records

        draw_records(
            [], plots
        )  # a missing matplotlib or folder is told now, not after the training
    if out is None:
        out = Path(f"bench-{datetime.datetime.now():%Y%m%d-%H%M%S}.jsonl")
    places: Sequence[Path | BenchData | None] = [data]
    if recipe is not None and data is not None:
        start_records(out, resume)  # reading both data sets takes a while
        places = _read(
            recipe, data, settings.pop("image_size"), settings.pop("skip_unreadable", False)
        )

    notes: list[str] = []
    failures: list[str] = []
    records: list[dict[str, Any]] = []
    drawn: set[tuple[str, int]] = set()
    with interrupted_well(f"with --out {out} --resume it goes on; done cells are not run again"):
        for number, place in enumerate(places):
            events = iter_bench(place, out=out, resume=resume or number > 0, **settings)
            try:
                for event in _drawn(events, settings.get("epochs", DEFAULT_EPOCHS)):
                    if isinstance(event, Begun):
                        begun = event
                        notes += begun.notes
                    elif isinstance(event, Fitted) and plots is not None:
                        drawn.add((event.model, event.seed))
                        _draw_pictures(event, begun.data, plots)
                    elif isinstance(event, dict):
                        records.append(event)
            except (TrainingError, InputError) as error:
                if not records:
                    raise
                failures.append(str(error))  # the tables of the others are worth having

    found = tables(records, rules=shown)
    ways = [HOW_TO_READ]
    if recipe is not None and (compared := paper_tables(records, recipe)):
        found += compared
        ways.append(HOW_TO_COMPARE)
    if csv is not None:
        with whole_file(csv) as temporary:
            temporary.write_text(csv_text(records), "utf-8", "surrogateescape")
    if markdown is not None:
        with whole_file(markdown) as temporary:
            temporary.write_text(page(notes, found, ways), "utf-8", "surrogateescape")
    if plots is not None:
        for path in draw_records(records, plots):
            print(f"plot: {path}", file=sys.stderr)
        if undrawn := {(r["model"], r["seed"]) for r in records if r["scores"]} - drawn:
            names = ", ".join(sorted({model for model, _ in undrawn}))
            print(
                f"no pictures of {names}: they are drawn when a model is trained, not from records",
                file=sys.stderr,
            )
    if as_json:
        print(json.dumps(records, indent=2))
    else:
        show(notes, found, ways)
    print(f"records: {out}", file=sys.stderr)
    if failures:
        raise TrainingError("; ".join(failures))


def _preset(name: str, data: Path | None) -> Preset:
    try:
        preset = find_preset(name)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    if data is None:
        raise typer.BadParameter(
            f"--preset {name} wants --data, the folder that holds its pictures"
        )
    return preset


def _rules(rules: Sequence[str] | None, threshold: float | None) -> list[str]:
    shown = list(DEFAULT_RULES if rules is None else rules)
    try:
        check_rules(shown)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    if threshold is None and "value" in shown:
        raise typer.BadParameter("--rules value wants a --threshold")
    if threshold is not None and "value" not in shown:
        shown.append("value")
    return shown


def _read(
    preset: Preset, folder: Path, image_size: int | tuple[int, int], skip_unreadable: bool
) -> list[BenchData]:
    """Read the data sets of a preset, so that a damaged picture of the last one shows first."""
    found = preset.find_data(folder)
    for protocol in preset.protocols:
        if protocol in found:
            print(f"{found[protocol]}: {protocol.about}", file=sys.stderr)
        else:
            print(
                f"left out, since {folder} holds no folder of layout {protocol.layout}: "
                f"{protocol.about} (wanted: {protocol.wanted})",
                file=sys.stderr,
            )
    read = []
    sets: dict[Path, BenchData] = {}
    for protocol, place in found.items():
        if place not in sets:
            sets[place] = from_folder(place, image_size, skip_unreadable=skip_unreadable)
        try:
            read.append(sets[place].by_part() if protocol.split_by_part else sets[place])
        except InputError as error:  # of the parts; the other protocols can be run
            print(f"left out: {protocol.about} ({error})", file=sys.stderr)
    return read


def _drawn(events: Iterator[Any], epochs: int) -> Iterator[Any]:
    """Hand the events on, each training under a bar of its own."""
    print("reading pictures, looking for test pictures among the training ones", file=sys.stderr)
    for event in events:
        yield event
        if isinstance(event, Begun):
            for note in event.notes:
                print(note, file=sys.stderr)
        if isinstance(event, Cell):
            title = f"[{event.number}/{event.count}] {event.model}, seed {event.seed}"
            print(title, file=sys.stderr)
            yield from followed(_one_training(events), event.model, epochs)


def _one_training(events: Iterator[Any]) -> Iterator[Any]:
    """Give the events of a training up to its end, good or bad."""
    for event in events:
        yield event
        if isinstance(event, Failed):
            print(f"failed: {event.model}, seed {event.seed}: {event.error}", file=sys.stderr)
        if isinstance(event, Fitted | Failed):
            return


def _draw_pictures(fitted: Fitted, data: BenchData, folder: Path) -> None:
    """Draw what the detector made of the set's own pictures, the last of its test sets."""
    from recon_anomaly.plots import draw_panels

    height, width = data.image_size
    name = f"{data.name}-{fitted.model}-seed{fitted.seed}-{height}x{width}"
    path = draw_panels(fitted.detector, fitted.tests[-1], folder, name)
    print(f"plot: {path}", file=sys.stderr)
