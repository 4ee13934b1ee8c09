"""The laws of a detector: what holds whatever it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from recon_anomaly.saving import from_bytes, to_bytes

from .cases import CASES, Case
from .laws import law

__all__ = ["check_detector"]


def check_detector(detector: Any, *, case: Case | None = None, saved: bool = True) -> None:
    """Check what holds for every detector: it is fitted, scores in any order and in parts, is saved and loaded.

    Parameters
    ----------
    detector : ReconstructionDetector or another of the estimators
        With its parameters. It is left as it is: two clones of it are fitted in each case.
    case : Case, optional
        The pictures; by default one after the other of `CASES`.
    saved : bool
        False for one that cannot be saved, such as one with a model that has no name.

    Examples
    --------
    >>> from recon_anomaly import CAE
    >>> check_detector(CAE(kernels=(4,), epochs=1, device="cpu"))
    """
    for one in CASES if case is None else (case,):
        _check_on(detector, one, saved)


def _check_on(detector: Any, case: Case, saved: bool) -> None:
    X = case.pictures()
    before, generator = X.copy(), torch.get_rng_state()
    one, other = (clone(detector).fit(X) for _ in range(2))
    scores = one.anomaly_score(X)
    maps = one.anomaly_map(X)
    law(np.array_equal(X, before), "the pictures are left as they are")
    law(torch.equal(torch.get_rng_state(), generator), "torch's generator is left as it is")
    law(scores.shape == (case.count,) and scores.dtype == np.float64, "scores are (n,), float64")
    law(np.isfinite(scores).all(), "the scores are finite")
    law(
        maps.shape == X.shape[:3] and maps.dtype == np.float32,
        "the maps are (n, h, w), float32, at the pictures' size",
    )
    law(np.isfinite(maps).all(), "the maps are finite")
    law(np.isfinite(one.offset_), "the threshold is finite")
    law(np.array_equal(one.score_samples(X), -scores), "score_samples is minus the anomaly score")
    law(
        np.array_equal(one.predict(X), np.where(scores > -one.offset_, -1, 1)),
        "what exceeds the threshold is predicted -1, all else 1",
    )
    law(np.array_equal(other.anomaly_score(X), scores), "one random_state gives one detector")
    law(np.array_equal(other.fit(X).anomaly_score(X), scores), "a fit forgets the one before")
    law(np.array_equal(one.anomaly_score(X), scores), "scoring twice gives the same bits")
    # Of pictures that were not trained on: what a model knows by heart has scores of rounding alone.
    new = replace(case, content="noise", seed=case.seed + 1).pictures()
    wanted = one.anomaly_score(new)
    backwards = one.anomaly_score(new[::-1])[::-1]
    law(_close(backwards, wanted), "a score does not depend on the order of the pictures")
    alone = np.concatenate([one.anomaly_score(new[k : k + 1]) for k in range(min(3, case.count))])
    law(_close(alone, wanted[: len(alone)]), "a score does not depend on the batch")
    if not saved:
        return
    loaded = from_bytes(to_bytes(one), device=one.device)
    law(np.array_equal(loaded.anomaly_score(X), scores), "a loaded detector scores bit for bit")
    law(loaded.offset_ == one.offset_, "a loaded detector has the threshold")


def _close(found: np.ndarray, wanted: np.ndarray) -> bool:
    # Of the largest: log-likelihoods are sums of both signs, and some lie near zero.
    return bool(np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max())
