"""Presets: the settings of a paper's experiment, the data it wants, and the figures it prints."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import InputError, PictureWarning
from .layouts import recognised, subfolders

__all__ = ["KLIMKEVICIUS", "PRESETS", "DataProtocol", "PaperTable", "Preset", "find_preset"]

DEPTH = 3
"""How many levels below the folder that is named data sets are looked for: archives nest them."""


@dataclass(frozen=True)
class DataProtocol:
    """One way to train and test: a layout of folders, what it stands for, and which data fit it."""

    layout: str
    about: str
    wanted: str
    split_by_part: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table as a paper prints it.

    Attributes
    ----------
    title : str
        Its number and heading.
    test_sets : tuple of str
        The test sets of the bench that it speaks of.
    figures : mapping of str to (float, float, float, float)
        By model: recall, precision, F1 and the area under the precision-recall curve.
    """

    title: str
    test_sets: tuple[str, ...]
    figures: Mapping[str, tuple[float, float, float, float]]


@dataclass(frozen=True)
class Preset:
    """The settings of a paper's experiment; those of `iter_bench` have its names.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is.
    layout : str
        Layout of the data set that the paper's own figures are of.
    protocols : tuple of DataProtocol
        Which data sets are run, in this order.
    tables : tuple of PaperTable
        The paper's own figures.
    """

    name: str
    about: str
    models: tuple[str, ...]
    scorers: tuple[str, ...]
    corruptors: tuple[str, ...]
    seeds: tuple[int, ...]
    image_size: int
    epochs: int
    layout: str
    protocols: tuple[DataProtocol, ...]
    tables: tuple[PaperTable, ...]

    def find_data(self, folder: str | os.PathLike[str]) -> dict[DataProtocol, Path]:
        """Find the data sets of the protocols: the folder itself, or up to three levels below it.

        Folders of other layouts are passed over.

        Returns
        -------
        dict
            The folder of each protocol that has one, in the order of ``protocols``.

        Raises
        ------
        InputError
            When the folder does not exist, fits no protocol, or fits one several times; the message
            says what is wanted and what was found.
        """
        root = Path(folder)
        if not root.is_dir():
            raise InputError(f"{root} is not a folder; give the one that holds the data set")
        seen: list[tuple[Path, str]] = []
        refused: list[str] = []
        _look(root, DEPTH, seen, refused)
        found = {}
        for protocol in self.protocols:
            places = [path for path, layout in seen if layout == protocol.layout]
            if len(places) > 1:
                names = ", ".join(map(str, places))
                raise InputError(
                    f"{root} holds several folders of layout {protocol.layout}: {names}; name one"
                )
            if places:
                found[protocol] = places[0]
        for reason in refused if found else ():
            warnings.warn(f"passed over: {reason}", PictureWarning, stacklevel=2)
        if not found:
            wanted = "\n".join(f"  {known.layout}: {known.wanted}" for known in self.protocols)
            others = [f"{path} (layout {layout})" for path, layout in seen] + refused
            raise InputError(
                f"{root} holds no data set of preset {self.name!r}; wanted is at least one of\n"
                f"{wanted}\nfound: {'; '.join(others) or 'no labelled folder'}"
            )
        return found


def _look(folder: Path, depth: int, seen: list[tuple[Path, str]], refused: list[str]) -> None:
    """Note each labelled folder and its layout, and what spoilt those that are nearly one."""
    try:
        found = recognised(folder, seed=0)
    except InputError as error:
        found = None
        refused.append(str(error))
    # A folder around one category of mvtec layout stands for it, but may hold other sets beside.
    if found is not None and found.root == folder:
        seen.append((folder, found.layout))
        return
    for name, path in subfolders(folder).items():
        # One half of a set whose other half is spoilt would look like a set of its own.
        if depth > 0 and name not in ("train", "test"):
            _look(path, depth - 1, seen, refused)


_CASTINGS = DataProtocol(
    "castings",
    "the paper's split",
    "the 300x300 pictures of the paper's set (Kaggle: casting product image data for quality "
    "inspection), in train/ok_front, test/ok_front and test/def_front",
)
_RANDOM_SPLIT = DataProtocol(
    "good-and-defective",
    "a seeded 80/20 split of the good pictures",
    "its 512x512 pictures, in ok_front and def_front",
)
_SPLIT_BY_PART = replace(
    _RANDOM_SPLIT,
    about="the same pictures, split so that no part is on both sides",
    split_by_part=True,
)
_NETWORKS = ("cae", "cvae", "tcae", "tcvae")

KLIMKEVICIUS = Preset(
    name="klimkevicius",
    about="Klimkevičius, Systematic Comparison of Auto Encoders in Industrial application",
    models=(*_NETWORKS, "mean", "brightness", "pca", "nearest"),
    scorers=("mse",),
    corruptors=("gaussian", "salt-and-pepper", "objects"),
    seeds=(42,),
    image_size=256,
    epochs=50,
    layout="castings",
    protocols=(_CASTINGS, _RANDOM_SPLIT, _SPLIT_BY_PART),
    tables=(
        PaperTable(
            "Table 1, additive artificial noise",
            ("gaussian", "salt-and-pepper"),
            dict.fromkeys(_NETWORKS, (0.996, 1, 0.998, 1)),
        ),
        PaperTable(
            "Table 2, objects",
            ("objects",),
            {
                "cae": (0.855, 0.941, 0.896, 0.966),
                "cvae": (0.8625, 0.918, 0.89, 0.955),
                "tcae": (0.859, 0.945, 0.9, 0.9705),
                "tcvae": (0.84, 0.905, 0.871, 0.953),
            },
        ),
        PaperTable(
            "Table 3, real-world anomalies",
            ("defects",),
            {
                "cae": (0.993, 0.653, 0.788, 0.837),
                "cvae": (0.9955, 0.989, 0.992, 0.998),
                "tcae": (0.987, 0.665, 0.795, 0.83),
                "tcvae": (0.9955, 0.989, 0.992, 0.997),
            },
        ),
    ),
)

PRESETS = {preset.name: preset for preset in (KLIMKEVICIUS,)}
"""All presets by name."""


def find_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises
    ------
    InputError
        When there is none; the message lists those that are known.

    Examples
    --------
    >>> find_preset("klimkevicius").models[:2]
    ('cae', 'cvae')
    """
    if name not in PRESETS:
        raise InputError(f"preset={name!r} is unknown; known are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
