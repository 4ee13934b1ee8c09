"""Procedural castings: a seeded data set of good and defective parts that needs no download.

Place, size, light and surface differ from one good part to the next, and each lies a little turned
in its fixture. What a part looks like, and its defects, are the business of `castings`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .castings import DEFECT_KINDS, make_part
from .errors import InputError

__all__ = ["DEFECT_KINDS", "SyntheticParts", "make_parts"]


@dataclass(frozen=True)
class SyntheticParts:
    """Pictures of good and defective parts, as ``make_parts`` returns them.

    Attributes
    ----------
    train : ndarray of shape (n, h, w, 1), uint8
        Good parts only.
    test : ndarray of shape (m, h, w, 1), uint8
        Other good parts, then the defective ones, kind by kind.
    labels : ndarray of shape (m,), int64
        1 for a defective part of ``test``, 0 for a good one.
    kinds : tuple of m str
        What each part of ``test`` is: "good" or one of ``DEFECT_KINDS``.
    masks : ndarray of shape (m, h, w), bool
        Pixels of ``test`` that the defect changed by at least 6 gray levels; outside them the part
        equals its sound twin byte for byte. Empty for good parts, never for defective ones.
    validation_defects : ndarray of shape (k, h, w, 1), uint8
        Further defective parts, none of them in ``test``, for schedules that need labels.
    validation_defect_kinds : tuple of k str
        The kind of each of them.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    labels: NDArray[np.int64]
    kinds: tuple[str, ...]
    masks: NDArray[np.bool_]
    validation_defects: NDArray[np.uint8]
    validation_defect_kinds: tuple[str, ...]


def make_parts(
    n_train: int = 320,
    n_test_good: int = 60,
    n_defects_per_kind: int = 12,
    n_validation_defects_per_kind: int = 4,
    *,
    image_size: int | tuple[int, int] = 64,
    seed: int = 42,
) -> SyntheticParts:
    """Draw a data set of good and defective parts.

    Every picture has a random stream of its own, derived from the seed, the part of the data set,
    the kind and its number there: the k-th picture of a kind stays the same however many others
    are asked for, and no picture of ``train`` comes again in ``test``. A data set of the default
    size takes about a second.

    The generator, not any model, was shaped until three models with their default recipes (PCA with
    128 components, CAE, CVAE; mean squared residual) reached an image AUROC between 0.6 and 0.99 at
    64 pixels, for the data seeds 42, 1 and 2. Turn, place, light and grain of the good parts, edges,
    sizes and contrasts of the defects and the number of training pictures were all chosen that way.
    So a figure on this set says little about real parts, and nothing about which of these models is
    the better one. Two trivial rows do well: the nearest training picture as well as PCA, and the
    mean picture slightly better than the CVAE, which learns little more than it from so few pictures.

    Parameters
    ----------
    n_train, n_test_good : int, default 320 and 60
        Number of good parts to train on and to test with; at least 0.
    n_defects_per_kind, n_validation_defects_per_kind : int, default 12 and 4
        Number of defective parts of each of the five kinds; at least 0.
    image_size : int or (int, int), default 64
        Height and width in pixels, each at least 16. The part fills the shorter side.
    seed : int, default 42
        Start of all random streams; at least 0.

    Returns
    -------
    SyntheticParts
        The pictures with their labels, kinds and masks.

    Raises
    ------
    InputError
        If a number or the seed is not an integer of at least 0, or a side is below 16.

    Examples
    --------
    >>> parts = make_parts(20, 5, 2, 1, image_size=32)
    >>> parts.train.shape, parts.test.shape, parts.validation_defects.shape
    ((20, 32, 32, 1), (15, 32, 32, 1), (5, 32, 32, 1))
    >>> parts.kinds[4:8]
    ('good', 'blow-hole', 'blow-hole', 'scratch')
    """
    sides = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    if len(sides) != 2 or any(not _is_whole(side, 16) for side in sides):
        raise InputError(f"image_size is {image_size!r}; give one or two integers of at least 16.")
    for name, value in (
        ("n_train", n_train),
        ("n_test_good", n_test_good),
        ("n_defects_per_kind", n_defects_per_kind),
        ("n_validation_defects_per_kind", n_validation_defects_per_kind),
        ("seed", seed),
    ):
        if not _is_whole(value, 0):
            raise InputError(f"{name} is {value!r}; give an integer of at least 0.")

    h, w = sides
    kinds = ("good",) * n_test_good + _each(n_defects_per_kind)
    validation_kinds = _each(n_validation_defects_per_kind)

    def gather(stream: int, wanted: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        pictures = np.empty((len(wanted), h, w, 1), dtype=np.uint8)
        masks = np.zeros((len(wanted), h, w), dtype=np.bool_)
        for place, kind in enumerate(wanted):
            number = place - wanted.index(kind)
            good, picture = make_part(sides, kind, _generator(seed, stream, kind, number))
            pictures[place, :, :, 0] = picture
            masks[place] = picture != good
        return pictures, masks

    train, _ = gather(0, ("good",) * n_train)
    test, masks = gather(1, kinds)
    validation, _ = gather(2, validation_kinds)
    labels = np.array([kind != "good" for kind in kinds], dtype=np.int64)
    return SyntheticParts(train, test, labels, kinds, masks, validation, validation_kinds)


def _is_whole(value: object, least: int) -> bool:
    return (
        isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)
    )


def _each(number: int) -> tuple[str, ...]:
    return tuple(kind for kind in DEFECT_KINDS for _ in range(number))


def _generator(seed: int, stream: int, kind: str, number: int) -> np.random.Generator:
    place = ("good", *DEFECT_KINDS).index(kind)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, place, number)))
