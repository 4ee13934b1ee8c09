"""How a detector is fitted: parts by name, pictures, validation, network, scorer, threshold."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.utils import check_random_state

from .backbones import weights_checksums
from .batches import Batches
from .checkpoints import Checkpoint
from .datasets import good_pictures
from .devices import choose_device, choose_precision
from .distributed import is_first, own_device, ranks_of
from .errors import InputError
from .fingerprints import fingerprints
from .fitted import FittedDetector
from .fitting import fit_network
from .following import Run, tell_end, told
from .history import EpochRecord, History
from .images import measure_range, range_for
from .inputs import check_budget, read_anomalous, read_input, split_validation
from .randomness import seeded
from .recipes import DEFAULT_RECIPE, recipe_of
from .registry import build, build_network, resolve
from .scoring import fit_scorer, make_noise, rehearse, score_all
from .steps import settled_precision
from .store import Pictures
from .tiledinputs import planned_tiling
from .tiledpictures import Stored, tiles_of
from .tiledscoring import scores_and_peaks
from .training import Plan, Tick

__all__ = ["BaseDetector", "Observed"]


@dataclass(frozen=True)
class Observed:
    """What a network made of the observed pictures at the end of an epoch.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    path : tuple of str
        The branch that was being trained, as in `EpochRecord`.
    scores : dict of str to ndarray of shape (n,)
        Anomaly scores, float64, by scorer.
    """

    epoch: int
    path: tuple[str, ...]
    scores: dict[str, np.ndarray]


class _Parts(NamedTuple):
    training: Stored
    validation: Stored
    labelled: Stored | None = None
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
    image_size: int | tuple[int, int] | str | None = "auto"
    tile: int | None = None
    overlap: int | None = None
    roi: tuple[int, int, int, int] | str | os.PathLike[str] | None = None
    max_pixels: int | None = None
    image_shape: tuple[int, int, int] | None = None
    channels: str | int = "auto"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    reduce_learning_rate: bool | None = None
    early_stopping: bool | None = None
    validation_fraction: float = 0.2
    contamination: str | float = "auto"
    checkpoint: str | os.PathLike[str] | None = None
    memory_budget: int | None = None
    random_state: Any = 42
    device: str = "auto"
    precision: str = "auto"
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
            When a loss becomes NaN or infinite in the first epoch. Later that ends the training with a
            `TrainingWarning`, and the last good weights are kept.
        """
        planned = self._recipe()["epochs"] if self.verbose else 0
        for event in self.iter_fit(X, y, validation_data=validation_data):
            if self.verbose and isinstance(event, EpochRecord) and is_first():
                print(event.line(planned))
        return self

    def iter_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation_data: Any = None,
        observed: Any = None,
        observed_scorers: Sequence[str] = (),
    ) -> Iterator[Tick | EpochRecord | Observed]:
        """Fit, giving a `Tick` after each batch and an `EpochRecord` after each epoch.

        For whoever draws or logs progress; the detector is fitted when the iterator ends.

        Parameters
        ----------
        X, y, validation_data
            As for ``fit``.
        observed : array, folder or list of paths, optional
            Pictures to score after each epoch: an `Observed` follows the epoch's record. They have no
            part in the training, and the schedule does not see them.
        observed_scorers : sequence of str
            By which scorers; by default the detector's own, which must then be a name.
        """
        attributes = self.__dict__
        before = dict(attributes)
        try:
            run = yield from self._iter_fit(X, validation_data, observed, observed_scorers)
        except BaseException:  # a fit that fails, or is left, leaves an earlier one in use
            attributes.clear()
            attributes.update(before)
            raise
        if self._ranks.first:
            tell_end(run)

    def _iter_fit(
        self, X: Any, validation_data: Any, observed: Any, observed_scorers: Sequence[str]
    ) -> Generator[Tick | EpochRecord | Observed, None, Run]:
        self._check_parameters()
        device = own_device(choose_device(self.device))
        choose_precision(self.precision, device, 0)
        ranks = ranks_of(device)
        seed = self._draw_seed()
        model, model_params = self._model()
        builder, model_name = resolve("model", model)
        scorer, scorer_name = build("scorer", self.scorer, self.scorer_params)
        schedule, schedule_name = build("schedule", self.schedule, self.schedule_params)
        corruptor, corruptor_name = None, None
        if self.corruptor is not None:
            corruptor, corruptor_name = build("corruptor", self.corruptor, self.corruptor_params)

        self.tiling_ = planned_tiling(self)
        pictures = read_input(self, X, fitting=True)
        pixel_range = measure_range(pictures)
        parts = self._split(pictures, validation_data, seed)
        measured = () if parts.labelled is None else ("auroc",)
        if missing := set(getattr(schedule, "needs", ())) - set(measured):
            labels = (
                f"{len(parts.validation)} good ones (+1) and no anomalous one (-1)"
                if isinstance(validation_data, tuple)
                else "none with labels"
            )
            raise InputError(
                f"schedule {schedule_name or schedule!r} needs {', '.join(sorted(missing))} of "
                f"validation pictures, good and anomalous, and got {labels}; give "
                "validation_data=(Xv, yv) with yv +1 and -1 (on the command line --defects DIR), or take a "
                "schedule that needs no labels, such as 'awl-loss'"
            )
        recipe = self._recipe(builder, schedule)
        batch = min(recipe["batch_size"], len(tiles_of(pictures)))
        check_budget(self.memory_budget, pictures.shape, pictures.dtype, batch)
        looks: dict[str, Any] = {}
        if observed is not None:
            self.image_shape_ = pictures.shape  # what observed pictures are read to
            observed = read_input(self, observed, fitting=False)
            looks = {name: build("scorer", name)[0] for name in observed_scorers} or {
                str(scorer_name): scorer
            }
        seen: list[dict[str, np.ndarray]] = []

        def batches(of: Stored) -> Batches:
            size = recipe["batch_size"]
            return Batches(tiles_of(of), range_for(of, pixel_range), size, device)

        def scored(judge: Any, of: Stored, noise: Any) -> np.ndarray:
            if isinstance(of, Pictures):
                return score_all(network, judge, batches(of).full(), noise)
            found = scores_and_peaks(network, judge, noise, of, batches(of))
            return np.array([score for scores, _ in found for score in scores])

        def scores_of(judge: Any, of: Stored) -> np.ndarray:
            noise = make_noise(network, judge, seed, device)
            fit_scorer(judge, network, batches(parts.validation).in_order, noise, seed)
            return scored(judge, of, noise)

        def measure() -> dict[str, float]:
            seen.append({name: scores_of(judge, observed) for name, judge in looks.items()})
            if parts.labelled is None:
                return {}
            from sklearn.metrics import roc_auc_score  # a second, and few trainings have labels

            scores = scores_of(scorer, parts.labelled)
            return {"auroc": float(roc_auc_score(parts.anomalous, scores))}

        with seeded(device, seed):
            network = build_network(builder, pictures.shape, model_params)
            network.to(device, memory_format=torch.channels_last)
        training, validation = batches(parts.training), batches(parts.validation)
        precision = torch.float32
        if hasattr(network, "fit_batches"):
            if schedule_name != "builtin:constant" or self.schedule_params:
                raise InputError(
                    f"{type(network).__name__} is fitted in closed form, which knows no schedule; leave it "
                    "out, or take another model"
                )
        else:
            first = next(iter(batches(tiles_of(parts.validation).take([0]))))
            rehearse(network, scorer, first, make_noise(network, scorer, seed, device))
            height, width, _ = pictures.shape
            pixels = recipe["batch_size"] * height * width
            precision = settled_precision(network, first, self.precision, pixels)
        recipe["precision"] = str(precision).removeprefix("torch.")
        plan = Plan(
            schedule=schedule,
            epochs=recipe["epochs"],
            learning_rate=recipe["learning_rate"],
            seed=seed,
            corruptor=corruptor,
            reduce_learning_rate=recipe["reduce_learning_rate"],
            early_stopping=recipe["early_stopping"],
            precision=precision,
            ranks=ranks,
        )
        checkpoint = None
        if self.checkpoint is not None or not ranks.alone:
            frozen = {f"weights of {k}": v for k, v in weights_checksums(network).items()}
            settings = self._run_settings(seed, parts) | recipe | frozen
            ranks.check_same(settings)
            if self.checkpoint is not None:
                checkpoint = Checkpoint(self.checkpoint, settings, ranks)
        fitting = fit_network(
            network,
            training,
            validation,
            plan,
            measure=measure,
            checkpoint=checkpoint,
            memory_budget=self.memory_budget,
        )
        run = Run.of(
            self,
            {
                "model": (model_name or model, model_params),
                "scorer": (scorer_name or self.scorer, self.scorer_params),
                "schedule": (schedule_name or self.schedule, self.schedule_params),
                "corruptor": (corruptor_name or self.corruptor, self.corruptor_params),
            },
            **recipe,
            **self._said_settings(seed, pictures, parts, validation_data),
        )
        try:
            if ranks.first:
                fitting = told(fitting, run)
            history = yield from _with_observed(fitting, seen) if looks else fitting

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
            self._ranks = ranks
            self.recipe_ = recipe
            self.history_ = history
            self.training_hashes_ = fingerprints(parts.training)
            self._set_scorer(scorer, parts.validation, validation)
            if self.contamination == "auto":
                self.calibrate_on_validation()
            else:
                # The percentile of the negated scores, so that exactly this share lies below it.
                normality = -scored(scorer, pictures, self.noise_)
                self.offset_ = float(np.percentile(normality, 100 * float(self.contamination)))
                self.threshold_rule_ = {
                    "rule": "contamination",
                    "contamination": self.contamination,
                }
        except Exception:  # loggers close their run by it, and it goes on
            run.failed = True
            raise
        return run

    # Parts -------------------------------------------------------------------------------------

    def _draw_seed(self) -> int:
        try:
            return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        except ValueError as error:
            raise InputError(f"random_state={self.random_state!r}: {error}") from error

    def _recipe(self, builder: Any = None, schedule: Any = None) -> dict[str, Any]:
        """Return how the network is trained: what the user says, else schedule, model or default."""
        if builder is None:
            builder = resolve("model", self._model()[0])[0]
            schedule = build("schedule", self.schedule, self.schedule_params)[0]
        return recipe_of({name: getattr(self, name) for name in DEFAULT_RECIPE}, schedule, builder)

    def _check_parameters(self) -> None:
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

    def _split(self, pictures: Stored, validation_data: Any, seed: int) -> _Parts:
        """Hold a share out for validation, or read the pictures that are given for it."""
        if validation_data is None:
            either: Any = pictures
            return _Parts(*split_validation(either, self.validation_fraction, seed))
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

    def _said_settings(
        self, seed: int, pictures: Stored, parts: _Parts, validation_data: Any
    ) -> dict[str, Any]:
        """Return what decides a training beside its parts and recipe, for whoever follows it."""
        return {
            "seed": seed,
            "tile": self.tile,
            "overlap": None if self.tile is None or self.tiling_ is None else self.tiling_.overlap,
            "roi": os.fspath(self.roi) if isinstance(self.roi, os.PathLike) else self.roi,
            "image_shape": pictures.shape,
            "validation_fraction": self.validation_fraction if validation_data is None else None,
            "training_pictures": len(parts.training),
            "training_tiles": len(tiles_of(parts.training)),
            "validation_pictures": len(parts.validation),
            "validation_tiles": len(tiles_of(parts.validation)),
            "contamination": self.contamination,
        }

    def _run_settings(self, seed: int, parts: _Parts) -> dict[str, Any]:
        """Return what decides a training, for its checkpoint."""
        ignored = {
            "checkpoint",
            "verbose",
            "device",
            "precision",
            "memory_budget",
            "max_pixels",
            "contamination",
            "random_state",
            *DEFAULT_RECIPE,
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


def _with_observed(
    fitting: Generator[Tick | EpochRecord, None, History], seen: list[dict[str, np.ndarray]]
) -> Generator[Tick | EpochRecord | Observed, None, History]:
    """Let what was ``seen`` in an epoch follow its record; a resumed run did not see the earlier ones."""
    try:
        while True:
            event = next(fitting)
            yield event
            if isinstance(event, EpochRecord) and seen:
                yield Observed(event.epoch, event.path, seen.pop())
    except StopIteration as end:
        history: History = end.value
        return history


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
