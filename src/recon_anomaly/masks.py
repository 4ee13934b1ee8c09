"""Which pixels of test pictures are defective: masks of one size, of the defective pictures alone."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from .decoding import read_mask, upright_size
from .errors import PictureError, PictureWarning
from .store import allocate, budget_of

__all__ = ["GOOD", "UNKNOWN", "Masks", "masks_of", "read_masks"]

GOOD = -1
"""In ``Masks.rows``: a good picture, whose pixels are all good."""

UNKNOWN = -2
"""In ``Masks.rows``: a defective picture, of which nobody knows where."""


@dataclass(frozen=True, eq=False)  # arrays have no truth to compare by
class Masks:
    """A mask, or None where it is unknown, of each of n pictures: ``masks[k]``.

    Attributes
    ----------
    store : ndarray of shape (m, h, w), bool
        True where a picture is defective.
    rows : ndarray of shape (n,), int
        Which mask of the store each picture has, `GOOD` or `UNKNOWN`.

    Examples
    --------
    >>> masks = Masks(np.array([[[True, False]]]), np.array([GOOD, 0, UNKNOWN]))
    >>> [None if mask is None else mask.tolist() for mask in masks]
    [[[False, False]], [[True, False]], None]
    """

    store: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, k: int) -> np.ndarray | None:
        row = int(self.rows[k])
        if row == UNKNOWN:
            return None
        mask: np.ndarray = np.zeros(self.store.shape[1:], bool) if row == GOOD else self.store[row]
        return mask

    def take(self, positions: np.ndarray) -> Masks:
        """Return those of some pictures; no mask is copied."""
        return Masks(self.store, self.rows[positions])

    @cached_property
    def checksum(self) -> str:
        """A fingerprint of all masks in their order."""
        digest = hashlib.sha256(f"{self.store.shape[1:]}".encode())
        for row in self.rows.tolist():
            digest.update(str(min(row, 0)).encode())
            if row >= 0:
                digest.update(np.packbits(self.store[row]).tobytes())
        return digest.hexdigest()[:16]


def masks_of(drawn: np.ndarray, labels: np.ndarray) -> Masks | None:
    """Return the masks of labelled pictures; a good one is good everywhere, an empty mask says nothing.

    Parameters
    ----------
    drawn : ndarray of shape (m, h, w), bool
        Those of the m defective pictures, in their order.
    labels : ndarray of shape (n,)
        1 where a picture is defective.

    Returns
    -------
    Masks or None
        None where all are empty.

    Examples
    --------
    >>> masks_of(np.array([[[True, False]]]), np.array([0, 1])).rows.tolist() == [GOOD, 0]
    True
    """
    known = drawn.any((1, 2))
    rows = np.full(len(labels), GOOD)
    rows[np.asarray(labels) == 1] = np.where(known, np.arange(len(drawn)), UNKNOWN)
    return Masks(drawn, rows) if known.any() else None


def read_masks(
    paths: Sequence[Path | None],
    labels: np.ndarray,
    size: tuple[int, int],
    *,
    pictures: Sequence[Path] | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    memory_budget: int | None = None,
) -> Masks | None:
    """Read the masks of labelled pictures; None where no defective picture has one.

    A good picture is good everywhere. A defective one whose mask is missing or empty is unknown, since pixels of it are
    defective. Masks are resized by taking the nearest pixel, which keeps the share of a thin defect.

    Parameters
    ----------
    paths : sequence of n Path or None
        The files of the masks.
    labels : ndarray of shape (n,)
        1 where a picture is defective.
    size : (int, int)
        Height and width that the pictures were brought to.
    pictures : sequence of n Path, optional
        The files of the pictures. A mask must have the size of its own: of another, nobody knows how it lies on it.
    on_error : {"raise", "skip"}
        Whether a mask that cannot be used is an error, or unknown.
    memory_budget : int, optional
        As in `recon_anomaly.read_pictures`.

    Raises
    ------
    PictureError
        For a mask that cannot be read, or is of another size than its picture.

    Warns
    -----
    PictureWarning
        Where masks could not be used, and ``on_error`` is "skip"; where they are dark but not empty, as masks of 0 and
        1 are, or their defects vanish at this size. It counts them and names the first.
    """
    rows = np.where(np.asarray(labels) == 1, UNKNOWN, GOOD)
    named = [k for k, path in enumerate(paths) if path is not None and rows[k] == UNKNOWN]
    store = allocate((len(named), *size), bool, budget_of(memory_budget))
    unread: list[str] = []
    empty: list[Path] = []
    count = 0
    for k in named:
        path = paths[k]
        assert path is not None
        try:
            mask = read_mask(path, size)
            if pictures is not None:
                _check_size(path, pictures[k])
        except PictureError as error:
            if on_error == "raise":
                raise
            unread.append(str(error))
            continue
        if mask.any():
            store[count] = mask
            rows[k] = count
            count += 1
        else:
            empty.append(path)
    _warn_of_lost(empty, size)
    if unread:
        warnings.warn(
            f"{len(unread)} of {len(named)} masks could not be used, so that nobody knows where these pictures are "
            f"defective; the first: {unread[0]}",
            PictureWarning,
            stacklevel=2,
        )
    return Masks(store[:count], rows) if count else None


def _warn_of_lost(empty: Sequence[Path], size: tuple[int, int]) -> None:
    """Say of masks in which nothing was left whether there had been something."""
    height, width = size
    dark, vanished = [], []
    for path in empty:
        if read_mask(path).any():
            vanished.append(path)
        elif read_mask(path, level=1 / 256).any():
            dark.append(path)
    for paths, why in (
        (dark, "have no pixel of half the full range or more, though some that are not black"),
        (vanished, f"have defects that vanish at {height} x {width} pixels"),
    ):
        if paths:
            warnings.warn(
                f"{len(paths)} of the masks {why}, so that these pictures take no part in figures of pixels; the first: "
                f"{paths[0]}",
                PictureWarning,
                stacklevel=3,
            )


def _check_size(path: Path, picture: Path) -> None:
    (height, width), (rows, columns) = upright_size(path), upright_size(picture)
    if (height, width) != (rows, columns):
        raise PictureError(
            f"{path} has {width} x {height} pixels, and its picture {picture} {columns} x {rows}; a mask lies on its "
            "picture pixel by pixel: give both one size"
        )
