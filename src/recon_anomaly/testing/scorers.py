"""The laws of a scorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.randomness import seeded
from recon_anomaly.reductions import parts_of, reduce_map
from recon_anomaly.registry import build, resolve
from recon_anomaly.scoring import exact, fit_scorer, make_noise, maps_and_terms, scored_pairs

from .cases import CASES, Case
from .laws import law

__all__ = ["check_scorer"]

_SCORED = ("cae", "cvae", "ganomaly")
_CPU = torch.device("cpu")


def check_scorer(
    scorer: Any, scorer_params: Mapping[str, Any] | None = None, *, case: Case | None = None
) -> None:
    """Check the Scorer contract: maps, terms and scores.

    Pictures are reconstructed by an autoencoder, a variational one, and one that encodes its reconstructions. A scorer
    that needs what one of them does not give may refuse it with an `InputError`, but not all three.

    Parameters
    ----------
    scorer : str or callable
        A registered name or the object.
    scorer_params : mapping, optional
        Its parameters.
    case : Case, optional
        The pictures; by default one after the other of `CASES`, single pixels among them.
    """
    refusals: list[str] = []
    for model in _SCORED:
        for one in CASES if case is None else (case,):
            built, _ = build("scorer", scorer, scorer_params)
            if refusal := _refusal(built, model, one):
                refusals.append(f"{model}: {refusal}")
                break
    law(len(refusals) < len(_SCORED), f"it scores at least one model ({'; '.join(refusals)})")


def _refusal(scorer: Any, model: str, case: Case) -> str:
    """Check what the scorer makes of a model's reconstructions; return why it refuses the model, if it does."""
    builder, _ = resolve("model", f"builtin:{model}")
    with seeded(_CPU, 0):
        network = builder(case.shape).eval()
    images = case.images()
    noise = make_noise(network, scorer, 0, _CPU)
    try:
        fit_scorer(scorer, network, case.batches, noise)
        with exact():
            scorer(*next(iter(scored_pairs(network, images, noise))))
    except InputError as error:
        return str(error)
    try:
        with exact():
            _check_scores(scorer, network, images, noise)
    except InputError as error:
        raise AssertionError(str(error)) from error
    return ""


def _check_scores(scorer: Any, network: Any, images: torch.Tensor, noise: Any) -> None:
    pairs = list(scored_pairs(network, images, noise))
    size = (len(images), *images.shape[-2:])
    for pair in pairs:
        drawn, *added = parts_of(scorer(*pair))
        law(drawn.shape == size, "the map is (n, h, w)")
        law(drawn.dtype == torch.float32, "the map is float32")
        for terms in added:
            law(terms.shape == size[:1] and terms.dtype == torch.float32, "terms are (n,), float32")
    maps, whole = maps_and_terms(network, scorer, images, noise)
    maps_again, whole_again = maps_and_terms(network, scorer, images, noise)
    scores, scores_again = (
        reduce_map(scorer, maps, whole),
        reduce_map(scorer, maps_again, whole_again),
    )
    law(maps.isfinite().all(), "the map is finite")
    law(scores.isfinite().all(), "the score is finite")
    same = torch.equal(maps, maps_again) and torch.equal(scores, scores_again)
    law(same, "scoring twice gives the same bits")
    for target, made in pairs:
        # Cut here, since a network's own rounding may depend on the batch by more than a scorer's.
        cut = [(target[[k]], _one_of(made, k)) for k in range(len(images))]
        alone = torch.cat([reduce_map(scorer, *parts_of(scorer(*one))) for one in cut])
        drawn, *added = parts_of(scorer(target, made))
        difference = (reduce_map(scorer, drawn, *added) - alone).abs()
        # Of numbers of both signs, a sum near zero has the rounding of its parts.
        largest = reduce_map(scorer, drawn.abs(), *(terms.abs() for terms in added)).abs()
        law((difference <= 1e-6 * largest).all(), "a picture's score does not depend on its batch")


def _one_of(reconstruction: Reconstruction, k: int) -> Reconstruction:
    return Reconstruction._make(None if part is None else part[[k]] for part in reconstruction)
