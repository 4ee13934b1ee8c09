"""Seeds derived from one seed, and torch's global generators left as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .errors import InputError
from .protocols import Corruptor

__all__ = ["corrupt", "derive_seed", "seeded"]


def derive_seed(*key: int) -> int:
    """Return a 64-bit seed from a key such as (seed, epoch, step); other keys give unrelated seeds.

    Examples
    --------
    >>> derive_seed(42, 1) == derive_seed(42, 1), derive_seed(42, 1) == derive_seed(42, 2)
    (True, False)
    """
    return int(np.random.SeedSequence(key[0], spawn_key=key[1:]).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Seed torch's generators of the CPU and of ``device`` inside, and restore them after.

    Networks draw from the global generators (dropout, ``randn_like``), so these have to be seeded;
    a key for every step makes a resumed run draw what an undisturbed one would.
    """
    if device.type == "mps":
        state = torch.mps.get_rng_state()
        torch.mps.manual_seed(derive_seed(*key))
        try:
            with seeded(torch.device("cpu"), *key):
                yield
        finally:
            torch.mps.set_rng_state(state)
        return
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # else there is no generator yet
        index = torch.cuda.current_device() if device.index is None else device.index
        generators.append(torch.cuda.default_generators[index])
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(derive_seed(*key))
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def corrupt(corruptor: Corruptor, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the corrupted picture alone, checked.

    Raises
    ------
    InputError
        When the corruptor breaks its contract: another shape or type.
    """
    corrupted, _ = corruptor(image, rng)
    got = f"{corrupted.dtype} of shape {corrupted.shape}"
    if corrupted.shape != image.shape or corrupted.dtype != np.float32:
        raise InputError(f"the corruptor gave {got}; float32 of shape {image.shape} is wanted")
    return corrupted
