"""Records of a bench: what one detector reached on one test set, and under which circumstances."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .benchdata import DEFECTS, BenchData, LabelledPictures
from .decisions import EVERYTHING, called_at, decisions_of, youden_of_validation
from .detector import BaseDetector, Observed
from .errors import SavedFileError
from .metrics import ranking_metrics
from .observations import figures_of_epochs
from .pixelmetrics import PIXEL, pixel_figures
from .recordforms import parsed_record
from .resampling import draw_resamples, percentile_intervals, resampled_ranking
from .settings import key_of
from .store import allocate, budget_of
from .writing import check_writable

__all__ = ["read_records", "record_of", "start_records", "trivial_record"]


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the records of a bench.

    Raises
    ------
    SavedFileError
        When the file cannot be read or holds something else.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise SavedFileError(f"cannot read the records in {path}: {cause}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(parsed_record(line))
        except ValueError as error:
            raise SavedFileError(
                f"{path}, line {number}, is no record of a bench: {error}"
            ) from error
    return records


def start_records(out: str | os.PathLike[str] | None, resume: bool) -> list[dict[str, Any]]:
    """Return the records to go on from; a file that exists is refused unless ``resume`` is said."""
    if out is None:
        return []
    check_writable(out)  # found before hours of training, not after
    if not Path(out).exists():
        return []
    if not resume:
        raise SavedFileError(
            f"{out} exists; say --resume (resume=True) to go on with it, or name another file"
        )
    return read_records(out)


def record_of(
    settings: dict[str, Any],
    detector: BaseDetector,
    test: LabelledPictures,
    data: BenchData,
    *,
    defect_scores: np.ndarray | None = None,
    observed: Sequence[Observed] = (),
    memory_budget: int | None = None,
) -> dict[str, Any]:
    """Score a test set with a fitted detector and return the record of it.

    It keeps the anomaly scores of all test and validation pictures, from which `decide` makes any
    decision anew.

    Parameters
    ----------
    settings : dict
        From ``Settings.of``; a training that was observed says "every_epoch".
    detector : fitted detector
        Its own scorer scores.
    test : LabelledPictures
        What to score.
    data : BenchData
        The data set that this belongs to.
    defect_scores : ndarray of shape (m,), optional
        What the detector made of the defects to validate on, where there are some.
    observed : sequence of Observed
        What the network made of the set's own test pictures after every epoch.
    memory_budget : int, optional
        Bytes of anomaly maps that are kept in memory where the test set has masks; more of them wait in a
        temporary file. A quarter of what is free if None.
    """
    scores, seconds, pixels = _scored(detector, test, memory_budget)
    history = detector.history_
    counts = draw_resamples(test.labels)
    own, trained = test.name == DEFECTS, history.planned_epochs > 0
    figures = None
    if own and observed:
        figures = figures_of_epochs(observed, settings["scorer"], test.labels, history)
    good = -detector.validation_scores_
    chosen = auroc = None
    if defect_scores is not None:
        chosen = youden_of_validation(good, defect_scores)
        labels = np.repeat([0, 1], [len(good), len(defect_scores)])
        auroc = ranking_metrics(labels, np.append(good, defect_scores))["auroc"]
    return {
        **_settings_and_counts(settings, test, data),
        "scores": scores.tolist(),
        "labels": test.labels.tolist(),
        "kinds": list(test.kinds),
        "validation_scores": good.tolist(),
        "validation_defect_scores": None if defect_scores is None else defect_scores.tolist(),
        "validation_auroc": auroc,
        **_ranking(test.labels, scores, counts, pixels),
        "decisions": decisions_of(scores, test.labels, -detector.offset_, counts, chosen),
        "observed": figures,
        "device": str(detector._device()),
        "recipe": detector.recipe_ if trained else None,
        "epochs_run": len(history),
        "epochs_trained": history.epochs_trained,
        "kept_epoch": history.kept_epoch,
        "diverged": history.diverged,
        "history": json.loads(json.dumps(history.to_dict())) if own and trained else None,
        "scorer_uses": detector.scorer_uses_,
        "milliseconds_per_picture": round(1000 * seconds / len(scores), 4),
        **_circumstances(),
    }


def trivial_record(
    settings: dict[str, Any], test: LabelledPictures, data: BenchData
) -> dict[str, Any]:
    """Return the record of calling every picture anomalous: no scores, and one decision."""
    alike = np.zeros(len(test.labels))
    counts = draw_resamples(test.labels)
    decision = called_at(-1.0, alike, test.labels, counts, oracle=False)
    return {
        **_settings_and_counts(settings, test, data),
        "scores": None,
        "labels": test.labels.tolist(),
        "kinds": list(test.kinds),
        "validation_scores": None,
        **_ranking(test.labels, alike, counts),
        "decisions": {EVERYTHING: decision | {"threshold": None}},
        **_circumstances(),
    }


def _settings_and_counts(
    settings: dict[str, Any], test: LabelledPictures, data: BenchData
) -> dict[str, Any]:
    return {
        "key": key_of(settings),
        **settings,
        "n_good": len(data.train),
        "n_validation_anomalous": 0 if data.defects is None else len(data.defects),
        "n_test_good": int((test.labels == 0).sum()),
        "n_test_anomalous": int((test.labels == 1).sum()),
    }


def _scored(
    detector: BaseDetector, test: LabelledPictures, memory_budget: int | None
) -> tuple[np.ndarray, float, dict[str, Any]]:
    """Return the scores, the seconds that they took, and the figures of pixels, where there are masks."""
    if test.masks is None:
        started = time.perf_counter()
        scores = detector.anomaly_score(test.pictures)
        return scores, time.perf_counter() - started, dict.fromkeys(PIXEL)
    shape = (len(test.pictures), *test.pictures.shape[:2])
    maps = allocate(shape, np.float32, budget_of(memory_budget))
    scores = np.empty(len(maps))
    seconds, done = 0.0, 0
    started = time.perf_counter()
    for score, batch in detector.iter_scores(test.pictures):
        seconds += time.perf_counter() - started
        scores[done : done + len(score)] = score
        maps[done : done + len(score)] = batch
        done += len(score)
        started = time.perf_counter()  # to keep the maps is no part of scoring
    return scores, seconds, pixel_figures(maps, test.masks, resamples=1000)


def _ranking(
    labels: np.ndarray,
    scores: np.ndarray,
    counts: np.ndarray,
    pixels: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    intervals = percentile_intervals(resampled_ranking(labels, scores, counts))
    intervals |= pixels.get("intervals", {})
    return {
        **ranking_metrics(labels, scores),
        **pixels,
        "intervals": {
            name: None if ends is None else list(ends) for name, ends in intervals.items()
        },
    }


def _circumstances() -> dict[str, Any]:
    return {
        "process_peak_memory_mib": _peak_memory(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        },
    }


def _peak_memory() -> float | None:
    """Return the process's largest resident memory so far in MiB, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
