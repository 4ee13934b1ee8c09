"""How a network is trained where the user says nothing: the schedule's word, the model's, or the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import InputError

__all__ = ["DEFAULT_RECIPE", "recipe_of"]

DEFAULT_RECIPE: Mapping[str, Any] = {
    "epochs": 50,
    "batch_size": 16,
    "learning_rate": 0.003,
    "reduce_learning_rate": True,
    "early_stopping": True,
}
"""Of Klimkevičius, §4.1, where neither user, schedule nor model says otherwise."""


def recipe_of(said: Mapping[str, Any], schedule: Any, builder: Any) -> dict[str, Any]:
    """Return how a network is trained: what is said, else what the schedule lays out, else the model's recipe.

    Parameters
    ----------
    said : mapping
        A value, or None, for each name of `DEFAULT_RECIPE`.
    schedule : WeightSchedule
        Its ``planned_epochs``, if it has them, cannot be overruled.
    builder : Model
        Its ``recipe``, if it has one.

    Returns
    -------
    dict
        With the names of `DEFAULT_RECIPE`.

    Raises
    ------
    InputError
        When a number is out of its range, the model's recipe has a name that is not known, or other
        epochs are said than the schedule lays out.

    Examples
    --------
    >>> nothing = dict.fromkeys(DEFAULT_RECIPE)
    >>> recipe_of(nothing | {"epochs": 10}, None, None)["epochs"]
    10
    """
    recipe = {**DEFAULT_RECIPE, **getattr(builder, "recipe", {})}
    if unknown := sorted(set(recipe) - set(DEFAULT_RECIPE)):
        raise InputError(
            f"the recipe of {builder!r} has {', '.join(unknown)}; known are {', '.join(DEFAULT_RECIPE)}"
        )
    laid_out = getattr(schedule, "planned_epochs", None)
    if laid_out is not None:
        recipe["epochs"] = laid_out
        if said["epochs"] not in (None, laid_out):
            name = getattr(schedule, "__name__", type(schedule).__name__)
            raise InputError(
                f"epochs={said['epochs']!r}, but the schedule {name} lays out {laid_out}; leave epochs out, "
                "or change what it lays out, as the milestones of awl-loss"
            )
    recipe |= {name: value for name, value in said.items() if value is not None}
    for name in ("epochs", "batch_size"):
        count = recipe[name]
        if not isinstance(count, int | np.integer) or count < 1:
            raise InputError(f"{name}={count!r}: a whole number of at least 1 is wanted")
    rate = recipe["learning_rate"]
    if not isinstance(rate, int | float | np.number) or not rate > 0:
        raise InputError(f"learning_rate={rate!r}: a number above 0 is wanted")
    return recipe
