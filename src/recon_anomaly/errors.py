"""Every error and warning of the library, in one small tree.

::

    ReconAnomalyError
    ├── InputError            (ValueError)      pictures or parameters that cannot be used
    │   ├── PictureError                        one picture file, named
    │   └── WeightsError                        pretrained weights that are missing or do not fit
    ├── PluginError           (LookupError)     a name that no plugin, or several, offer
    ├── HookError             (RuntimeError)    a plugin that follows a training raised
    ├── TrainingError         (ArithmeticError) a loss became NaN or infinite
    ├── SavedFileError        (ValueError)      a detector or checkpoint that cannot be read or written
    ├── WorkerError           (RuntimeError)    a process that was given work ended before it was done
    └── NotFittedError        (scikit-learn's)  lives in ``fitted``, where scikit-learn is at home

Each message says what was got, what was wanted and what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "CalibrationWarning",
    "HookError",
    "InputError",
    "PictureError",
    "PictureWarning",
    "PluginError",
    "PluginWarning",
    "ReconAnomalyError",
    "SavedFileError",
    "TrainingError",
    "TrainingWarning",
    "WeightsError",
    "WeightsWarning",
    "WorkerError",
]


class ReconAnomalyError(Exception):
    """The root: catch it to catch every error that the library raises on purpose."""


class InputError(ReconAnomalyError, ValueError):
    """Pictures, labels or parameters that cannot be used."""


class PictureError(InputError):
    """A picture file that cannot be read; the message names it.

    Parameters
    ----------
    message : str
        What the caller reads.
    skipped : sequence of (Path, str)
        Where every file was skipped: which, and why.
    """

    def __init__(self, message: str, skipped: Sequence[tuple[Path, str]] = ()) -> None:
        super().__init__(message)
        self.skipped = tuple(skipped)


class WeightsError(InputError):
    """Pretrained weights that are nowhere to be found, cannot be read, or do not fit."""


class PluginError(ReconAnomalyError, LookupError):
    """A name that no plugin offers, that several offer, or that cannot be imported."""


class HookError(ReconAnomalyError, RuntimeError):
    """A plugin raised while it was told of a training, which it so stopped; the cause is what it raised."""


class TrainingError(ReconAnomalyError, ArithmeticError):
    """A loss became NaN or infinite; the message names the epoch and the term."""


class SavedFileError(ReconAnomalyError, ValueError):
    """A saved detector or checkpoint that cannot be read, written or trusted."""


class WorkerError(ReconAnomalyError, RuntimeError):
    """A process that was given work ended before it was done, as for want of memory."""


class CalibrationWarning(UserWarning):
    """A threshold was set, by fewer pictures than what was asked of it needs."""


class PluginWarning(UserWarning):
    """A plugin, or a part of it, was left out."""


class PictureWarning(UserWarning):
    """Pictures were read, but something in them was dropped or converted."""


class TrainingWarning(UserWarning):
    """A training ended before its plan; the detector has the last good weights."""


class WeightsWarning(UserWarning):
    """Weights of a backbone are random, or are about to be downloaded."""
