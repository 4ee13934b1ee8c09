"""Several schedules at once: their weights are multiplied."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.protocols import Branches
from recon_anomaly.registry import build

__all__ = ["CombinedWeights"]


class CombinedWeights:
    """Multiply the weights that several schedules give, term by term.

    KL annealing with adaptive weights, as Nakata et al. wish for in section 6.2, is the default. Since a
    schedule never reads which weights were used, each one does what it would do alone on the same losses.

    Where one of the schedules asks for branches, the training branches, and the others weigh inside of the
    branches, too; its ``patterns_of`` then is this one's. What schedules say about the training is joined:

    ==================================================  ===================================================
    ``needs``                                           what any of them needs
    ``reduces_learning_rate``, ``stops_early``          only where all of them do
    ``planned_epochs``                                  of those that lay out a number, which has to be one
    ``keeps``                                           of those that keep another epoch than the lowest loss
    ``parts``                                           the registered names, and the parts of parts
    ==================================================  ===================================================

    Parameters
    ----------
    schedules : sequence
        Names, pairs of a name and its parameters, or schedules themselves; any may be a plugin's.

    Raises
    ------
    InputError
        When there is none, one does not take its parameters, two lay out different numbers of
        epochs or keep different ones, or more than one asks for branches.

    Examples
    --------
    >>> schedule = CombinedWeights(["kl-annealing", ["constant", {"weights": {"kl": 4}}]])
    >>> history = History(("reconstruction", "kl"), 4)
    >>> schedule(history)
    {'reconstruction': 1.0, 'kl': 0.0}
    """

    def __init__(self, schedules: Iterable[Any] = ("kl-annealing", "awl-loss")) -> None:
        wanted = 'give a list of names or [name, parameters], such as ["kl-annealing", "awl-loss"]'
        if isinstance(schedules, str) or not isinstance(schedules, Iterable):
            raise InputError(f"schedules is {schedules!r}; {wanted}")
        found = [_built(schedule, wanted) for schedule in schedules]
        if not found:
            raise InputError(f"schedules is empty; {wanted}")
        self._parts = tuple(part for part, _ in found)
        self.parts = tuple(
            dict.fromkeys(
                one
                for part, name in found
                for one in (*((name,) if name else ()), *getattr(part, "parts", ()))
            )
        )
        built = [(name or repr(part), part) for part, name in found]
        self.needs = tuple(
            dict.fromkeys(figure for part in self._parts for figure in getattr(part, "needs", ()))
        )
        self.keeps = _agreed(built, "keeps", "lowest-loss")
        self.reduces_learning_rate = self._all_say("reduces_learning_rate")
        self.stops_early = self._all_say("stops_early")
        if epochs := _agreed(built, "planned_epochs", None):
            self.planned_epochs = epochs
        branching = [(name, part) for name, part in built if hasattr(part, "patterns_of")]
        if len(branching) > 1:
            raise InputError(_too_many([name for name, _ in branching]))
        if branching:  # an attribute, so that only what has branches seems to have them
            self.patterns_of = branching[0][1].patterns_of
        self._names = tuple(name for name, _ in built)

    def __call__(self, history: History) -> dict[str, float] | Branches:
        """Return the product of the weights of each term, or the branches that one schedule asks for."""
        given = [part(history) for part in self._parts]
        asking = [k for k, answer in enumerate(given) if isinstance(answer, Branches)]
        if len(asking) > 1:
            raise InputError(_too_many([self._names[k] for k in asking]))
        if asking:
            branches: Branches = given[asking[0]]
            return branches
        for name, weights in zip(self._names, given, strict=True):
            if set(weights) != set(history.terms):
                raise InputError(
                    f"schedule {name} gave the weights {dict(weights)}; wanted is one for each of: "
                    f"{', '.join(history.terms)}"
                )
        return {term: math.prod(weights[term] for weights in given) for term in history.terms}

    def _all_say(self, ability: str) -> bool:
        return all(getattr(part, ability, True) for part in self._parts)


def _built(schedule: Any, wanted: str) -> tuple[Any, str | None]:
    """Return a schedule, and the name it is registered by."""
    params: Mapping[str, Any] = {}
    if isinstance(schedule, list | tuple):
        if len(schedule) != 2 or not isinstance(schedule[1], Mapping):
            raise InputError(f"{schedule!r} is no schedule; {wanted}")
        schedule, params = schedule
    return build("schedule", schedule, params)


def _agreed(built: list[tuple[str, Any]], ability: str, silent: Any) -> Any:
    """Return what those that say something other than ``silent`` agree on, or ``silent``."""
    said = [(name, getattr(part, ability, silent)) for name, part in built]
    said = [(name, value) for name, value in said if value != silent]
    if len({value for _, value in said}) > 1:
        listed = ", ".join(f"{name} says {value}" for name, value in said)
        raise InputError(f"the schedules disagree about {ability!r}: {listed}; leave one out")
    return said[0][1] if said else silent


def _too_many(names: list[str]) -> str:
    return f"{', '.join(names)} all ask for branches; combine at most one such schedule"
