"""The records of a bench while it runs: those of an earlier day, those that are new, and their file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .claims import sole_use
from .decisions import decide
from .records import start_records
from .settings import key_of
from .writing import check_writable, whole_file

__all__ = ["Ledger", "written_alone"]


class Ledger:
    """Keeps records by their keys, and writes the file anew after each.

    Parameters
    ----------
    out : path, optional
        A JSON-lines file.
    resume : bool
        Go on with the records that it has.
    threshold : float, optional
        Adds the decisions of this fixed threshold to every record with scores that is given.

    Raises
    ------
    SavedFileError
        When ``out`` exists and ``resume`` is not given, or cannot be written.
    """

    def __init__(
        self, out: str | os.PathLike[str] | None, resume: bool, threshold: float | None = None
    ) -> None:
        self.out = out
        self.threshold = threshold
        self.leakage: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._records = start_records(out, resume)
        self._done = {record["key"]: record for record in self._records}

    def plan(self, keys: Sequence[str]) -> None:
        """Say which records this bench makes: in the file they stand in this order, after any others.

        Records may be kept in any order, as several processes bring them.
        """
        self._places = {key: place for place, key in enumerate(keys)}

    def note_leakage(self, checksum: str, leakage: dict[str, int]) -> None:
        """Put what is known of the data now beside its figures, also those of an earlier day."""
        self.leakage = leakage
        for record in self._records:
            if record["data_checksum"] == checksum:
                record["leakage"] = leakage

    def knows(self, settings: Mapping[str, Any]) -> bool:
        """Return whether there was a record of these settings before this bench."""
        return key_of(settings) in self._done

    def known(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return that record."""
        return self._decided(self._done[key_of(settings)])

    def keep(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Add a new record, write the file, and return what it became."""
        kept = self._decided({**record, "leakage": self.leakage})
        self._records.append(kept)
        if self.out is not None:
            ordered = sorted(self._records, key=lambda line: self._places.get(line["key"], -1))
            with whole_file(self.out) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in ordered))
        return kept

    def _decided(self, record: dict[str, Any]) -> dict[str, Any]:
        if self.threshold is None or record["scores"] is None:
            return record
        fixed = decide(record, "value", threshold=self.threshold)
        return record | {"decisions": record["decisions"] | {"value": fixed}}


@contextmanager
def written_alone(out: str | os.PathLike[str] | None) -> Iterator[None]:
    """Keep other processes from writing the same file of records while the block runs.

    Each would write the file anew without what the others have made.

    Parameters
    ----------
    out : path, optional
        The file; None for no file.

    Raises
    ------
    SavedFileError
        When a process on this machine writes it already, or it cannot be written.
    """
    if out is None:
        yield
        return
    path = check_writable(out)
    with sole_use(path.with_name(f".{path.name}.lock"), str(path)):
        yield
