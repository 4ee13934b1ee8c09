"""What a network's frozen part makes of the pictures, computed once and not every epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .batches import Batches
from .errors import InputError, PictureWarning
from .scoring import exact, frozen_of
from .store import allocate, budget_of
from .training import Tick

__all__ = ["keep_frozen"]


def keep_frozen(
    network: Any, parts: Sequence[Batches], epochs: int, memory_budget: int | None = None
) -> Iterator[Tick]:
    """Let each of ``parts`` keep, in float32, what ``network.frozen`` makes of its pictures.

    On the CPU training then gives the same bits as without, since the frozen part computes in float32
    either way (on CUDA it may use TF32 within a training step, and does not here). Gives a tick of epoch 0 a batch; does nothing for a network that has no frozen part.

    Parameters
    ----------
    network : torch.nn.Module
        On the device of the batches.
    parts : sequence of Batches
        Training and validation pictures; their ``kept`` is set.
    epochs : int
        Of the training, for the ticks.
    memory_budget : int, optional
        Bytes, for each part; beyond it a private memory-mapped file in the temporary folder is used, and where
        that does not fit either, nothing is kept, with a warning. By default a quarter of the memory
        that is available now.
    """
    if not hasattr(network, "frozen"):
        return
    network.eval()
    total, done = sum(map(len, parts)), 0
    for batches in parts:
        kept, start = None, 0
        for images in batches:
            with exact():
                features = frozen_of(network, images)
            rows = features.permute(0, 2, 3, 1) if features.ndim == 4 else features
            if kept is None:
                try:
                    shape = (len(batches.pictures), *rows.shape[1:])
                    kept = allocate(shape, np.float32, budget_of(memory_budget))
                except InputError as error:
                    warnings.warn(
                        f"the frozen part of {type(network).__name__} is computed anew in every epoch: {error}",
                        PictureWarning,
                        stacklevel=2,
                    )
                    return
            kept[start : start + len(rows)] = rows.cpu().numpy()
            start, done = start + len(rows), done + 1
            yield Tick(0, epochs, done, total)
        batches.kept = kept
