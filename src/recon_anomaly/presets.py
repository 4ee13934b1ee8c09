"""Presets: the settings of a paper's experiments, the data they want, and the paper's tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import comparison, printed, weighting
from .cells import Table
from .dataprotocols import DataProtocol, find_data
from .errors import InputError

__all__ = ["KLIMKEVICIUS", "NAKATA", "PRESETS", "DataProtocol", "Preset", "find_preset"]

_Grid = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """A paper's experiments.

    Attributes
    ----------
    name, about : str
        What it is called, and what it is.
    protocols : tuple of DataProtocol
        Which data sets are run, in this order.
    epochs : int
        How many epochs the paper trained; `grids` takes another number.
    lay_out : callable
        From a number of epochs to the grids.
    compare : callable
        From records to the paper's tables, with what was reached here beside the printed figures.
    how_to_read : str
        A line to stand below these tables.
    """

    name: str
    about: str
    protocols: tuple[DataProtocol, ...]
    epochs: int
    lay_out: Callable[[int], list[_Grid]]
    compare: Callable[[Iterable[Mapping[str, Any]]], list[Table]]
    how_to_read: str

    def grids(self, epochs: int | None = None) -> list[_Grid]:
        """Return keyword arguments of `iter_bench`, a dictionary for each of its runs.

        The runs of one data set go one after the other into one file, with ``resume``. All have the
        same ``image_size``.

        Parameters
        ----------
        epochs : int, optional
            In place of the paper's number. It is given here and not to `iter_bench`, since an
            experiment may train for a multiple of it, or lay it out as milestones.

        Raises
        ------
        InputError
            When ``epochs`` is below 1.

        Examples
        --------
        >>> [grid["epochs"] for grid in find_preset("klimkevicius").grids()]
        [50]
        """
        count = self.epochs if epochs is None else epochs
        if count < 1:
            raise InputError(f"epochs={count}: at least one epoch is wanted")
        return self.lay_out(count)

    def tables_of(self, records: Iterable[Mapping[str, Any]]) -> list[Table]:
        """Return the paper's tables, with the figures of records of its grids beside the paper's.

        Parameters
        ----------
        records : iterable of mapping
            From `iter_bench` or `read_records`; those that the paper does not speak of are left out.
        """
        return self.compare(records)

    def find_data(self, folder: str | os.PathLike[str]) -> dict[DataProtocol, tuple[Path, ...]]:
        """Find the data sets of the protocols: the folder itself, or up to three levels below it.

        Folders of other layouts are passed over.

        Returns
        -------
        dict
            The folders of each protocol that has some, in the order of ``protocols``: one folder, or
            all that there are where the protocol's layout is None.

        Raises
        ------
        InputError
            When the folder does not exist, fits no protocol, or fits one several times that wants
            one; the message says what is wanted and what was found.
        """
        return find_data(folder, self.protocols, f"preset {self.name!r}")


_CASTINGS = DataProtocol(
    comparison.LAYOUT,
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
_LABELLED = DataProtocol(
    None,
    "good pictures to train on; a part of the defects for validation",
    "any labelled folder of good and defective pictures; the paper's own sets are not public",
)


def _klimkevicius(epochs: int) -> list[_Grid]:
    return [
        {
            "models": (*printed.KLIMKEVICIUS_MODELS, *comparison.TRIVIAL),
            "scorers": ("mse",),
            "corruptors": ("gaussian", "salt-and-pepper", "objects"),
            "seeds": (42,),
            "image_size": 256,
            "epochs": epochs,
            "precision": "float32",
        }
    ]


def _nakata(epochs: int) -> list[_Grid]:
    """Return experiment I (Tables 6 to 8), experiment II (Tables 9 to 11), and the trivial rows."""
    common: _Grid = {
        "scorers": ("mse", "max1p"),
        "corruptors": (),
        "image_size": 256,
        "labelled_validation": True,
        "precision": "float32",
    }
    networks: _Grid = common | {
        "models": ("vae",),
        "model_grid": {"vae": {"likelihood": ["bernoulli", "gaussian"]}},
        "batch_size": 32,
        "learning_rate": 1e-4,
    }
    # One epoch still makes three milestones that ascend.
    middle = epochs + max(1, epochs // 2)
    last = max(2 * epochs, middle + 1)
    first, second = printed.NAKATA
    return [
        networks
        | {
            "schedules": (("constant", {"keeps": first.keeps}), first.adapted),
            "seeds": first.seeds,
            "epochs": epochs,
            "every_epoch": True,
        },
        networks
        | {
            "schedules": (
                ("constant", {"keeps": second.keeps}),
                (second.adapted, {"milestones": [epochs, middle, last]}),
            ),
            "seeds": second.seeds,
            "epochs": last,
        },
        common | {"models": comparison.TRIVIAL, "seeds": first.seeds},
    ]


KLIMKEVICIUS = Preset(
    name="klimkevicius",
    about="Klimkevičius, Systematic Comparison of Auto Encoders in Industrial application",
    protocols=(_CASTINGS, _RANDOM_SPLIT, _SPLIT_BY_PART),
    epochs=50,
    lay_out=_klimkevicius,
    compare=comparison.paper_tables,
    how_to_read=comparison.HOW_TO_READ,
)
NAKATA = Preset(
    name="nakata",
    about="Nakata et al., VAE-based Anomaly Detection with Dynamic Weights Assigned to Loss Function",
    protocols=(_LABELLED,),
    epochs=100,
    lay_out=_nakata,
    compare=weighting.weighting_tables,
    how_to_read=weighting.HOW_TO_READ,
)

PRESETS = {preset.name: preset for preset in (KLIMKEVICIUS, NAKATA)}
"""All presets by name."""


def find_preset(name: str) -> Preset:
    """Return the preset of that name.

    Raises
    ------
    InputError
        When there is none; the message lists those that are known.

    Examples
    --------
    >>> find_preset("klimkevicius").epochs
    50
    """
    if name not in PRESETS:
        raise InputError(f"preset={name!r} is unknown; known are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
