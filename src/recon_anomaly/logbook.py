"""A CSV file that is only ever appended to, and that outlives whoever writes it.

Whole lines are appended and synced. Of a line that a crash has torn nothing is taken for a record: it is
cut off when the file is opened again.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from .claims import locked
from .csvlines import csv_lines
from .errors import SavedFileError
from .writing import sync

__all__ = ["Logbook"]

_LONGEST = 65_536
"""Bytes of a torn line; what is longer is no line that was being appended, and is not cut off."""


class Logbook:
    """Appends rows to a CSV file, each once, and gives those of earlier days.

    Parameters
    ----------
    path : path
        The file. One that does not exist is made, with a header line.
    columns : sequence of str
        Its columns.

    Attributes
    ----------
    path : Path
        The file.
    torn : int
        How many bytes of a torn last line were cut off when it was opened.

    Raises
    ------
    SavedFileError
        When it cannot be opened, has other columns, a line in it is no row, or somebody else is writing it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores.csv"
    ...     with Logbook(path, ["path", "score"]) as book:
    ...         book.append([{"path": "a.png", "score": 0.5}])
    ...     with path.open("a") as file:
    ...         _ = file.write("b.png,0.")
    ...     with Logbook(path, ["path", "score"]) as book:
    ...         list(book.rows()), book.torn
    ([{'path': 'a.png', 'score': '0.5'}], 8)
    """

    def __init__(self, path: str | os.PathLike[str], columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        try:
            # Unbuffered: what was not written when an error comes must not be written later.
            self._file: IO[bytes] = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise self._failed("open", error) from error
        try:
            if not locked(self._file.fileno(), wait=False):
                raise SavedFileError(
                    f"{self.path} is being written by another process; end that one, or name another place"
                )
            self.torn = self._cut()
            if self._file.seek(0, os.SEEK_END) == 0:
                self._write(",".join(self.columns) + "\n")
                if os.name == "posix":  # the name is durable only when the folder is synced
                    sync(self.path.parent)
        except OSError as error:
            self._file.close()
            raise self._failed("read or write", error) from error
        except BaseException:
            self._file.close()
            raise

    def rows(self) -> Iterator[dict[str, str]]:
        """Give the rows that the file has, from the first one on; all values are text.

        Raises
        ------
        SavedFileError
            When the header has other columns, or a line is no row.
        """
        with self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            lines = csv.reader(text)
            if (header := tuple(next(lines, ()))) != self.columns:
                raise SavedFileError(
                    f"{self.path} has the columns {', '.join(header)[:200]}, not {', '.join(self.columns)}; "
                    "name another place, or move that file"
                )
            for values in lines:
                if len(values) != len(self.columns):
                    raise SavedFileError(
                        f"{self.path}, line {lines.line_num}: {len(values)} values, not {len(self.columns)}; "
                        "mend the line, or move that file"
                    )
                yield dict(zip(self.columns, values, strict=True))

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, all in one write, and return when the disk has them.

        Raises
        ------
        SavedFileError
            When the disk is full or failed, or the file was removed or replaced in the meantime. Nothing of the rows is
            left then, so that later ones can be appended.
        """
        text = "".join(self._line(row) for row in rows)
        if not text:
            return
        try:
            if not os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                raise SavedFileError(
                    f"{self.path} was replaced while it was being written; start anew to go on with the other one"
                )
            length = os.fstat(self._file.fileno()).st_size
            try:
                self._write(text)
            except OSError:
                self._file.truncate(length)
                raise
        except OSError as error:
            raise self._failed("write", error) from error

    def close(self) -> None:
        """Close the file; somebody else may then write it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _line(self, row: Mapping[str, Any]) -> str:
        _, line = csv_lines(self.columns, [row])
        return line

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        while data:  # a disk that is nearly full may take a part
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())

    def _cut(self) -> int:
        """Cut off what stands behind the last whole record, and return how many bytes that was."""
        self._file.seek(0)
        end = whole = quotes = 0
        with self.path.open("rb") as lines:
            for line in lines:
                end += len(line)
                quotes += line.count(b'"')
                # A name may hold a line feed: a record ends where all quotes are closed.
                if line.endswith(b"\n") and quotes % 2 == 0:
                    whole = end
        if end - whole > _LONGEST:
            raise SavedFileError(
                f"{self.path} is damaged: a quotation mark stands open somewhere; mend it, or move that file"
            )
        if whole < end:
            self._file.truncate(whole)
            os.fsync(self._file.fileno())
        return end - whole

    def _failed(self, verb: str, error: OSError) -> SavedFileError:
        return SavedFileError(f"cannot {verb} {self.path}: {error.strerror or error}")
