"""Synthetic anomalies made of good pictures, from barely visible to gross: what scores are compared on without labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .batches import Batch
from .protocols import Corruptor
from .randomness import corrupt, derive_seed
from .registry import build

__all__ = ["KINDS", "spoiled_batches", "spoiled_kinds"]

KINDS = ("casting-defects", "objects", "gaussian", "salt-and-pepper")
"""The corruptors that take turns, picture by picture."""

_FEWEST, _MOST = 64, 256
_LEAST_STRENGTH = 0.1


def spoiled_kinds(count: int) -> list[str]:
    """Return the kind of each anomaly that `spoiled_batches` makes of ``count`` pictures, in its order.

    Examples
    --------
    >>> len(spoiled_kinds(5)), len(spoiled_kinds(100)), len(spoiled_kinds(1000))
    (65, 100, 250)
    """
    step, rounds = _plan(count)
    return [KINDS[_kind(place)] for place in range(rounds * len(range(0, count, step)))]


def spoiled_batches(
    batches: Iterable[Batch | Tensor], count: int, seed: int, without: str | None = None
) -> Iterator[Batch]:
    """Spoil good pictures: each as often as makes 64 anomalies, or every second, third … to make at most 256.

    The corruptors of ``KINDS`` take turns, each with its defaults. Of what a corruptor changes a share is
    applied, drawn anew for each anomaly between 0.1 and 1, its logarithm uniformly, so that the anomalies
    go from barely visible to gross and no score finds them all.

    Parameters
    ----------
    batches : iterable of Batch or Tensor
        Good pictures, ``count`` in all, in [0, 1]; what lies outside is left as it is, but a corruptor sees it
        clipped. Iterated once.
    count : int
        How many pictures all batches have.
    seed : int
        With the place of an anomaly it decides everything about it.
    without : str, optional
        A kind whose anomalies are left out; the others are the same as with it.

    Yields
    ------
    Batch
        Anomalies, on the device of the pictures.
    """
    corruptors = [build("corruptor", kind)[0] for kind in KINDS]
    step, rounds = _plan(count)
    first, done = 0, 0
    for batch in batches:
        images = batch.images if isinstance(batch, Batch) else batch
        chosen = images[-first % step :: step]
        first += len(images)
        for _ in range(rounds if len(chosen) else 0):
            places = range(done, done + len(chosen))
            wanted = [k for k, place in enumerate(places) if KINDS[_kind(place)] != without]
            done += len(chosen)
            if wanted:
                spoiled = _spoiled(chosen[wanted], corruptors, [places[k] for k in wanted], seed)
                yield Batch(spoiled, spoiled)


def _kind(place: int) -> int:
    """Return the number of an anomaly's kind: each once in four, in an order that differs from four to four.

    Else a picture that is spoiled several times might always get the same one.
    """
    turn, within = divmod(place, len(KINDS))
    return int(np.random.default_rng(turn).permutation(len(KINDS))[within])


def _plan(count: int) -> tuple[int, int]:
    """Return every how many-th picture is spoiled, and how often."""
    return math.ceil(count / _MOST), math.ceil(_FEWEST / count)


def _spoiled(
    images: Tensor, corruptors: list[Corruptor], places: Sequence[int], seed: int
) -> Tensor:
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    made = np.empty_like(pictures)
    for k, (place, picture) in enumerate(zip(places, pictures, strict=True)):
        rng = np.random.default_rng(derive_seed(seed, place))
        share = np.float32(_LEAST_STRENGTH ** rng.random())
        clean = np.ascontiguousarray(picture.clip(0, 1))
        change = corrupt(corruptors[_kind(place)], clean, rng) - clean
        made[k] = picture + share * change
    return torch.from_numpy(made).permute(0, 3, 1, 2).to(images.device)
