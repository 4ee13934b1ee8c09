"""Tiles and region of interest of a saved detector: entries of its header, and the mask's bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .interest import Interest, interest_of
from .tiles import Tiling, checked_overlap

__all__ = ["described", "mask_of", "tiling_from"]


def described(tiling: Tiling | None) -> dict[str, Any]:
    """Return the entries of a header: tiles and region that it was fitted on, since parameters may have been set meanwhile.

    The region's mask is a tensor: its file may not be where this one is read. What each tile is brought to is image_shape.
    """
    if tiling is None:
        return {"tiling": None, "interest": None}
    interest = tiling.interest
    return {
        "tiling": {"tile": tiling.tile, "overlap": tiling.overlap},
        "interest": None if interest is None else {"box": interest.box, "size": interest.size},
    }


def mask_of(tiling: Tiling | None) -> dict[str, Tensor]:
    """Return the mask of the region of interest, eight pixels a byte, if there is one."""
    if tiling is None or tiling.interest is None or tiling.interest.mask is None:
        return {}
    return {"roi_mask": torch.from_numpy(np.packbits(tiling.interest.mask))}


def tiling_from(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Tiling | None:
    """Return how a loaded detector cuts pictures; raises whatever a wrong entry causes."""
    cut, said = header["tiling"], header["interest"]
    if (cut is None or cut["tile"] is None) and (cut is None) != (said is None):
        raise ValueError("its tiles and its region of interest do not fit")
    if cut is None:
        return None
    interest = None if said is None else interest_of(list(said["box"]))
    if interest is not None and said["size"] is not None:
        height, width = (int(side) for side in said["size"])
        interest.check((height, width))
        _, _, wide, tall = interest.box
        bits = np.unpackbits(tensors["roi_mask"].numpy())
        if not 0 <= len(bits) - wide * tall < 8:
            raise ValueError("its mask of the region of interest does not fill its box")
        mask = bits[: wide * tall].reshape(tall, wide).astype(bool)
        interest = Interest(interest.box, mask, (height, width))
    tile = cut["tile"]
    overlap = 0 if tile is None else checked_overlap(tile, cut["overlap"])
    return Tiling(tile, overlap, interest, tuple(header["image_shape"][:2]))
