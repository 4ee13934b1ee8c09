"""Which pictures show the same part: augmented copies of one photograph, or one part photographed again.

Pictures that are near each other, as `recon_anomaly.nearness` says, are of one part, and so along chains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .checks import at_least
from .errors import InputError
from .nearness import LEAST_SIDE, NearSearch
from .store import Pictures

__all__ = ["find_parts", "hold_out_parts"]


def find_parts(
    pictures: Pictures, *, size: int = 96, progress: Callable[[int], object] | None = None
) -> NDArray[np.intp]:
    """Tell by number which part each picture shows.

    Parameters
    ----------
    pictures : Pictures
        Each is compared with the fifteen that look most like it.
    size : int
        Pixels of the longer side at which pictures are compared, at least 8.
    progress : callable, optional
        Called after each picture with the number done so far.

    Returns
    -------
    ndarray of shape (n,), intp
        The part of each picture, counted from 0 in the order of the pictures.

    Raises
    ------
    InputError
        If pictures have less than 8 pixels a side, or pixels that are not finite.

    Examples
    --------
    >>> photographs = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 1), dtype=np.uint8)
    >>> turned = photographs[:2].transpose(0, 2, 1, 3)
    >>> find_parts(Pictures(np.concatenate([photographs, turned]))).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1]
    """
    size = at_least("size", size, LEAST_SIDE)
    if min(pictures.shape[:2]) < LEAST_SIDE:
        raise InputError(
            f"pictures of {pictures.shape[0]}x{pictures.shape[1]} pixels are too small to tell parts "
            f"apart; at least {LEAST_SIDE} a side are needed"
        )
    pairs = []
    for position, near in enumerate(NearSearch(pictures, pictures, size).near_each_other()):
        pairs += [(position, other) for other in near]
        if progress is not None:
            progress(position + 1)
    rows, columns = np.array(pairs, np.intp).reshape(-1, 2).T
    shape = (len(pictures), len(pictures))
    graph = coo_matrix((np.ones(len(rows), bool), (rows, columns)), shape)
    _, parts = connected_components(graph, directed=False)
    _, first, numbered = np.unique(parts, return_index=True, return_inverse=True)
    places: NDArray[np.intp] = np.argsort(np.argsort(first))[numbered]
    return places


def hold_out_parts(
    parts: NDArray[Any], share: float, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split pictures so that no part is on both sides.

    Whole parts are held out, in an order that the seed decides, until they have that share of the
    pictures or more; at least one stays.

    Parameters
    ----------
    parts : ndarray of shape (n,)
        The part of each picture.
    share : float
        Of the pictures, to be held out.
    seed : int
        Decides which.

    Returns
    -------
    kept, held_out : ndarray of intp
        Positions, sorted.

    Raises
    ------
    InputError
        When all pictures are of one part.

    Examples
    --------
    >>> kept, held_out = hold_out_parts(np.array([0, 0, 1, 1, 2, 2]), 0.3, seed=0)
    >>> len(kept), len(held_out)
    (4, 2)
    """
    numbers, counts = np.unique(parts, return_counts=True)
    if len(numbers) < 2:
        raise InputError(
            f"all {len(parts)} pictures show one part, or parts that look too much alike to be told "
            "apart; they cannot be split by part"
        )
    order = np.random.default_rng(seed).permutation(len(numbers))
    before = np.cumsum(counts[order]) - counts[order]
    chosen = order[:-1][before[:-1] < share * len(parts)]
    out = np.isin(parts, numbers[chosen])
    return np.flatnonzero(~out), np.flatnonzero(out)
