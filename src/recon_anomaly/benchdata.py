"""What a bench runs on: training pictures, the set's own defects, and corrupted copies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from .audit import Leakage, find_leakage
from .datasets import find_labelled
from .errors import InputError
from .inputs import split_validation
from .masks import GOOD, Masks, masks_of, read_masks
from .parts import find_parts, hold_out_parts
from .pictures import read_pictures
from .protocols import Corruptor
from .randomness import corrupt
from .store import Pictures, allocate, budget_of, from_array, joined
from .synthetic import make_parts

__all__ = [
    "DEFECTS",
    "BenchData",
    "LabelledPictures",
    "corrupted",
    "embedded",
    "from_folder",
    "read_data",
]

_VALIDATED = 0.2
DEFECTS = "defects"
"""Name of the test set of a data set's own defects."""


MOST = 0.5
"""Share of the pixels of corrupted copies; where more of them differ, none is where the defect is."""


@dataclass(frozen=True)
class LabelledPictures:
    """Labelled pictures: 1 is anomalous; ``kinds`` says "good" or the kind of defect, ``masks`` where it is."""

    name: str
    pictures: Pictures
    labels: np.ndarray
    kinds: tuple[str, ...]
    masks: Masks | None = None


@dataclass(frozen=True)
class BenchData:
    """A data set for the bench.

    Attributes
    ----------
    name : str
        Shown in tables.
    train : Pictures
        Good ones only.
    test : LabelledPictures
        Its own good and defective ones.
    image_size : (int, int)
        Height and width.
    layout : str or None
        How the folder was laid out, as `find_labelled` names it; None where there is no folder.
    parts : ndarray of shape (n_train,) or None
        The part that each training picture shows, where they were told apart.
    defects : Pictures or None
        Anomalous pictures to validate on, none of them in the test set; `with_labels` brings them.
    defects_from : str
        Where these come from, in words.
    spare : callable or None
        Reads defects that are neither trained nor tested on, as those of a training folder.
    """

    name: str
    train: Pictures
    test: LabelledPictures
    image_size: tuple[int, int]
    layout: str | None = None
    parts: np.ndarray | None = None
    defects: Pictures | None = None
    defects_from: str = ""
    spare: Callable[[], Pictures] | None = field(default=None, repr=False)

    @cached_property
    def leakage(self) -> Leakage:
        """Which test pictures stand in the training pictures; looked for once."""
        return find_leakage(self.train, self.test.pictures)

    @cached_property
    def defects_leakage(self) -> Leakage | None:
        """Which test pictures stand in the defects to validate on, if there are some; looked for once."""
        return None if self.defects is None else find_leakage(self.defects, self.test.pictures)

    def split_validation(self, seed: int) -> tuple[Pictures, Pictures]:
        """Return training and validation pictures, a fifth; where parts are known, none is on both sides."""
        if self.parts is None:
            return split_validation(self.train, _VALIDATED, seed)
        kept, held_out = hold_out_parts(self.parts, _VALIDATED, seed)
        return self.train.take(kept), self.train.take(held_out)

    def by_part(self, *, seed: int = 42, memory_budget: int | None = None) -> BenchData:
        """Return the data set with its good pictures split anew, so that no part is on both sides.

        Parts whose pictures are a fifth or more of the good ones go to the test pictures. All pictures are
        copied to one store, under the budget as in `recon_anomaly.store.joined`.

        Raises
        ------
        InputError
            When parts cannot be told apart, or are less than three: one to train on, one to validate on,
            one to test on.
        """
        every = joined(self.train, self.test.pictures, memory_budget)
        good = np.flatnonzero(np.append(np.zeros(len(self.train), int), self.test.labels) == 0)
        parts = find_parts(every.take(good))
        kept, held_out = hold_out_parts(parts, 0.2, seed)
        if len(np.unique(parts[kept])) < 2:
            raise InputError(
                f"the good pictures of {self.name} show {len(np.unique(parts))} parts; at least three "
                "are needed to train, to validate and to test"
            )
        defective = np.flatnonzero(self.test.labels == 1)
        tested = np.append(good[held_out], len(self.train) + defective)
        kinds = ("good",) * len(held_out) + tuple(self.test.kinds[k] for k in defective)
        labels = np.repeat([0, 1], [len(held_out), len(defective)])
        masks = self.test.masks
        if masks is not None:
            masks = replace(
                masks, rows=np.append(np.full(len(self.train), GOOD), masks.rows)[tested]
            )
        return replace(
            self,
            name=f"{self.name}, split by part ({len(np.unique(parts[kept]))} to train, "
            f"{len(np.unique(parts[held_out]))} to test)",
            train=every.take(good[kept]),
            test=LabelledPictures(self.test.name, every.take(tested), labels, kinds, masks),
            parts=parts[kept],
        )

    def checksum(self) -> str:
        """Return a fingerprint of all pixels and labels, those to validate on included."""
        parts = [self.train.checksum(), self.test.pictures.checksum(), *map(str, self.test.kinds)]
        if self.defects is not None:
            parts.append(self.defects.checksum())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]

    def without(self, positions: Iterable[int]) -> BenchData:
        """Return the data set without the test pictures at these positions.

        Raises
        ------
        InputError
            When no test picture is left.
        """
        kept = np.setdiff1d(np.arange(len(self.test.labels)), np.array([*positions], np.intp))
        if not len(kept):
            raise InputError(
                f"{self.name} has no test picture left without the {len(self.test.labels)} leaked "
                "ones; give others to test on, or leave --drop-leaked (drop_leaked) out"
            )
        test = LabelledPictures(
            self.test.name,
            self.test.pictures.take(kept),
            self.test.labels[kept],
            tuple(self.test.kinds[position] for position in kept),
            None if self.test.masks is None else self.test.masks.take(kept),
        )
        return replace(self, test=test)


