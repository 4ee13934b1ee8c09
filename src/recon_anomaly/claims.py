"""What belongs to a process while it lives: it holds a lock, which the system drops when it is killed.

So temporary files of killed processes are known for what they are, and two processes cannot work in one
place unaware of each other. Where a system or a file system has no locks, nothing is claimed or refused.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import SavedFileError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # Windows, where nothing is locked

__all__ = ["claimed_file", "claimed_folder", "locked", "remove_left", "sole_use"]

# A lock tells nothing of processes on other machines, which may share the folder.
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"
_MADE = rf"-{_HOST}-[a-z0-9_]{{8}}"
_OURS = re.compile(rf"\..*{_MADE}\.part|recon-anomaly{_MADE}(\.pixels)?", re.DOTALL)
_SWEPT: set[Path] = set()


def claimed_file(folder: Path, prefix: str, suffix: str) -> tuple[int, Path]:
    """Make a temporary file, mode 0600, and return it open; closing it gives the claim up.

    The first one that a process makes in a folder removes what killed ones have left there.

    Parameters
    ----------
    folder : path
        Where.
    prefix, suffix : str
        Of its name: a hidden one and ".part", or "recon-anomaly" and ".pixels".

    Raises
    ------
    OSError
        When it cannot be made.
    """
    _sweep(folder)
    while True:
        handle, name = tempfile.mkstemp(suffix, f"{prefix}-{_HOST}-", folder)
        locked(handle)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process took it for left in the moment before the lock


@contextmanager
def claimed_folder() -> Iterator[Path]:
    """Give a temporary folder that goes when the block ends, or, of a killed process, when another one starts.

    Examples
    --------
    >>> with claimed_folder() as folder:
    ...     folder.is_dir()
    True
    >>> folder.exists()
    False
    """
    _sweep(Path(tempfile.gettempdir()))
    handle, folder = _made_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _made_folder() -> tuple[int | None, Path]:
    """Return a new temporary folder, open and locked where there are locks."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"recon-anomaly-{_HOST}-"))
        if fcntl is None:
            return None, folder
        with suppress(FileNotFoundError):  # taken for left, as above
            handle = os.open(folder, os.O_RDONLY)
            locked(handle)
            if folder.exists():
                return handle, folder
            os.close(handle)


def locked(handle: int, *, wait: bool = True) -> bool:
    """Lock an open file, and return whether nobody else has it; True where there are no locks.

    Parameters
    ----------
    handle : int
        Closing it gives the lock up.
    wait : bool
        Until nobody else has it.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_left(folder: Path) -> list[Path]:
    """Remove the temporary files and folders of this library that no living process claims.

    Only those that this user made on this machine; what cannot be removed stays.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed: list[Path] = []
    if fcntl is None:
        return removed
    with suppress(OSError):
        for name in filter(_OURS.fullmatch, os.listdir(folder)):  # noqa: PTH208  # cheap for a million
            with suppress(OSError):
                path = folder / name
                handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(handle).st_uid != os.geteuid():
                        continue
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                    removed.append(path)
                finally:
                    os.close(handle)
    return removed


@contextmanager
def sole_use(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the block runs, so that no two processes use one thing at a time.

    Parameters
    ----------
    lock : path
        The lock file; removed at the end. One that a killed process has left locks nothing.
    what : str
        What is used, for the message.

    Raises
    ------
    SavedFileError
        When it is in use, or the lock file cannot be made.

    Examples
    --------
    >>> with claimed_folder() as folder, sole_use(folder / "a.lock", "a"):
    ...     with sole_use(folder / "a.lock", "a"):
    ...         pass
    Traceback (most recent call last):
    recon_anomaly.errors.SavedFileError: a is in use by process ...
    """
    handle = _taken(lock, what)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def _taken(lock: Path, what: str) -> int:
    """Return the locked lock file, open."""
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            if not locked(handle, wait=False):
                owner = os.read(handle, 200).decode(errors="replace") or "another process"
                os.close(handle)
                raise SavedFileError(
                    f"{what} is in use by {owner}; wait until it has ended, or name another"
                )
            if os.fstat(handle).st_nlink:
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {platform.node()}".encode())
                return handle
            os.close(handle)  # its owner removed it in the moment before the lock
        except OSError as error:
            raise SavedFileError(f"cannot write {lock}: {error.strerror or error}") from error


def _sweep(folder: Path) -> None:
    """Remove what is left in a folder, once in the life of this process."""
    if (place := folder.absolute()) not in _SWEPT:
        _SWEPT.add(place)
        remove_left(place)
