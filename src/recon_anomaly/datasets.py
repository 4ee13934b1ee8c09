"""Labelled folders, recognised by looking: which pictures are good, which defective, which masks.

Four layouts are known; ``find_labelled`` tells them apart by the names of the folders alone and
opens no picture. Every list is sorted, so that the result is the same on every file system.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from .errors import InputError, PictureWarning
from .folders import check_folder, is_folder
from .layouts import DEFECTIVE, LabelledFolder, recognised, subfolders
from .pictures import list_pictures

__all__ = ["find_labelled", "good_pictures"]

_LAYOUTS = """\
  castings            train/ok*/  test/ok*/  test/def*/  (train/def*/: for validation only)
                      (one of test/ok*/ and test/def*/ is enough)
  good-and-defective  ok*/  def*/  (no split: 80 % of the good ones train)
  mvtec               train/good/  test/good/  test/<kind>/  (ground_truth/<kind>/<stem>_mask.png)
  kinds-with-masks    <kind>/ and <kind>Free/, each with <stem>.jpg and its mask <stem>.png
  good: ok*, good, normal; defective: def*, bad, anomal*, ng, nok; in any case"""

_NOT_GOOD = re.compile(rf"{DEFECTIVE.pattern}|test|ground_truth")


def find_labelled(folder: str | os.PathLike[str], *, seed: int = 42) -> LabelledFolder:
    """Recognise a labelled folder and list its pictures.

    The layouts, with names in any case::

        castings            train/ok*/  test/ok*/  test/def*/  (train/def*/: for validation only)
                            (one of test/ok*/ and test/def*/ is enough)
        good-and-defective  ok*/  def*/  (no split: 80 % of the good ones train)
        mvtec               train/good/  test/good/  test/<kind>/  (ground_truth/<kind>/)
        kinds-with-masks    <kind>/ and <kind>Free/, each with <stem>.jpg and its mask <stem>.png

    Good folders may be named ``ok*``, ``good`` or ``normal``, defective ones ``def*``, ``bad``,
    ``anomal*``, ``ng`` or ``nok``. Under kinds-with-masks a name that ends in free, good, ok or
    normal is good. A folder that holds one category of mvtec layout stands for that category.

    Parameters
    ----------
    folder : path
        The folder of the data set.
    seed : int
        Seed of the split, where the layout has none of its own.

    Returns
    -------
    LabelledFolder
        Its pictures, by paths below ``folder``.

    Raises
    ------
    InputError
        If the folder does not exist, is laid out in no known way or has a folder of pictures that
        its layout has no place for; if several categories are inside; if a folder is empty, a mask
        has no picture, or there are too few good pictures to split.
    """
    root = check_folder(folder, "the folder of a labelled data set")
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number of at least 0")
    found = recognised(root, seed)
    if found is not None:
        return found
    seen = ", ".join(_sketch(root)) or "no folders"
    raise InputError(
        f"{root} is laid out in none of the known ways; rename or move its folders to one of\n"
        f"{_LAYOUTS}\nfound: {seen}"
    )


def good_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """List what to train on: a labelled data set's training pictures, else all below the folder.

    Whoever names the root of a labelled set does not mean its defects, so they stay out, with a
    PictureWarning that says so.

    Raises
    ------
    InputError
        If the folder does not exist or holds no pictures, or if it is laid out in no known way and
        has a folder inside whose name means defective, test or ground truth.
    """
    root = Path(folder)
    found = recognised(root, seed=42) if is_folder(root) else None
    if found is None:
        paths = list_pictures(root)
        for path in paths:
            for name in path.relative_to(root).parts[:-1]:
                if _NOT_GOOD.fullmatch(name.lower()):
                    raise InputError(
                        f"{root} holds pictures below {name!r}, which does not sound like good parts; "
                        "name the folder of the good ones, or give their paths as a list"
                    )
        return paths
    warnings.warn(
        f"{root} is a labelled data set (layout {found.layout}): its {len(found.train)} good training "
        "pictures are used, the others are not",
        PictureWarning,
        stacklevel=2,
    )
    return list(found.train)


def _sketch(root: Path) -> list[str]:
    lines = []
    for path in subfolders(root).values():
        inside = [f"{path.name}/{child.name}/" for child in subfolders(path).values()]
        lines += inside or [f"{path.name}/"]
    shown = lines[:20]
    return [*shown, f"and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else lines
