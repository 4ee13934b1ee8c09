"""A sheet of pairs to look at: what `find_leakage` found, test picture beside training picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from recon_anomaly.audit import KINDS, Leakage, Twin
from recon_anomaly.images import PixelRange, measure_range, range_for
from recon_anomaly.neighbours import TURNS, turned
from recon_anomaly.store import Pictures

__all__ = ["draw_pairs"]

# Of identical pictures a few are enough to see that they are.
_MOST_PAIRS = {"identical-file": 4, "identical-pixels": 4, "near": 32}
_ACROSS = 4
_SIDE = 160  # pixels of the longer side of a picture
_GAP = 4
_MARGIN = 20
_LINE = 15
_CAPTION = 3 * _LINE


def draw_pairs(leakage: Leakage, title: str, train: Pictures, test: Pictures) -> Image.Image:
    """Draw at most 40 pairs: the test picture left, the training picture, turned and relit, right.

    Of the near pairs the 16 least and the 16 most distant are drawn, in the order of their distance.
    """
    pairs = [twin for kind in KINDS for twin in _chosen(leakage, kind)]
    high, wide = test.shape[:2]
    zoom = _SIDE / max(high, wide)
    height, width = max(1, round(high * zoom)), max(1, round(wide * zoom))
    step_x, step_y = 2 * width + _GAP + _MARGIN, height + _CAPTION + _MARGIN
    top = 3 * _LINE + 2 * _MARGIN
    columns, rows = max(1, min(_ACROSS, len(pairs))), -(-len(pairs) // _ACROSS)
    notes = [title]
    if pairs:
        left_out = len(leakage.twins) - len(pairs)
        shown = f"{len(pairs)} pairs" + (f", {left_out} more are left out" if left_out else "")
        notes.append(f"{shown}; left: test, right: training picture, turned and relit")
        if left_out:
            notes.append("of each kind the least and the most distant pairs are shown")
    large, small = ImageFont.load_default(13), ImageFont.load_default(11)
    least = max(int(large.getlength(line)) for line in notes) + 2 * _MARGIN
    sheet = Image.new("RGB", (max(least, columns * step_x + _MARGIN), top + rows * step_y), "white")
    draw = ImageDraw.Draw(sheet)
    for n, line in enumerate(notes):
        draw.text((_MARGIN, _MARGIN + n * _LINE), line, "dimgray" if n else "black", large)
    train_units = measure_range(train)
    test_units = range_for(test, train_units)
    for k, twin in enumerate(pairs):
        x, y = _MARGIN + k % _ACROSS * step_x, top + k // _ACROSS * step_y
        tested = test.batch(slice(twin.test, twin.test + 1))[0]
        known = train.batch(slice(twin.train, twin.train + 1))[0].transpose(2, 0, 1)
        known = turned(known, TURNS.index(twin.turn)).transpose(1, 2, 0)
        right = _shown(known, train_units, twin.gain, twin.offset)
        sheet.paste(_shown(tested, test_units).resize((width, height)), (x, y))
        sheet.paste(right.resize((width, height)), (x + width + _GAP, y))
        for n, line in enumerate(_caption(twin, train, test)):
            place = (x, y + height + 3 + n * _LINE)
            fitting = _shortened(line, 2 * width + _GAP, small)
            draw.text(place, fitting, "dimgray" if n else "black", small)
    return sheet


def _chosen(leakage: Leakage, kind: str) -> list[Twin]:
    twins = sorted(
        (twin for twin in leakage.twins if twin.kind == kind), key=lambda twin: twin.distance
    )
    half = _MOST_PAIRS[kind] // 2
    return twins if len(twins) <= 2 * half else [*twins[:half], *twins[-half:]]


def _shown(
    picture: NDArray[Any], units: PixelRange, gain: float = 1.0, offset: float = 0.0
) -> Image.Image:
    shares = (picture - units.low) / (units.high - units.low) * gain + offset
    pixels = np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    colours = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    return Image.fromarray(np.ascontiguousarray(colours))


def _caption(twin: Twin, train: Pictures, test: Pictures) -> list[str]:
    first = twin.kind
    if twin.kind == "near":
        first += f", {twin.turn}, residual {twin.distance:.2%}"
    names = [
        str(position) if store.paths is None else _name(store.paths[position])
        for store, position in ((test, twin.test), (train, twin.train))
    ]
    return [first, f"test: {names[0]}", f"train: {names[1]}"]


def _name(path: Path) -> str:
    # The built-in font knows Latin letters only, and a file's name may be any bytes.
    return path.name.encode("latin-1", "replace").decode("latin-1")


def _shortened(text: str, width: int, font: Any) -> str:
    """Leave out the middle of a line that is too wide."""
    kept = len(text)
    line = text
    while font.getlength(line) > width and kept > 2:
        kept -= 1
        line = f"{text[: kept - kept // 2]}...{text[-(kept // 2) :]}"
    return line
