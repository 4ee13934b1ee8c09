"""The laws of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.randomness import seeded
from recon_anomaly.registry import build_network, resolve
from recon_anomaly.scoring import exact, frozen_of, reconstruct, scored_pairs, target_of
from recon_anomaly.steps import TrainingStep

from .cases import CASES, Case
from .laws import law, left_as_it_was

__all__ = ["check_model", "fitted_network"]

_CPU = torch.device("cpu")


def check_model(
    model: Any, model_params: Mapping[str, Any] | None = None, *, case: Case | None = None
) -> None:
    """Check the Model contract: what a network reconstructs, how it trains, and that its tensors are all that it is.

    A model may refuse pictures with an `InputError`, such as coloured ones, but not those of every case of `CASES`.

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
    params = dict(model_params or {})
    refusals = []
    for one in CASES if case is None else (case,):
        try:
            network = fitted_network(builder, params, one)
        except InputError as error:
            refusals.append(str(error))
        else:
            _check_on(network, fitted_network(builder, params, one, fewer=1), one)
    law(case or len(refusals) < len(CASES), f"it takes pictures of one case ({refusals[-1:]})")


def fitted_network(
    builder: Any, params: Mapping[str, Any], case: Case, fewer: int = 0, seed: int = 0
) -> Any:
    """Return a network for the pictures of a case, fitted where that is in closed form, to all but the last ``fewer``."""
    with seeded(_CPU, seed + fewer):
        before = torch.initial_seed()
        network = build_network(builder, case.shape, params)
        law(torch.initial_seed() == before, "the builder leaves torch's seed alone")
    law(isinstance(network, nn.Module), "the network is a torch.nn.Module")
    if hasattr(network, "fit_batches"):
        with torch.no_grad():
            network.fit_batches(_Batches(case, fewer))
    return network.eval()


class _Batches:
    """An iterable of batches and no list: neither a length nor places."""

    def __init__(self, case: Case, fewer: int) -> None:
        self._images = case.images()[: case.count - fewer]
        self._size = case.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        yield from torch.split(self._images, self._size)


def _check_on(network: Any, other: Any, case: Case) -> None:
    images = case.images()
    with exact(), left_as_it_was("the pictures", images):
        target, whole = target_of(network, images), reconstruct(network, images)
        again = reconstruct(network, images)
        _check_parts(whole, target)
        terms = network.losses(target, whole)
    law(_equal(whole, again), "scoring twice gives the same bits")
    law(len(terms) > 0, "there is at least one loss term")
    for name, term in terms.items():
        law(
            term.ndim == 0 and bool(term.detach().isfinite()),
            f"the term {name!r} is a finite scalar",
        )
    _check_batches(network, images, target, whole, case.batch_size)
    if hasattr(network, "draw"):
        _check_draws(network, images, target)
    if hasattr(network, "frozen"):
        _check_frozen(network, images, target, whole)
    state = network.state_dict()
    shapes = [
        {name: kept.shape for name, kept in one.items()} for one in (state, other.state_dict())
    ]
    law(shapes[0] == shapes[1], "the shapes that are kept follow from the parameters")
    other.load_state_dict(state)
    with exact():
        law(_equal(whole, reconstruct(other, images)), "its tensors are all that a network learned")
    if not hasattr(network, "fit_batches"):
        _check_training(network, images)


def _check_batches(
    network: Any, images: Tensor, target: Tensor, whole: Reconstruction, batch_size: int
) -> None:
    # Of the largest values: features have no unit, and some of them lie around zero.
    largest = max(float(target.abs().max()), float(whole.mean.abs().max()))
    for size in {1, batch_size}:
        with exact():
            cuts = [reconstruct(network, cut) for cut in torch.split(images, size)]
        for name, part in _parts(whole).items():
            found = torch.cat([getattr(cut, name) for cut in cuts])
            own = largest if name == "mean" else float(part.abs().max())
            # A small code is what large pictures come to, and has their rounding.
            close = (part - found).abs().max() <= 1e-5 * own + 1e-7 * largest
            law(bool(close), f"a picture's {name} does not depend on its batch")


def _check_parts(whole: Reconstruction, target: Tensor) -> None:
    law(whole.mean.shape == target.shape, "the reconstruction has the shape of the target")
    for name, part in _parts(whole).items():
        law(part.dtype == torch.float32, f"the {name} is float32")
        law(part.isfinite().all(), f"the {name} of the reconstruction is finite")
        law(len(part) == len(target), f"the {name} has a row for each picture")
    if whole.log_variance is not None:
        law(whole.log_variance.shape == target.shape, "the log_variance has the shape of the mean")
    if whole.latent_log_variance is not None:
        law(
            whole.latent_mean is not None
            and whole.latent_log_variance.shape == whole.latent_mean.shape,
            "the latent_log_variance has the shape of the latent_mean",
        )


def _check_frozen(network: Any, images: Tensor, target: Tensor, whole: Reconstruction) -> None:
    with exact():
        kept = frozen_of(network, images)
        law(not kept.requires_grad, "the frozen part has no gradients")
        law(
            _equal(whole, reconstruct(network, images, kept)),
            "what the frozen part gave, kept, changes nothing",
        )
        if hasattr(network, "target"):
            law(
                torch.equal(target, target_of(network, images, kept)),
                "what the frozen part gave, kept, does not change the target",
            )


def _check_training(network: Any, images: Tensor) -> None:
    with seeded(_CPU, 0):
        terms = TrainingStep(network.train(), torch.float32)(images, images)
        loss = torch.stack(list(terms.values())).sum()
    law(loss.requires_grad, "the loss terms have gradients")
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type here
    gradients = [one.grad for one in network.parameters() if one.grad is not None]
    law(len(gradients) > 0, "a gradient reaches a parameter")
    law(all(bool(one.isfinite().all()) for one in gradients), "gradients are finite")


def _check_draws(network: Any, images: Tensor, target: Tensor) -> None:
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


def _parts(made: Reconstruction) -> dict[str, Tensor]:
    return {name: part for name, part in made._asdict().items() if part is not None}


def _equal(one: Reconstruction, other: Reconstruction) -> bool:
    parts, others = _parts(one), _parts(other)
    return parts.keys() == others.keys() and all(
        torch.equal(parts[name], others[name]) for name in parts
    )
