"""Conformance checks for plugin authors: plain functions, each a law in one sentence.

``check_model("my-model")`` and its three siblings raise AssertionError with the law that does not
hold. The built-ins pass the same checks.

Examples
--------
>>> check_model("cae")
>>> check_scorer("max1p")
>>> check_corruptor("gaussian")
>>> check_schedule("constant")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from .errors import InputError
from .history import EpochRecord, History
from .protocols import Branches, Reconstruction
from .randomness import seeded
from .reductions import parts_of, reduce_map
from .registry import build, build_network, resolve
from .scoring import (
    exact,
    fit_scorer,
    make_noise,
    maps_and_terms,
    reconstruct,
    scored_pairs,
    target_of,
)

__all__ = ["check_corruptor", "check_model", "check_schedule", "check_scorer"]

_SHAPES = ((16, 16, 1), (13, 9, 3), (1, 1, 1))
_SCORED = ("cae", "cvae", "ganomaly")
_CPU = torch.device("cpu")


def check_model(model: Any, model_params: Mapping[str, Any] | None = None) -> None:
    """Check the Model contract on pictures of several shapes, odd ones and single pixels among them.

    Parameters
    ----------
    model : str or callable
        A registered name or the object.
    model_params : mapping, optional
        Its parameters.
    """
    builder, _ = resolve("model", model)
    for shape in _SHAPES:
        with seeded(_CPU, 0):
            network = build_network(builder, shape, dict(model_params or {}))
        images = _images(6, shape)
        _fit(network, images)
        with exact():
            target, whole = target_of(network, images), reconstruct(network, images)
            _law(whole.mean.shape == target.shape, "the reconstruction has the shape of the target")
            again = reconstruct(network, images)
            alone = torch.cat([reconstruct(network, image[None]).mean for image in images])
            terms = network.losses(target, whole)
        _law(whole.mean.isfinite().all(), "the reconstruction is finite")
        _law(torch.equal(whole.mean, again.mean), "scoring twice gives the same bits")
        _law(
            # Of the largest value: features have no unit, and some of them lie around zero.
            bool((whole.mean - alone).abs().max() <= 1e-5 * target.abs().max()),
            "a picture's reconstruction does not depend on its batch",
        )
        _law(len(terms) > 0, "there is at least one loss term")
        for name, term in terms.items():
            _law(term.ndim == 0 and bool(term.isfinite()), f"the term {name!r} is a finite scalar")
        if hasattr(network, "draw"):
            noise = torch.randn(3, network.latent_size, generator=torch.Generator().manual_seed(0))
            with exact():
                draws = [made.mean for _, made in scored_pairs(network, images, noise)]
                _law(len(draws) == len(noise), "draw gives a reconstruction for each row")
                _law(
                    all(made.shape == target.shape for made in draws),
                    "each draw is a reconstruction of all pictures",
                )
                repeated = [made.mean for _, made in scored_pairs(network, images, noise)]
                single = [made.mean for _, made in scored_pairs(network, images[:1], noise)]
            _law(
                all(torch.equal(made, other) for made, other in zip(draws, repeated, strict=True)),
                "a draw depends on the pictures and the row alone",
            )
            _law(
                all(
                    torch.allclose(made[:1], other, rtol=1e-5, atol=1e-6)
                    for made, other in zip(draws, single, strict=True)
                ),
                "a draw does not depend on the batch",
            )
        if hasattr(network, "fit_batches"):
            with seeded(_CPU, 0):
                fresh = build_network(builder, shape, dict(model_params or {}))
            _fit(fresh, images[:4])
            shapes = [
                {name: tensor.shape for name, tensor in each.state_dict().items()}
                for each in (network, fresh)
            ]
            _law(shapes[0] == shapes[1], "the shapes that are kept follow from the parameters")


def check_scorer(scorer: Any, scorer_params: Mapping[str, Any] | None = None) -> None:
    """Check the Scorer contract: maps and scores of pictures of several shapes, single pixels among them.

    They are reconstructed by an autoencoder, a variational one, and one that encodes its reconstructions. A scorer
    that needs what one of them does not give may refuse it with an `InputError`, but not all three.

    Parameters
    ----------
    scorer : str or callable
        A registered name or the object.
    scorer_params : mapping, optional
        Its parameters.
    """
    refusals: list[str] = []
    for model in _SCORED:
        builder, _ = resolve("model", f"builtin:{model}")
        for shape in _SHAPES:
            built, _ = build("scorer", scorer, scorer_params)
            with seeded(_CPU, 0):
                network = builder(shape).eval()
            images = _images(6, shape)
            noise = make_noise(network, built, 0, _CPU)
            try:
                fit_scorer(built, network, partial(list, [images]), noise)
                with exact():
                    built(*next(iter(scored_pairs(network, images, noise))))
            except InputError as error:
                refusals.append(f"{model}: {error}")
                break
            try:
                with exact():
                    _check_scores(built, network, images, noise)
            except InputError as error:
                raise AssertionError(str(error)) from error
    _law(len(refusals) < len(_SCORED), f"it scores at least one model ({'; '.join(refusals)})")


def _check_scores(scorer: Any, network: Any, images: torch.Tensor, noise: Any) -> None:
    pairs = list(scored_pairs(network, images, noise))
    size = (len(images), *images.shape[-2:])
    for pair in pairs:
        drawn, *added = parts_of(scorer(*pair))
        _law(drawn.shape == size, "the map is (n, h, w)")
        _law(drawn.dtype == torch.float32, "the map is float32")
        for terms in added:
            _law(
                terms.shape == size[:1] and terms.dtype == torch.float32, "terms are (n,), float32"
            )
    maps, whole = maps_and_terms(network, scorer, images, noise)
    maps_again, whole_again = maps_and_terms(network, scorer, images, noise)
    scores, scores_again = (
        reduce_map(scorer, maps, whole),
        reduce_map(scorer, maps_again, whole_again),
    )
    _law(maps.isfinite().all(), "the map is finite")
    _law(scores.isfinite().all(), "the score is finite")
    same = torch.equal(maps, maps_again) and torch.equal(scores, scores_again)
    _law(same, "scoring twice gives the same bits")
    for target, made in pairs:
        # Cut here, since a network's own rounding may depend on the batch by more than a scorer's.
        cut = [(target[[k]], _one_of(made, k)) for k in range(len(images))]
        alone = torch.cat([reduce_map(scorer, *parts_of(scorer(*one))) for one in cut])
        drawn, *added = parts_of(scorer(target, made))
        difference = (reduce_map(scorer, drawn, *added) - alone).abs()
        # Of numbers of both signs, a sum near zero has the rounding of its parts.
        largest = reduce_map(scorer, drawn.abs(), *(terms.abs() for terms in added)).abs()
        _law((difference <= 1e-6 * largest).all(), "a picture's score does not depend on its batch")


def _one_of(reconstruction: Reconstruction, k: int) -> Reconstruction:
    return Reconstruction._make(None if part is None else part[[k]] for part in reconstruction)


def check_corruptor(corruptor: Any, corruptor_params: Mapping[str, Any] | None = None) -> None:
    """Check the Corruptor contract on gray and coloured pictures, down to a single pixel."""
    built, _ = build("corruptor", corruptor, corruptor_params)
    for shape in ((24, 17, 3), *_SHAPES):
        image = np.random.default_rng(1).random(shape, dtype=np.float32)
        before = image.copy()
        corrupted, mask = built(image, np.random.default_rng(2))
        again, _ = built(image, np.random.default_rng(2))
        _law(np.array_equal(image, before), "the picture that was given is left as it is")
        _law(corrupted.shape == shape, "the corrupted picture has the same shape")
        _law(corrupted.dtype == np.float32, "the corrupted picture is float32")
        _law(corrupted.min() >= 0 and corrupted.max() <= 1, "it stays in [0, 1]")
        _law(corrupted.tobytes() == again.tobytes(), "the same seed gives the same bytes")
        _law(mask.shape == shape[:2] and mask.dtype == bool, "the mask is (h, w) bool")
        _law(np.array_equal(mask, (corrupted != image).any(-1)), "the mask marks what changed")


def check_schedule(schedule: Any, schedule_params: Mapping[str, Any] | None = None) -> None:
    """Check the WeightSchedule contract epoch by epoch, over 20 or what the schedule lays out, with two terms.

    Where it asks for branches, the last of them is followed.
    """
    built, _ = build("schedule", schedule, schedule_params)
    needed = getattr(built, "needs", ())
    planned = getattr(built, "planned_epochs", 20)
    history = History(("reconstruction", "kl"), planned)
    given: list[tuple[tuple[str, ...], Mapping[str, float] | Branches]] = []
    for epoch in range(1, planned + 1):
        before = history.to_dict()
        answer = built(history)
        if isinstance(answer, Branches):
            _law(
                len(set(answer.names)) == len(answer.names) > 0,
                "branches have names, each its own",
            )
            _law(epoch <= answer.until <= planned, "branches end within the planned epochs")
            given.append((history.path, answer))
            history.path = (*history.path, answer.names[-1])
            before = history.to_dict()
            answer = built(history)
            _law(not isinstance(answer, Branches), "inside a branch the schedule gives weights")
        weights = dict(answer)
        _law(set(weights) == set(history.terms), "each term has a weight")
        _law(
            all(np.isfinite(weight) and weight >= 0 for weight in weights.values()),
            "weights are finite and not negative",
        )
        _law(built(history) == weights, "the same history gives the same weights")
        _law(history.to_dict() == before, "the history is left as it is")
        given.append((history.path, weights))
        terms = {"reconstruction": 10 / epoch, "kl": 1 + 0.1 * (epoch % 3)}
        figures = dict.fromkeys(needed, 0.5 + 0.02 * (epoch % 5))
        history.records.append(
            EpochRecord(epoch, terms, terms, weights, 0.001, figures, path=history.path)
        )
    epochs = planned
    for path, answer in reversed(given):
        epochs -= not isinstance(answer, Branches)
        # Branches are asked for at the very epoch that their first weights are for.
        records = history.records[:epochs]
        earlier = History(history.terms, planned, records, path=path)
        _law(built(earlier) == answer, "the same history gives the same weights")


def _fit(network: Any, images: torch.Tensor) -> None:
    if hasattr(network, "fit_batches"):
        with torch.no_grad():
            network.fit_batches([images])
    network.eval()


def _images(count: int, shape: tuple[int, int, int]) -> torch.Tensor:
    height, width, channels = shape
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(3))


def _law(holds: Any, law: str) -> None:
    if not holds:
        raise AssertionError(law)


CHECKS: dict[str, Callable[..., None]] = {
    "corruptor": check_corruptor,
    "model": check_model,
    "schedule": check_schedule,
    "scorer": check_scorer,
}
