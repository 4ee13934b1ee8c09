"""What every logger does: a run for each training, its settings, its epochs, and how it ended."""

from __future__ import annotations

import json
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from recon_anomaly.errors import PluginWarning
from recon_anomaly.following import Run
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.hookspecs import hookimpl
from recon_anomaly.registry import plugin_manager, register

__all__ = ["Logger", "figures_of", "file_name", "last_figures", "plain"]

W = TypeVar("W")


class Logger(ABC, Generic[W]):
    """A plugin while it is entered; what a subclass opens for a training is its writer."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self._writers: dict[Run, tuple[W, str]] = {}

    def __enter__(self) -> Self:
        register(plugin_manager(), self, f"{type(self).__name__} {id(self)}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        plugin_manager().unregister(self)
        while self._writers:  # trainings that failed, or were given up
            run, (writer, place) = self._writers.popitem()
            try:
                self._close(writer, run, failed=run.failed or isinstance(error, Exception))
            except Exception as broken:  # whatever its package raises, as where a server is gone
                warnings.warn(f"{place} stays open: {broken!r}", PluginWarning, stacklevel=2)

    @hookimpl
    def recon_anomaly_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Log an epoch, where it is one of several branches' below the name of its branch."""
        self._log(self._writer(run), figures_of(record), record.epoch)

    @hookimpl
    def recon_anomaly_fit_end(self, run: Run) -> None:
        """Log the branches that were gone on with as one line, the threshold, and how the kept epoch was."""
        writer, history = self._writer(run), run.detector.history_
        for record in history.records:
            if record.path:
                self._log(writer, figures_of(record, branch=False), record.epoch)
        self._finish(writer, run, last_figures(run.detector))
        del self._writers[run]  # not before: what could not be finished is closed in the end

    def _writer(self, run: Run) -> W:
        if run not in self._writers:
            writer, place = self._writers[run] = self._open(run)
            self.places.append(place)
            # Not before it is known: it has to be closed where this fails.
            self._describe(writer, run)
        return self._writers[run][0]

    @abstractmethod
    def _open(self, run: Run) -> tuple[W, str]:
        """Begin a run, and return its writer, and where it can be found."""

    @abstractmethod
    def _describe(self, writer: W, run: Run) -> None:
        """Write the settings."""

    @abstractmethod
    def _log(self, writer: W, figures: Mapping[str, float], step: int) -> None:
        """Write figures of one epoch."""

    @abstractmethod
    def _finish(self, writer: W, run: Run, figures: Mapping[str, float]) -> None:
        """Write the last figures, and close the writer of a training that has ended."""

    @abstractmethod
    def _close(self, writer: W, run: Run, *, failed: bool) -> None:
        """Close the writer of a training that did not come to its end."""


def figures_of(record: EpochRecord, *, branch: bool = True) -> dict[str, float]:
    """Return everything that an epoch's record holds, by name.

    Parameters
    ----------
    record : EpochRecord
        Of any training.
    branch : bool
        Whether the names of a branch's figures begin with ``branches/`` and its path.

    Examples
    --------
    >>> record = EpochRecord(3, {"kl": 2.0}, {"kl": 2.5}, {"kl": 0.5}, 0.003, path=("I",))
    >>> figures_of(record)["branches/I/training/kl"]
    2.0
    >>> list(figures_of(record, branch=False))
    ['training/kl', 'validation/kl', 'weight/kl', 'validation_loss', 'weighted_training_loss', 'learning_rate', 'seconds']
    """
    terms = {"training": record.training, "validation": record.validation, "weight": record.weights}
    figures = {f"{part}/{name}": v for part, found in terms.items() for name, v in found.items()}
    figures |= {
        "validation_loss": record.loss,
        "weighted_training_loss": record.weighted_training_loss,
        "learning_rate": record.learning_rate,
        **record.figures,
        "seconds": record.seconds,
    }
    if not (branch and record.path):
        return figures
    return {f"branches/{'/'.join(record.path)}/{name}": v for name, v in figures.items()}


def last_figures(detector: Any) -> dict[str, float]:
    """Return the threshold and, of a model that was trained, the kept epoch with its losses and figures."""
    history: History = detector.history_
    figures = {"threshold": -float(detector.offset_)}
    for record in history.records:
        if record.epoch == history.kept_epoch:
            figures |= {"kept_epoch": record.epoch, "kept_validation_loss": record.loss}
            figures |= {f"kept_{name}": figure for name, figure in record.figures.items()}
    return figures


def plain(value: Any) -> bool | int | float | str:
    """Return a setting as a logger takes it: numbers and texts as they are, the rest as JSON.

    Examples
    --------
    >>> plain(0.5), plain((4, 8)), plain(None)
    (0.5, '[4, 8]', 'null')
    """
    return value if isinstance(value, bool | int | float | str) else json.dumps(value, default=str)


def file_name(text: str) -> str:
    """Return a model's short name as a part of a path.

    Examples
    --------
    >>> file_name("builtin:cae"), file_name("<lambda>")
    ('cae', '_lambda_')
    """
    return re.sub(r"[^\w.-]", "_", text.rpartition(":")[2])
