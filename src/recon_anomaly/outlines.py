"""Outlines of a set of pixels as polygons along the pixels' edges, exact and without holes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage

__all__ = ["outlines"]

# Right, down, left, up: an edge runs so that its pixel lies to the right of it, y counted downwards.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Return polygons that together cover exactly the pixels of ``mask``, none of them with a hole.

    Corners lie on corners of pixels, so that nothing is lost by rounding and the areas add up to the number of pixels.
    Pixels that touch at a corner only are in polygons of their own. Since a polygon of a list, as in COCO's files,
    cannot leave anything out, a set with holes is cut by a vertical line at the left end of each hole.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
        True where the set is.

    Returns
    -------
    list of ndarray of shape (k, 2), int64
        The corners (x, y) of each polygon, clockwise as seen in the picture; the first is not repeated.

    Examples
    --------
    >>> outlines(np.array([[1, 1], [1, 0]], bool))[0].tolist()
    [[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]]
    """
    # A gap that leads out at a corner only is none for `_traced`, which goes through that corner twice.
    holes = ndimage.binary_fill_holes(mask, np.ones((3, 3))) & ~mask
    cuts = {
        part[1].start for part in ndimage.find_objects(ndimage.label(holes, np.ones((3, 3)))[0])
    }
    found = []
    ends = [0, *sorted(cuts), mask.shape[1]]
    for start, stop in pairwise(ends):
        found += [ring + np.array([start, 0]) for ring in _traced(mask[:, start:stop])]
    return found


def _traced(mask: np.ndarray) -> list[np.ndarray]:
    """Follow the edges between the set and what is outside, ring by ring."""
    inside = np.pad(np.asarray(mask, bool), 1)
    centre = inside[1:-1, 1:-1]
    outside = (
        centre & ~inside[:-2, 1:-1],  # above, and so on clockwise
        centre & ~inside[1:-1, 2:],
        centre & ~inside[2:, 1:-1],
        centre & ~inside[1:-1, :-2],
    )
    begins = ((0, 0), (1, 0), (1, 1), (0, 1))  # corner of a pixel where each of its edges begins
    leaving: dict[tuple[int, int], list[int]] = {}
    left: dict[
        tuple[tuple[int, int], int], None
    ] = {}  # ordered, so that a ring starts at its top left
    for direction, (right, down) in enumerate(begins):
        rows, columns = np.nonzero(outside[direction])
        for corner in zip((columns + right).tolist(), (rows + down).tolist(), strict=True):
            leaving.setdefault(corner, []).append(direction)
            left[corner, direction] = None
    rings = []
    for start in list(left):
        if start not in left:  # it was on the way of an earlier ring
            continue
        (place, direction), ring = start, [start[0]]
        while (place, direction) in left:
            del left[place, direction]
            place = place[0] + _STEPS[direction][0], place[1] + _STEPS[direction][1]
            ways = leaving[place]
            # Where two pixels touch at a corner, the turn to the right stays with the pixel.
            onward = (direction + 1) % 4 if len(ways) > 1 else ways[0]
            if onward != direction and (place, onward) != start:
                ring.append(place)
            direction = onward
        rings.append(np.array(ring))
    return rings
