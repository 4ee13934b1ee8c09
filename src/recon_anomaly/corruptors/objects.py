"""Objects pasted on a picture, the third artificial anomaly of Klimkevičius, section 4.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase, digits

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recon_anomaly.checks import check_counts, check_number
from recon_anomaly.errors import InputError
from recon_anomaly.images import check_picture

__all__ = ["PastedObjects"]

_SHARES = "(smallest, largest) with 0 < smallest <= largest <= 1"


@dataclass(frozen=True, kw_only=True)
class PastedObjects:
    """Pastes random ellipses, rectangles, polygons, lines, text and soft blobs on a picture.

    Klimkevičius, *Systematic Comparison of Auto Encoders in Industrial application*, section 4.1,
    adds "random objects" with Pillow and shows one example. The paper gives neither number nor size
    nor colour; the defaults here were fixed before any model was scored.

    Every object lies inside the picture; text that is too long for it is cut off. All but the blobs
    are drawn without antialiasing, so that their edges are exact; a blob is soft and has its own
    level in its middle only. In each channel an object's level is drawn uniformly from what is left
    of [0, 1] when everything nearer than ``contrast`` to the mean of the covered pixels, weighted
    as they are covered, is taken out. At least one pixel changes in a picture of any size.

    Text is drawn with the font that Pillow carries, so its exact bytes follow Pillow's version.

    Parameters
    ----------
    count : (int, int), default (1, 3)
        Fewest and most objects in a picture, both included.
    size : (float, float), default (0.08, 0.25)
        Smallest and largest extent of an object as a share of the picture's shorter side, in
        (0, 1]; for text, the nominal height of the font. Never less than one pixel.
    contrast : float, default 0.25
        Least difference between an object's level and the mean of the pixels that it covers, in
        (0, 0.5]: beyond 0.5 no level is left for a mid-gray picture.
    kinds : tuple of str, default all
        What may be drawn, each with the same probability: "ellipse", "rectangle", "polygon",
        "line", "text", "blob".

    Raises
    ------
    InputError
        If a range is empty or out of bounds, the contrast cannot always be had, or a kind is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((64, 64, 1), 0.5, dtype=np.float32)
    >>> spoiled, mask = PastedObjects(kinds=("line",))(image, np.random.default_rng(0))
    >>> bool(mask.any()), bool((np.abs(spoiled - image)[mask] >= 0.25).all())
    (True, True)
    """

    count: tuple[int, int] = (1, 3)
    size: tuple[float, float] = (0.08, 0.25)
    contrast: float = 0.25
    kinds: tuple[str, ...] = ("ellipse", "rectangle", "polygon", "line", "text", "blob")

    def __post_init__(self) -> None:
        # Parameters that went through JSON come back as lists.
        for name in ("count", "size", "kinds"):
            value = getattr(self, name)
            if isinstance(value, str) or not hasattr(value, "__iter__"):
                raise InputError(f"{name} is {value!r}; give a tuple.")
            object.__setattr__(self, name, tuple(value))
        counts = check_counts("count", self.count)
        if len(counts) != 2 or counts[0] > counts[1]:
            raise InputError(
                f"count is {self.count}; give (fewest, most) with 1 <= fewest <= most."
            )
        shares = [check_number("size", share, _SHARES, most=1, above=0) for share in self.size]
        if len(shares) != 2 or shares[0] > shares[1]:
            raise InputError(f"size is {self.size}; give {_SHARES}")
        check_number("contrast", self.contrast, "a number in (0, 0.5]", most=0.5, above=0)
        unknown = [kind for kind in self.kinds if not isinstance(kind, str) or kind not in _STAMPS]
        if unknown or not self.kinds:
            raise InputError(
                f"kinds is {self.kinds}; give one or more of {', '.join(sorted(_STAMPS))}."
            )

    def __call__(
        self, image: NDArray[np.float32], rng: np.random.Generator, /
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the picture with objects on it and the mask of the pixels that changed, see `Corruptor`.

        ``rng`` chooses number, kinds, places, sizes, shapes and levels; the mask is never empty.
        """
        check_picture(image)
        h, w, _ = image.shape
        corrupted = image.copy()
        for _ in range(rng.integers(self.count[0], self.count[1], endpoint=True)):
            kind = self.kinds[rng.integers(len(self.kinds))]
            extent = max(1, round(rng.uniform(*self.size) * min(h, w)))
            stamp = _STAMPS[kind](extent, rng)[:h, :w]
            if not stamp.any():
                # A glyph or a thin polygon of a pixel or two may come out empty.
                stamp = np.ones((1, 1))
            top = rng.integers(h - stamp.shape[0], endpoint=True)
            left = rng.integers(w - stamp.shape[1], endpoint=True)
            covered = corrupted[top : top + stamp.shape[0], left : left + stamp.shape[1]]
            self._paint(covered, stamp[:, :, None], rng)
        mask = (corrupted != image).any(axis=2)
        if not mask.any():
            # One object can restore what another painted, and a contrast can be too small for
            # float32: rare enough to be no part of the distribution, but a mask is promised.
            corrupted[h // 2, w // 2] = np.where(image[h // 2, w // 2] < 0.5, 1.0, 0.0)
            mask[h // 2, w // 2] = True
        return corrupted, mask

    def _paint(
        self, covered: NDArray[np.float32], stamp: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        mean = np.average(covered, axis=(0, 1), weights=np.broadcast_to(stamp, covered.shape))
        mean = mean.clip(0.0, 1.0)
        below = np.maximum(mean - self.contrast, 0.0)
        above = np.maximum(1.0 - mean - self.contrast, 0.0)
        # One number picks side and level at once, with the room on each side as its weight. Where a
        # contrast of 0.5 leaves no room, only the side that can still hold it is right.
        place = rng.uniform(size=mean.shape) * (below + above)
        lower = np.where(below + above > 0, place < below, mean >= self.contrast)
        level = np.where(lower, place, 1.0 - (below + above - place))
        covered[...] = ((1.0 - stamp) * covered + stamp * level).clip(0.0, 1.0)


def _drawn(extent: int, draw_on: Callable[[ImageDraw.ImageDraw], None]) -> NDArray[np.float64]:
    canvas = Image.new("1", (extent, extent))
    draw_on(ImageDraw.Draw(canvas))
    return np.asarray(canvas).astype(np.float64)


def _ellipse(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    short = round(rng.uniform(0.5, 1.0) * (extent - 1))
    box = (0, 0, extent - 1, short) if rng.random() < 0.5 else (0, 0, short, extent - 1)
    return _drawn(extent, lambda pen: pen.ellipse(box, fill=1))


def _ring(
    angles: NDArray[np.float64], radii: NDArray[np.float64] | float, extent: int
) -> list[float]:
    half = (extent - 1) / 2
    corners = half + half * np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(
        radii, (-1, 1)
    )
    return [float(value) for value in corners.ravel()]


def _rectangle(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    turn, half_opening = rng.uniform(0, np.pi), rng.uniform(0.1, 0.4) * np.pi
    angles = turn + np.array(
        [-half_opening, half_opening, np.pi - half_opening, np.pi + half_opening]
    )
    corners = _ring(angles, 1.0, extent)
    return _drawn(extent, lambda pen: pen.polygon(corners, fill=1))


def _polygon(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    n_corners = int(rng.integers(3, 7))
    angles = np.sort(rng.uniform(0, 2 * np.pi, size=n_corners))
    corners = _ring(angles, rng.uniform(0.5, 1.0, size=n_corners), extent)
    return _drawn(extent, lambda pen: pen.polygon(corners, fill=1))


def _line(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    turn = rng.uniform(0, np.pi)
    ends = _ring(np.array([turn, turn + np.pi]), 1.0, extent)
    return _drawn(extent, lambda pen: pen.line(ends, fill=1, width=max(1, extent // 8)))


def _text(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    signs = rng.choice(list(ascii_uppercase + digits), size=rng.integers(1, 4, endpoint=True))
    text, font = "".join(signs), ImageFont.load_default(extent)
    canvas = Image.new("1", (2 * extent * len(text), 2 * extent))
    ImageDraw.Draw(canvas).text((0, 0), text, fill=1, font=font)
    return np.asarray(canvas.crop(canvas.getbbox())).astype(np.float64)


def _blob(extent: int, rng: np.random.Generator) -> NDArray[np.float64]:
    short = max(1, round(rng.uniform(0.5, 1.0) * extent))
    sides = (extent, short) if rng.random() < 0.5 else (short, extent)
    cone = Image.radial_gradient("L").resize(sides, Image.Resampling.BOX)
    # Pillow's gradient reaches white in the corners; this takes it to nothing at the box's edges.
    rise = (1.0 - np.asarray(cone) * (np.sqrt(2.0) / 255.0)).clip(0.0)
    soft = rise**2 * (3.0 - 2.0 * rise)
    stamp: NDArray[np.float64] = soft / soft.max()
    return stamp


_STAMPS: dict[str, Callable[[int, np.random.Generator], NDArray[np.float64]]] = {
    "ellipse": _ellipse,
    "rectangle": _rectangle,
    "polygon": _polygon,
    "line": _line,
    "text": _text,
    "blob": _blob,
}
