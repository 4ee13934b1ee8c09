"""Tensors and plain values on disk: written whole, checked by a digest, loaded without trusting them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from .claims import claimed_folder
from .distributed import ALONE, Ranks
from .errors import SavedFileError
from .writing import whole_file

__all__ = ["Snapshots", "read_snapshot", "write_snapshot"]

_DIGEST_SIZE = 16


def write_snapshot(path: Path, contents: Mapping[str, Any]) -> None:
    """Write ``contents``; what was there before stays until this is whole."""
    data = io.BytesIO()
    torch.save(dict(contents), data)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(_digest(data.getbuffer()))
        file.write(data.getbuffer())


def read_snapshot(path: Path) -> dict[str, Any]:
    """Read what `write_snapshot` wrote, onto the CPU.

    Raises
    ------
    SavedFileError
        When the file cannot be read or is damaged.
    """
    try:
        data = memoryview(path.read_bytes())
        if data[:_DIGEST_SIZE] != _digest(data[_DIGEST_SIZE:]):
            raise ValueError("its checksum does not fit")
        contents = torch.load(
            io.BytesIO(data[_DIGEST_SIZE:]), map_location="cpu", weights_only=True
        )
        return dict(contents)
    except Exception as error:  # torch raises many kinds for a damaged file
        cause = error.strerror if isinstance(error, OSError) else error
        raise SavedFileError(
            f"cannot read the checkpoint {path}: {cause}; delete the run's folder to start afresh"
        ) from error


class Snapshots:
    """Named snapshots in a folder: of a checkpoint, or a temporary one that goes with this object.

    Branches of a training wait here and not in memory.

    Parameters
    ----------
    folder : path, optional
        By default a temporary one, made when it is first needed.
    ranks : Ranks
        The processes that train together: the first one writes into a folder that is given, and all read
        it; each has a temporary one of its own.

    Examples
    --------
    >>> with Snapshots() as snapshots:
    ...     snapshots.save("a", {"epoch": 3})
    ...     snapshots.load("a")
    {'epoch': 3}
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, ranks: Ranks = ALONE) -> None:
        self._folder = None if folder is None else Path(folder)
        self._ranks = ranks
        self._writes = folder is None or ranks.first
        self._temporary: AbstractContextManager[Path] | None = None

    def __enter__(self) -> Snapshots:
        return self

    def __exit__(self, *_: object) -> None:
        if self._temporary is not None:
            self._temporary.__exit__(None, None, None)
            self._folder = self._temporary = None

    def save(self, name: str, contents: Mapping[str, Any]) -> None:
        """Write ``contents`` under ``name``, whole or not at all."""
        if self._writes:
            write_snapshot(self._path(name), contents)
        self._ranks.wait()

    def load(self, name: str) -> dict[str, Any]:
        """Read what was saved under ``name``."""
        return read_snapshot(self._path(name))

    def remove(self, prefix: str = "") -> None:
        """Delete every snapshot whose name starts with ``prefix``."""
        self._ranks.wait()  # until all have read what they need
        if self._folder is not None and self._writes:
            for path in self._folder.glob(f"branch-{prefix}*.pt"):
                path.unlink()

    def _path(self, name: str) -> Path:
        if self._folder is None:
            self._temporary = claimed_folder()
            self._folder = self._temporary.__enter__()
        return self._folder / f"branch-{name}.pt"


def _digest(data: memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).digest()
