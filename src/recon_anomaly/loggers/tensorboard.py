"""Trainings in TensorBoard: event files, a folder for each training."""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon_anomaly.errors import InputError, SavedFileError
from recon_anomaly.following import Run

from .logger import Logger, file_name, plain

__all__ = ["TensorBoardLogger"]


class TensorBoardLogger(Logger[Any]):
    """Writes every training that is fitted while it is entered into a folder of its own.

    Scalars: ``training/TERM``, ``validation/TERM`` and ``weight/TERM`` for each loss term, ``validation_loss``,
    ``weighted_training_loss``, ``learning_rate``, validation figures such as ``auroc``, and ``seconds``, each with the epoch
    as step. Epochs of branches stand below ``branches/NAME/``; when the training has ended, those of the branches that it went
    on with join the rest. At the end ``threshold`` and ``kept_epoch`` come, and with the settings they make a row of the tab
    HPARAMS.

    Parameters
    ----------
    folder : path
        Where the trainings' folders go, named by model and time; made if it is missing.

    Attributes
    ----------
    places : list of str
        The folders of the trainings so far.

    Raises
    ------
    InputError
        When tensorboard is not installed.
    SavedFileError
        On entering, when the folder cannot be made.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from recon_anomaly import CAE
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with TensorBoardLogger(folder) as logger:
    ...         _ = CAE(epochs=1).fit(good)
    ...     len(logger.places)
    1
    """

    def __init__(self, folder: str | os.PathLike[str] = "runs") -> None:
        super().__init__()
        self.folder = Path(folder)
        try:
            import tensorboard  # noqa: F401  # whether it can be imported is the question
        except ImportError as error:
            raise InputError(
                f"TensorBoard's files need tensorboard, which cannot be imported ({error}); install it with: "
                "pip install 'recon-anomaly[tensorboard]'"
            ) from error

    def __enter__(self) -> TensorBoardLogger:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SavedFileError(
                f"cannot make the folder {self.folder}: {error.strerror}"
            ) from error
        return super().__enter__()

    def _open(self, run: Run) -> tuple[Any, str]:
        from torch.utils.tensorboard import SummaryWriter

        place = self._new_folder(file_name(run.settings["model"]))
        return SummaryWriter(place), str(place)

    def _describe(self, writer: Any, run: Run) -> None:
        rows = "\n".join(f"| {name} | {plain(v)} |" for name, v in run.settings.items())
        writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{rows}")

    def _new_folder(self, model: str) -> Path:
        name = f"{model}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        for number in itertools.count(1):
            place = self.folder / (name if number == 1 else f"{name}-{number}")
            try:
                place.mkdir()
            except FileExistsError:
                continue
            return place
        raise AssertionError  # numbers do not end

    def _log(self, writer: Any, figures: Mapping[str, float], step: int) -> None:
        for name, figure in figures.items():
            writer.add_scalar(name, figure, step)
        writer.flush()  # who looks on wants to see the epoch

    def _finish(self, writer: Any, run: Run, figures: Mapping[str, float]) -> None:
        if run.detector.history_.diverged:
            writer.add_text("diverged", run.detector.history_.diverged)
        settings = {name: plain(value) for name, value in run.settings.items()}
        writer.add_hparams(settings, dict(figures), run_name=".")  # into the training's own folder
        writer.close()

    def _close(self, writer: Any, run: Run, *, failed: bool) -> None:
        writer.add_text("ended early", "failed" if failed else "given up")
        writer.close()
