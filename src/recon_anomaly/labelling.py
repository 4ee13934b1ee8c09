"""Labelled pictures to validate on: the training folder's defects, else a share of the test set's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .benchdata import BenchData
from .errors import InputError

__all__ = ["with_labels"]

SHARE = 0.2
"""Of the test defects of each kind, where the training folder has none."""


def with_labels(data: BenchData, *, seed: int = 42) -> BenchData:
    """Return the data set with defects to validate on, which are in no test set.

    They are those of the training folder where it has some. Else 20 % of the test defects of each kind, at
    least one where a kind has two, are removed from the test set; the seed decides which. They are taken at
    random also where the good pictures were split by part, so a part's defects may be on both sides:
    ``BenchData.defects_leakage`` counts what shows of it.

    Raises
    ------
    InputError
        When there are no defects to take, or fewer than two are left to test on.
    """
    if data.defects is not None:
        return data
    if data.spare is not None:
        defects = data.spare()
        source = f"{len(defects)} defects that belong to the training pictures"
        return replace(data, defects=defects, defects_from=source)
    kinds = np.array(data.test.kinds)
    rng = np.random.default_rng(seed)
    taken: list[int] = []
    counts = []
    for kind in sorted(set(kinds[data.test.labels == 1])):
        positions = np.flatnonzero((kinds == kind) & (data.test.labels == 1))
        count = max(1, round(SHARE * len(positions))) if len(positions) > 1 else 0
        taken += rng.permutation(positions)[:count].tolist()
        counts.append(f"{kind} {count} of {len(positions)}")
    left = int(data.test.labels.sum()) - len(taken)
    if not taken or left < 2:
        raise InputError(
            f"{data.name} has no defects to train with labels: {len(taken)} of its test defects could be "
            f"taken ({', '.join(counts) or 'it has none'}), which leaves {left} to test on; at least one and "
            "two are wanted. Add defects, or take the schedule 'awl-loss', which needs no labels"
        )
    positions = np.sort(np.array(taken, np.intp))
    return replace(
        data.without(positions),
        defects=data.test.pictures.take(positions),
        defects_from=f"{len(taken)} of its test defects, which are in no test set: {', '.join(counts)}",
    )
