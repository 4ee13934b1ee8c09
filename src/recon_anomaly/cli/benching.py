"""What ``recon-anomaly bench`` does."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from recon_anomaly.bench import DEFAULT_MODELS, iter_bench
from recon_anomaly.benchdata import BenchData
from recon_anomaly.errors import InputError, TrainingError
from recon_anomaly.events import Begun, Cell, Failed, Fitted
from recon_anomaly.jobs import pool
from recon_anomaly.records import start_records
from recon_anomaly.report import DEFAULT_RULES, HOW_TO_READ, check_rules, tables
from recon_anomaly.spreadsheet import csv_text
from recon_anomaly.writing import check_outputs, whole_file

from .interrupts import interrupted_well
from .pages import page, show
from .presetting import announced, grids_of, preset_of, read
from .progress import followed
from .runfiles import write_beside

__all__ = ["run"]


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
    """Run the grids, then print the tables, or the records with ``--json``.

    Of ``options``, those of `iter_bench`, the ones that are None were not given: the preset's are
    taken for them, or the defaults. ``schedules`` are names, whose parameters are in ``schedule_params``, and so are
    ``training_corruptors``.
    """
    given = {name: option for name, option in options.items() if option is not None}
    recipe = None if preset is None else preset_of(preset, data, given)
    given = _with_params(given, "schedule", "constant")
    given = _with_params(given, "training_corruptor", "none")
    grids = [given] if recipe is None else grids_of(recipe, given)
    models = {model for grid in grids for model in grid.get("models", DEFAULT_MODELS)}
    for what in ("model_params", "model_grid"):
        if strangers := [model for model in given.get(what, ()) if model not in models]:
            raise typer.BadParameter(
                f"--{what.replace('_', '-').removesuffix('s')} names {strangers[0]!r}, which is none of "
                f"the models: {', '.join(given.get('models', DEFAULT_MODELS))}"
            )
    shown = _rules(rules, given.get("threshold"))
    check_outputs([out, csv, markdown])
    drawing = None
    if plots is not None:
        from recon_anomaly.plots import draw_records

        from .drawing import Drawing

        # A missing matplotlib or folder is told now, not after the training.
        draw_records([], plots)
        drawing = Drawing(plots)
    if out is None:
        out = Path(f"bench-{datetime.datetime.now():%Y%m%d-%H%M%S}.jsonl")
    places: Sequence[Path | BenchData | None] = [data]
    if recipe is not None and data is not None:
        start_records(out, resume)  # reading the data sets takes a while
        with pool(given.get("jobs"), given.get("dask")):
            pass
        places = read(
            recipe,
            data,
            grids[0]["image_size"],
            labelled=any(grid.get("labelled_validation") for grid in grids),
            skip_unreadable=given.get("skip_unreadable", False),
            memory_budget=given.get("memory_budget"),
        )
        print(announced(recipe, grids, len(places)), file=sys.stderr)

    notes: list[str] = []
    failures: list[str] = []
    records: list[dict[str, Any]] = []
    together = given.get("jobs") is not None or given.get("dask") is not None
    with interrupted_well(f"with --out {out} --resume it goes on; done cells are not run again"):
        for number, (place, grid) in enumerate((p, grid) for p in places for grid in grids):
            if grid is grids[0]:
                print(
                    "reading pictures, looking for test pictures among the training ones",
                    file=sys.stderr,
                )
            events = iter_bench(place, out=out, resume=resume or number > 0, **grid)
            if drawing is not None:
                drawing.begin(grid.get("seeds", (42,))[0], in_order=not together)
            keys: tuple[str, ...] = ()
            came: dict[str, dict[str, Any]] = {}
            try:
                for event in _told(events) if together else _drawn(events):
                    if isinstance(event, Begun):
                        if number == 0:
                            write_beside(out)
                        keys = event.keys
                        # The grids of a preset find the same in their data.
                        fresh = [note for note in event.notes if note not in notes]
                        notes += fresh
                        for note in fresh:
                            print(note, file=sys.stderr)
                    elif isinstance(event, dict):
                        came[event["key"]] = event
                    if drawing is not None:
                        drawing.see(event)
            except (TrainingError, InputError) as error:
                if not records and not came:
                    raise
                failures.append(str(error))  # the tables of the others are worth having
            records += [came[key] for key in keys if key in came]
            if drawing is not None:
                drawing.end()
    records = list({record["key"]: record for record in records}.values())  # grids share rows

    found = tables(records, rules=shown)
    ways = [HOW_TO_READ]
    if recipe is not None and (compared := recipe.tables_of(records)):
        found += compared
        ways.append(recipe.how_to_read)
    if csv is not None:
        with whole_file(csv) as temporary:
            temporary.write_text(csv_text(records), "utf-8", "surrogateescape")
    if markdown is not None:
        with whole_file(markdown) as temporary:
            temporary.write_text(page(notes, found, ways), "utf-8", "surrogateescape")
    if drawing is not None and plots is not None:
        for path in draw_records(records, plots):
            print(f"plot: {path}", file=sys.stderr)
        if undrawn := drawing.undrawn(records):
            print(
                f"no pictures of {', '.join(undrawn)}: they are drawn when a model is trained, not from "
                "records",
                file=sys.stderr,
            )
    if as_json:
        print(json.dumps(records, indent=2))
    else:
        show(notes, found, ways)
    print(f"records: {out}", file=sys.stderr)
    if failures:
        raise TrainingError("; ".join(failures))


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


def _with_params(given: Mapping[str, Any], what: str, default: str) -> dict[str, Any]:
    """Return the options with schedules, say, as `iter_bench` takes them, where anything was said of them."""
    options = dict(given)
    params = options.pop(f"{what}_params", {})
    names = options.get(f"{what}s", [default])
    for name in params:
        if name not in names:
            said = what.replace("_", "-")
            raise typer.BadParameter(
                f"--{said}-param names {name!r}, which is none of the {said}s: {', '.join(names)}"
            )
    if params or f"{what}s" in options:
        options[f"{what}s"] = [(name, params.get(name, {})) for name in names]
    return options


def _drawn(events: Iterator[Any]) -> Iterator[Any]:
    """Hand the events on, each training under a bar of its own."""
    for event in events:
        yield event
        if isinstance(event, Cell):
            print(f"[{event.number}/{event.count}] {event.title}", file=sys.stderr)
            yield from followed(_one_training(events), event.model, event.epochs or 0)


def _told(events: Iterator[Any]) -> Iterator[Any]:
    """Hand on the events of trainings that run side by side, with a line for each that has ended."""
    for event in events:
        yield event
        if isinstance(event, Cell):
            cell = event
        elif isinstance(event, Fitted):
            print(f"[{cell.number}/{cell.count}] done: {cell.title}", file=sys.stderr)
        elif isinstance(event, Failed):
            print(f"failed: {event.title}: {event.error}", file=sys.stderr)


def _one_training(events: Iterator[Any]) -> Iterator[Any]:
    """Give the events of a training up to its end, good or bad."""
    for event in events:
        yield event
        if isinstance(event, Failed):
            print(f"failed: {event.title}: {event.error}", file=sys.stderr)
        if isinstance(event, Fitted | Failed):
            return
