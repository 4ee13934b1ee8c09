"""The pictures of ``recon-anomaly bench --plots`` that only a fitted detector can draw."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recon_anomaly.benchdata import BenchData
from recon_anomaly.cells import in_words
from recon_anomaly.events import Begun, Cell, Fitted
from recon_anomaly.plots import draw_comparison, draw_panels
from recon_anomaly.trainings import way_of

__all__ = ["Drawing"]


class Drawing:
    """Listens to the events of benches and draws what each detector made of the set's own pictures.

    The schedules of one model are drawn beside each other, for the first seed; a detector is kept until
    then, and no longer.

    Parameters
    ----------
    folder : Path
        Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: set[tuple[str, str, int]] = set()
        self._names: set[str] = set()
        self._data: BenchData | None = None
        self._seed: int | None = None
        self._in_order = True
        self._number = 0
        self._waiting: list[tuple[int, Fitted]] = []

    def begin(self, first_seed: int, in_order: bool = True) -> None:
        """Expect another bench; its schedules are compared for this seed.

        Where trainings do not come in the grid's order, all detectors of that seed are kept to its end.
        """
        self._seed, self._in_order = first_seed, in_order

    def see(self, event: Any) -> None:
        """Draw what the event makes possible."""
        if isinstance(event, Begun):
            self._data = event.data
        elif isinstance(event, Cell):
            self._number = event.number
            if self._in_order and not all(_alike(event, fitted) for _, fitted in self._waiting):
                self.end()
        elif isinstance(event, Fitted):
            self.drawn.add((event.variant, event.schedule_words, event.seed))
            name = self._name(event, [event.way])
            path = draw_panels(event.detector, event.tests[-1], self.folder, name)
            print(f"plot: {path}", file=sys.stderr)
            if event.schedule is not None and event.seed == self._seed:
                self._waiting.append((self._number, event))

    def end(self) -> None:
        """Draw the schedules that wait beside each other, once for each scorer that has its own training."""
        waiting = sorted(self._waiting, key=lambda numbered: numbered[0])
        self._waiting = []
        variants: dict[str, list[Fitted]] = {}
        for _, event in waiting:
            variants.setdefault(event.variant, []).append(event)
        for alike in variants.values():
            self._compare(alike)

    def undrawn(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return the models of records whose trainings were not seen, so that they have no pictures."""
        return sorted(
            {
                record["model"]
                for record in records
                if record["scores"] and _said_of(record) not in self.drawn
            }
        )

    def _compare(self, alike: list[Fitted]) -> None:
        scorers = dict.fromkeys(event.scorer for event in alike if event.scorer is not None)
        for scorer in scorers or [None]:
            group = [event for event in alike if event.scorer in (None, scorer)]
            if len(group) > 1:
                name = self._name(group[0], [event.way for event in group])
                path = draw_comparison(
                    {event.way: event.detector for event in group},
                    group[0].tests[-1],
                    self.folder,
                    name,
                )
                print(f"plot: {path}", file=sys.stderr)

    def _name(self, event: Fitted, ways: Iterable[str]) -> str:
        """Return a name that no other picture of this run has."""
        assert self._data is not None
        height, width = self._data.image_size
        parts = [self._data.name, event.variant, *ways, f"seed{event.seed}", f"{height}x{width}"]
        name = "-".join(part for part in parts if part)
        found, number = name, 1
        while _key(found) in self._names:
            number += 1
            found = f"{number}-{name}"
        self._names.add(_key(found))
        return found


def _key(name: str) -> str:
    """Return what two names share whose files might be one: a file's name is cut, and of plain letters."""
    return "".join(letter for letter in name if letter.isalnum())[:100].casefold()


def _alike(cell: Cell, fitted: Fitted) -> bool:
    return (cell.variant, cell.seed) == (fitted.variant, fitted.seed)


def _said_of(record: Mapping[str, Any]) -> tuple[str, str, int]:
    schedule = record["schedule"]
    way = "" if schedule is None else way_of(record)
    return in_words(record["model"], record["model_params"]), way, record["seed"]
