"""The detector: what every estimator does, in scikit-learn's manner."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import sklearn.exceptions
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .batches import Batches
from .checkpoints import Checkpoint
from .devices import choose_device
from .errors import InputError, ReconAnomalyError
from .fitting import fit_network
from .history import EpochRecord
from .images import measure_range, range_for
from .inputs import read_anomalous, read_input, split_validation
from .randomness import seeded
from .registry import build, build_network, resolve
from .scoring import exact, fit_scorer, make_noise, reconstruct, score_batches, uses_of
from .store import Pictures
from .thresholds import find_threshold
from .training import Plan, Tick

__all__ = ["BaseDetector", "NotFittedError"]


class NotFittedError(ReconAnomalyError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]
    """The detector was asked for something before ``fit``."""


class _Parts(NamedTuple):
    training: Pictures
    validation: Pictures
    labelled: Pictures | None = None
    anomalous: np.ndarray | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class BaseDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Everything but the model; `ReconstructionDetector` documents the parameters."""

    scorer: Any = "mse"
    scorer_params: Mapping[str, Any] | None = None
    schedule: Any = "constant"
    schedule_params: Mapping[str, Any] | None = None
    corruptor: Any = None
    corruptor_params: Mapping[str, Any] | None = None
    image_size: int | tuple[int, int] = 256
    image_shape: tuple[int, int, int] | None = None
    channels: str | int = "auto"
    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 0.003
    validation_fraction: float = 0.2
    contamination: str | float = "auto"
    checkpoint: str | os.PathLike[str] | None = None
    memory_budget: int | None = None
    random_state: Any = 42
    device: str = "auto"
    verbose: int = 0

    # Fitting -----------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, validation_data: Any = None) -> Self:
        """Learn to reconstruct good parts, and set the threshold.

        Parameters
        ----------
        X : array, folder or list of paths
            Good pictures: (n, h, w) or (n, h, w, c) arrays of uint8, uint16 or floats; (n, d) rows
            (see ``image_shape``); the path of a folder; or a list of paths.
        y : ignored
            Present by scikit-learn's convention.
        validation_data : array, folder, paths, or a tuple (Xv, yv), optional
            Good pictures to validate on, in place of a share of X. With labels yv (+1 good, -1
            anomalous) only the good ones are used for that; the figure ``auroc`` over all of them
            joins the history, for schedules that need it.

        Returns
        -------
        self

        Raises
        ------
        InputError
            When pictures or parameters cannot be used.
        TrainingError
            When a loss becomes NaN or infinite.
        """
        for event in self.iter_fit(X, y, validation_data=validation_data):
            if self.verbose and isinstance(event, EpochRecord):
                print(event.line(self.epochs))
        return self

    def iter_fit(
        self, X: Any, y: Any = None, *, validation_data: Any = None
    ) -> Iterator[Tick | EpochRecord]:
        """Fit, giving a `Tick` after each batch and an `EpochRecord` after each epoch.

        For whoever draws or logs progress; the detector is fitted when the iterator ends. The
        parameters are those of ``fit``.
        """
        self._check_parameters()
        device = choose_device(self.device)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        model, model_params = self._model()
        builder, model_name = resolve("model", model)
        scorer, scorer_name = build("scorer", self.scorer, self.scorer_params)
        schedule, schedule_name = build("schedule", self.schedule, self.schedule_params)
        corruptor, corruptor_name = None, None
        if self.corruptor is not None:
            corruptor, corruptor_name = build("corruptor", self.corruptor, self.corruptor_params)

        pictures = read_input(self, X, fitting=True)
        pixel_range = measure_range(pictures)
        parts = self._split(pictures, validation_data, seed)
        measured = () if parts.labelled is None else ("auroc",)
        if missing := set(getattr(schedule, "needs", ())) - set(measured):
            raise InputError(
                f"schedule {schedule_name or schedule!r} needs {', '.join(sorted(missing))} of "
                "labelled validation pictures; give validation_data=(Xv, yv) with yv +1 and -1"
            )

        def batches(of: Pictures) -> Batches:
            return Batches(of, range_for(of, pixel_range), self.batch_size, device)

        def measure() -> dict[str, float]:
            if parts.labelled is None:
                return {}
            noise = make_noise(network, scorer, seed, device)
            fit_scorer(scorer, network, batches(parts.validation), noise)
            found = score_batches(network, scorer, batches(parts.labelled), noise)
            scores = np.concatenate([scores for scores, _ in found])
            return {"auroc": float(roc_auc_score(parts.anomalous, scores))}

        with seeded(device, seed):
            network = build_network(builder, pictures.shape, model_params)
            network.to(device, memory_format=torch.channels_last)
        training, validation = batches(parts.training), batches(parts.validation)
        plan = Plan(schedule, self.epochs, self.learning_rate, seed, corruptor)
        checkpoint = None
        if self.checkpoint is not None:
            checkpoint = Checkpoint(self.checkpoint, self._run_settings(seed, parts))
        history = yield from fit_network(
            network, training, validation, plan, measure=measure, checkpoint=checkpoint
        )

        self.image_shape_ = pictures.shape
        self.pixel_range_ = pixel_range
        self.network_ = network
        self.names_ = {
            "model": model_name,
            "scorer": scorer_name,
            "schedule": schedule_name,
            "corruptor": corruptor_name,
        }
        self.seed_ = seed
        self.history_ = history
        self._set_scorer(scorer, validation)
        if self.contamination == "auto":
            self.calibrate_on_validation()
        else:
            every = score_batches(network, scorer, batches(pictures), self.noise_)
            # The percentile of the negated scores, so that exactly this share lies below it.
            normality = -np.concatenate([scores for scores, _ in every])
            self.offset_ = float(np.percentile(normality, 100 * float(self.contamination)))
            self.threshold_rule_ = {"rule": "contamination", "contamination": self.contamination}

    def with_scorer(
        self, scorer: Any, X: Any, *, scorer_params: Mapping[str, Any] | None = None
    ) -> Self:
        """Return a detector with the same network and another scorer.

        One training can so be scored in every way.

        Parameters
        ----------
        scorer, scorer_params
            As the parameters of the same names.
        X : array, folder or list of paths
            Good pictures that were not trained on: the scorer is fitted on them, if it learns, and
            the threshold is the quantile of their scores.
        """
        self._check_fitted()
        built, name = build("scorer", scorer, scorer_params)
        other = copy.copy(self)
        other.set_params(scorer=scorer, scorer_params=scorer_params)
        other.names_ = self.names_ | {"scorer": name}
        other._set_scorer(built, other._batches(X))
        return other.calibrate_on_validation()

    def calibrate(self, X: Any, y: Any = None, rule: str = "quantile", **params: float) -> Self:
        """Set the threshold anew, from pictures that were not trained on.

        Parameters
        ----------
        X : array, folder or list of paths
            As for ``fit``.
        y : array of +1 (good) and -1 (anomalous), optional
            Without it all pictures count as good.
        rule : {"quantile", "youden", "best-f1", "sensitivity", "value"}
            "quantile" lets a share ``false_alarm`` (0.05) of the good pictures through as false
            alarms; "value" takes ``threshold``, an anomaly score; the others need labels.
        **params : float
            Parameters of the rule.

        Returns
        -------
        self
        """
        scores = self.anomaly_score(X)
        anomalous = None if y is None else read_anomalous(y, len(scores))
        self.offset_ = -find_threshold(rule, scores, anomalous, **params)
        self.threshold_rule_ = {"rule": rule, **params}
        return self

    def calibrate_on_validation(self, rule: str = "quantile", **params: float) -> Self:
        """Set the threshold from the scores of the validation pictures of ``fit``, which are kept."""
        self._check_fitted("validation_scores_")
        self.offset_ = -find_threshold(rule, -self.validation_scores_, None, **params)
        self.threshold_rule_ = {"rule": rule, **params}
        return self

    # Scoring -----------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each picture is, float64 (n,). The lower, the more abnormal."""
        return -self.anomaly_score(X)

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return the scorer's own score of each picture, float64 (n,). The higher, the more abnormal."""
        return np.concatenate([scores for scores, _ in self.iter_scores(X)])

    def anomaly_map(self, X: Any) -> np.ndarray:
        """Return the anomaly maps, float32 (n, h, w), at the pictures' size. Higher is more abnormal."""
        return np.concatenate([maps for _, maps in self.iter_scores(X)])

    def iter_scores(self, X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give, batch by batch, the anomaly scores (n,) and the very maps (n, h, w) they come from."""
        self._check_fitted()
        yield from score_batches(self.network_, self.scorer_, self._batches(X), self.noise_)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``, float64 (n,). Negative is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for good and -1 for anomalous pictures, int (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the reconstructions, float32 (n, h, w, c), in the pixel unit of ``X``.

        Raises
        ------
        InputError
            When the model reconstructs something else than pictures, such as features.
        """
        self._check_fitted()
        if hasattr(self.network_, "target"):
            raise InputError(
                f"model {self._model()[0]!r} reconstructs features, not pictures; "
                "anomaly_map shows where it fails"
            )
        found = []
        batches = self._batches(X)
        low, high, _ = batches.pixel_range
        with exact():
            for images in batches:
                mean = reconstruct(self.network_, images).mean
                found.append((mean * (high - low) + low).permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(found)

    # Files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to one ``.safetensors`` file, whole or not at all."""
        from .saving import save

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto") -> BaseDetector:
        """Read a detector that ``save`` wrote; nothing in the file is imported or evaluated."""
        from .saving import load

        return load(path, device=device)

    # Parts -------------------------------------------------------------------------------------

    def _model(self) -> tuple[Any, dict[str, Any]]:
        """Return the model, as a name or an object, and its parameters."""
        raise NotImplementedError

    def _set_scorer(self, scorer: Any, validation: Batches) -> None:
        """Fit ``scorer`` on the validation pictures, and keep their scores."""
        network = self.network_
        self.scorer_ = scorer
        self.noise_ = make_noise(network, scorer, self.seed_, validation.device)
        fit_scorer(scorer, network, validation, self.noise_)
        self.scorer_uses_ = uses_of(scorer, network)
        scores, peaks = [], []
        for score, maps in score_batches(network, scorer, validation, self.noise_):
            scores.append(score)
            peaks.append(maps.max())
        self.validation_scores_ = -np.concatenate(scores)
        self.map_scale_ = float(max(peaks))

    def _check_parameters(self) -> None:
        at_least_one = {"epochs": self.epochs, "batch_size": self.batch_size}
        for name, count in at_least_one.items():
            if not isinstance(count, int | np.integer) or count < 1:
                raise InputError(f"{name}={count!r}: a whole number of at least 1 is wanted")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate={self.learning_rate!r}: a number above 0 is wanted")
        if not 0 < self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction={self.validation_fraction!r}: a share between 0 and 1 is wanted"
            )
        if self.contamination != "auto" and not (
            not isinstance(self.contamination, str) and 0 < self.contamination <= 0.5
        ):
            raise InputError(
                f"contamination={self.contamination!r}: 'auto' or a share in (0, 0.5] is wanted"
            )

    def _check_fitted(self, attribute: str = "offset_") -> None:
        try:
            check_is_fitted(self, attribute)
        except sklearn.exceptions.NotFittedError as error:
            raise NotFittedError(str(error)) from error

    def _split(self, pictures: Pictures, validation_data: Any, seed: int) -> _Parts:
        """Hold a share out for validation, or read the pictures that are given for it."""
        if validation_data is None:
            return _Parts(*split_validation(pictures, self.validation_fraction, seed))
        self.image_shape_ = pictures.shape  # what validation pictures are read to
        if not isinstance(validation_data, tuple):
            return _Parts(pictures, read_input(self, validation_data, fitting=False))
        labelled = read_input(self, validation_data[0], fitting=False)
        anomalous = read_anomalous(validation_data[1], len(labelled))
        if anomalous.all():
            raise InputError("validation_data has no good picture (+1); at least one is needed")
        good = labelled.take(np.flatnonzero(~anomalous))
        return _Parts(pictures, good, *((labelled, anomalous) if anomalous.any() else ()))

    def _batches(self, X: Any) -> Batches:
        pictures = read_input(self, X, fitting=False)
        pixel_range = range_for(pictures, self.pixel_range_)
        return Batches(pictures, pixel_range, self.batch_size, self._device())

    def _device(self) -> torch.device:
        """Return where the network is; one without tensors is wherever it is asked to be."""
        for tensor in self.network_.state_dict().values():
            return torch.device(tensor.device)
        return choose_device(self.device)

    def _run_settings(self, seed: int, parts: _Parts) -> dict[str, Any]:
        """Return what decides a training, for its checkpoint."""
        ignored = {
            "checkpoint",
            "verbose",
            "device",
            "memory_budget",
            "contamination",
            "random_state",
        }
        params = {
            name: repr(value)
            for name, value in self.get_params(deep=False).items()
            if name not in ignored
        }
        return params | {
            "seed": seed,
            "training pictures": parts.training.checksum(),
            "validation pictures": parts.validation.checksum(),
        }
