"""Every way to extend the library, on one page.

A plugin is a module with any of these functions, decorated with ``@hookimpl`` and named by an entry
point of the group ``recon_anomaly``. The first four return names and where they are found, as
``{"name": "package.module:attribute"}``; a name is imported when it is first used. In a notebook or
a test the object itself may stand in place of the string. The others are told of trainings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .following import Run
    from .history import EpochRecord

__all__ = ["GROUP", "hookimpl", "hookspec"]

GROUP = "recon_anomaly"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def recon_anomaly_models() -> Mapping[str, Any]:
    """Offer models: callables ``(image_shape, **params)`` that build a network."""
    raise NotImplementedError  # a specification: pluggy never calls it


@hookspec
def recon_anomaly_scorers() -> Mapping[str, Any]:
    """Offer scorers: functions ``(target, reconstruction)``, or classes built with ``scorer_params``."""
    raise NotImplementedError


@hookspec
def recon_anomaly_corruptors() -> Mapping[str, Any]:
    """Offer corruptors: functions ``(image, rng)``, or classes built with ``corruptor_params``."""
    raise NotImplementedError


@hookspec
def recon_anomaly_schedules() -> Mapping[str, Any]:
    """Offer weight schedules: functions ``(history)``, or classes built with ``schedule_params``."""
    raise NotImplementedError


@hookspec
def recon_anomaly_epoch_end(run: Run, record: EpochRecord) -> None:
    """Look at an epoch that has just ended, in the process that trains: under torchrun the first one.

    It is called when the record is whole and the checkpoint, if there is one, is written. ``record.path`` says
    which branch was trained. A run that goes on from its checkpoint tells of the earlier epochs first, those
    of the line that it goes on with. A model that is fitted in closed form has no epochs. An exception stops the
    training with a `HookError` that names the plugin.
    """
    raise NotImplementedError


@hookspec
def recon_anomaly_fit_end(run: Run) -> None:
    """Look at ``run.detector``, which has just been fitted: history, threshold and all.

    It is not called for a fit that failed or was given up. An exception becomes a `PluginWarning`.
    """
    raise NotImplementedError
