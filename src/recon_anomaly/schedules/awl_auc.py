"""Weights that adapt to the AUC on labelled validation pictures: Nakata et al., section 3.3.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import fmean

from recon_anomaly.checks import at_least, check_number
from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.terms import (
    check_patterns,
    check_terms,
    check_weights,
    proper_subsets,
    weights_by_term,
)

__all__ = ["AUCAdaptiveWeights"]


class AUCAdaptiveWeights:
    """Switch loss terms on and off, pattern by pattern, whenever the AUC has not improved.

    Nakata et al., section 3.3.1, Fig. 4. At epoch 2·``update_every``, and every ``update_every`` epochs
    from there on, the mean AUC of the last ``update_every`` epochs is compared with that of the
    ``update_every`` before, whatever pattern ran in them. Where it is not higher, the next pattern
    comes, after the last one the first again.

    The patterns are those of Tables 1 and 2, for any number of terms: all enabled, then each alone in the
    model's order, then larger proper subsets by size. Where ``update_every`` is as long as the training
    nothing is ever switched, which is the conventional VAE.

    It needs labelled validation pictures, keeps the epoch with the highest AUC, and runs neither
    the plateau rule nor early stopping: switching a term makes the loss jump.

    Parameters
    ----------
    update_every : int, default 3
        Epochs between two comparisons, the paper's F_update.
    patterns : sequence of sequences of str, optional
        The terms that are *enabled*, pattern by pattern, in place of the paper's patterns.
    disabled : float, default 1e-10
        Weight of a term that is not enabled; section 4.1.2 has it above 0 lest the term diverge.
    weights : mapping of str to float, optional
        Weights of terms while they are enabled; those that are not named weigh 1.

    Raises
    ------
    InputError
        When ``update_every`` is no whole number from 1 on, a pattern is empty or names a term that the
        model does not have, ``disabled`` or a weight is negative or infinite, or an epoch has no AUC.

    Examples
    --------
    >>> from recon_anomaly.history import EpochRecord
    >>> schedule = AUCAdaptiveWeights(update_every=1)
    >>> history = History(terms=("reconstruction", "kl"), planned_epochs=3)
    >>> for epoch, auc in [(1, 0.8), (2, 0.7)]:
    ...     history.records.append(EpochRecord(epoch, {}, {}, {}, 1e-4, {"auroc": auc}))
    >>> schedule(history)
    {'reconstruction': 1.0, 'kl': 1e-10}
    """

    needs = ("auroc",)
    keeps = "auroc"
    reduces_learning_rate = False
    stops_early = False

    def __init__(
        self,
        update_every: int = 3,
        patterns: Iterable[Iterable[str]] | None = None,
        disabled: float = 1e-10,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.update_every = at_least("update_every", update_every, 1)
        self.patterns = None if patterns is None else check_patterns(patterns)
        self.disabled = check_number("disabled", disabled, "a small weight from 0 on", 0)
        self.weights = check_weights(weights)

    def __call__(self, history: History) -> dict[str, float]:
        """Return the weight of each term."""
        terms = history.terms
        patterns = self.patterns or (terms, *proper_subsets(terms))
        for pattern in patterns:
            check_terms("a pattern names", pattern, terms)
        enabled = patterns[self._switches(history) % len(patterns)]
        return {
            term: weight if term in enabled else self.disabled
            for term, weight in weights_by_term(self.weights, terms).items()
        }

    def _switches(self, history: History) -> int:
        """Return how often the AUC had not improved."""
        aucs = [_auc(record.epoch, record.figures) for record in history.records]
        size = self.update_every
        means = [fmean(aucs[end - size : end]) for end in range(size, len(aucs) + 1, size)]
        return sum(after <= before for before, after in pairwise(means))


def _auc(epoch: int, figures: Mapping[str, float]) -> float:
    if "auroc" not in figures:
        raise InputError(
            f"epoch {epoch} has no AUC, which this schedule adapts to; give labelled validation pictures, "
            "or use the schedule 'awl-loss', which needs none"
        )
    return figures["auroc"]