def embedded(image_size: int | tuple[int, int] = 64, *, seed: int = 42) -> BenchData:
    """Return the procedural castings, which need no download."""
    parts = make_parts(image_size=image_size, seed=seed)
    height, width = parts.train.shape[1:3]
    masks = masks_of(parts.masks[parts.labels == 1], parts.labels)
    test = LabelledPictures(DEFECTS, from_array(parts.test), parts.labels, parts.kinds, masks)
    spare = partial(from_array, parts.validation_defects)
    return BenchData("embedded", from_array(parts.train), test, (height, width), spare=spare)


def from_folder(
    folder: str | os.PathLike[str],
    image_size: int | tuple[int, int] = 256,
    *,
    seed: int = 42,
    skip_unreadable: bool = False,
    memory_budget: int | None = None,
) -> BenchData:
    """Read a labelled folder; see `find_labelled` for the layouts.

    Files that cannot be read are an error that names the first; with ``skip_unreadable`` they are
    left out, and stand in ``skipped`` of the stores. ``memory_budget`` is that of each store, as in
    `read_pictures`.
    """
    found = find_labelled(folder, seed=seed)
    on_error: Literal["raise", "skip"] = "skip" if skip_unreadable else "raise"
    read = partial(read_pictures, on_error=on_error, memory_budget=memory_budget)
    train = read(found.train, image_size=image_size)
    height, width, channels = train.shape
    test = read(found.test, image_size=image_size, channels=channels)
    kind_of = dict(zip(found.test, found.test_kinds, strict=True))
    kinds = tuple(kind_of[path] for path in test.paths or ())
    labels = np.array([kind != "good" for kind in kinds], dtype=np.int64)
    mask_of = dict(zip(found.test, found.masks, strict=True))
    masks = read_masks(
        [mask_of[path] for path in test.paths or ()],
        labels,
        (height, width),
        pictures=test.paths,
        on_error=on_error,
        memory_budget=memory_budget,
    )
    tests = LabelledPictures(DEFECTS, test, labels, kinds, masks)
    name = Path(folder).resolve().name
    spare = None
    if found.validation_defects:
        spare = partial(
            read, found.validation_defects, image_size=(height, width), channels=channels
        )
    return BenchData(name, train, tests, (height, width), found.layout, spare=spare)


def read_data(
    data: str | os.PathLike[str] | BenchData | None,
    image_size: int | tuple[int, int] | None,
    skip_unreadable: bool,
    memory_budget: int | None = None,
) -> BenchData:
    """Return a data set as it is, that of a folder, or the embedded one for None.

    ``image_size`` is by default 64 for the embedded set and 256 for a folder; ``memory_budget`` is a folder's.
    """
    if isinstance(data, BenchData):
        return data
    if data is None:
        return embedded(64 if image_size is None else image_size)
    size = 256 if image_size is None else image_size
    return from_folder(data, size, skip_unreadable=skip_unreadable, memory_budget=memory_budget)


def corrupted(
    data: BenchData,
    name: str,
    corruptor: Corruptor,
    *,
    seed: int = 42,
    memory_budget: int | None = None,
) -> LabelledPictures:
    """Return every good test picture and its corrupted copy (Klimkevičius, §4.1), with masks of what differs.

    Copies are rounded to the type of the pictures, as a camera would; the k-th one depends on the
    seed and k alone. Where most pixels of the copies differ, as with noise, there are no masks: it is everywhere.
    ``memory_budget`` is as in `read_pictures`.
    """
    good = data.test.pictures.take(np.flatnonzero(data.test.labels == 0))
    if not len(good):
        raise InputError(f"{data.name} has no good test pictures to corrupt")
    scale = {"uint8": 255.0, "uint16": 65535.0}.get(good.dtype.name, 1.0)
    count = len(good)
    budget = budget_of(memory_budget)
    array = allocate((2 * count, *good.shape), good.dtype, budget)
    differs = allocate((count, *good.shape[:2]), bool, budget)
    for k in range(count):
        picture = good.batch(slice(k, k + 1))[0]
        clean = (picture / scale).astype(np.float32)
        image = corrupt(corruptor, clean, np.random.default_rng([seed, k]))
        array[k] = picture
        array[count + k] = np.rint(image * scale) if scale > 1 else image
        differs[k] = (array[count + k] != array[k]).any(-1)
    labels = np.repeat([0, 1], count)
    kinds = ("good",) * count + (name,) * count
    masks = masks_of(differs, labels) if differs.mean() <= MOST else None
    return LabelledPictures(name, from_array(array), labels, kinds, masks)
