"""The laws of a weight schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recon_anomaly.history import EpochRecord, History
from recon_anomaly.protocols import Branches
from recon_anomaly.registry import build

from .laws import law

__all__ = ["check_schedule"]


def check_schedule(schedule: Any, schedule_params: Mapping[str, Any] | None = None) -> None:
    """Check the WeightSchedule contract epoch by epoch, over 20 or what the schedule lays out, with two terms.

    Where it asks for branches, the last of them is followed.

    Parameters
    ----------
    schedule : str or callable
        A registered name or the object.
    schedule_params : mapping, optional
        Its parameters.
    """
    built, _ = build("schedule", schedule, schedule_params)
    needed = getattr(built, "needs", ())
    planned = getattr(built, "planned_epochs", 20)
    history = History(("reconstruction", "kl"), planned)
    given: list[tuple[tuple[str, ...], Mapping[str, float] | Branches]] = []
    for epoch in range(1, planned + 1):
        before = history.to_dict()
        answer = built(history)
        if isinstance(answer, Branches):
            law(
                len(set(answer.names)) == len(answer.names) > 0,
                "branches have names, each its own",
            )
            law(epoch <= answer.until <= planned, "branches end within the planned epochs")
            given.append((history.path, answer))
            history.path = (*history.path, answer.names[-1])
            before = history.to_dict()
            answer = built(history)
            law(not isinstance(answer, Branches), "inside a branch the schedule gives weights")
        weights = dict(answer)
        law(set(weights) == set(history.terms), "each term has a weight")
        law(
            all(np.isfinite(weight) and weight >= 0 for weight in weights.values()),
            "weights are finite and not negative",
        )
        law(built(history) == weights, "the same history gives the same weights")
        law(history.to_dict() == before, "the history is left as it is")
        given.append((history.path, weights))
        terms = {"reconstruction": 10 / epoch, "kl": 1 + 0.1 * (epoch % 3)}
        figures = dict.fromkeys(needed, 0.5 + 0.02 * (epoch % 5))
        history.records.append(
            EpochRecord(epoch, terms, terms, weights, 0.001, figures, path=history.path)
        )
    epochs = planned
    for path, answer in reversed(given):
        epochs -= not isinstance(answer, Branches)
        # Branches are asked for at the very epoch that their first weights are for.
        records = history.records[:epochs]
        earlier = History(history.terms, planned, records, path=path)
        law(built(earlier) == answer, "the same history gives the same weights")
