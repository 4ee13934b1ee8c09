"""Which pictures of a folder are reported on, and of which kind each is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from recon_anomaly.errors import InputError
from recon_anomaly.folders import check_folder
from recon_anomaly.layouts import DEFECTIVE, GOOD, GOOD_ENDING, recognised, subfolders
from recon_anomaly.pictures import EXTENSIONS, list_pictures

__all__ = ["Tested", "find_tested"]


class Tested(NamedTuple):
    """Pictures to report on.

    Attributes
    ----------
    paths : tuple of Path
        The files.
    kinds : tuple of str or None
        "good", or the kind of defect, of each; None without labels.
    note : str
        Which pictures of the folder these are, where it has others; else empty.
    """

    paths: tuple[Path, ...]
    kinds: tuple[str, ...] | None
    note: str = ""


def find_tested(folder: str | os.PathLike[str], *, everything: bool = False) -> Tested:
    """Find what to report on in a folder.

    - Of a labelled folder, as `recon_anomaly.find_labelled` tells it, the test pictures: those that `fit`
      and `bench` do not train on.
    - Of folders side by side, one of which is named as good ones are, or all as defective ones are, all pictures;
      what is not good has its folder's name for its kind.
    - Of any other folder all pictures, without labels.

    Parameters
    ----------
    folder : path
        Looked through with all its subfolders.
    everything : bool
        Take the training pictures of a labelled folder, too, as good ones.

    Raises
    ------
    InputError
        If the folder does not exist or holds no picture, or holds several labelled sets.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     for name in ("good/1.png", "dent/2.png", "scratch/3.png"):
    ...         Path(place, name).parent.mkdir()
    ...         Path(place, name).touch()
    ...     find_tested(place).kinds
    ('good', 'dent', 'scratch')
    """
    root = check_folder(folder, "a folder that holds pictures")
    found = recognised(root, seed=42)
    if found is not None:
        if everything:
            kinds = ("good",) * len(found.train) + found.test_kinds
            return _checked(root, Tested((*found.train, *found.test), kinds))
        note = (
            f"Of the labelled folder these are the test pictures; the {len(found.train)} good ones that fit and "
            "bench train on are not among them."
        )
        return _checked(root, Tested(found.test, found.test_kinds, note))
    every = tuple(list_pictures(root))
    names = subfolders(root)
    good = [
        path for name, path in names.items() if GOOD.fullmatch(name) or GOOD_ENDING.search(name)
    ]
    rest = [path for path in names.values() if path not in good]
    # Without good ones each folder has to say itself that it is defective: others may hold good parts.
    telling = good or all(DEFECTIVE.fullmatch(name) for name in names)
    if not telling or any(path.parent == root for path in every):
        return Tested(every, None)
    paths: list[Path] = []
    kinds_of: list[str] = []
    for place in [*good, *rest]:
        inside = [path for path in every if place in path.parents]
        paths += inside
        kinds_of += ["good" if place in good else place.name] * len(inside)
    return Tested(tuple(paths), tuple(kinds_of))


def _checked(root: Path, tested: Tested) -> Tested:
    if not tested.paths:
        raise InputError(
            f"{root} has no test pictures, files that end in {', '.join(EXTENSIONS)}; give a folder of "
            "pictures to report on"
        )
    return tested
