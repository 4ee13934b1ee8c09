"""Weights that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from recon_anomaly.errors import InputError
from recon_anomaly.history import History

__all__ = ["ConstantWeights"]


class ConstantWeights:
    """Give every loss term the same weight in every epoch.

    Parameters
    ----------
    weights : mapping of str to float, optional
        Weights by term; terms that are not named weigh 1. ``{"kl": 4}`` makes a variational
        autoencoder a beta-VAE with beta = 4 (Nakata et al., Eqs. 11 and 12).

    Raises
    ------
    InputError
        When a weight is for a term that the model does not have.

    Examples
    --------
    >>> schedule = ConstantWeights({"kl": 4.0})
    >>> schedule(History(terms=("reconstruction", "kl"), planned_epochs=1))
    {'reconstruction': 1.0, 'kl': 4.0}
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self.weights = dict(weights or {})

    def __call__(self, history: History) -> dict[str, float]:
        """Return the weight of each term."""
        unknown = sorted(set(self.weights) - set(history.terms))
        if unknown:
            raise InputError(
                f"weights are given for {', '.join(unknown)}; the model's terms are: "
                f"{', '.join(history.terms)}"
            )
        return {term: float(self.weights.get(term, 1.0)) for term in history.terms}
