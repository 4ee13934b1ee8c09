"""An estimator that tries candidates from cheap to dear, and keeps the one that finds synthetic anomalies best."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from .detector import BaseDetector
from .devices import choose_device
from .distributed import own_device, ranks_of
from .errors import HookError, InputError, ReconAnomalyError
from .estimators import ReconstructionDetector
from .following import Run
from .history import EpochRecord
from .inputs import read_input
from .judging import judge
from .store import Pictures
from .tiledinputs import planned_tiling
from .tiledpictures import Stored, tiles_of

__all__ = ["CANDIDATES", "SCORERS", "AutoDetector", "Tried"]

CANDIDATES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("pca", {}),
    ("feature-pca", {"view": "both"}),
    ("feature-pca", {"view": "patch"}),
    ("feature-pca", {"view": "whole"}),
    ("cae", {}),
    ("cvae", {}),
)
"""Models with their parameters, from cheap to dear; the first is always tried whole."""

SCORERS = ("mse", "top-k", "smoothed-maximum", "standardised", "fused")
"""What each candidate is scored by."""

_MOST_JUDGED = 128


@dataclass(frozen=True)
class Tried:
    """A candidate that was tried, or was left out.

    Attributes
    ----------
    model, model_params : str, and mapping
        The candidate.
    seconds : float
        What trying it took.
    auroc : dict of str to float
        Of the synthetic anomalies against the good validation pictures, averaged over their kinds, by
        scorer; empty where it was left out.
    why : str
        Why it was left out; else empty.
    """

    model: str
    model_params: Mapping[str, Any]
    seconds: float
    auroc: Mapping[str, float] = field(default_factory=dict)
    why: str = ""

    @property
    def best(self) -> tuple[float, str]:
        """The highest AUROC, and the scorer that has it, the first of equals."""
        scorer = max(self.auroc, key=lambda name: self.auroc[name])
        return self.auroc[scorer], scorer

    def line(self) -> str:
        """Return one line of text about it."""
        params = " ".join(f"{name}={value}" for name, value in self.model_params.items())
        name = f"{self.model} {params}".strip()
        if self.why:
            return f"{name}: left out after {self.seconds:.0f} s: {self.why}"
        figures = ", ".join(f"{scorer} {auroc:.3f}" for scorer, auroc in self.auroc.items())
        return f"{name}: {figures} ({self.seconds:.0f} s)"


@dataclass(kw_only=True, eq=False, repr=False)
class AutoDetector(BaseDetector):
    """Tries models and scorers within some minutes, and becomes the best on synthetic anomalies.

    Each candidate is fitted on the same training pictures, and each scorer judged by how well it tells the
    validation pictures from synthetic anomalies made of them (`recon_anomaly.spoiling`): the AUROC, averaged over
    the kinds of anomalies. The best pair of candidate and scorer is kept; of equals the one that was tried first.
    Neither labels nor test pictures take part. Since "pca" is tried first, and always, the choice is never worse
    than it on that validation.

    The figures are those of few pictures, and the pictures that the choice was made by also set the threshold, which is
    therefore somewhat optimistic; ``calibrate`` sets it by other good pictures.

    Parameters
    ----------
    minutes : float
        The budget. A candidate is not begun when it is spent, and a training given up when it runs out, or when after
        its first epoch the planned ones would not fit. The first candidate is tried whole, and neither a fit in
        closed form nor the judging is interrupted.
    candidates : sequence of (str, mapping)
        Models with their parameters, from cheap to dear. One that cannot be fitted or judged, as where the weights of
        ``feature-pca`` are not installed, is left out, and ``tried_`` says why. (Torchvision's weights would be downloaded.)
    scorers : sequence of str
        By which each is judged.
    **parameters
        The others are those of `ReconstructionDetector`, but ``scorer``, ``schedule``, ``corruptor`` and
        ``checkpoint``, which this one chooses or does not take.

    Attributes
    ----------
    chosen_ : ReconstructionDetector
        The detector that was kept, fitted; ``save`` writes this one.
    tried_ : list of Tried
        What was tried, in its order.

    Examples
    --------
    >>> import numpy as np
    >>> good = np.random.default_rng(0).integers(90, 110, (40, 16, 16)).astype(np.uint8)
    >>> bad = good[:2].copy()
    >>> bad[:, 4:12, 4:12] = 255
    >>> detector = AutoDetector(candidates=[("pca", {"n_components": 4})]).fit(good)
    >>> detector.predict(bad)
    array([-1, -1])
    """

    minutes: float = 10
    candidates: Sequence[tuple[str, Mapping[str, Any]]] = CANDIDATES
    scorers: Sequence[str] = SCORERS

    def _model(self) -> tuple[Any, dict[str, Any]]:
        if hasattr(self, "chosen_"):
            return self.chosen_._model()
        model, params = self.candidates[0]
        return model, dict(params)

    def fit(self, X: Any, y: Any = None, *, validation_data: Any = None) -> Self:
        """Try the candidates, and become the best; else as `ReconstructionDetector.fit`."""
        super().fit(X, y, validation_data=validation_data)
        if self.verbose:
            print("\n".join(one.line() for one in self.tried_))
        return self

    def _as_saved(self) -> Any:
        detector = copy.copy(self.chosen_)
        detector.contamination = self.contamination
        for name, value in vars(self).items():  # some may have been set anew since, as a threshold
            if name.endswith("_") and name not in ("chosen_", "tried_"):
                setattr(detector, name, value)
        return detector

    def with_scorer(self, scorer: Any, X: Any, **params: Any) -> Any:
        """Return the chosen detector with another scorer; else as `ReconstructionDetector.with_scorer`."""
        return self._as_saved().with_scorer(scorer, X, **params)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """Read the chosen detector, a `ReconstructionDetector`, from the file that ``save`` wrote."""
        return ReconstructionDetector.load(path, **options)

    def _iter_fit(
        self, X: Any, validation_data: Any, observed: Any, observed_scorers: Sequence[str]
    ) -> Generator[Any, None, Run]:
        started = time.monotonic()
        self._check_parameters()
        self._refuse(observed)
        seed = self._draw_seed()
        self.tiling_ = planned_tiling(self)
        pictures = read_input(self, X, fitting=True)
        parts = self._split(pictures, validation_data, seed)
        if parts.labelled is not None:
            raise InputError(
                "AutoDetector judges by synthetic anomalies and has no use for labelled ones (-1, --defects); leave "
                "them out, and measure with them afterwards"
            )
        tried: list[Tried] = []
        best: tuple[float, ReconstructionDetector] | None = None
        for model, params in self.candidates:
            begun = time.monotonic()
            deadline = None if best is None else started + 60 * self.minutes
            detector = self._candidate(model, params, seed)
            why, found = "", {}
            if deadline is not None and begun > deadline:
                why = f"the {self.minutes:g} minutes were over"
            else:
                try:
                    why = yield from _fitted_until(
                        detector, parts.training, parts.validation, deadline
                    )
                    if not why:
                        found = judge(
                            detector, self.scorers, _some(tiles_of(parts.validation)), seed
                        )
                except HookError:
                    raise
                except ReconAnomalyError as error:
                    why = str(error)
            one = Tried(model, params, time.monotonic() - begun, found, why)
            tried.append(one)
            yield one
            if found and (best is None or one.best[0] > best[0]):
                best = one.best[0], detector.set_params(scorer=one.best[1])
        if best is None:
            raise InputError(
                "no candidate could be tried: " + "; ".join(one.line() for one in tried)
            )
        self._become(best[1], parts.validation, pictures)
        self.tried_ = tried
        return Run.of(
            self,
            {
                "model": (self.names_["model"], self.chosen_.model_params),
                "scorer": (self.names_["scorer"], None),
            },
            **self.recipe_,
            **self._said_settings(seed, pictures, parts, validation_data),
        )

    def _refuse(self, observed: Any) -> None:
        if observed is not None:
            raise InputError(
                "AutoDetector observes no pictures while it tries models; leave observed out"
            )
        if not ranks_of(own_device(choose_device(self.device))).alone:
            raise InputError(
                "AutoDetector tries models in one process, and torchrun started several; start it once, or fit "
                "a ReconstructionDetector"
            )
        if not self.minutes > 0 or not self.candidates or not self.scorers:
            raise InputError(
                f"minutes={self.minutes!r}, {len(self.candidates)} candidates, {len(self.scorers)} scorers: more than 0 "
                "of each are wanted"
            )
        defaults = ReconstructionDetector()
        for name in _CHOSEN:
            if getattr(self, name) != getattr(defaults, name):
                raise InputError(
                    f"{name}={getattr(self, name)!r}: AutoDetector chooses what it takes; leave {name} out, or fit a "
                    "ReconstructionDetector"
                )

    def _candidate(
        self, model: str, params: Mapping[str, Any], seed: int
    ) -> ReconstructionDetector:
        taken = {one.name for one in fields(BaseDetector)} - {"contamination", "random_state"}
        common = {name: getattr(self, name) for name in taken}
        return ReconstructionDetector(
            model, model_params=dict(params), **common | {"random_state": seed}
        )

    def _become(
        self,
        detector: ReconstructionDetector,
        validation: Stored,
        pictures: Stored,
    ) -> None:
        chosen = detector.with_scorer(detector.scorer, validation)
        if self.contamination != "auto":
            scores = chosen.score_samples(pictures)
            chosen.offset_ = float(np.percentile(scores, 100 * float(self.contamination)))
            chosen.threshold_rule_ = {"rule": "contamination", "contamination": self.contamination}
        fitted = {name: value for name, value in vars(chosen).items() if name.endswith("_")}
        self.__dict__.update(fitted)
        self._ranks = chosen._ranks
        self.chosen_ = chosen


_CHOSEN = (
    "scorer",
    "scorer_params",
    "schedule",
    "schedule_params",
    "corruptor",
    "corruptor_params",
    "checkpoint",
)


def _some(pictures: Pictures) -> Pictures:
    """Return at most as many pictures as are judged on, evenly chosen."""
    if len(pictures) <= _MOST_JUDGED:
        return pictures
    return pictures.take(np.linspace(0, len(pictures) - 1, _MOST_JUDGED).round().astype(np.intp))


def _fitted_until(
    detector: ReconstructionDetector,
    training: Stored,
    validation: Stored,
    deadline: float | None,
) -> Generator[Any, None, str]:
    """Fit, handing on the events; give it up when the time is over, and return why."""
    events: Any = detector.iter_fit(training, validation_data=validation)
    for event in events:
        yield event
        if deadline is None:
            continue
        now = time.monotonic()
        why = "the time was over" if now > deadline else ""
        if isinstance(event, EpochRecord) and event.epoch == 1:
            needed = event.seconds * (detector._recipe()["epochs"] - 1)
            if now + needed > deadline:
                why = f"its epochs would take {needed:.0f} s, and {max(0, deadline - now):.0f} s were left"
        if why:
            events.close()
            return why
    return ""
