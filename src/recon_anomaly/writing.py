"""Files are whole or absent: written to a temporary name, synced, then renamed."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .claims import claimed_file
from .errors import SavedFileError

__all__ = [
    "check_other_file",
    "check_outputs",
    "check_writable",
    "make_folder",
    "sync",
    "whole_file",
]

_ASKED = threading.Lock()


def check_other_file(path: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Refuse to write to the file that is read from.

    Raises
    ------
    SavedFileError
        When both are the same file.
    """
    if Path(path).resolve() == Path(source).resolve():
        raise SavedFileError(
            f"{path} is the file that is read, and would be replaced; name another to write"
        )


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` if a file can be made there, so that it is known before hours of training.

    Raises
    ------
    SavedFileError
        When the folder is missing or not writable, or the path is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise SavedFileError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".recon-anomaly-"):
            pass
    except OSError as error:
        raise SavedFileError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def check_outputs(
    outputs: Iterable[Path | None], sources: Iterable[str | os.PathLike[str]] = ()
) -> None:
    """Refuse files that cannot be made, that are read from, or that are to be written twice.

    Parameters
    ----------
    outputs : iterable of Path or None
        What one command writes; None is nothing.
    sources : iterable of path
        What it reads.

    Raises
    ------
    SavedFileError
        It names the first of them.
    """
    sources = list(sources)
    seen: set[Path] = set()
    for path in outputs:
        if path is None:
            continue
        for source in sources:
            check_other_file(path, source)
        if path.resolve() in seen:
            raise SavedFileError(
                f"{path} would be written twice; name another file for one of them"
            )
        seen.add(path.resolve())
        check_writable(path)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, where they are missing.

    Raises
    ------
    SavedFileError
        When it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SavedFileError(
            f"cannot make the folder {path}: {error.strerror or error}; name another"
        ) from error
    return Path(path)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write; when the block ends well, it replaces ``path`` in one step.

    When the block or the disk fails, or the process is killed, what was at ``path`` stays as it was. What a
    killed process leaves of a temporary file goes when a process writes its first file into that folder.

    Raises
    ------
    SavedFileError
        When the file cannot be written; it names the path and the cause.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary: Path | None = None
    claim: int | None = None
    try:
        # A name of 255 bytes has no room for more.
        claim, temporary = claimed_file(path.parent, f".{path.name[:40]}", ".part")
        if os.name == "nt":  # which renames no open file
            os.close(claim)
            claim = None
        yield temporary
        sync(temporary)
        temporary.chmod(0o666 & ~_umask())  # mkstemp's own mode is for secrets
        temporary.replace(path)
        temporary = None
        if os.name == "posix":  # the rename itself is durable only when the folder is synced
            _sync_folder(path.parent)
    except OSError as error:
        raise SavedFileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        if claim is not None:
            os.close(claim)


def _sync_folder(folder: Path) -> None:
    try:
        sync(folder)
    except OSError as error:  # some network drives cannot, and some folders cannot be read
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise


def sync(path: Path) -> None:
    """Return when the disk has what was written to a file, or the names in a folder (not on Windows)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    with _ASKED:  # it can only be asked by setting it, and threads would ask each other's
        mask = os.umask(0)
        os.umask(mask)
    return mask
