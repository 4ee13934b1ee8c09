"""Data protocols: which labelled folders an experiment wants, and where they lie below a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError, PictureWarning
from .layouts import recognised, subfolders

__all__ = ["DataProtocol", "find_data"]

DEPTH = 3
"""How many levels below the folder that is named data sets are looked for: archives nest them."""


@dataclass(frozen=True)
class DataProtocol:
    """One way to train and test: a layout of folders, what it stands for, and which data fit it.

    Attributes
    ----------
    layout : str or None
        As `find_labelled` names it; None takes every labelled folder, each a data set of its own.
    about, wanted : str
        What this way is, and which pictures it wants.
    split_by_part : bool
        Whether the good pictures are split anew, by parts.
    """

    layout: str | None
    about: str
    wanted: str
    split_by_part: bool = False


def find_data(
    folder: str | os.PathLike[str], protocols: Sequence[DataProtocol], whose: str
) -> dict[DataProtocol, tuple[Path, ...]]:
    """Find the data sets of protocols: the folder itself, or up to three levels below it.

    Folders of other layouts are passed over; where one is nearly a data set, a warning says why it is
    none.

    Parameters
    ----------
    folder : path
        Where to look.
    protocols : sequence of DataProtocol
        What to look for.
    whose : str
        Said in the error.

    Returns
    -------
    dict
        The folders of each protocol that has some, in the order of ``protocols``: one folder, or all
        that there are where the protocol's layout is None.

    Raises
    ------
    InputError
        When the folder does not exist, fits no protocol, or fits one several times that wants one; the
        message says what is wanted and what was found.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the one that holds the data set")
    seen: list[tuple[Path, str]] = []
    refused: list[str] = []
    _look(root, DEPTH, seen, refused)
    found = {}
    for protocol in protocols:
        places = [path for path, layout in seen if protocol.layout in (None, layout)]
        if protocol.layout is not None and len(places) > 1:
            names = ", ".join(map(str, places))
            raise InputError(
                f"{root} holds several folders of layout {protocol.layout}: {names}; name one"
            )
        if places:
            found[protocol] = tuple(places)
    for reason in refused if found else ():
        warnings.warn(f"passed over: {reason}", PictureWarning, stacklevel=3)
    if not found:
        wanted = "\n".join(
            f"  {known.layout or 'any layout'}: {known.wanted}" for known in protocols
        )
        others = [f"{path} (layout {layout})" for path, layout in seen] + refused
        raise InputError(
            f"{root} holds no data set of {whose}; wanted is at least one of\n"
            f"{wanted}\nfound: {'; '.join(others) or 'no labelled folder'}"
        )
    return found


def _look(folder: Path, depth: int, seen: list[tuple[Path, str]], refused: list[str]) -> None:
    """Note each labelled folder and its layout, and what spoilt those that are nearly one."""
    reason = None
    try:
        found = recognised(folder, seed=0)
    except InputError as error:
        found = None
        reason = str(error)
    # A folder around one category of mvtec layout stands for it, but may hold other sets beside.
    if found is not None and found.root == folder:
        seen.append((folder, found.layout))
        return
    before = len(seen)
    for name, path in subfolders(folder).items():
        # One half of a set whose other half is spoilt would look like a set of its own.
        if depth > 0 and name not in ("train", "test"):
            _look(path, depth - 1, seen, refused)
    # A folder around several categories is refused as one set, yet each of them is found.
    if reason is not None and len(seen) == before:
        refused.append(reason)
