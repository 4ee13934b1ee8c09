"""A run's state on disk: one file, replaced whole at each epoch's end, beside its open branches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from .claims import sole_use
from .distributed import ALONE, Ranks
from .errors import SavedFileError
from .snapshots import Snapshots, read_snapshot, write_snapshot
from .training import RunState

__all__ = ["Checkpoint"]


class Checkpoint:
    """Saves and loads the state of one training in a folder.

    Parameters
    ----------
    folder : str or path
        Made if it is missing.
    settings : mapping
        What decides the run (parameters, data checksum): a state that was saved under other ones
        is refused, with the difference named.
    ranks : Ranks
        The processes that train together: all read the folder, which they must share, and the first writes.

    Attributes
    ----------
    snapshots : Snapshots
        Where the branches of the run wait, in the same folder.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        settings: Mapping[str, Any],
        ranks: Ranks = ALONE,
    ) -> None:
        self.path = Path(folder) / "run.pt"
        self.settings = dict(settings)
        self.ranks = ranks
        self.snapshots = Snapshots(folder, ranks)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SavedFileError(
                f"cannot make the checkpoint folder {folder}: {error.strerror or error}"
            ) from error

    def held(self) -> AbstractContextManager[None]:
        """Return what keeps other processes out of the folder while a training writes to it.

        Raises
        ------
        SavedFileError
            When it is entered, and a process on this machine is in it already.
        """
        if not self.ranks.first:
            return nullcontext()
        return sole_use(
            self.path.with_name("run.lock"), f"the checkpoint folder {self.path.parent}"
        )

    def save(self, state: RunState) -> None:
        """Write the state; what was there before stays until this one is whole."""
        if self.ranks.first:
            write_snapshot(self.path, {"settings": self.settings, "state": state.state_dict()})

    def load(self, state: RunState) -> bool:
        """Bring ``state`` to where the run stopped; False where nothing was saved yet.

        Raises
        ------
        SavedFileError
            When the file cannot be read, is damaged, or belongs to another run.
        """
        if not self.path.exists():
            return False
        saved = read_snapshot(self.path)
        try:
            before = dict(saved["settings"])
            differences = [
                f"{name} was {before.get(name)!r} and is now {self.settings.get(name)!r}"
                for name in sorted({*before, *self.settings})
                if before.get(name) != self.settings.get(name)
            ]
            if not differences:
                state.load_state_dict(saved["state"])
        except Exception as error:  # values that lie may raise anything
            raise SavedFileError(
                f"cannot read the checkpoint {self.path}: {error}; delete the run's folder to start afresh"
            ) from error
        if differences:
            raise SavedFileError(
                f"the checkpoint {self.path} belongs to another run: {'; '.join(differences)}. "
                "Name another folder, or delete it to start afresh"
            )
        return True
