"""Whether a path is a folder, also where the system refuses to say."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

__all__ = ["check_folder", "is_folder"]


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is there; False also where that cannot be known.

    Examples
    --------
    >>> is_folder("."), is_folder("x" * 5000)
    (True, False)
    """
    try:
        return Path(path).is_dir()
    except OSError:  # a name that is too long, or a folder above that nobody may look into
        return False


def check_folder(folder: str | os.PathLike[str], wanted: str) -> Path:
    """Return the path of a folder that is there.

    Parameters
    ----------
    folder : path
        What was given.
    wanted : str
        What is wanted, for the message: "a folder that holds pictures".

    Raises
    ------
    InputError
        When there is none, or something else, or it cannot be looked at.

    Examples
    --------
    >>> check_folder("missing", "a folder that holds pictures")
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: missing does not exist; give a folder that holds pictures
    """
    root = Path(folder)
    try:
        if root.is_dir():
            return root
        got = "is not a folder" if root.exists() else "does not exist"
    except OSError as error:
        got = f"cannot be looked at ({error.strerror})"
    raise InputError(f"{root} {got}; give {wanted}")
