"""Defects of drawn castings, moved to any picture: pits, scratches and stains that are lit, not pasted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon_anomaly.castings import DEFECT_KINDS, make_part
from recon_anomaly.errors import InputError
from recon_anomaly.images import check_picture

__all__ = ["CastingDefects"]

_LEAST_SIDE, _MOST_SIDE = 16, 512  # a casting cannot be drawn smaller, and need not be larger


@dataclass(frozen=True, kw_only=True)
class CastingDefects:
    """Adds to a picture what a defect changes on a drawn casting, turned and moved at random.

    The embedded castings are drawn twice, sound and with a defect (`recon_anomaly.make_parts`). The difference
    of the two, in [-1, 1], is flipped, turned by quarters, added to every channel, and clipped to [0, 1]. So a pit has
    its shadow and its bright lip also on another part. The casting fills the shorter side, up to 512 pixels, and lies anywhere
    in the picture. At least one pixel changes.

    Parameters
    ----------
    kinds : tuple of str, default all
        Of ``DEFECT_KINDS``, each with the same probability.

    Raises
    ------
    InputError
        If a kind is unknown, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((64, 64, 1), 0.5, dtype=np.float32)
    >>> spoiled, mask = CastingDefects()(image, np.random.default_rng(0))
    >>> bool(mask.any()), bool((spoiled[~mask] == 0.5).all())
    (True, True)
    """

    kinds: tuple[str, ...] = DEFECT_KINDS

    def __post_init__(self) -> None:
        # Parameters that went through JSON come back as lists.
        several = isinstance(self.kinds, Iterable) and not isinstance(self.kinds, str)
        object.__setattr__(self, "kinds", tuple(self.kinds) if several else (self.kinds,))
        if not self.kinds or any(kind not in DEFECT_KINDS for kind in self.kinds):
            raise InputError(
                f"kinds is {self.kinds}; give one or more of {', '.join(DEFECT_KINDS)}."
            )

    def __call__(
        self, image: NDArray[np.float32], rng: np.random.Generator, /
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the picture with the defect and the mask of the pixels that changed, see `Corruptor`.

        ``rng`` chooses kind, casting, defect, turn and place; the mask is never empty.
        """
        check_picture(image)
        while True:  # white cannot be brightened
            change = self._change(image.shape[0], image.shape[1], rng)[..., None]
            corrupted = (image + change).clip(0.0, 1.0).astype(np.float32)
            mask = (corrupted != image).any(axis=2)
            if mask.any():
                return corrupted, mask

    def _change(self, h: int, w: int, rng: np.random.Generator) -> NDArray[np.float32]:
        side = min(max(min(h, w), _LEAST_SIDE), _MOST_SIDE)
        good, spoiled = make_part((side, side), self.kinds[rng.integers(len(self.kinds))], rng)
        change = (spoiled.astype(np.float32) - good) / 255
        change = np.rot90(change, int(rng.integers(4)))
        if rng.random() < 0.5:
            change = change.T
        # As much of it as there is room for, with at least one pixel that changes, anywhere in the picture.
        changed = np.argwhere(change)
        pixel = changed[rng.integers(len(changed))]
        sides = np.minimum((h, w), side)
        top, left = (pixel - rng.integers(sides)).clip(0, side - sides)
        down, right = rng.integers(np.array([h, w]) - sides + 1)
        moved = np.zeros((h, w), np.float32)
        moved[down : down + sides[0], right : right + sides[1]] = change[
            top : top + sides[0], left : left + sides[1]
        ]
        return moved
