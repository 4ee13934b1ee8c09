"""What is told of a picture: its score and decision, where it is anomalous, and its heat map."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NotRequired, cast

from PIL import Image
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from recon_anomaly.heatmaps import colours
from recon_anomaly.locating import pixel_threshold
from recon_anomaly.regions import Region, find_regions
from recon_anomaly.together import Found

from .uploads import Upload

if TYPE_CHECKING:
    from recon_anomaly.fitted import FittedDetector

__all__ = ["Answer", "Box", "Result", "answer_of", "heat_map", "result_of"]


class Result(TypedDict):
    """What was found, in the header of ``POST /map``, which has to be short."""

    score: float
    threshold: float
    anomalous: bool
    p_value: float
    label: str
    width: int
    height: int
    notes: list[str]


class Box(TypedDict):
    """A region, in pixels of the picture that was sent; see `recon_anomaly.regions.Region`."""

    x: float
    y: float
    width: float
    height: float
    area: float
    mean: float
    maximum: float


class Answer(Result):
    """What ``POST /score`` answers."""

    regions: list[Box]
    map: NotRequired[str]


def result_of(detector: FittedDetector, upload: Upload, found: Found) -> Result:
    """Return score and decision of a picture."""
    height, width = upload.size
    return {
        "score": found.score,
        "threshold": -float(detector.offset_),
        "anomalous": found.anomalous,
        "p_value": found.p_value,
        "label": found.label,
        "width": width,
        "height": height,
        "notes": upload.notes,
    }


def answer_of(
    detector: FittedDetector, upload: Upload, found: Found, *, with_map: bool = False
) -> Answer:
    """Return the same with the regions of a picture that is anomalous, as ``detector.regions`` finds them by default.

    With ``with_map`` there is its heat map, too, as a data URL.
    """
    regions: tuple[Region, ...] = ()
    if found.anomalous:
        regions = find_regions(found.anomaly_map, pixel_threshold(detector), size=upload.size)
    boxes = [_box(region) for region in regions]
    answer = cast("Answer", {**result_of(detector, upload, found), "regions": boxes})
    if with_map:
        drawn = base64.b64encode(heat_map(detector, found)).decode()
        answer["map"] = f"data:image/png;base64,{drawn}"
    return answer


def heat_map(detector: FittedDetector, found: Found) -> bytes:
    """Return the anomaly map as a PNG at the detector's size."""
    file = io.BytesIO()
    Image.fromarray(colours(found.anomaly_map, detector.map_scale_)).save(file, "PNG")
    return file.getvalue()


def _box(region: Region) -> Box:
    x, y, width, height = region.box
    return {
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": region.area,
        "mean": region.mean,
        "maximum": region.maximum,
    }
