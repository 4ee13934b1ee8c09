"""The laws of a corruptor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recon_anomaly.registry import build

from .cases import CASES, Case
from .laws import law

__all__ = ["check_corruptor"]


def check_corruptor(
    corruptor: Any, corruptor_params: Mapping[str, Any] | None = None, *, case: Case | None = None
) -> None:
    """Check the Corruptor contract: the corrupted picture, its mask, and what a seed gives.

    Parameters
    ----------
    corruptor : str or callable
        A registered name or the object.
    corruptor_params : mapping, optional
        Its parameters.
    case : Case, optional
        The pictures, which become float32; by default those of `CASES` and a larger one.
    """
    built, _ = build("corruptor", corruptor, corruptor_params)
    for one in (Case(24, 17, 3), *CASES) if case is None else (case,):
        for seed, image in enumerate(one.images().numpy().transpose(0, 2, 3, 1)):
            _check_on(built, np.ascontiguousarray(image), seed)


def _check_on(corruptor: Any, image: np.ndarray, seed: int) -> None:
    before = image.copy()
    corrupted, mask = corruptor(image, np.random.default_rng(seed))
    again, _ = corruptor(image, np.random.default_rng(seed))
    law(np.array_equal(image, before), "the picture that was given is left as it is")
    law(corrupted.shape == image.shape, "the corrupted picture has the same shape")
    law(corrupted.dtype == np.float32, "the corrupted picture is float32")
    law(corrupted.min() >= 0 and corrupted.max() <= 1, "it stays in [0, 1]")
    law(corrupted.tobytes() == again.tobytes(), "the same seed gives the same bytes")
    law(mask.shape == image.shape[:2] and mask.dtype == bool, "the mask is (h, w) bool")
    law(np.array_equal(mask, (corrupted != image).any(-1)), "the mask marks what changed")
