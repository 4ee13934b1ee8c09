"""At the line: pictures are scored as they come into a folder, each once, and a CSV file remembers which."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .checks import check_number
from .decoding import Decoded, decode
from .errors import InputError, SavedFileError
from .heatmaps import side_by_side
from .logbook import Logbook
from .reading import decoding_threads
from .together import Found, score_together
from .watching import Arrival, FolderWatch, Stamp, stamp_of
from .writing import make_folder, whole_file

if TYPE_CHECKING:
    from .fitted import FittedDetector

__all__ = ["COLUMNS", "Station", "hash_of"]

COLUMNS = (
    "path",
    "score",
    "decision",
    "label",
    "p_value",
    "time",
    "mtime_ns",
    "size",
    "detector",
    "note",
)
"""Those of ``recon-anomaly score``, and what tells when, of which state of a file, and by what."""


class Station:
    """Scores the pictures of a folder as they arrive, each state of a file once, also over restarts.

    ``scores.csv`` in ``out`` is all that is remembered: a row a picture, appended and synced after each
    batch. A row has the label ``good``, ``anomalous`` or ``unreadable``; of the last the note says why, of
    the others what was dropped or converted. A process that is killed has lost at most the rows of one
    batch, whose pictures are scored again.

    Parameters
    ----------
    detector : fitted detector
        It scores in the thread that calls `step`.
    folder : path
        Where pictures arrive, see `FolderWatch`.
    out : path
        A folder for the results; it is made where it does not exist.
    recursive : bool
        Whether folders inside ``folder`` are watched, too.
    interval : float
        Seconds for which a file must not have changed.
    patience : float
        Seconds after which a file that cannot be decoded is recorded as unreadable, if it has not changed.
    maps : bool
        Whether a heat map beside each picture is written to ``maps`` in ``out``.
    name : str
        What the rows say in the column ``detector``, such as a hash of its file.
    clock : callable
        Gives seconds that never run backwards.

    Attributes
    ----------
    remembered : int
        How many rows ``scores.csv`` had before.
    counts : Counter of str
        How many rows were written since, by their label.

    Raises
    ------
    InputError
        When there is no such folder, a parameter is out of range, or heat maps would come into the watched folder.
    SavedFileError
        When ``out`` cannot be written, another process writes it, or it holds another ``scores.csv``.

    Examples
    --------
    ::

        with Station(detector, "camera/", "results/") as station:
            while True:
                for row in station.step():
                    ...
                time.sleep(0.5)
    """

    def __init__(
        self,
        detector: FittedDetector,
        folder: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        recursive: bool = False,
        interval: float = 0.5,
        patience: float = 10.0,
        maps: bool = False,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.detector = detector
        self.name = name
        self.patience = check_number("patience", patience, "seconds, 0 or more", least=0)
        self.watch = FolderWatch(folder, recursive=recursive, interval=interval, clock=clock)
        self.maps = Path(out).absolute() / "maps" if maps else None
        if self.maps is not None and _comes_into(self.maps, self.watch):
            raise InputError(
                f"the heat maps in {self.maps} would be taken for arriving pictures; give an out that is not "
                "inside the watched folder"
            )
        make_folder(Path(out))
        self.book = Logbook(Path(out) / "scores.csv", COLUMNS)
        try:
            self.remembered = self._remember()
        except BaseException:
            self.book.close()
            raise
        self.counts: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(decoding_threads())

    def step(self) -> Iterator[dict[str, Any]]:
        """Look at the folder once, and give the rows of what has arrived when they are on the disk."""
        arrived = self.watch.look()
        # Pictures that are cut may be large, and are scored one by one in any case.
        size = 1 if self.detector.tiling_ is not None else self.detector.recipe_["batch_size"]
        for start in range(0, len(arrived), size):
            yield from self._batch(arrived[start : start + size])

    def close(self) -> None:
        """Close the CSV file; another process may then go on."""
        self._pool.shutdown(cancel_futures=True)
        self.book.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _batch(self, arrived: Sequence[Arrival]) -> list[dict[str, Any]]:
        decoded = list(self._pool.map(self._decode, arrived))
        pictures = [one.pixels for one in decoded if isinstance(one, Decoded)]
        scored = iter(score_together(self.detector, pictures))
        rows: list[dict[str, Any]] = []
        finished: list[Arrival] = []
        for arrival, read in zip(arrived, decoded, strict=True):
            found = next(scored) if isinstance(read, Decoded) else read
            if stamp_of(arrival.path) != arrival.stamp:
                continue  # it changed or went meanwhile: what was read may be neither state
            if isinstance(read, str) and arrival.age < self.patience:
                continue
            if isinstance(found, Found):
                assert isinstance(read, Decoded)
                self._draw(arrival.path, found)
                rows.append(self._row(arrival, found, "; ".join(read.notes)))
            else:
                rows.append(self._row(arrival, None, found))
            finished.append(arrival)
        # As paths, which a file that spreadsheets read begins otherwise where it must.
        self.book.append(row | {"path": Path(row["path"])} for row in rows)
        self.counts.update(row["label"] for row in rows)
        for arrival in finished:
            self.watch.finish(arrival)
        return rows

    def _decode(self, arrival: Arrival) -> Decoded | str:
        height, width, channels = self.detector.image_shape_
        size = None if self.detector.tiling_ is not None else (height, width)
        most = self.detector.max_pixels
        return decode(arrival.path, size, luminance=channels == 1, max_pixels=most)

    def _draw(self, path: Path, found: Found) -> None:
        if self.maps is None:
            return
        target = self.maps / path.relative_to(self.watch.folder)
        make_folder(target.parent)
        image = side_by_side(found.pixels, found.anomaly_map, self.detector.map_scale_)
        with whole_file(target.with_name(target.name + ".png")) as temporary:
            image.save(temporary, format="PNG")

    def _row(self, arrival: Arrival, found: Found | None, note: str) -> dict[str, Any]:
        return {
            "path": str(arrival.path),
            "score": None if found is None else found.score,
            "decision": None if found is None else found.decision,
            "label": "unreadable" if found is None else found.label,
            "p_value": None if found is None else found.p_value,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "mtime_ns": arrival.stamp.mtime_ns,
            "size": arrival.stamp.size,
            "detector": self.name,
            "note": note,
        }

    def _remember(self) -> int:
        """Take what the file has for done, and return how many rows that are."""
        count = 0
        for count, row in enumerate(self.book.rows(), 1):
            try:
                stamp = Stamp(int(row["mtime_ns"]), int(row["size"]))
            except ValueError:
                raise SavedFileError(
                    f"{self.book.path}, row {count}: mtime_ns and size are {row['mtime_ns']!r} and "
                    f"{row['size']!r}, not whole numbers; mend the row, or move that file"
                ) from None
            self.watch.finish(Arrival(Path(row["path"]), stamp, 0.0))
        return count


def hash_of(file: Path) -> str:
    """Return the first 16 hex digits of a file's BLAKE2b hash, to tell detectors apart in the rows."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "blake2b").hexdigest()[:16]


def _comes_into(place: Path, watch: FolderWatch) -> bool:
    """Return whether pictures that are written below a place are seen by the watch."""
    inside = place.resolve().is_relative_to(watch.folder.resolve())
    return inside and (watch.recursive or place.resolve() == watch.folder.resolve())
