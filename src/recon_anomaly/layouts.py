"""The layouts of labelled folders, told apart by the names of folders alone; no picture is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .pictures import list_pictures

__all__ = ["DEFECTIVE", "GOOD", "GOOD_ENDING", "LabelledFolder", "recognised", "subfolders"]

GOOD = re.compile(r"ok.*|good|normal")
DEFECTIVE = re.compile(r"def.*|bad|anomal.*|ng|nok")
# What ends in "ok" or "normal" may be its very opposite: nok, not_ok, no_good, abnormal.
GOOD_ENDING = re.compile(r"(?<!no_)(?<!not_)(?<!ab)(?:free|good|(?<!n)ok|normal)$")

_JPEG = (".jpg", ".jpeg")

_Folders = dict[str, Path]


@dataclass(frozen=True)
class LabelledFolder:
    """The pictures of a labelled data set.

    Attributes
    ----------
    root : Path
        The folder of the data set; the category's, where it was found inside the one that was given.
    layout : {"castings", "good-and-defective", "mvtec", "kinds-with-masks"}
        How it was laid out.
    train : tuple of Path
        Pictures to train on, all good.
    test : tuple of Path
        Pictures to test on: the good ones first, then kind by kind.
    test_kinds : tuple of str
        Parallel to ``test``: "good", or the name of the kind of defect.
    masks : tuple of Path or None
        Parallel to ``test``: the mask of the defect, where there is one. Good ones have none.
    validation_defects : tuple of Path
        Defective pictures of the training folder, for validation labels; never trained on.
    """

    root: Path
    layout: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    test_kinds: tuple[str, ...]
    masks: tuple[Path | None, ...]
    validation_defects: tuple[Path, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the test pictures, shape (len(test),): 1 is defective, 0 is good."""
        return np.array([kind != "good" for kind in self.test_kinds], dtype=np.int64)


@dataclass(frozen=True)
class _Tested:
    path: Path
    kind: str = "good"
    mask: Path | None = None


def recognised(root: Path, seed: int) -> LabelledFolder | None:
    """Return what is laid out in a known way here, or in the one category inside."""
    found = _find_here(root, seed)
    if found is not None:
        return found
    inside = [path for path in subfolders(root).values() if _is_mvtec(path)]
    if len(inside) > 1:
        names = ", ".join(path.name for path in inside)
        raise InputError(f"{root} holds several categories: {names}; name one, as in {inside[0]}")
    return _mvtec(inside[0]) if inside else None


def _find_here(root: Path, seed: int) -> LabelledFolder | None:
    if _is_mvtec(root):
        return _mvtec(root)
    folders = subfolders(root)
    if set(folders) == {"train", "test"}:
        return _castings(root, folders)
    if _masks_stand_beside(folders):
        return _kinds_with_masks(root, folders, seed)
    parts = _good_and_defective(folders)
    if parts is None or not all(parts):
        return None
    train, held_out = _split(root, _paths(parts[0]), seed)
    tested = [*map(_Tested, held_out), *_defects(parts[1])]
    return _labelled(root, "good-and-defective", train, tested)


def _castings(root: Path, folders: _Folders) -> LabelledFolder | None:
    train = _good_and_defective(subfolders(folders["train"]))
    test = _good_and_defective(subfolders(folders["test"]))
    if train is None or test is None or not (train[0] and any(test)):
        return None
    tested = [*map(_Tested, _paths(test[0])), *_defects(test[1])]
    return _labelled(root, "castings", _paths(train[0]), tested, _paths(train[1]))


def _is_mvtec(root: Path) -> bool:
    folders = subfolders(root)
    if not {"train", "test"} <= set(folders) <= {"train", "test", "ground_truth"}:
        return False
    tested = set(subfolders(folders["test"]))
    return set(subfolders(folders["train"])) == {"good"} and bool(tested - {"good"})


