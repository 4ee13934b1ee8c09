"""The weight of the KL term rises during the training, once or in cycles."""

from __future__ import annotations

import math
from typing import Literal

from recon_anomaly.checks import at_least, check_choice, check_number
from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.ramps import fall
from recon_anomaly.terms import check_terms

__all__ = ["KLAnnealing"]

SHAPES = ("monotonic", "cyclical")
STEEPNESS = {"linear": 0.0, "sigmoid": 12.0}


class KLAnnealing:
    r"""Start with a small weight of the KL term and let it rise, lest the term vanish.

    Nakata et al., section 6.2, ask for it. At epoch *t*, counted from 1, the term weighs

    .. math:: \text{lowest} + (\text{highest} - \text{lowest}) \cdot f(\min(\tau / R, 1))

    **Monotonic** (Bowman et al., *Generating Sentences from a Continuous Space*, 2016): :math:`\tau = (t - 1) /
    W` with the warm-up *W* and *R* = 1. **Cyclical** (Fu et al., *Cyclical Annealing Schedule*, 2019,
    Eqs. 6 and 7): :math:`\tau = ((t - 1) \bmod \lceil T/M \rceil) / (T/M)` with *T* planned epochs and *M*
    cycles, in each of which the weight rises for the share *R* and then stays. The ramp *f* is a straight
    line from 0 to 1, or the piece of a sigmoid from :math:`\sigma(-6)` to :math:`\sigma(6)`, stretched so that
    it goes from 0 to 1, too (:func:`recon_anomaly.ramps.fall`).

    The other terms weigh 1. The epoch with the lowest loss is kept: that loss is the unweighted sum, so an
    epoch wins nothing by a small weight. Neither the plateau rule nor early stopping runs, since
    both take a rising weight for a training that gets no further.

    Parameters
    ----------
    term : str, default "kl"
        The term whose weight rises.
    shape : {"monotonic", "cyclical"}, default "monotonic"
        Once, or again and again.
    warm_up : int, optional
        Monotonic only: epochs until the highest weight; half of those planned by default.
    cycles : int, default 4
        Cyclical only: how often it starts anew; at most once an epoch.
    share : float, default 0.5
        Cyclical only: the part of a cycle in which the weight rises, in (0, 1].
    ramp : {"linear", "sigmoid"}, default "linear"
        How it rises.
    highest, lowest : float, default 1 and 0
        Weights at the end and at the start.

    Raises
    ------
    InputError
        When a parameter is out of its range, or the model does not have the term.

    Examples
    --------
    >>> from recon_anomaly.history import EpochRecord
    >>> schedule, history = KLAnnealing(warm_up=4), History(("reconstruction", "kl"), 8)
    >>> given = []
    >>> for epoch in range(1, 7):
    ...     given.append(schedule(history)["kl"])
    ...     history.records.append(EpochRecord(epoch, {}, {}, {}, 1e-4))
    >>> given
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    reduces_learning_rate = False
    stops_early = False

    def __init__(
        self,
        term: str = "kl",
        *,
        shape: Literal["monotonic", "cyclical"] = "monotonic",
        warm_up: int | None = None,
        cycles: int = 4,
        share: float = 0.5,
        ramp: Literal["linear", "sigmoid"] = "linear",
        highest: float = 1.0,
        lowest: float = 0.0,
    ) -> None:
        if not isinstance(term, str):
            raise InputError(f"term is {term!r}; give the name of a loss term, such as 'kl'")
        self.term = term
        self.shape = check_choice("shape", shape, SHAPES)
        self.ramp = check_choice("ramp", ramp, STEEPNESS)
        self.share = check_number("share", share, "a number in (0, 1]", most=1, above=0)
        self.highest = check_number("highest", highest)
        self.lowest = check_number("lowest", lowest, "a number from 0 on", 0)
        if self.lowest >= self.highest:
            raise InputError(
                f"lowest is {lowest!r} and highest {highest!r}; give 0 <= lowest < highest"
            )
        self.warm_up = None if warm_up is None else at_least("warm_up", warm_up, 1)
        self.cycles = at_least("cycles", cycles, 1)

    def __call__(self, history: History) -> dict[str, float]:
        """Return the weight of each term."""
        check_terms("the KL term is called", [self.term], history.terms)
        left = fall(1.0 - min(self._progress(history), 1.0), STEEPNESS[self.ramp])
        weights = dict.fromkeys(history.terms, 1.0)
        weights[self.term] = self.lowest + (self.highest - self.lowest) * left
        return weights

    def _progress(self, history: History) -> float:
        """Return how far up the ramp the next epoch stands: 0 at its foot, from 1 on at its top."""
        if self.shape == "monotonic":
            return len(history) / (self.warm_up or history.planned_epochs / 2)
        if self.cycles > history.planned_epochs:
            raise InputError(
                f"cycles is {self.cycles}, of {history.planned_epochs} epochs; give at most one an epoch"
            )
        length = history.planned_epochs / self.cycles
        return len(history) % math.ceil(length) / length / self.share
