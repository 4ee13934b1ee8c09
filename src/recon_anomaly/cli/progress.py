"""Progress on stderr: a bar with losses and time left on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from recon_anomaly.auto import Tried
from recon_anomaly.history import EpochRecord
from recon_anomaly.training import Tick

__all__ = ["counted", "followed"]


@contextmanager
def counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many of ``total`` are done, and draws it on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)

        def done(count: int) -> None:
            progress.update(task, completed=count)

        yield done


def followed(events: Iterable[Any], title: str, epochs: int) -> Iterator[Any]:
    """Draw the ticks and epochs of a training while handing every event on."""
    console = Console(stderr=True)
    if not console.is_terminal:
        for event in events:
            if isinstance(event, EpochRecord):
                console.print(event.line(epochs), highlight=False, soft_wrap=True)
            elif isinstance(event, Tried):
                console.print(event.line(), highlight=False, soft_wrap=True)
            yield event
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, losses="")
        for event in events:
            if isinstance(event, Tick) and not event.epoch:
                progress.update(
                    task,
                    total=event.batches,
                    completed=event.batch,
                    description=f"{title} frozen part",
                )
            elif isinstance(event, Tick):
                progress.update(
                    task,
                    total=event.epochs * event.batches,
                    completed=(event.epoch - 1) * event.batches + event.batch,
                    description=f"{title} epoch {event.epoch}/{event.epochs} {event.branch}".rstrip(),
                )
            elif isinstance(event, EpochRecord):
                losses = "  ".join(f"{name} {loss:.4g}" for name, loss in event.validation.items())
                progress.update(task, losses=losses)
            elif isinstance(event, Tried):
                progress.console.print(event.line(), highlight=False, soft_wrap=True)
            yield event
        progress.update(task, total=1, completed=1)
