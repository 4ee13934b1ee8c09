"""The laws of a scorer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.reductions import parts_of, reduce_map
from recon_anomaly.registry import build, resolve
from recon_anomaly.scoring import (
    exact,
    fit_scorer,
    make_noise,
    maps_and_terms,
    scored_pairs,
)

from .cases import CASES, Case
from .laws import law, left_as_it_was
from .models import fitted_network

__all__ = ["check_scorer"]

_SCORED = ("cae", "cvae", "ganomaly")
_CPU = torch.device("cpu")


def check_scorer(
    scorer: Any,
    scorer_params: Mapping[str, Any] | None = None,
    *,
    model: Any = None,
    model_params: Mapping[str, Any] | None = None,
    case: Case | None = None,
) -> None:
    """Check the Scorer contract: maps, terms and scores, what it learns, and that its tensors are all of that.

    A scorer may refuse with an `InputError` what a model does not give, or pictures that are too small, but not every
    model's reconstructions of every case of `CASES`.

    Parameters
    ----------
    scorer : str or callable
        A registered name or the object.
    scorer_params : mapping, optional
        Its parameters.
    model, model_params : optional
        What reconstructs; by default an autoencoder, a variational one, and one that encodes its reconstructions, one after the
        other.
    case : Case, optional
        The pictures; by default one after the other of `CASES`, single pixels among them.
    """
    models = [f"builtin:{name}" for name in _SCORED] if model is None else [model]
    cases = CASES if case is None else (case,)
    refusals: list[str] = []
    for name in models:
        builder, _ = resolve("model", name)
        for one in cases:
            network = fitted_network(builder, model_params or {}, one)
            built, _ = build("scorer", scorer, scorer_params)
            if refusal := _refusal(copy.deepcopy(built), network, one):
                refusals.append(f"{name}: {refusal}")
    law(
        case or len(refusals) < len(models) * len(cases),
        f"it scores at least one model ({'; '.join(refusals)})",
    )


def _refusal(scorer: Any, network: Any, case: Case) -> str:
    """Check what the scorer makes of a network's reconstructions; return why it refuses the network, if it does."""
    images = case.images()
    noise = make_noise(network, scorer, 0, _CPU)
    fresh = copy.deepcopy(scorer)
    try:
        fit_scorer(scorer, network, case.batches, noise)
        with exact():
            scorer(*next(iter(scored_pairs(network, images, noise))))
    except InputError as error:
        return str(error)
    try:
        if hasattr(scorer, "describe"):
            law(isinstance(scorer.describe(network), Mapping), "describe gives a mapping")
        with exact():
            scores = _check_scores(scorer, network, images, noise)
        if hasattr(scorer, "fit"):
            _check_learning(scorer, fresh, scores, network, case, noise)
    except InputError as error:
        raise AssertionError(str(error)) from error
    return ""


def _check_learning(
    scorer: Any, fresh: Any, scores: Tensor, network: Any, case: Case, noise: Tensor | None
) -> None:
    """Check ``fit`` and what is saved of it, with ``fresh`` ones that learned nothing yet."""
    images = case.images()

    def scored(one: Any) -> Tensor:
        with exact():
            return reduce_map(one, *maps_and_terms(network, one, images, noise))

    def fitted(one: Any, given: Tensor) -> Any:
        fit_scorer(one, network, lambda: torch.split(given, case.batch_size), noise)
        return one

    other = fitted(copy.deepcopy(fresh), images)
    law(torch.equal(scored(other), scores), "the same pictures make the same scorer")
    law(hasattr(scorer, "state_dict"), "what is learned is given by state_dict")
    loaded = copy.deepcopy(fresh)
    loaded.load_state_dict(scorer.state_dict() | getattr(scorer, "frozen_state_dict", dict)())
    law(torch.equal(scored(loaded), scores), "its tensors are all that a scorer learned")
    again, once = (fitted(one, images[:-1]) for one in (scorer, copy.deepcopy(fresh)))
    law(torch.equal(scored(again), scored(once)), "a fit forgets the one before")


def _check_scores(scorer: Any, network: Any, images: Tensor, noise: Tensor | None) -> Tensor:
    pairs = list(scored_pairs(network, images, noise))
    size = (len(images), *images.shape[-2:])
    for pair in pairs:
        with left_as_it_was("target and reconstruction", pair[0], *pair[1]):
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
        parts = [parts_of(scorer(*one)) for one in cut]
        alone = torch.cat([reduce_map(scorer, *one) for one in parts])
        drawn, *added = parts_of(scorer(target, made))
        # A mean: a power of what is near zero makes much of one pixel's rounding.
        apart = (drawn - torch.cat([one[0] for one in parts])).abs().mean()
        law(apart <= 1e-5 * drawn.abs().mean(), "a picture's map does not depend on its batch")
        difference = (reduce_map(scorer, drawn, *added) - alone).abs()
        # Of numbers of both signs, a sum near zero has the rounding of its parts.
        largest = reduce_map(scorer, drawn.abs(), *(terms.abs() for terms in added)).abs()
        law((difference <= 1e-6 * largest).all(), "a picture's score does not depend on its batch")
    return scores


def _one_of(reconstruction: Reconstruction, k: int) -> Reconstruction:
    return Reconstruction._make(None if part is None else part[[k]] for part in reconstruction)