def _mvtec(root: Path) -> LabelledFolder:
    folders = subfolders(root)
    tested_in = subfolders(folders["test"])
    truth = subfolders(folders["ground_truth"]) if "ground_truth" in folders else {}
    good = tested_in.pop("good", None)
    tested = [] if good is None else [*map(_Tested, list_pictures(good))]
    for kind, where in tested_in.items():
        for path in list_pictures(where):
            mask = truth[kind] / f"{path.stem}_mask.png" if kind in truth else None
            tested.append(_Tested(path, where.name, mask if mask and mask.is_file() else None))
    train = list_pictures(subfolders(folders["train"])["good"])
    return _labelled(root, "mvtec", train, tested)


def _kinds_with_masks(root: Path, folders: _Folders, seed: int) -> LabelledFolder | None:
    free = {name for name in folders if GOOD_ENDING.search(name) or GOOD.fullmatch(name)}
    if not free or len(free) == len(folders):
        return None
    heads = {name[: name.find("_") + 1] for name in folders}
    prefix = heads.pop() if len(heads) == 1 else ""
    good: list[Path] = []
    defective: list[_Tested] = []
    for name, where in folders.items():
        files = list_pictures(where)
        pictures = {path.with_suffix(""): path for path in files if path.suffix.lower() in _JPEG}
        masks = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".png"}
        paired = {*pictures.values(), *(mask for stem, mask in masks.items() if stem in pictures)}
        stray = [path for path in files if path not in paired]
        if stray:
            raise InputError(
                f"{stray[0]} ({len(stray)} such files) is neither a .jpg picture nor the .png mask "
                "of one, as they stand side by side here; name it so, or move it away"
            )
        if name in free:
            good += pictures.values()
        else:
            kind = name.removeprefix(prefix)
            defective += [_Tested(path, kind, masks.get(stem)) for stem, path in pictures.items()]
    train, held_out = _split(root, good, seed)
    return _labelled(root, "kinds-with-masks", train, [*map(_Tested, held_out), *defective])


def _masks_stand_beside(folders: _Folders) -> bool:
    for folder in folders.values():
        for _, _, files in os.walk(folder):
            paths = [Path(name) for name in files]
            pictures = {path.stem for path in paths if path.suffix.lower() in _JPEG}
            if any(path.stem in pictures for path in paths if path.suffix.lower() == ".png"):
                return True
    return False


def _good_and_defective(folders: _Folders) -> tuple[list[Path], list[Path]] | None:
    good = [path for name, path in folders.items() if GOOD.fullmatch(name)]
    defective = [path for name, path in folders.items() if DEFECTIVE.fullmatch(name)]
    return (good, defective) if len(good) + len(defective) == len(folders) else None


def _paths(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in list_pictures(folder)]


def _defects(folders: Iterable[Path]) -> list[_Tested]:
    return [_Tested(path, folder.name) for folder in folders for path in list_pictures(folder)]


def _split(root: Path, good: list[Path], seed: int) -> tuple[list[Path], list[Path]]:
    count = len(good) * 4 // 5
    if count == 0:
        raise InputError(f"{root} has {len(good)} good picture; give at least 2 to split them")
    ordered = sorted(good, key=Path.as_posix)
    shuffled = np.random.default_rng(seed).permutation(len(ordered))
    train, held_out = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return [ordered[i] for i in train], [ordered[i] for i in held_out]


def _labelled(
    root: Path, layout: str, train: list[Path], tested: list[_Tested], spare: Iterable[Path] = ()
) -> LabelledFolder:
    return LabelledFolder(
        root=root,
        layout=layout,
        train=tuple(train),
        test=tuple(item.path for item in tested),
        test_kinds=tuple(item.kind for item in tested),
        masks=tuple(item.mask for item in tested),
        validation_defects=tuple(spare),
    )


def subfolders(folder: Path) -> _Folders:
    """Return the folders in ``folder`` by their names in lower case, sorted; hidden ones left out."""
    folders: _Folders = {}
    try:
        inside = [path for path in folder.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError as error:
        raise InputError(f"{error.filename} cannot be listed: {error.strerror}") from error
    for path in sorted(inside, key=lambda path: (path.name.lower(), path.name)):
        twin = folders.setdefault(path.name.lower(), path)
        if twin is not path:
            raise InputError(f"{twin} and {path} differ in case only; rename or merge them")
    return folders
