"""Weights that adapt to the loss, without any labels: Nakata et al., section 3.3.2."""

from __future__ import annotations

import itertools
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from recon_anomaly.checks import at_least, check_choice, check_number
from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.protocols import CRITERIA, Branches, Criterion
from recon_anomaly.ramps import fall
from recon_anomaly.terms import (
    check_patterns,
    check_terms,
    check_weights,
    numeral,
    proper_subsets,
    weights_by_term,
)

__all__ = ["LossAdaptiveWeights"]

RACE = ((0.1, 4), (0.2, 2), (0.5, 1))
"""The default race: after these shares of a stage, that many branches go on.

With seven branches a stage costs 2.2 times a conventional one, and the paper's (100, 150, 200) 1.6 times
a conventional training; later rungs would cost more than that. At the default steepness a falling weight is
at 0.94 of its start at the first rung, at 0.85 at the second and at half at the third. At a steepness of 10
it would be at 0.99 and 0.96, and the first rungs would tell rounding-size differences apart.
``benchmarks/races.py`` shows what the race gives up.
"""

DIRECTIONS = {"falling": ("falls",), "rising": ("rises",), "both": ("falls", "rises")}


class LossAdaptiveWeights:
    r"""Lower the weights of some terms slowly, in several branches, and go on with the best branch.

    Nakata et al., section 3.3.2, Figs. 7 to 9, fully unsupervised. Until the first milestone the training is
    conventional. Then several branches go on from there, up to the next milestone: in the first one, I,
    all weights stay as they are, in each other one those of its pattern fall. The branch with the lowest
    loss goes on, and at each milestone but the last one the same begins anew, from the weights it has by then.

    A weight falls from what it is at the stage's start, *w*, to ``lowest``: epoch *e* of a stage that runs
    from *E* to *E'* has

    .. math:: \text{lowest} + (w - \text{lowest}) \cdot s\left(\frac{e - E}{E' - E}\right)

    with the sigmoid *s* of :func:`recon_anomaly.ramps.fall`. It stops for the rest of the stage, at what it
    was in that epoch, when the slope of its term turns positive: the term's unweighted training value less
    that of the epoch before. The weights of different terms stop independently.

    **Patterns.** Every non-empty proper subset of the terms falls in one branch. For two terms Table 3 lets
    the second one fall in II and the first one in III. For three the paper prints no list, but lets the third
    fall in III, and the first and third in V (section 5.2.1). One rule agrees with both: the terms are
    rotated so that the first comes last; singles come in that order, then larger proper subsets by size,
    those of a size in reverse lexicographic order of the rotated list. Three terms (M, A, D) so have II = A,
    III = D, IV = M, V = D and M, VI = A and M, VII = A and D. Where weights rise, too, the branches have the
    numeral of the same pattern and a plus: II+, III+, …

    The last epoch is kept, and neither the plateau rule nor early stopping runs: all branches of a
    stage have to reach its end.

    Parameters
    ----------
    milestones : sequence of int, default (100, 150, 200)
        The epochs E₁ < E₂ < … at which the conventional part and each stage end; two or more.
    weights : mapping of str to float, optional
        Weights at the start; terms that are not named weigh 1.
    lowest : float, default 1e-10
        What falling weights end at, if their term never rises.
    steepness : float, default 4
        Of the sigmoid; 0 is a straight line. The paper does not give its own. The default moves weights from
        the stage's first epochs on, so that a race has something to see.
    directions : {"falling", "rising", "both"}, default "falling"
        Where the weights of a pattern go; "both" has a branch for each, the falling ones first.
    highest : float, default 10
        What rising weights end at, in multiples of their start in ``weights``, in every stage: a weight
        that fell in one stage can come back in the next.
    window : int, default 1
        The slope is that of the moving average over so many epochs, which may begin before the stage.
    patience : int, default 1
        How many slopes in a row have to be positive, all of them within the stage. Window and patience
        of 1 are the paper; it finds them too sensitive (section 6.2).
    criterion : {"validation-loss", "training-loss"}, default "validation-loss"
        Which loss is the lowest: the unweighted sum of the validation terms, or the weighted sum of the
        training terms, which small weights make small.
    patterns : sequence of sequences of str, optional
        The terms whose weights move, branch by branch, in place of the subsets above.
    race : bool or sequence of (float, int), default True
        Successive halving: after a share of the stage, so many branches go on. True leaves 4 after a
        tenth, 2 after a fifth and 1 after half of it, and so decides early: a falling weight is at
        0.94, 0.85 and 0.5 of its start then, at the default steepness. Where a stage is so short
        that two rungs fall on one epoch, the stricter one stands. False trains every branch to the
        end, as the paper does.

    Raises
    ------
    InputError
        When a parameter is out of its range, a pattern names a term that the model does not have, or the
        history stands on a branch that the schedule does not know.

    Examples
    --------
    >>> schedule = LossAdaptiveWeights(milestones=(1, 3, 5))
    >>> schedule.patterns_of(("reconstruction", "kl"))
    {'I': {}, 'II': {'kl': 'falls'}, 'III': {'reconstruction': 'falls'}}
    >>> schedule(History(terms=("reconstruction", "kl"), planned_epochs=5))
    {'reconstruction': 1.0, 'kl': 1.0}
    """

    keeps = "last"
    reduces_learning_rate = False
    stops_early = False

    def __init__(
        self,
        milestones: Sequence[int] = (100, 150, 200),
        *,
        weights: Mapping[str, float] | None = None,
        lowest: float = 1e-10,
        steepness: float = 4.0,
        directions: Literal["falling", "rising", "both"] = "falling",
        highest: float = 10.0,
        window: int = 1,
        patience: int = 1,
        criterion: Criterion = "validation-loss",
        patterns: Iterable[Iterable[str]] | None = None,
        race: bool | Iterable[tuple[float, int]] = True,
    ) -> None:
        self.milestones = _milestones(milestones)
        self.planned_epochs = self.milestones[-1]
        self.weights = check_weights(weights)
        self.lowest = check_number("lowest", lowest, "a number from 0 on", 0)
        self.highest = check_number("highest", highest, "a number above 1", above=1)
        self.steepness = check_number("steepness", steepness, "a number from 0 on", 0)
        self.directions = check_choice("directions", directions, DIRECTIONS)
        self.criterion = criterion
        check_choice("criterion", criterion, CRITERIA)
        self.window = at_least("window", window, 1)
        self.patience = at_least("patience", patience, 1)
        self.patterns = None if patterns is None else check_patterns(patterns)
        self.race = _race(RACE if race is True else () if race is False else race)
        if not all(self.lowest < start for start in (1, *self.weights.values())):
            raise InputError(
                f"lowest is {lowest!r} and weights is {weights!r}; the lowest has to be from 0 on and "
                "below every weight at the start, 1 where none is given"
            )
        if self.window > self.milestones[0]:
            raise InputError(
                f"window is {window} and the first milestone {self.milestones[0]}; the moving average "
                "needs a window of at most as many epochs before the first stage"
            )
        if self.patterns is not None and len(set(map(frozenset, self.patterns))) < len(
            self.patterns
        ):
            raise InputError(f"patterns is {patterns!r}; give each set of terms once")

    def patterns_of(self, terms: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return, for each branch, the terms whose weights move and "falls" or "rises".

        Parameters
        ----------
        terms : sequence of str
            The model's loss terms, in its order.

        Returns
        -------
        dict of str to dict of str to str
            By the branches' names, in their order; the first one moves nothing.

        Raises
        ------
        InputError
            When a pattern names a term that the model does not have.

        Examples
        --------
        >>> LossAdaptiveWeights(directions="both").patterns_of(("reconstruction", "kl"))["II+"]
        {'kl': 'rises'}
        """
        patterns = self.patterns
        if patterns is None:
            rotated = (*terms[1:], *terms[:1])
            by_size = itertools.groupby(proper_subsets(rotated), len)
            patterns = tuple(
                pattern
                for size, same in by_size
                for pattern in (same if size == 1 else reversed(list(same)))
            )
        for pattern in patterns:
            check_terms("a pattern names", pattern, terms)
        branches: dict[str, dict[str, str]] = {"I": {}}
        for way in DIRECTIONS[self.directions]:
            for number, pattern in enumerate(patterns, 2):
                name = numeral(number) + ("+" if way == "rises" else "")
                branches[name] = dict.fromkeys((t for t in terms if t in pattern), way)
        return branches

    def __call__(self, history: History) -> dict[str, float] | Branches:
        """Return the weight of each term, or the branches of the stage that begins."""
        branches = self.patterns_of(history.terms)
        weights = weights_by_term(self.weights, history.terms)
        # The number of the stage, 0 before the first milestone; what is past the last one belongs to it.
        stage = min(bisect(self.milestones, len(history)), len(self.milestones) - 1)
        if stage > len(history.path) and len(history) == self.milestones[stage - 1]:
            return Branches(
                names=tuple(branches),
                until=self.milestones[stage],
                criterion=self.criterion,
                rungs=self._rungs(stage, len(branches)),
            )
        if stage != len(history.path) or not set(history.path) <= set(branches):
            raise InputError(
                f"after epoch {len(history)} the history is on the path {list(history.path)}; wanted is "
                f"a branch for each stage begun ({stage}), of: {', '.join(branches)}"
            )
        for number, name in enumerate(history.path, 1):
            for term, way in branches[name].items():
                end = self.lowest if way == "falls" else self.highest * self.weights.get(term, 1.0)
                left = fall(self._share(history, number, term), self.steepness)
                weights[term] = end + (weights[term] - end) * left
        return weights

    def _share(self, history: History, stage: int, term: str) -> float:
        """Return how far into a stage a weight has moved, until the next epoch or until it stopped."""
        start, end = self.milestones[stage - 1 : stage + 1]
        values = [record.training[term] for record in history.records[:end]]
        rises = 0
        for epoch in range(start + 1, len(values) + 1):
            # The two moving averages differ in their last and first epoch alone.
            rises = rises + 1 if values[epoch - 1] > values[epoch - 1 - self.window] else 0
            if rises == self.patience:
                return (epoch - start) / (end - start)
        return (min(len(history) + 1, end) - start) / (end - start)

    def _rungs(self, stage: int, branches: int) -> tuple[tuple[int, int], ...]:
        """Return the race's shares of a stage as epochs; of two at one epoch the stricter is left."""
        start, end = self.milestones[stage - 1 : stage + 1]
        rungs = {
            start + max(1, round(share * (end - start))): min(survivors, branches)
            for share, survivors in self.race
        }
        return tuple((epoch, survivors) for epoch, survivors in rungs.items() if epoch < end)


def _milestones(given: Any) -> tuple[int, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"milestones is {given!r}; give epochs E1 < E2 < ..., two or more")
    epochs = tuple(at_least("a milestone", epoch, 1) for epoch in given)
    if len(epochs) < 2 or not all(a < b for a, b in itertools.pairwise(epochs)):
        raise InputError(f"milestones is {list(epochs)}; give epochs E1 < E2 < ..., two or more")
    return epochs


def _race(given: Any) -> tuple[tuple[float, int], ...]:
    wanted = "give True, False or (share of a stage, survivors), the shares ascending in (0, 1)"
    try:
        race = tuple(
            (check_number("a share", share), at_least("survivors", count, 1))
            for share, count in given
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"race is {given!r}; {wanted}: {error}") from error
    shares = [0.0, *(share for share, _ in race), 1.0]
    if not all(a < b for a, b in itertools.pairwise(shares)) or not all(
        a >= b for (_, a), (_, b) in itertools.pairwise(race)
    ):
        raise InputError(f"race is {given!r}; {wanted}, the survivors never more than before")
    return race
