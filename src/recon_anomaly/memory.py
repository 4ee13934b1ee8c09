"""Memory as people write it, and folders whose files are memory, too."""

from __future__ import annotations

import contextlib
import os
import re
from fractions import Fraction
from pathlib import Path

from .errors import InputError

__all__ = ["bytes_of", "container_room", "filesystem_of", "is_memory"]

_UNITS = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_IN_MEMORY = ("ramfs", "tmpfs")
_ESCAPES = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}


def bytes_of(text: str) -> int:
    """Return how many bytes a text such as "500MB" or "2GB" means.

    Parameters
    ----------
    text : str
        A number and a unit: B (which may be left out), kB, MB, GB, TB, each a thousand times the one before, or
        KiB, MiB, GiB, TiB, each 1024 times. KB is kB. Units are spelt as here, and one space may precede them.

    Raises
    ------
    InputError
        If it is anything else, or no whole number of bytes.

    Examples
    --------
    >>> bytes_of("1.5GB"), bytes_of("64 KiB"), bytes_of("1000")
    (1500000000, 65536, 1000)
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(?: ?([A-Za-z]+))?", text)
    unit = (found and found[2]) or "B"
    unit = "kB" if unit == "KB" else unit
    if found is None or unit not in _UNITS:
        raise InputError(
            f"{text!r} is no amount of memory; give a number and one of the units "
            f"{', '.join(_UNITS)}, such as 500MB or 2GB"
        )
    size = Fraction(found[1]) * _UNITS[unit]
    if size.denominator != 1:
        raise InputError(f"{text!r} is no whole number of bytes; give one, such as {round(size)}")
    return int(size)


def filesystem_of(folder: str | os.PathLike[str], mounts: str | None = None) -> str | None:
    r"""Return the type of the file system that a folder lies on, such as "ext4"; None where it cannot be known.

    Parameters
    ----------
    folder : path
        It need not exist.
    mounts : str, optional
        What is mounted, as Linux lists it in ``/proc/mounts``, which is read by default; other systems
        have no such file.

    Examples
    --------
    >>> filesystem_of("/scratch/a", "/dev/sda1 / ext4 rw 0 0\ntmpfs /scratch tmpfs rw 0 0\n")
    'tmpfs'
    """
    if mounts is None:
        mounts = ""
        with contextlib.suppress(OSError):
            mounts = Path("/proc/mounts").read_text(errors="surrogateescape")
    place = Path(folder).resolve()
    found, longest = None, -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\\d{3}", lambda code: _ESCAPES.get(code[0], code[0]), fields[1]))
        # Of two at one place the later one hides the earlier.
        if place.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = fields[2], len(point.parts)
    return found


def is_memory(folder: str | os.PathLike[str], mounts: str | None = None) -> bool:
    r"""Return whether files in a folder take memory and no disk; parameters as of `filesystem_of`.

    Examples
    --------
    >>> is_memory("/dev/shm", "/dev/sda1 / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n")
    True
    """
    return filesystem_of(folder, mounts) in _IN_MEMORY


def container_room(group: str | os.PathLike[str] = "/sys/fs/cgroup") -> int | None:
    """Return how many bytes this process's container may still take; None where nothing limits it.

    Pages of files that the kernel can take back, as those of a memory-mapped one, do not count.

    Parameters
    ----------
    group : path
        Folder of the control group, version 2, as Linux shows it within a container.
    """
    group = Path(group)
    with contextlib.suppress(OSError, ValueError, IndexError):
        limit = int((group / "memory.max").read_text())
        taken = int((group / "memory.current").read_text())
        files = (group / "memory.stat").read_text().partition("inactive_file ")[2].split()[0]
        return max(0, limit - taken + int(files))
    return None
