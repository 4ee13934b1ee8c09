"""What the text of an option says: numbers, sizes, names, and parameters as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import typer

__all__ = [
    "read_bytes",
    "read_grids_of",
    "read_names",
    "read_params",
    "read_params_of",
    "read_region",
    "read_size",
    "read_value",
    "read_whole",
]


def read_params(pairs: list[str]) -> dict[str, Any] | None:
    """Read NAME=VALUE pairs; a value is JSON where it can be (numbers, lists, true), else text."""
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{pair!r}: NAME=VALUE is wanted")
        found[name] = read_value(text)
    return found or None


def read_params_of(owner: str, pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Read OWNER.NAME=VALUE pairs, by owner: a model, or a schedule."""
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        whose, dot, rest = pair.partition(".")
        name, equals, text = rest.partition("=")
        if not (whose and dot and equals and name.isidentifier()):
            raise typer.BadParameter(f"{pair!r}: {owner}.NAME=VALUE is wanted")
        found.setdefault(whose, {})[name] = read_value(text)
    return found


def read_grids_of(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Read MODEL.NAME=[VALUE,...] pairs, by model."""
    for pair in pairs:
        if not isinstance(read_value(pair.partition("=")[2]), tuple):
            raise typer.BadParameter(f"{pair!r}: MODEL.NAME=[VALUE,...] is wanted, a list in JSON")
    return read_params_of("MODEL", pairs)


def read_value(text: str) -> Any:
    """Read JSON where it is some, with lists as tuples, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value


def read_size(text: str) -> int | tuple[int, int]:
    """Read one side of square pictures, or HEIGHTxWIDTH."""
    sides = tuple(read_whole(side) for side in text.lower().split("x"))
    if len(sides) > 2:
        raise typer.BadParameter(f"image size {text!r}: one number, or HEIGHTxWIDTH, is wanted")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def read_region(text: str | None) -> tuple[int, ...] | str | None:
    """Read four whole numbers with commas between, or the path of a mask, where one is given."""
    if text is None or not re.fullmatch(r"[\d\s,-]+", text):
        return text
    numbers = tuple(read_whole(part) for part in text.split(","))
    if len(numbers) != 4:
        raise typer.BadParameter(f"roi {text!r}: X,Y,WIDTH,HEIGHT or the path of a mask is wanted")
    return numbers


def read_bytes(text: str | None) -> int | None:
    """Read a number of bytes such as 500MB, where one is given."""
    from recon_anomaly.errors import InputError
    from recon_anomaly.memory import bytes_of

    try:
        return None if text is None else bytes_of(text)
    except InputError as error:
        raise typer.BadParameter(f"memory budget {error}") from None


def read_whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number") from None


def read_names(text: str) -> list[str]:
    """Read names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]
