"""What a command was run with, as a TOML file that ``--config`` takes."""

from __future__ import annotations

import json
import platform
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recon_anomaly.errors import InputError, ReconAnomalyError
from recon_anomaly.writing import check_other_file, whole_file

__all__ = ["ConfigText", "offered", "toml_of", "write_beside"]

_HEAD = "# Written by recon-anomaly"
_NAMED = ("recon-anomaly", "torch", "torchvision", "numpy", "scikit-learn")


@dataclass(frozen=True)
class ConfigText:
    """The options of a command that is being run.

    Attributes
    ----------
    command : str
        Its name.
    values : mapping of str to Any
        Of each option and argument, defaults included; None and empty lists are left out.
    source : Path or None
        The file that ``--config`` named.
    """

    command: str
    values: Mapping[str, Any]
    source: Path | None = None

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version(name)}" for name in _NAMED)
        lines = [
            f"{_HEAD} {self.command}, which takes it back by --config.",
            f"# {versions}; Python {platform.python_version()}, {platform.system()} {platform.machine()}",
            f"[{self.command}]",
        ]
        lines += [
            f"{key} = {toml_of(value)}"
            for key, value in self.values.items()
            if value is not None and value != []
        ]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; it may not be the one that was read."""
        if self.source is not None:
            check_other_file(path, self.source)
        text = str(self)
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


_RUN: ContextVar[ConfigText | None] = ContextVar("run", default=None)


@contextmanager
def offered(text: ConfigText) -> Iterator[None]:
    """Let `write_beside` find the text of the command that is run in this block."""
    before = _RUN.set(text)
    try:
        yield
    finally:
        _RUN.reset(before)


def write_beside(written: Path) -> None:
    """Write the options of the command that is run beside a file that it writes, as ``NAME.run.toml``, behind its whole name.

    A file of that name that no run wrote, that ``--config`` read, that holds more than the command's table, or that
    cannot be written, stays as it is, which is said on stderr: what was trained is worth more.
    """
    text, path = _RUN.get(), written.with_name(f"{written.name}.run.toml")
    if text is None:
        return
    try:
        if path.exists():
            _check_replaceable(path, text)
        text.write(path)
    except (ReconAnomalyError, OSError) as error:
        print(f"the options were not written beside {written}: {error}", file=sys.stderr)


def _check_replaceable(path: Path, text: ConfigText) -> None:
    """Refuse to lose what no run wrote, the file that was read, and tables of other commands."""
    before = path.read_bytes()
    if not before.startswith(_HEAD.encode()):
        raise InputError(f"{path} is there already, and no run wrote it")
    if text.source is not None and path.samefile(text.source):
        raise InputError(f"{path} is what --config read, and stays as it is")
    try:
        more = tomllib.loads(before.decode()).keys() - {text.command}
    except ValueError as error:
        raise InputError(f"{path} is there already, and no TOML: {error}") from error
    if more:
        raise InputError(f"{path} holds more than [{text.command}]: {', '.join(sorted(more))}")


def toml_of(value: Any) -> str:
    """Return a value in TOML: a text, a path, a number, true or false, or a list of them.

    Raises
    ------
    InputError
        When a text holds what is no Unicode, as the name of a file may.

    Examples
    --------
    >>> toml_of(["std=0.2", 3, True])
    '["std=0.2", 3, true]'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_of, value))}]"
    if isinstance(value, float):
        return repr(value)  # JSON has other words for infinity
    if isinstance(value, bool | int):
        return json.dumps(value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{text!r} is no Unicode, and a file in TOML can hold nothing else"
        ) from error
    # JSON's escapes are TOML's, but for this one sign, which TOML wants to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
