"""Scores to set a threshold by: of pictures that the detector was not trained on, which is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .batches import Batch
from .fingerprints import TrainedPictures
from .pictures import named_files
from .scoring import score_all

if TYPE_CHECKING:
    from .fitted import FittedDetector

__all__ = ["unseen_scores"]


def unseen_scores(
    detector: FittedDetector,
    X: Any,
    *,
    skipped: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return the anomaly score of each picture, float64 (n,), if none of them was trained on.

    The pixels that are scored are hashed on the way, so that files are decoded once.

    Parameters
    ----------
    detector : fitted detector
        Its ``training_hashes_`` tell.
    X : array, folder or list of paths
        The pictures.
    skipped : list, optional
        Of files: takes up (path, reason) for each that cannot be used, which is then left out.
    progress : callable, optional
        Of files: called with the number of those that were decoded.

    Raises
    ------
    InputError
        When pictures were trained on, with their number and the name of the first; and when X cannot be used.
    """
    trained = TrainedPictures(detector.training_hashes_, detector.pixel_range_)

    def score(batches: Any) -> np.ndarray:
        return score_all(detector.network_, detector.scorer_, batches, detector.noise_)

    if detector.tiling_ is not None:
        return _of_tiled(detector, X, trained, skipped, progress)
    paths = named_files(X)
    if paths is None:
        batches = detector._batches(X)
        pictures = batches.pictures
        names = pictures.paths or [f"number {place} of X" for place in range(len(pictures))]
        for start in range(0, len(pictures), batches.batch_size):
            place = slice(start, start + batches.batch_size)
            trained.look(pictures.batch(place), names[place])
        trained.refuse()
        return score(batches.full())

    def looked_at(stream: Any) -> Iterator[Batch]:
        for part in stream:
            trained.look(part.pixels, part.paths)
            if progress is not None:
                progress(trained.seen)
            yield part.batch

    with closing(iter(detector._stream(paths, skipped))) as stream:
        scores = score(looked_at(stream))
    trained.refuse()
    return scores


def _of_tiled(
    detector: FittedDetector,
    X: Any,
    trained: TrainedPictures,
    skipped: list[tuple[Path, str]] | None,
    progress: Callable[[int], object] | None,
) -> np.ndarray:
    """Do the same where pictures are cut, one after the other."""
    scores: list[float] = []
    with closing(detector._cut(X, skipped)) as pictures:
        for place, picture in enumerate(pictures):
            trained.look_at_parts(picture.parts(), picture.path or f"number {place} of X")
            scores.append(detector._score_cut(picture).score)
            if progress is not None:
                progress(trained.seen)
    trained.refuse()
    return np.array(scores)
