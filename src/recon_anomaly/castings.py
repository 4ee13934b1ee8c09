"""Draws one casting, sound or with a defect.

A part is a round gray casting with a raised rim, a bored hub and seven blades, as on the pump
impellers of the castings data set (Klimkevičius, *Systematic Comparison of Auto Encoders in
Industrial application*, section 4.1), seen from above on a darker ground. It is drawn as fields: how
much of a pixel the metal covers, its height, and how bright it is. A defect changes these fields, so
it is lit as the part is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEFECT_KINDS", "make_part"]

_Field = NDArray[np.float64]
_N_BLADES = 7
_SOFT = 1.7  # pixels over which the lens spreads an edge
_VISIBLE = 6  # gray levels of 255; a smaller change is lost in the grain and not marked


def make_part(
    sides: tuple[int, int], kind: str, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a sound part and the same part with a defect; the sound one twice for "good"."""
    part = _cast(sides, rng)
    light = _light(part, rng)
    good = light(part)
    if kind == "good":
        return good, good
    strength = rng.uniform(0.4, 2.4)  # from barely visible to gross
    while True:
        spoiled = light(_DEFECTS[kind](part, strength, rng))
        changed = np.abs(spoiled.astype(np.int16) - good) >= _VISIBLE
        if changed.any():
            return good, np.where(changed, spoiled, good)
        # In a small picture a defect can fall between the pixels; it is drawn anew, and stronger.
        strength *= 1.25


@dataclass(frozen=True)
class _Part:
    """Fields (h, w) of one casting; lengths and heights are in radii of the part."""

    x: _Field  # in the part's own frame, which turns with it
    y: _Field
    pixel: float
    cover: _Field
    height: _Field
    albedo: _Field

    def inside(self, distance: _Field) -> _Field:
        """Return how much of each pixel lies on an edge's negative side, as the lens blurs it."""
        return (0.5 - distance / (_SOFT * self.pixel)).clip(0.0, 1.0)

    def place(
        self, rng: np.random.Generator, nearest: float, farthest: float
    ) -> tuple[float, float]:
        """Draw a point between two distances from the centre."""
        radius, angle = rng.uniform(nearest, farthest), rng.uniform(0, 2 * np.pi)
        return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def _slope(distance: _Field, width: float) -> _Field:
    """Go smoothly from 0 to 1 across an edge, as the drafted walls of a casting do."""
    return 0.5 + 0.5 * np.tanh(distance / width)


def _cast(sides: tuple[int, int], rng: np.random.Generator) -> _Part:
    """Draw a sound part, in a fixture that leaves it a few degrees and a fraction of a pixel."""
    h, w = sides
    radius = 0.5 * min(sides) * rng.uniform(0.840, 0.845)
    y, x = np.mgrid[:h, :w] - np.reshape([(h - 1) / 2, (w - 1) / 2], (2, 1, 1))
    shift, turn = rng.normal(0, 0.004, size=2), rng.uniform(-0.05, 0.05)
    x, y = x / radius - shift[0], y / radius - shift[1]
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    ridge = (0.5 + 0.5 * np.cos(_N_BLADES * (angle + 0.5 * r))) ** 3
    height = (
        0.14 * _slope(r - 0.80, 0.05)
        - 0.14 * _slope(r - 0.97, 0.05)
        + 0.16 * _slope(0.30 - r, 0.05)
        + 0.12 * ridge * _slope(r - 0.30, 0.06) * _slope(0.82 - r, 0.06)
    )
    empty = np.zeros(sides)
    part = _Part(x, y, 1 / radius, empty, height, empty + 0.62)
    return replace(part, cover=part.inside(r - 1) * part.inside(0.13 - r))


def _grain(sides: tuple[int, int], size: float, rng: np.random.Generator) -> _Field:
    """Return noise of standard deviation 1, smoothed over about ``size`` pixels."""
    frequency = np.hypot(np.fft.fftfreq(sides[0])[:, None], np.fft.rfftfreq(sides[1]))
    kept = np.exp(-2 * (np.pi * size * frequency) ** 2)
    grain = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(sides)) * kept, s=sides)
    return grain / max(float(grain.std()), 1e-9)


def _light(part: _Part, rng: np.random.Generator) -> Callable[[_Part], NDArray[np.uint8]]:
    """Set up lamp, surface and camera once; the result photographs any part with them."""
    sides = part.cover.shape[0], part.cover.shape[1]
    lamp = rng.normal(-0.75 * np.pi, 0.05)
    fall_x, fall_y = rng.normal(0, 0.006, size=2)
    gain, offset = rng.normal(1.0, 0.012), rng.normal(0.0, 0.003)
    soft = 1 / part.pixel / 9
    metal = 0.020 * _grain(sides, 0.6, rng) + 0.0100 * _grain(sides, soft, rng)
    metal *= rng.lognormal(0, 0.25)  # some moulds are rougher than others
    ground = 0.25 + 0.006 * _grain(sides, soft, rng)
    camera = rng.normal(0, 0.006, size=sides)
    v, u = np.mgrid[-1 : 1 : sides[0] * 1j, -1 : 1 : sides[1] * 1j]
    fall = 1 + fall_x * u + fall_y * v

    def photograph(part: _Part) -> NDArray[np.uint8]:
        down, right = np.gradient(part.height, part.pixel)
        lit = 0.8 - 0.6 * (np.cos(lamp) * right + np.sin(lamp) * down)
        shade = lit / np.sqrt(1 + right**2 + down**2) + 0.2 + 0.3 * part.height
        seen = ground + part.cover * ((part.albedo + metal) * shade.clip(0.1, None) - ground)
        picture = gain * fall * seen + offset + camera
        pixels: NDArray[np.uint8] = np.rint(255 * picture.clip(0.0, 1.0)).astype(np.uint8)
        return pixels

    return photograph


