"""Pictures that have nothing to do with each other are scored together, and fail alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .conformal import p_values
from .errors import InputError
from .reading import put

if TYPE_CHECKING:
    from .fitted import FittedDetector

__all__ = ["Found", "score_together"]


class Found(NamedTuple):
    """What a detector says of one picture.

    Attributes
    ----------
    score : float
        The anomaly score. The higher, the more abnormal.
    decision : float
        The threshold less the score. Negative is anomalous.
    p_value : float
        The conformal p-value, see `FittedDetector.p_value`.
    pixels : ndarray of shape (h, w, c), uint8 or uint16
        The picture as it was scored.
    anomaly_map : ndarray of shape (h, w), float32
        Where. The higher, the more abnormal.
    """

    score: float
    decision: float
    p_value: float
    pixels: NDArray[Any]
    anomaly_map: NDArray[np.float32]

    @property
    def anomalous(self) -> bool:
        """Whether the score is above the threshold."""
        return self.decision < 0

    @property
    def label(self) -> str:
        """``anomalous`` or ``good``."""
        return "anomalous" if self.anomalous else "good"


def score_together(detector: FittedDetector, pictures: Sequence[NDArray[Any]]) -> list[Found | str]:
    """Score pictures that happened to arrive together.

    Those of 8 and of 16 bits go apart, each as the detector would take it alone. Where a picture spoils
    a batch, as one whose score is not finite, each of them is scored again by itself. A score is the same as
    alone but for rounding: a product of matrices rounds otherwise for another number of rows.

    Parameters
    ----------
    detector : fitted detector
        It scores in this thread.
    pictures : sequence of ndarray of shape (h, w, 1 or 3), uint8 or uint16
        At the detector's size, or at their own where it cuts pictures; gray ones may have one channel where it wants three.

    Returns
    -------
    list of Found or str
        For each picture what was found, or why it could not be scored.
    """
    found: list[Found | str] = [""] * len(pictures)
    for dtype in {picture.dtype for picture in pictures}:
        places = [place for place, picture in enumerate(pictures) if picture.dtype == dtype]
        for place, result in zip(
            places, _scored(detector, [pictures[k] for k in places]), strict=True
        ):
            found[place] = result
    return found


def _scored(detector: FittedDetector, pictures: list[NDArray[Any]]) -> list[Found | str]:
    height, width, channels = detector.image_shape_
    stack: Any = np.empty((len(pictures), height, width, channels), pictures[0].dtype)
    if detector.tiling_ is not None:  # each has its own size, and is scored alone in any case
        stack = [np.empty((*picture.shape[:2], channels), picture.dtype) for picture in pictures]
    for picture, place in zip(pictures, stack, strict=True):
        put(picture, place)
    found: list[Found | str] = []
    try:
        for scores, maps in detector.iter_scores(stack):
            values = p_values(scores, detector.calibration_scores_)
            for score, p_value, anomaly_map in zip(scores, values, maps, strict=True):
                decision = float(-score - detector.offset_)
                pixels = stack[len(found)]
                found.append(Found(float(score), decision, float(p_value), pixels, anomaly_map))
    except InputError as error:
        if len(pictures) == 1:
            return [str(error)]
        return [_scored(detector, [picture])[0] for picture in pictures]
    return found
