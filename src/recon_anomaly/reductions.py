"""From what a scorer returns to scores: a reduction of the map, in float64, plus the terms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .protocols import MapAndTerms, Reconstruction, Scorer

__all__ = ["maps_and_scores", "parts_of", "reduce_map", "reduction_of"]

# Means and sums on the CPU: float64 is missing on some devices, and the order of a sum is then always the
# same. A maximum is the same number everywhere, and found without a copy of the maps.
_REDUCTIONS = {
    "max": lambda maps: maps.flatten(1).amax(1).cpu().double(),
    "mean": lambda maps: maps.cpu().double().flatten(1).mean(1),
    "sum": lambda maps: maps.cpu().double().flatten(1).sum(1),
}


def parts_of(returned: Any) -> tuple[Tensor, ...]:
    """Return the map that a scorer returned, and the terms where it gave a `MapAndTerms`.

    Raises
    ------
    InputError
        When it returned something else than tensors.
    """
    parts = tuple(returned) if isinstance(returned, MapAndTerms) else (returned,)
    for part in parts:
        if not isinstance(part, Tensor):
            raise InputError(
                f"the scorer gave a {type(part).__name__}; a torch tensor is wanted, or a "
                "recon_anomaly.MapAndTerms of two"
            )
    return parts


def reduction_of(scorer: Scorer) -> str | None:
    """Return by which name the scorer's map becomes its score; None where it does that itself.

    Examples
    --------
    >>> from recon_anomaly.registry import build
    >>> [reduction_of(build("scorer", name)[0]) for name in ("mse", "elbo", "top-k")]
    ['mean', 'sum', None]
    """
    if getattr(scorer, "reduce", None) is not None:
        return None
    name: str = getattr(scorer, "reduction", "mean")
    return name


def reduce_map(scorer: Scorer, maps: Tensor, terms: Tensor | None = None) -> Tensor:
    """Return the anomaly scores (n,), float64 on the CPU: the scorer's reduction of its maps, plus the terms.

    Parameters
    ----------
    scorer : Scorer
        Its ``reduce`` is taken, if it has one, else its ``reduction`` by name.
    maps : Tensor of shape (n, h, w)
        What it returned.
    terms : Tensor of shape (n,), optional
        What it returned beside them.

    Raises
    ------
    InputError
        When the name is unknown, or ``reduce`` returns something else than (n,) in float64 on the CPU.

    Examples
    --------
    >>> from recon_anomaly.registry import build
    >>> scorer, _ = build("scorer", "mse")
    >>> reduce_map(scorer, torch.tensor([[[1.0, 2.0]]]), torch.tensor([10.0]))
    tensor([11.5000], dtype=torch.float64)
    """
    name = reduction_of(scorer)
    if name is None:
        reducing: Any = scorer
        scores = reducing.reduce(maps)
        # Sizes are compared and not their names: in a graph that is exported they are symbols.
        if (
            not isinstance(scores, Tensor)
            or (scores.dtype, scores.device.type) != (torch.float64, "cpu")
            or scores.shape != maps.shape[:1]
        ):
            got = type(scores).__name__
            if isinstance(scores, Tensor):
                got = f"{scores.dtype} of shape {tuple(scores.shape)} on {scores.device.type}"
            raise InputError(
                f"the scorer's reduce gave {got}; a tensor of shape ({len(maps)},), in float64 and on the "
                "CPU, is wanted"
            )
    else:
        if name not in _REDUCTIONS:
            known = ", ".join(sorted(_REDUCTIONS))
            raise InputError(f"the scorer's reduction {name!r} is unknown; it may be: {known}")
        scores = _REDUCTIONS[name](maps)
    found: Tensor = scores if terms is None else scores + terms.cpu().double()
    return found


def maps_and_scores(
    scorer: Scorer, target: Tensor, reconstruction: Reconstruction
) -> tuple[Tensor, Tensor]:
    """Return the maps (n, h, w) of one pair, and their scores (n,), float64 on the CPU.

    At the size of the target and without draws, for whoever has a scorer in hand; a detector's maps and scores are
    those of `recon_anomaly.scoring`.

    Examples
    --------
    >>> from recon_anomaly.registry import build
    >>> scorer, _ = build("scorer", "max1p")
    >>> image = torch.tensor([[[[0.0, 0.5]]]])
    >>> maps_and_scores(scorer, image, Reconstruction(torch.zeros(1, 1, 1, 2)))[1]
    tensor([0.5000], dtype=torch.float64)
    """
    maps, *terms = parts_of(scorer(target, reconstruction))
    return maps, reduce_map(scorer, maps, *terms)
