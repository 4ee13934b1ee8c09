"""Weights that stay as they are."""

from __future__ import annotations

from collections.abc import Mapping

from recon_anomaly.checks import check_choice
from recon_anomaly.history import History
from recon_anomaly.terms import check_weights, weights_by_term

__all__ = ["ConstantWeights"]

KEEPS = ("lowest-loss", "last", "auroc")


class ConstantWeights:
    """Give every loss term the same weight in every epoch.

    Parameters
    ----------
    weights : mapping of str to float, optional
        Weights by term; terms that are not named weigh 1. ``{"kl": 4}`` makes a variational
        autoencoder a beta-VAE with beta = 4 (Nakata et al., Eqs. 11 and 12).
    keeps : {"lowest-loss", "last", "auroc"}, default "lowest-loss"
        Which epoch's weights the network ends with. "auroc" is the one with the highest AUC, which needs
        labelled validation pictures: what a fair comparison with ``awl-auc`` gives the conventional
        training.

    Raises
    ------
    InputError
        When a weight is no finite number from 0 on or for a term that the model does not have, or
        ``keeps`` is unknown.

    Examples
    --------
    >>> schedule = ConstantWeights({"kl": 4.0})
    >>> schedule(History(terms=("reconstruction", "kl"), planned_epochs=1))
    {'reconstruction': 1.0, 'kl': 4.0}
    """

    def __init__(
        self, weights: Mapping[str, float] | None = None, keeps: str = "lowest-loss"
    ) -> None:
        self.weights = check_weights(weights)
        self.keeps = check_choice("keeps", keeps, KEEPS)
        self.needs = ("auroc",) if keeps == "auroc" else ()

    def __call__(self, history: History) -> dict[str, float]:
        """Return the weight of each term."""
        return weights_by_term(self.weights, history.terms)