def _blow_hole(part: _Part, strength: float, rng: np.random.Generator) -> _Part:
    """Draw gas pits: dark, round, with a bright lip where the light meets their wall."""
    height, albedo = part.height, part.albedo
    for _ in range(rng.integers(1, 3, endpoint=True)):
        x, y = part.place(rng, 0.25, 0.9)
        size = strength**0.5 * max(rng.uniform(0.045, 0.09), 0.6 * part.pixel)
        pit = np.exp(-((np.hypot(part.x - x, part.y - y) / size) ** 4))
        height = height - rng.uniform(0.4, 0.9) * size * pit
        albedo = albedo * (1 - min(0.9, strength * rng.uniform(0.35, 0.65)) * pit)
    return replace(part, height=height, albedo=albedo)


def _scratch(part: _Part, strength: float, rng: np.random.Generator) -> _Part:
    """Draw a thin, slightly bent line, bright when fresh and dark when filled with dirt."""
    x, y = part.place(rng, 0.15, 0.75)
    turn, bend = rng.uniform(0, np.pi), rng.normal(0, 0.25)
    u = np.cos(turn) * (part.x - x) + np.sin(turn) * (part.y - y)
    v = np.cos(turn) * (part.y - y) - np.sin(turn) * (part.x - x) - bend * u**2
    width = max(rng.uniform(0.02, 0.04), 0.4 * part.pixel)
    line = np.exp(-((v / width) ** 2)) * part.inside(np.abs(u) - rng.uniform(0.25, 0.5))
    amount = min(0.6, strength * rng.uniform(0.4, 0.7)) * rng.choice([-1.0, 1.0])
    return replace(part, albedo=part.albedo * (1 + amount * line).clip(0.0, 2.0))


def _burr(part: _Part, strength: float, rng: np.random.Generator) -> _Part:
    """Draw a flake of metal that sticks out of the rim, thin and a little duller than the part."""
    angle, wide = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.25)
    off = np.angle(np.exp(1j * (np.arctan2(part.y, part.x) - angle)))
    ragged = 1 + 0.35 * np.cos(off * rng.uniform(20, 40) + rng.uniform(0, 2 * np.pi))
    near = np.exp(-((off / wide) ** 4))
    reach = strength**0.5 * rng.uniform(0.08, 0.18) * ragged * near
    r = np.hypot(part.x, part.y)
    flake = part.inside(r - 1 - reach) * (r > 0.9)
    albedo = np.where(r > 1, part.albedo * rng.uniform(0.8, 1.1), part.albedo)
    height = np.maximum(part.height, 0.08 * flake * near)
    return replace(part, cover=np.maximum(part.cover, flake), height=height, albedo=albedo)


def _stain(part: _Part, strength: float, rng: np.random.Generator) -> _Part:
    """Draw a soft patch of oil or oxide, darker or brighter, with an uneven outline."""
    x, y = part.place(rng, 0.2, 0.75)
    turn, size, slim = rng.uniform(0, np.pi), rng.uniform(0.12, 0.26), rng.uniform(0.55, 1.0)
    u = np.cos(turn) * (part.x - x) + np.sin(turn) * (part.y - y)
    v = (np.cos(turn) * (part.y - y) - np.sin(turn) * (part.x - x)) / slim
    uneven = 0.25 * _grain((part.x.shape[0], part.x.shape[1]), 0.1 / part.pixel, rng)
    patch = _slope(1 + uneven - np.hypot(u, v) / size, 0.35)
    amount = min(0.5, strength * rng.uniform(0.2, 0.4)) * rng.choice([-1.0, 1.0])
    return replace(part, albedo=part.albedo * (1 + amount * patch).clip(0.0, 2.0))


def _short_fill(part: _Part, strength: float, rng: np.random.Generator) -> _Part:
    """Leave out metal that never came: a bite out of the rim, or the outer end of one blade."""
    size = strength**0.5 * rng.uniform(0.13, 0.26)
    if rng.random() < 0.5:
        x, y = part.place(rng, 1.0, 1.06)
        away = np.hypot(part.x - x, part.y - y) - size
        return replace(
            part,
            cover=part.cover * (1 - part.inside(away)),
            height=part.height - 0.08 * _slope(-away - 0.02, 0.05),
        )
    r = rng.uniform(0.5, 0.7)
    angle = 2 * np.pi * rng.integers(_N_BLADES) / _N_BLADES - 0.5 * r
    away = np.hypot(part.x - r * np.cos(angle), part.y - r * np.sin(angle)) - size
    return replace(part, height=part.height * (1 - _slope(-away, 0.05)))


_DEFECTS: dict[str, Callable[[_Part, float, np.random.Generator], _Part]] = {
    "blow-hole": _blow_hole,
    "scratch": _scratch,
    "burr": _burr,
    "stain": _stain,
    "short-fill": _short_fill,
}

DEFECT_KINDS = tuple(_DEFECTS)
"""The kinds of defect, in the order in which ``make_parts`` returns them."""
