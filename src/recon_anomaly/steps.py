"""One gradient step: from a batch to loss terms, to gradients, to new weights, and nothing read by the host."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from .batches import Batch
from .blocks import at_least_float32
from .devices import choose_precision
from .errors import InputError, TrainingWarning
from .protocols import Reconstruction
from .randomness import seeded
from .scoring import reconstruct, target_of

__all__ = ["TrainingStep", "gradient_step", "settled_precision"]


class TrainingStep(nn.Module):
    """A network and its losses as one module, pictures in and loss terms out.

    Only the network runs in half precision; the losses are taken in float32 or better.

    Parameters
    ----------
    network : torch.nn.Module
        What is trained.
    precision : torch.dtype
        ``torch.bfloat16`` runs the network under autocast.
    """

    def __init__(self, network: Any, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network
        self.precision = precision

    def forward(
        self, images: Tensor, clean: Tensor, kept: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the unweighted loss terms, scalars by name; parameters are as in `Batch`."""
        half = self.precision is torch.bfloat16
        with torch.autocast(images.device.type, torch.bfloat16) if half else nullcontext():
            reconstruction = reconstruct(self.network, images, kept)
        parts = (None if part is None else at_least_float32(part) for part in reconstruction)
        target = target_of(self.network, clean, kept)
        return dict(self.network.losses(target, Reconstruction._make(parts)))


def gradient_step(
    step: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    weights: Mapping[str, float],
    share: float = 1.0,
) -> dict[str, Tensor]:
    """Move the weights of ``step`` once down the gradient of the weighted sum of its loss terms.

    Parameters
    ----------
    step : TrainingStep
        Alone, or wrapped for several processes.
    optimizer : torch.optim.Optimizer
        Of the network's parameters.
    batch : Batch
        On the network's device.
    weights : mapping of str to float
        Of every loss term.
    share : float
        What the loss of this batch counts: where several processes share a batch and their gradients
        are averaged, the number of its pictures over their mean number.

    Returns
    -------
    dict of str to Tensor
        The unweighted loss terms before the step, without gradients, on the device.
    """
    terms: dict[str, Tensor] = step(batch.images, batch.clean, batch.kept)
    loss = torch.stack([share * weights[name] * term for name, term in terms.items()]).sum()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type here
    optimizer.step()
    return {name: term.detach() for name, term in terms.items()}


def settled_precision(network: Any, images: Tensor, name: str, pixels: int) -> torch.dtype:
    """Return the precision in which ``network`` trains; bfloat16 is tried on ``images`` first.

    Autocast leaves some operations alone, which then meet two types and fail: assigning to an index, say.

    Parameters
    ----------
    network : torch.nn.Module
        On the device of the images; left as it is.
    images : Tensor of shape (n, c, h, w), float32
        Few.
    name, pixels
        As for `choose_precision`.

    Raises
    ------
    InputError
        When bfloat16 was asked for by name, and the network cannot train in it.

    Warns
    -----
    TrainingWarning
        When it cannot, and float32 stands in, since "auto" was asked for.
    """
    precision = choose_precision(name, images.device, pixels)
    if precision is torch.float32:
        return precision
    trial = copy.deepcopy(network).train()  # a copy, since training may change running statistics
    images = images.repeat(2, 1, 1, 1)  # for statistics of a batch, two pictures at the least
    try:
        with seeded(images.device, 0):
            terms = TrainingStep(trial, precision)(images, images)
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        reason = f"{type(network).__name__} cannot train in bfloat16 ({error})"
        if name != "auto":
            raise InputError(f"{reason}; take precision='float32'") from error
        warnings.warn(
            f"{reason}; float32 is used, as with precision='float32'", TrainingWarning, stacklevel=2
        )
        return torch.float32
    return precision
