"""How a detector is fitted: parts by name, pictures, validation, network, scorer, threshold."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from .backbones import weights_checksums
from .batches import Batches
from .checkpoints import Checkpoint
from .datasets import good_pictures
from .devices import choose_device
from .errors import InputError
from .fitted import FittedDetector
from .fitting import fit_network
from .history import EpochRecord
from .images import measure_range, range_for
from .inputs import read_anomalous, read_input, split_validation
from .randomness import seeded
from .registry import build, build_network, resolve
from .scoring import fit_scorer, make_noise, rehearse, score_batches
from .store import Pictures
from .training import Plan, Tick

__all__ = ["BaseDetector"]


class _Parts(NamedTuple):
    training: Pictures
    validation: Pictures
    labelled: Pictures | None = None
    anomalous: np.ndarray | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class BaseDetector(FittedDetector):
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
        attributes = self.__dict__
        before = dict(attributes)
        try:
            yield from self._iter_fit(X, validation_data)
        except BaseException:  # a fit that fails, or is left, leaves an earlier one in use
            attributes.clear()
            attributes.update(before)
            raise

    def _iter_fit(self, X: Any, validation_data: Any) -> Iterator[Tick | EpochRecord]:
        self._check_parameters()
        device = choose_device(self.device)
        seed = self._draw_seed()
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
        if not hasattr(network, "fit_batches"):
            first = next(iter(batches(parts.validation.take([0]))))
            rehearse(network, scorer, first, make_noise(network, scorer, seed, device))
        plan = Plan(schedule, self.epochs, self.learning_rate, seed, corruptor)
        checkpoint = None
        if self.checkpoint is not None:
            frozen = {f"weights of {k}": v for k, v in weights_checksums(network).items()}
            checkpoint = Checkpoint(self.checkpoint, self._run_settings(seed, parts) | frozen)
        history = yield from fit_network(
            network,
            training,
            validation,
            plan,
            measure=measure,
            checkpoint=checkpoint,
            memory_budget=self.memory_budget,
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

    # Parts -------------------------------------------------------------------------------------

    def _draw_seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as error:
            raise InputError(f"random_state={self.random_state!r}: {error}") from error

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

    def _split(self, pictures: Pictures, validation_data: Any, seed: int) -> _Parts:
        """Hold a share out for validation, or read the pictures that are given for it."""
        if validation_data is None:
            return _Parts(*split_validation(pictures, self.validation_fraction, seed))
        self.image_shape_ = pictures.shape  # what validation pictures are read to
        if isinstance(validation_data, str | os.PathLike):
            validation_data = good_pictures(validation_data)
        if not isinstance(validation_data, tuple):
            return _Parts(pictures, read_input(self, validation_data, fitting=False))
        if len(validation_data) != 2:
            raise InputError(
                f"validation_data is a tuple of {len(validation_data)}; pictures, or a pair (Xv, yv), "
                "are wanted"
            )
        labelled = read_input(self, validation_data[0], fitting=False)
        anomalous = read_anomalous(validation_data[1], len(labelled))
        if anomalous.all():
            raise InputError("validation_data has no good picture (+1); at least one is needed")
        good = labelled.take(np.flatnonzero(~anomalous))
        return _Parts(pictures, good, *((labelled, anomalous) if anomalous.any() else ()))

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
        if parts.labelled is None:  # no figure is measured, so the scorer takes no part in training
            ignored |= {"scorer", "scorer_params"}
        params = {
            name: _described(value)
            for name, value in self.get_params(deep=False).items()
            if name not in ignored
        }
        labelled, anomalous = parts.labelled, parts.anomalous
        return params | {
            "recon_anomaly": version("recon-anomaly"),
            "seed": seed,
            "training pictures": parts.training.checksum(),
            "validation pictures": parts.validation.checksum(),
            "labelled pictures": None if labelled is None else labelled.checksum(),
            "labels": None if anomalous is None else anomalous.tobytes().hex(),
        }


def _described(value: Any) -> str:
    """Return what a parameter is, alike in every process: an object by its class and attributes."""
    if " at 0x" not in (text := repr(value)):
        return text
    name = getattr(value, "__qualname__", type(value).__qualname__)
    module = getattr(value, "__module__", type(value).__module__)
    state = ", ".join(
        f"{key}={item!r}" for key, item in sorted(getattr(value, "__dict__", {}).items())
    )
    return re.sub(r" at 0x[0-9a-f]+", "", f"{module}.{name}({state})")
