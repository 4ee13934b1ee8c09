"""Seeds derived from one seed, and torch's global generators left as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import InputError
from .protocols import Corruptor

__all__ = ["Part", "corrupt", "derive_seed", "latent_noise", "noise_of", "seeded"]

_SEEDED = threading.RLock()


class Part(NamedTuple):
    """A part of a batch that several processes share.

    Attributes
    ----------
    first : int
        Place of its first picture in the whole batch.
    length : int
        How many pictures it has. Where it is 0, one picture stands in, which does not count.
    whole : int
        Pictures of the whole batch.
    """

    first: int
    length: int
    whole: int

    @classmethod
    def of(cls, whole: int, rank: int, size: int) -> Part:
        """Return the part of process ``rank`` of ``size``; all parts together are the whole.

        Examples
        --------
        >>> [Part.of(5, rank, 2) for rank in range(2)]
        [Part(first=0, length=2, whole=5), Part(first=2, length=3, whole=5)]
        """
        first, end = rank * whole // size, (rank + 1) * whole // size
        # Where there are fewer pictures than processes the last one may stand in.
        return cls(min(first, whole - 1), end - first, whole)


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
    a key for every step makes a resumed run draw what an undisturbed one would. The generators are the
    process's own, so that one thread at a time is inside.
    """
    with _SEEDED:
        yield from _seeded(device, *key)


def _seeded(device: torch.device, *key: int) -> Iterator[None]:
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


@contextmanager
def noise_of(device: torch.device, part: Part | None, *key: int) -> Iterator[None]:
    """Let `latent_noise` draw from a generator of its own, seeded by the key, inside.

    Every process draws the noise of the whole batch and takes its ``part``, so that a picture's noise
    depends on its place in the whole batch alone. None is the whole batch.
    """
    # A tensor on the device "meta" has no numbers, and so no generator.
    generator = None if device.type == "meta" else torch.Generator(device)
    if generator is not None:
        generator.manual_seed(derive_seed(*key))
    token = _NOISE.set((generator, part))
    try:
        yield
    finally:
        _NOISE.reset(token)


def latent_noise(like: Tensor) -> Tensor:
    """Return standard-normal noise for a training step: a row for each picture of the batch.

    For networks that draw while they train: unlike ``torch.randn_like``, a picture gets the same noise
    whether one process trains or several share the batch. Outside a training it is ``torch.randn_like``.

    Parameters
    ----------
    like : Tensor of shape (n, ...), floating point
        Its shape, dtype and device are those of the noise.

    Raises
    ------
    InputError
        When several processes share the batch and ``n`` is not the number of this one's pictures.

    Examples
    --------
    >>> latent_noise(torch.zeros(4, 32)).shape
    torch.Size([4, 32])
    """
    generator, part = _NOISE.get() or (None, None)
    if part is None:
        part = Part(0, len(like), len(like))
    if len(like) != max(part.length, 1):
        raise InputError(
            f"latent_noise was asked for {len(like)} rows where {max(part.length, 1)} pictures are trained on; "
            "where several processes share a batch it gives one row a picture: ask for (n, draws, latents)"
        )
    rows = torch.randn(
        (part.whole, *like.shape[1:]), generator=generator, dtype=like.dtype, device=like.device
    )
    return rows[part.first : part.first + len(like)]


_NOISE: ContextVar[tuple[torch.Generator | None, Part | None] | None] = ContextVar(
    "noise", default=None
)


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
