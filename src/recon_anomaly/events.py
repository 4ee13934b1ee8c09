"""What happens in a bench, told as it happens, for whoever draws progress, figures or pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .audit import Leakage
from .benchdata import BenchData, LabelledPictures
from .detector import BaseDetector
from .errors import TrainingError
from .history import EpochRecord
from .training import Tick

__all__ = ["Begun", "Cell", "Event", "Failed", "Fitted"]


@dataclass(frozen=True)
class Begun:
    """Nothing is trained yet.

    Attributes
    ----------
    data : BenchData
        What will be trained and tested on.
    leakage : Leakage
        Which test pictures, counted before any were dropped, stand in the training pictures.
    notes : tuple of str
        What a reader of the figures has to know: the leakage first, then what was left out.
    """

    data: BenchData
    leakage: Leakage
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One training that is about to start: ``number`` of ``count``, from 1."""

    model: str
    seed: int
    number: int
    count: int


@dataclass(frozen=True)
class Fitted:
    """One training that went well, with the test sets that its detector will now be scored on."""

    model: str
    seed: int
    detector: BaseDetector
    tests: list[LabelledPictures]


@dataclass(frozen=True)
class Failed:
    """One training that failed, and why."""

    model: str
    seed: int
    error: TrainingError


Event = Begun | Cell | Tick | EpochRecord | Fitted | Failed | dict[str, Any]
"""What `iter_bench` gives; the dictionaries are records."""
