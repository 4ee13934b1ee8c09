"""How well scores tell good pictures from synthetic anomalies: a figure without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .batches import Batches
from .images import range_for
from .registry import build
from .scoring import fit_scorer, make_noise, score_all
from .spoiling import spoiled_batches, spoiled_kinds
from .store import Pictures

__all__ = ["judge"]


def judge(detector: Any, scorers: Sequence[str], good: Pictures, seed: int) -> dict[str, float]:
    """Return, by scorer, the AUROC of synthetic anomalies against good pictures.

    Of each kind of anomaly against all good pictures, then the mean over the kinds, so that none counts more
    than another. A scorer that learns is fitted on the good pictures, and on other anomalies than it is judged by.

    Parameters
    ----------
    detector : BaseDetector
        A fitted one; its own scorer takes no part.
    scorers : sequence of str
        Registered names.
    good : Pictures
        That were not trained on.
    seed : int
        Of the anomalies, see `recon_anomaly.spoiling.spoiled_batches`.

    Examples
    --------
    >>> from recon_anomaly import ReconstructionDetector, make_parts
    >>> train = make_parts(60, 0, 0, 0, image_size=32).train
    >>> detector = ReconstructionDetector("pca", model_params={"n_components": 8}).fit(train[:40])
    >>> found = judge(detector, ["mse", "max1p"], Pictures(train[40:]), seed=0)
    >>> all(0.5 < auroc < 1 for auroc in found.values())
    True
    """
    from sklearn.metrics import roc_auc_score  # a second, and few commands judge

    network, device = detector.network_, detector._device()
    batches = Batches(
        good, range_for(good, detector.pixel_range_), detector.recipe_["batch_size"], device
    )
    kinds = np.array(spoiled_kinds(len(good)))
    found = {}
    for name in scorers:
        scorer, _ = build("scorer", name)
        noise = make_noise(network, scorer, seed, device)
        fit_scorer(scorer, network, batches.in_order, noise, seed)
        of_good = score_all(network, scorer, batches.full(), noise)
        spoiled = spoiled_batches(batches.in_order(), len(good), seed + 1)
        of_bad = score_all(network, scorer, spoiled, noise)
        found[name] = float(
            np.mean(
                [
                    roc_auc_score(
                        np.repeat([0, 1], [len(of_good), (kinds == kind).sum()]),
                        np.concatenate([of_good, of_bad[kinds == kind]]),
                    )
                    for kind in np.unique(kinds)
                ]
            )
        )
    return found
