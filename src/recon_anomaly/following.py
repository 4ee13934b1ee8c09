"""Tells plugins how a training goes on, epoch by epoch, and when it has ended."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pluggy

from .errors import HookError, PluginWarning
from .history import EpochRecord
from .registry import plugin_manager

__all__ = ["Run", "tell_end", "told"]


@dataclass(eq=False)
class Run:
    """One training, as the hooks `recon_anomaly_epoch_end` and `recon_anomaly_fit_end` see it.

    All calls of one training get the same object, and no two trainings share one: it serves as a key.

    Attributes
    ----------
    detector : BaseDetector
        What is fitted. Its parameters are set; what ends in an underscore (threshold, history) is that of this
        training once it has ended.
    settings : dict of str to Any
        What decides the training, as it is used, in plain values: model, scorer, schedule and corruptor with their
        parameters (``model.latent_size``), epochs, batch size and the rest of the recipe, the seed, how pictures are
        cut and shared out, their shape, and how many of them and of their tiles there are.
    failed : bool
        Whether an error has ended it; one that was given up or interrupted has not failed.
    """

    detector: Any
    settings: Mapping[str, Any]
    failed: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls,
        detector: Any,
        parts: Mapping[str, tuple[Any, Mapping[str, Any] | None]],
        **others: Any,
    ) -> Run:
        """Return the run of a detector: its parts with their parameters, and whatever else decides it.

        Examples
        --------
        >>> run = Run.of(None, {"model": ("builtin:cvae", {"latent_size": 8}), "corruptor": (None, None)}, seed=1)
        >>> run.settings
        {'model': 'builtin:cvae', 'model.latent_size': 8, 'seed': 1}
        """
        settings: dict[str, Any] = {}
        for kind, (part, params) in parts.items():
            if part is not None:
                named = isinstance(part, str)
                settings[kind] = part if named else getattr(part, "__qualname__", repr(part))
                settings |= {f"{kind}.{name}": value for name, value in (params or {}).items()}
        return cls(detector, settings | others)


def told(events: Generator[Any, None, Any], run: Run) -> Generator[Any, None, Any]:
    """Hand a training's events on, and tell the plugins of each epoch's record before it is handed on.

    Raises
    ------
    HookError
        When a plugin raises: the training stops, and goes on from its checkpoint if it has one.
    """
    listeners = _listeners("recon_anomaly_epoch_end")
    if not listeners:
        return (yield from events)
    try:
        while True:
            event = next(events)
            if isinstance(event, EpochRecord):
                for listener in listeners:
                    try:
                        _call(listener, run=run, record=event)
                    except Exception as error:  # whatever a stranger's function raises
                        events.close()  # else who keeps the error keeps the checkpoint claimed
                        raise HookError(
                            f"plugin {listener.plugin_name!r} stopped the training after epoch {event.epoch}: "
                            f"recon_anomaly_epoch_end raised {error!r}"
                        ) from error
            yield event
    except StopIteration as end:
        return end.value


def tell_end(run: Run) -> None:
    """Tell the plugins that a detector is fitted; one that raises is warned of, since nothing can be stopped any more."""
    for listener in _listeners("recon_anomaly_fit_end"):
        try:
            _call(listener, run=run)
        except Exception as error:  # whatever a stranger's function raises
            warnings.warn(
                f"plugin {listener.plugin_name!r}: recon_anomaly_fit_end raised {error!r}; the detector is fitted all the same",
                PluginWarning,
                stacklevel=4,
            )


def _listeners(hook: str) -> list[pluggy.HookImpl]:
    """Return who listens, in pluggy's order: the one registered last comes first."""
    caller: pluggy.HookCaller = getattr(plugin_manager().hook, hook)
    return caller.get_hookimpls()[::-1]


def _call(listener: pluggy.HookImpl, **said: Any) -> None:
    """Call one plugin with what it asks for. pluggy's own call of all would not say which one raised."""
    listener.function(*(said[name] for name in listener.argnames))
