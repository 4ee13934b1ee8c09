"""What ``recon-anomaly bench`` does."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable

from recon_anomaly.bench import Cell, iter_bench
from recon_anomaly.report import Table, markdown, tables

from .progress import followed, interrupted_well

__all__ = ["run"]


def run(data: Path | None, *, out: Path | None, as_json: bool, **settings: Any) -> None:
    """Run the grid, then print the tables, or the records with ``--json``."""
    if out is None:
        out = Path(f"bench-{datetime.datetime.now():%Y%m%d-%H%M%S}.jsonl")
    events = iter_bench(data, out=out, **settings)
    drawn = _drawn(events, settings["epochs"])
    with interrupted_well(f"with --out {out} --resume it goes on; done cells are not run again"):
        records = [event for event in drawn if isinstance(event, dict)]
    if as_json:
        print(json.dumps(records, indent=2))
    else:
        show(tables(records))
    print(f"records: {out}", file=sys.stderr)


def show(found: list[Table]) -> None:
    """Print tables: drawn on a terminal, in Markdown elsewhere."""
    console = Console()
    for table in found:
        if not console.is_terminal:
            print(markdown(table), end="\n\n")
            continue
        drawn = RichTable(
            title=table.title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False
        )
        for column in table.columns:
            text = column in ("model", "scorer")
            drawn.add_column(column, justify="left" if text else "right", no_wrap=column == "model")
        for row in table.rows:
            drawn.add_row(*(cell.replace(" [", "\n[") for cell in row))
        console.print(drawn)
    print(
        "brackets: 95 % bootstrap interval over pictures; F1 is at the validation pictures' threshold, "
        "oracle: chosen by the test labels; PR-AUC is by the trapezoidal rule, whose chance level is "
        "(1 + share of anomalous pictures) / 2"
    )


def _drawn(events: Iterator[Any], epochs: int) -> Iterator[Any]:
    """Hand the events on, each training under a bar of its own."""
    for event in events:
        yield event
        if isinstance(event, Cell):
            title = f"[{event.number}/{event.count}] {event.model}, seed {event.seed}"
            print(title, file=sys.stderr)
            yield from followed(_one_training(events), event.model, epochs)


def _one_training(events: Iterator[Any]) -> Iterator[Any]:
    """Give the events up to the cell's first record, which ends the training."""
    for event in events:
        yield event
        if isinstance(event, dict):
            return
