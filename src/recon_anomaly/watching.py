"""A folder that is looked at again and again: which pictures in it are new, and no longer being written."""

from __future__ import annotations

import os
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .checks import check_number
from .errors import InputError, PictureWarning
from .pictures import EXTENSIONS

__all__ = ["Arrival", "FolderWatch", "Stamp", "stamp_of"]

_DAY = 86_400.0


class Stamp(NamedTuple):
    """What tells a file from another one that takes its place."""

    mtime_ns: int
    size: int


class Arrival(NamedTuple):
    """A picture that is new, and how many seconds it has been as it is now."""

    path: Path
    stamp: Stamp
    age: float


class FolderWatch:
    """Tells which pictures of a folder are new, each until it is said to be done.

    A file is given when size and time of modification have not changed for ``interval`` seconds, again at every
    `look` until `finish` is called. One that is replaced is new again. Pictures are known by their ending, and
    hidden files and folders are left out, as `recon_anomaly.pictures.list_pictures` does. What is held is one
    entry a file.

    Parameters
    ----------
    folder : path
        It must be there now. Later it may go and come back, with one warning each time.
    recursive : bool
        Whether folders inside are looked at, too; linked ones are followed, each once.
    interval : float
        Seconds, above 0.
    clock : callable
        Gives seconds that never run backwards.

    Raises
    ------
    InputError
        When there is no such folder, or the interval is out of range.

    Warns
    -----
    PictureWarning
        In `look`, when the folder is gone, and once for each folder inside that may not be listed.

    Examples
    --------
    >>> import tempfile
    >>> now = iter([0.0, 0.4, 0.6])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = FolderWatch(folder, interval=0.5, clock=lambda: next(now))
    ...     _ = (Path(folder) / "a.png").write_bytes(b"...")
    ...     [len(watch.look()) for _ in range(3)]
    [0, 0, 1]
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        recursive: bool = False,
        interval: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            got = "is not a folder" if self.folder.exists() else "does not exist"
            raise InputError(f"{folder} {got}; give a folder that pictures come into")
        # Not resolved: where a link is put on another folder, that one is watched.
        self.folder = self.folder.absolute()
        self.recursive = recursive
        self.interval = check_number(
            "interval", interval, "seconds, more than 0 and at most a day", most=_DAY, above=0
        )
        self._clock = clock
        self._done: dict[str, Stamp] = {}
        self._since: dict[str, tuple[Stamp, float]] = {}
        self._gone = False
        self._refused: set[str] = set()

    def look(self) -> list[Arrival]:
        """List the folder, and return what has arrived, the oldest first."""
        found: dict[str, tuple[Stamp, float]] = {}
        now = self._clock()
        try:
            for path, stamp in self._files():
                if self._done.get(path) == stamp:
                    continue
                before = self._since.get(path)
                found[path] = before if before and before[0] == stamp else (stamp, now)
        except OSError as error:
            if not self._gone:
                self._warn(f"{self.folder} is gone ({error.strerror or error}); it is waited for")
            self._gone = True
            self._since = {}  # what was on its way when it went must rest anew
            return []
        self._gone = False
        self._since = found
        arrived = [
            Arrival(Path(path), stamp, now - since)
            for path, (stamp, since) in found.items()
            if now - since >= self.interval
        ]
        return sorted(arrived, key=lambda one: (one.stamp.mtime_ns, one.path.as_posix()))

    def finish(self, arrival: Arrival) -> None:
        """Say that nothing more is to be done about a file, unless it is replaced; it need not have been seen."""
        path = os.fspath(arrival.path)
        self._done[path] = arrival.stamp
        self._since.pop(path, None)

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        """Give the pictures; an OSError is about the watched folder itself."""
        root = os.fspath(self.folder)
        folders, visited = [root], {os.path.realpath(root)}
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):
                            continue
                        if self.recursive and _is_folder(entry):
                            target = os.path.realpath(entry.path)
                            if target not in visited:
                                visited.add(target)
                                folders.append(entry.path)
                        elif entry.name.lower().endswith(EXTENSIONS) and (stamp := _stamp(entry)):
                            yield entry.path, stamp
            except OSError as error:
                if folder == root:
                    raise
                if not isinstance(error, FileNotFoundError) and folder not in self._refused:
                    self._refused.add(folder)
                    self._warn(f"{folder} cannot be listed: {error.strerror}; it is left out")

    def _warn(self, message: str) -> None:
        warnings.warn(message, PictureWarning, stacklevel=3)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file, or None if it is gone.

    Examples
    --------
    >>> stamp_of(Path("no such file")) is None
    True
    """
    return _stamp(path)


def _stamp(file: Path | os.DirEntry[str]) -> Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for whoever writes to it
        return None
    return Stamp(status.st_mtime_ns, status.st_size)
