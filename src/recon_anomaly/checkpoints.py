"""A run's state on disk: one file, replaced whole at each epoch's end."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import SavedFileError
from .training import RunState
from .writing import whole_file

__all__ = ["Checkpoint"]

_DIGEST_SIZE = 16


class Checkpoint:
    """Saves and loads the state of one training in a folder.

    Parameters
    ----------
    folder : str or path
        Made if it is missing.
    settings : mapping
        What decides the run (parameters, data checksum): a state that was saved under other ones
        is refused, with the difference named.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(folder) / "run.pt"
        self.settings = dict(settings)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SavedFileError(f"cannot make the checkpoint folder {folder}: {error}") from error

    def save(self, state: RunState) -> None:
        """Write the state; what was there before stays until this one is whole."""
        contents = io.BytesIO()
        torch.save({"settings": self.settings, "state": state.state_dict()}, contents)
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            file.write(_digest(contents.getbuffer()))
            file.write(contents.getbuffer())

    def load(self, state: RunState) -> bool:
        """Bring ``state`` to where the run stopped; False where nothing was saved yet.

        Raises
        ------
        SavedFileError
            When the file cannot be read, is damaged, or belongs to another run.
        """
        if not self.path.exists():
            return False
        try:
            data = memoryview(self.path.read_bytes())
            if data[:_DIGEST_SIZE] != _digest(data[_DIGEST_SIZE:]):
                raise ValueError("its checksum does not fit")
            saved = torch.load(
                io.BytesIO(data[_DIGEST_SIZE:]), map_location="cpu", weights_only=True
            )
            before, contents = dict(saved["settings"]), saved["state"]
        except Exception as error:  # torch raises many kinds for a damaged file
            raise self._damaged(error) from error
        differences = [
            f"{name} was {before.get(name)!r} and is now {self.settings.get(name)!r}"
            for name in sorted({*before, *self.settings})
            if before.get(name) != self.settings.get(name)
        ]
        if differences:
            raise SavedFileError(
                f"the checkpoint {self.path} belongs to another run: {'; '.join(differences)}. "
                "Name another folder, or delete it to start afresh"
            )
        try:
            state.load_state_dict(contents)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise self._damaged(error) from error
        return True

    def _damaged(self, error: Exception) -> SavedFileError:
        return SavedFileError(
            f"cannot read the checkpoint {self.path}: {error}; delete it to start afresh"
        )


def _digest(data: memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_SIZE).digest()
