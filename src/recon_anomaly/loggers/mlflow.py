"""Trainings in MLflow: a run of an experiment for each."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from recon_anomaly.errors import InputError
from recon_anomaly.following import Run

from .logger import Logger, file_name, plain

__all__ = ["MLflowLogger"]


class MLflowLogger(Logger[str]):
    """Logs every training that is fitted while it is entered as a run of its own.

    Metrics are named as `TensorBoardLogger` names its scalars, with the epoch as step, and the settings are the run's
    parameters. A training that an error ended leaves a run with the status FAILED, caught or not, one that was given up KILLED; either is
    said when the logger is left. MLflow's own active run is
    neither used nor changed.

    Parameters
    ----------
    tracking_uri : str, optional
        The server, or the store; by default what ``MLFLOW_TRACKING_URI`` says, else MLflow's own default. The extra
        ``recon-anomaly[mlflow]`` brings mlflow-skinny, which talks to servers; a database wants the package mlflow.
    experiment : str
        Is made if it is missing.

    Attributes
    ----------
    places : list of str
        The trainings so far, as experiment and run.

    Raises
    ------
    InputError
        When mlflow is not installed; on entering, when it cannot use the server or store.

    Examples
    --------
    >>> with MLflowLogger("http://127.0.0.1:5000") as logger:  # doctest: +SKIP
    ...     CAE().fit("good/")
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str = "recon-anomaly") -> None:
        super().__init__()
        self.tracking_uri = tracking_uri
        self.experiment = experiment
        try:
            import mlflow.tracking  # noqa: F401  # whether it can be imported is the question
        except ImportError as error:
            raise InputError(
                f"MLflow's runs need mlflow, which cannot be imported ({error}); install it with: "
                "pip install 'recon-anomaly[mlflow]'"
            ) from error

    def __enter__(self) -> MLflowLogger:
        from mlflow.tracking import MlflowClient, get_tracking_uri

        try:
            self._client = MlflowClient(self.tracking_uri)
            known = self._client.get_experiment_by_name(self.experiment)
            self._experiment = (
                self._client.create_experiment(self.experiment)
                if known is None
                else known.experiment_id
            )
        except Exception as error:  # of a store, of its database, of HTTP
            said = f"MLflow cannot log to {self.tracking_uri or get_tracking_uri()}: {error}"
            raise InputError(_without_user(said)) from error
        return super().__enter__()

    def _open(self, run: Run) -> tuple[str, str]:
        name = file_name(run.settings["model"])
        begun = self._client.create_run(self._experiment, run_name=name).info.run_id
        return begun, f"experiment {self.experiment}, run {begun}"

    def _describe(self, writer: str, run: Run) -> None:
        from mlflow.entities import Param

        params = [Param(_name(key), str(plain(value))) for key, value in run.settings.items()]
        self._client.log_batch(writer, params=params)

    def _log(self, writer: str, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_name(key), value, now, step) for key, value in figures.items()]
        self._client.log_batch(writer, metrics=metrics)

    def _finish(self, writer: str, run: Run, figures: Mapping[str, float]) -> None:
        self._log(writer, figures, len(run.detector.history_))
        if run.detector.history_.diverged:
            self._client.set_tag(writer, "diverged", run.detector.history_.diverged)
        self._client.set_terminated(writer, "FINISHED")

    def _close(self, writer: str, run: Run, *, failed: bool) -> None:
        self._client.set_terminated(writer, "FAILED" if failed else "KILLED")


def _without_user(text: str) -> str:
    """Return a text without the users and passwords of the addresses in it."""
    return re.sub(r"//[^/\s]*@", "//", text)


def _name(name: str) -> str:
    """Return a name with what MLflow allows in it."""
    return re.sub(r"[^\w\-. :/]", "_", name)
