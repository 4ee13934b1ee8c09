"""What a detector makes of pictures, as it is displayed: the picture, its reconstruction, its error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from .images import PixelRange, range_for
from .store import Pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.image import AxesImage

__all__ = [
    "BAR",
    "GAP",
    "Labelled",
    "Scoring",
    "Shown",
    "as_shown",
    "colour_bar",
    "draw_picture",
    "error_scale",
    "inches",
]

GAP, BAR = 0.04, 1.2
"""Between pictures of one block, and what a bar of colours with its numbers takes, in inches."""
_SHORTER_SIDE, _LONGER_SIDE = 1.25, 1.9  # inches
_BRIGHTEST = (
    0.995  # the share of error pixels below the top of the scale: one outlier hides all else
)


class Scoring(Protocol):
    """What is asked of a fitted detector."""

    offset_: float
    pixel_range_: PixelRange
    network_: Any

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return the anomaly scores (n,)."""

    def iter_scores(self, X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give scores (n,) and maps (n, h, w), batch by batch."""

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the reconstructions (n, h, w, c), in the pixel unit of ``X``."""


class Labelled(Protocol):
    """Labelled pictures, as a bench has them: 1 is anomalous; ``kinds`` names the defects."""

    @property
    def pictures(self) -> Pictures:
        """The pictures, n of them."""

    @property
    def labels(self) -> np.ndarray:
        """0 or 1 each, shape (n,)."""

    @property
    def kinds(self) -> Sequence[str]:
        """Say "good" or the kind of defect each, n of them."""


class Shown(NamedTuple):
    """Some pictures, and what a detector makes of them."""

    columns: dict[str, np.ndarray]
    """What stands side by side, by its name: pictures (n, h, w, c) in [0, 1], and maps (n, h, w)."""
    maps: np.ndarray
    """Squared errors, mean over channels, in the range of the pixels; or anomaly maps: (n, h, w)."""
    unit: str
    """Of the maps."""


def as_shown(detector: Scoring, pictures: Pictures) -> Shown:
    """Return pictures, their reconstructions and squared errors, ready to be displayed.

    Models that reconstruct features have the anomaly map in place of the last two. Pictures are shown
    in the range that the detector takes them in; what a reconstruction has beyond it is cut in the
    display, not in the error.

    Parameters
    ----------
    detector : fitted detector
    pictures : Pictures
        n of them, of the shape that was fitted.
    """
    images = pictures.batch(slice(None))
    low, high, _ = range_for(pictures, detector.pixel_range_)
    originals = {"picture": _displayed(images, low, high)}
    if hasattr(detector.network_, "target"):
        maps = np.concatenate([maps for _, maps in detector.iter_scores(pictures)])
        return Shown(originals | {"anomaly map": maps}, maps, "anomaly map")
    made = detector.reconstruct(pictures)
    difference = (made.astype(np.float64) - images) / (high - low)
    errors = np.square(difference).mean(axis=-1)
    columns = {"reconstruction": _displayed(made, low, high), "squared error": errors}
    return Shown(originals | columns, errors, "squared error (range of the pixels: 1)")


def inches(size: tuple[int, int]) -> tuple[float, float]:
    """Return how high and wide pictures of this height and width are drawn.

    Examples
    --------
    >>> inches((64, 64)), inches((10, 40))
    ((1.25, 1.25), (0.475, 1.9))
    """
    zoom = min(_SHORTER_SIDE / min(size), _LONGER_SIDE / max(size))
    return zoom * size[0], zoom * size[1]


def error_scale(maps: np.ndarray) -> Normalize:
    """Return one scale of colours for all maps, from 0; the few highest pixels lie beyond it."""
    from matplotlib.colors import Normalize

    top = float(np.quantile(maps, _BRIGHTEST))
    return Normalize(0, top if top > 0 else 1.0)


def draw_picture(axes: Axes, image: np.ndarray, scale: Normalize) -> AxesImage:
    """Draw a picture (h, w, c), or a map (h, w) in the colours of ``scale``."""
    axes.set_axis_off()
    if image.ndim == 2:  # maps have no channels
        return axes.imshow(image, cmap="inferno", norm=scale, aspect="auto")
    return axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto")


def colour_bar(axes: Axes, heat: AxesImage, maps: np.ndarray, unit: str) -> None:
    """Draw the scale of the maps into axes of its own, with an arrow where some pixels exceed it."""
    exceeded = maps.max() > heat.get_clim()[1]
    axes.figure.colorbar(heat, cax=axes, extend="max" if exceeded else "neither")
    axes.yaxis.set_major_formatter("{x:.3g}")  # an exponent above would touch the bar's arrow
    axes.set_ylabel(unit, fontsize=10)
    axes.tick_params(labelsize=8.5)


def _displayed(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return pictures (n, h, w, 1 or 3) in [0, 1]; one or two channels are shown gray."""
    shown = images[..., :3] if images.shape[-1] >= 3 else images[..., :1]
    return np.asarray(np.clip((shown - low) / (high - low), 0, 1), np.float32)
