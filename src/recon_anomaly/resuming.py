"""Whether a saved state is one that a run of these parts can go on from; whatever is in a file.

Adam's fused step reads and writes memory by the sizes of the weights, so that moments of other sizes end the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .forms import FINITE, check_form
from .history import RECORD, History
from .races import CRITERIA, Race

__all__ = ["check_like", "check_race", "check_snapshot"]

_SNAPSHOT = {
    "network": {str: Tensor},
    "optimizer": {"state": Mapping, "param_groups": [{"lr": FINITE}]},
    "plateau": Mapping,
    "history": Mapping,
    "best_loss": float,
    "stale_epochs": int,
    "kept_figure": float,
    "kept_weights": {str: Tensor},
    "finished": bool,
}
_RACE = {
    "asked": [[str], int, str, [[int, int]]],
    "start": int,
    "waiting": [str],
    "rung": int,
    "reached": {str: (FINITE, None)},
    "records": {str: [RECORD]},
}


def check_snapshot(
    found: Mapping[str, Any], own: Mapping[str, Any], weights: list[Tensor]
) -> History:
    """Refuse a snapshot of another network or run than this one, and return its history.

    Parameters
    ----------
    found : mapping
        What was read.
    own : mapping
        The same of the run that is to go on from it, as it is now.
    weights : list of Tensor
        Those that its optimiser changes.

    Raises
    ------
    InputError
        It names what is wrong.
    """
    check_form(found, _SNAPSHOT, "the state")
    check_like(found["network"], own["network"], "network")
    if found["kept_weights"]:
        check_like(found["kept_weights"], own["network"], "kept_weights")
    check_like(found["plateau"], own["plateau"], "plateau")
    groups = found["optimizer"]["param_groups"]
    if len(groups) != 1 or groups[0]["lr"] < 0:
        raise InputError("its optimiser has another learning rate than one")
    for place, moments in found["optimizer"]["state"].items():
        if not isinstance(place, int) or not 0 <= place < len(weights):
            raise InputError(f"its optimiser knows weights {place!r:.40}; there are {len(weights)}")
        weight = weights[place]
        alike = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
        check_like(moments, alike, f"moments {place}")
    return _checked_history(found, own)


def _checked_history(found: Mapping[str, Any], own: Mapping[str, Any]) -> History:
    history = History.from_dict(found["history"])
    for name in ("terms", "planned_epochs"):
        before, now = getattr(history, name), own["history"][name]
        if before != now:
            raise InputError(f"its {name} were {before} and are now {now}")
    count = len(history)
    for place, record in enumerate(history.records, 1):
        terms = {frozenset(part) for part in (record.training, record.validation, record.weights)}
        if record.epoch != place or terms != {frozenset(history.terms)}:
            raise InputError(f"its epoch {place} is no record of epoch {place} with its loss terms")
    if not 1 <= (history.kept_epoch or 1) <= count + (not count) or (
        bool(found["kept_weights"]) != (history.kept_epoch is not None)
    ):
        raise InputError(f"it keeps the weights of epoch {history.kept_epoch} of {count}")
    if found["finished"] and history.kept_epoch is None:
        raise InputError("it is finished and has no weights")
    return history


def check_race(found: Any, history: History) -> Race | None:
    """Refuse a race that no run of this history is in, and return it.

    Raises
    ------
    InputError
        It says what is wrong.
    """
    if found is None:
        return None
    check_form(found, _RACE, "the race")
    race = Race.from_dict(found)
    asked, known = race.asked, set(race.asked.names)
    if (
        not race.waiting
        or history.path[-1:] != (race.waiting[0],)
        or not {*race.waiting, *race.reached, *race.records} <= known
        or not 0 <= race.rung <= len(asked.rungs)
        or not 0 <= race.start <= len(history) < race.goal
        or asked.until > history.planned_epochs
        or asked.criterion not in CRITERIA
    ):
        raise InputError("its race is none that this history can be in")
    return race


def check_like(found: Any, own: Any, name: str) -> None:
    """Refuse what has other names, types, or sizes of tensors than one's own; numbers may differ.

    Raises
    ------
    InputError
        It names the first part that differs.

    Examples
    --------
    >>> check_like({"a": 1, "b": [torch.ones(2)]}, {"a": 3, "b": [torch.zeros(2)]}, "state")
    >>> check_like([torch.ones(2)], [torch.zeros(3)], "state")
    Traceback (most recent call last):
    recon_anomaly.errors.InputError: state[0] is float32 of (2,); float32 of (3,) is wanted
    """
    if isinstance(own, Tensor):
        if (
            not isinstance(found, Tensor)
            or (found.dtype, found.shape, found.layout) != (own.dtype, own.shape, own.layout)
            or found.device.type == "meta"
        ):
            raise InputError(f"{name} is {_said(found)}; {_said(own)} is wanted")
    elif isinstance(own, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(own):
            raise InputError(f"{name} has other entries than {', '.join(map(str, own))[:200]}")
        for key in own:
            check_like(found[key], own[key], f"{name}.{key}")
    elif isinstance(own, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(own):
            raise InputError(f"{name} is no list of {len(own)}")
        for place, (one, another) in enumerate(zip(found, own, strict=True)):
            check_like(one, another, f"{name}[{place}]")
    else:
        check_form(found, float if type(own) is int else type(own), name)


def _said(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')} of {tuple(value.shape)}"
