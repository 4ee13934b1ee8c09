"""How well scores tell good pictures from synthetic anomalies: a figure without labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .batches import Batch, Batches
from .images import range_for
from .registry import build
from .scoring import (
    exact,
    fit_scorer,
    make_noise,
    maps_and_terms,
    reduce_map,
    reusing,
    scored_pairs,
)
from .spoiling import spoiled_batches, spoiled_kinds
from .store import Pictures

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["judge"]


def judge(detector: Any, scorers: Sequence[str], good: Pictures, seed: int) -> dict[str, float]:
    """Return, by scorer, the AUROC of synthetic anomalies against good pictures.

    The good pictures are halved, every second one to each half. Of a half, each kind of anomaly is told from all
    good pictures; the figure is the mean over kinds and halves, so that none counts more than another. A scorer that
    learns is fitted on the other half, so that it, too, is judged on pictures that it has not seen; and one that
    learns from anomalies is judged on each kind after it was fitted on the other kinds, since what it is to find
    later is of no kind that it has seen. A lone picture is both halves.

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
    halves = [good.take(np.arange(start, len(good), 2)) for start in (0, 1)]
    if len(good) == 1:
        halves = [good, good]
    figures = [
        _aurocs(detector, scorers, half, other, seed + number)
        for number, (half, other) in enumerate((halves, halves[::-1]))
    ]
    return dict(zip(scorers, np.mean(figures, 0).tolist(), strict=True))


def _aurocs(
    detector: Any, names: Sequence[str], good: Pictures, others: Pictures, seed: int
) -> list[float]:
    """Return the figure of each scorer on ``good``, fitted on ``others``."""
    from sklearn.metrics import roc_auc_score  # a second, and few commands judge

    network, device = detector.network_, detector._device()
    judged, learned = (
        Batches(
            half, range_for(half, detector.pixel_range_), detector.recipe_["batch_size"], device
        )
        for half in (good, others)
    )
    kinds = np.array(spoiled_kinds(len(good)))
    # One for all kinds, or one for each that it was fitted without.
    columns: list[tuple[str, str | None]] = []
    scorers, noises = [], []
    for name in names:
        learns = getattr(build("scorer", name)[0], "learns_from_spoiled", False)
        for kind in np.unique(kinds).tolist() if learns else [None]:
            scorer, _ = build("scorer", name)
            noise = make_noise(network, scorer, seed, device)
            fit_scorer(scorer, network, learned.in_order, noise, seed, kind)
            columns.append((name, kind))
            scorers.append(scorer)
            noises.append(noise)
    of_good = _scores(network, scorers, noises, judged.in_order())
    spoiled = spoiled_batches(judged.in_order(), len(good), seed)
    of_bad = _scores(network, scorers, noises, spoiled)

    def auroc(name: str, kind: str) -> float:
        column = next(k for k, one in enumerate(columns) if one in ((name, None), (name, kind)))
        fine, bad = of_good[:, column], of_bad[kinds == kind, column]
        labels = np.repeat([0, 1], [len(fine), len(bad)])
        return float(roc_auc_score(labels, np.concatenate([fine, bad])))

    return [float(np.mean([auroc(name, kind) for kind in np.unique(kinds)])) for name in names]


def _scores(
    network: Any, scorers: Sequence[Any], noises: Sequence[Tensor | None], batches: Iterable[Batch]
) -> np.ndarray:
    """Return the scores (n, scorers); those that draw no latents share one reconstruction."""
    rows = []
    for batch in reusing(batches):
        images, kept = batch.images, batch.kept
        with exact():
            pairs = list(scored_pairs(network, images, None, kept))
            found = [
                maps_and_terms(
                    network, scorer, images, noise, kept, pairs if noise is None else None
                )
                for scorer, noise in zip(scorers, noises, strict=True)
            ]
            scores = [reduce_map(one, *parts) for one, parts in zip(scorers, found, strict=True)]
        rows.append(np.stack([one.numpy() for one in scores], 1))
    return np.concatenate(rows)
