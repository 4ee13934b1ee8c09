"""Every way to extend the library, on one page.

A plugin is a module with any of these functions, decorated with ``@hookimpl`` and named by an entry
point of the group ``recon_anomaly``. Each returns names and where they are found, as
``{"name": "package.module:attribute"}``; a name is imported when it is first used. In a notebook or
a test the object itself may stand in place of the string.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

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
