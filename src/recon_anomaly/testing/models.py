"""The laws of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from recon_anomaly.randomness import seeded
from recon_anomaly.registry import build_network, resolve
from recon_anomaly.scoring import exact, reconstruct, scored_pairs, target_of

from .cases import CASES, Case
from .laws import law

__all__ = ["check_model"]

_CPU = torch.device("cpu")


def check_model(
    model: Any, model_params: Mapping[str, Any] | None = None, *, case: Case | None = None
) -> None:
    """Check the Model contract: reconstructions, draws, loss terms, and what a closed-form fit keeps.

    Parameters
    ----------
    model : str or callable
        A registered name or the object.
    model_params : mapping, optional
        Its parameters.
    case : Case, optional
        The pictures; by default one after the other of `CASES`, odd shapes and single pixels among them.
    """
    builder, _ = resolve("model", model)
    for one in CASES if case is None else (case,):
        _check_on(builder, dict(model_params or {}), one)


def _check_on(builder: Any, params: dict[str, Any], case: Case) -> None:
    network = _fitted(builder, params, case)
    images = case.images()
    with exact():
        target, whole = target_of(network, images), reconstruct(network, images)
        law(whole.mean.shape == target.shape, "the reconstruction has the shape of the target")
        again = reconstruct(network, images)
        cuts = [
            torch.cat([reconstruct(network, cut).mean for cut in torch.split(images, size)])
            for size in {1, case.batch_size}
        ]
        terms = network.losses(target, whole)
    law(whole.mean.isfinite().all(), "the reconstruction is finite")
    law(torch.equal(whole.mean, again.mean), "scoring twice gives the same bits")
    # Of the largest value: features have no unit, and some of them lie around zero.
    largest = torch.maximum(target.abs().max(), whole.mean.abs().max())
    law(
        all(bool((whole.mean - cut).abs().max() <= 1e-5 * largest) for cut in cuts),
        "a picture's reconstruction does not depend on its batch",
    )
    law(len(terms) > 0, "there is at least one loss term")
    for name, term in terms.items():
        law(term.ndim == 0 and bool(term.isfinite()), f"the term {name!r} is a finite scalar")
    if hasattr(network, "draw"):
        _check_draws(network, images, target)
    if hasattr(network, "fit_batches"):
        fewer = _fitted(builder, params, case, count=4)
        shapes = [
            {name: tensor.shape for name, tensor in each.state_dict().items()}
            for each in (network, fewer)
        ]
        law(shapes[0] == shapes[1], "the shapes that are kept follow from the parameters")


def _check_draws(network: Any, images: torch.Tensor, target: torch.Tensor) -> None:
    noise = torch.randn(3, network.latent_size, generator=torch.Generator().manual_seed(0))
    with exact():
        draws = [made.mean for _, made in scored_pairs(network, images, noise)]
        law(len(draws) == len(noise), "draw gives a reconstruction for each row")
        law(
            all(made.shape == target.shape for made in draws),
            "each draw is a reconstruction of all pictures",
        )
        repeated = [made.mean for _, made in scored_pairs(network, images, noise)]
        single = [made.mean for _, made in scored_pairs(network, images[:1], noise)]
    law(
        all(torch.equal(made, other) for made, other in zip(draws, repeated, strict=True)),
        "a draw depends on the pictures and the row alone",
    )
    law(
        all(
            torch.allclose(made[:1], other, rtol=1e-5, atol=1e-6)
            for made, other in zip(draws, single, strict=True)
        ),
        "a draw does not depend on the batch",
    )


def _fitted(builder: Any, params: dict[str, Any], case: Case, count: int | None = None) -> Any:
    """Return a network of its own, fitted in closed form where it is, to the first ``count`` pictures."""
    with seeded(_CPU, 0):
        network = build_network(builder, case.shape, params)
    if hasattr(network, "fit_batches"):
        with torch.no_grad():
            network.fit_batches(list(torch.split(case.images()[:count], case.batch_size)))
    return network.eval()
