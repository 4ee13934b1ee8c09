"""What a bench is asked for: models and schedules, each with variants of parameters; checked by name alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn.model_selection import ParameterGrid

from .errors import InputError
from .registry import build, find

__all__ = ["Schedule", "check_grid", "named", "plain", "spoilers", "variants_of"]

Schedule = str | tuple[str, Mapping[str, Any]]
"""A schedule's name, alone or with its parameters."""


def check_grid(
    models: Sequence[str],
    model_params: Mapping[str, Mapping[str, Any]],
    model_grid: Mapping[str, Any],
    schedules: Sequence[Schedule],
    scorers: Sequence[str],
    corruptors: Sequence[str],
    seeds: Sequence[int],
    epochs: int | None,
    training_corruptors: Sequence[Schedule] = ("none",),
) -> None:
    """Refuse unknown names, empty and repeated ones, wrong numbers, and parameters of no model there.

    Raises
    ------
    InputError, PluginError
        The message says which.
    """
    for what, names in {"models": models, "scorers": scorers, "seeds": seeds}.items():
        if not names or len(set(names)) < len(names):
            raise InputError(f"{what}={list(names)}: at least one is wanted, and each once")
    if min(seeds) < 0 or (epochs is not None and epochs < 1):
        raise InputError(
            f"seeds={list(seeds)}, epochs={epochs}: seeds of at least 0 and one epoch are wanted"
        )
    if len(set(corruptors)) < len(corruptors):
        raise InputError(f"corruptors={list(corruptors)}: each is wanted once")
    for kind, known in {"model": models, "scorer": scorers, "corruptor": corruptors}.items():
        for name in known:
            find(kind, name)
    for what, given in {"model_params": model_params, "model_grid": model_grid}.items():
        for model in given:
            if model not in models:
                raise InputError(
                    f"{what} has {model!r}, which is none of the models: {', '.join(models)}"
                )
    for model in models:
        variants_of(model, model_params, model_grid)
    for name, params in named(schedules):
        build("schedule", name, params)
    for spoiler, params in spoilers(training_corruptors):
        if spoiler is not None:
            build("corruptor", spoiler, params)


def named(
    schedules: Sequence[Schedule], what: str = "schedules"
) -> list[tuple[str, dict[str, Any]]]:
    """Return each schedule as its name and its parameters; ``what`` they are is said in errors.

    Raises
    ------
    InputError
        When there is none, or one twice; when parameters cannot stand in a record.

    Examples
    --------
    >>> named(["constant", ("constant", {"weights": {"kl": 4}})])
    [('constant', {}), ('constant', {'weights': {'kl': 4}})]
    """
    if isinstance(schedules, str):
        raise InputError(f"{what}={schedules!r}: a list is wanted, of names or (name, parameters)")
    pairs = [(item, {}) if isinstance(item, str) else item for item in schedules]
    found = [(name, plain(params, f"{what}, {name!r}")) for name, params in pairs]
    if not found or _repeated(found):
        raise InputError(
            f"{what}={list(schedules)}: at least one is wanted, and each once with the same parameters"
        )
    return found


def spoilers(corruptors: Sequence[Schedule]) -> list[tuple[str | None, dict[str, Any]]]:
    """Return each corruptor of training pictures as its name and its parameters, "none" as None.

    Raises
    ------
    InputError
        As `named` says.

    Examples
    --------
    >>> spoilers(["none", ("gaussian", {"std": 0.2})])
    [(None, {}), ('gaussian', {'std': 0.2})]
    """
    return [
        (None if name == "none" else name, params)
        for name, params in named(corruptors, "training_corruptors")
    ]


def variants_of(
    model: str,
    model_params: Mapping[str, Mapping[str, Any]],
    model_grid: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the parameters of each variant of a model: those it always has, with each of its grid's.

    Parameters
    ----------
    model : str
        Its name.
    model_params : mapping
        Parameters by model.
    model_grid : mapping
        By model what scikit-learn's ``ParameterGrid`` takes: lists of values by parameter, or a list
        of such mappings.

    Raises
    ------
    InputError
        When a grid is none, gives a variant twice or repeats a parameter of ``model_params``; when
        parameters cannot stand in a record.

    Examples
    --------
    >>> variants_of("cvae", {"cvae": {"kernels": [4]}}, {"cvae": {"latent_size": [8, 16]}})
    [{'kernels': [4], 'latent_size': 8}, {'kernels': [4], 'latent_size': 16}]
    """
    common = plain(model_params.get(model, {}), f"model_params of {model!r}")
    try:
        points = [dict(point) for point in ParameterGrid(model_grid.get(model, {}))]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"model_grid of {model!r}: {error}; a list of values is wanted for each parameter"
        ) from error
    if twice := sorted(set(common) & {name for point in points for name in point}):
        raise InputError(
            f"{', '.join(twice)} of {model!r} stands in model_params and in model_grid; give it once"
        )
    found = [common | plain(point, f"model_grid of {model!r}") for point in points]
    if _repeated(found):
        raise InputError(
            f"model_grid of {model!r} has a variant twice: {found}; each is wanted once"
        )
    return found


def plain(params: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return parameters as a file of records gives them back, so that both are shown alike.

    Raises
    ------
    InputError
        When they cannot stand in a record; ``what`` says whose they are.
    """
    try:
        found: dict[str, Any] = json.loads(json.dumps(dict(params), default=os.fspath))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what}: {params!r} cannot stand in a record ({error}); give numbers, texts, lists and "
            "dictionaries alone"
        ) from error
    return found


def _repeated(found: Iterable[Any]) -> bool:
    texts = [json.dumps(one, sort_keys=True) for one in found]
    return len(set(texts)) < len(texts)
