"""``--config FILE`` and ``--write-config FILE`` of every command: its options in a TOML file."""

from __future__ import annotations

import difflib
import functools
import inspect
import tomllib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer

from .runfiles import ConfigText, offered

__all__ = ["ConfiguredTyper", "settings_of"]

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", list: "a list of texts"}


class ConfiguredTyper(typer.Typer):
    """A `typer.Typer` whose commands take their options from a file, too; the command line wins."""

    def command(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """Register a command with two options more."""
        register = super().command(*args, **options)

        def registered(function: Callable[..., None]) -> Callable[..., None]:
            register(_configured(function))
            return function

        return registered


def _configured(function: Callable[..., None]) -> Callable[..., None]:
    """Return the command with ``--config`` and ``--write-config``."""
    signature = inspect.signature(function, eval_str=True)
    kinds = {name: _kind(one.annotation) for name, one in signature.parameters.items()}

    def read(context: typer.Context, value: Path | None) -> Path | None:
        if value is not None and not context.resilient_parsing:
            # By the time other parameters are looked at, since this one is eager.
            context.default_map = settings_of(value, str(context.info_name), _keys(context, kinds))
        return value

    @functools.wraps(function)
    def command(
        context: typer.Context, config: Path | None, write_config: Path | None, **given: Any
    ) -> None:
        keys = {name: key for key, (name, _) in _keys(context, kinds).items()}
        values = {keys[name]: value for name, value in given.items()}
        text = ConfigText(str(context.info_name), values, source=config)
        if write_config is not None:
            text.write(write_config)
        with offered(text):
            function(**given)

    more = {
        "config": Annotated[
            Path | None,
            typer.Option(
                help="Take options that are not given here from this file (TOML).",
                metavar="FILE",
                callback=read,
                is_eager=True,
            ),
        ],
        "write_config": Annotated[
            Path | None,
            typer.Option(help="Write all options to this file, for --config.", metavar="FILE"),
        ],
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        *(one.replace(kind=keyword) for one in signature.parameters.values()),
        *(inspect.Parameter(name, keyword, default=None, annotation=a) for name, a in more.items()),
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _kind(annotation: Any) -> type:
    """Return what a parameter takes: bool, int, float, str, Path, or list for several."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (one for one in get_args(annotation) if one is not type(None))
    found: type = get_origin(annotation) or annotation
    return found


def _keys(context: typer.Context, kinds: Mapping[str, type]) -> dict[str, tuple[str, type]]:
    """Return the keys of a command's table, with the name and kind of each parameter.

    A key is the option's long name, or an argument's name.
    """
    keys = {}
    for parameter in context.command.params:
        name = str(parameter.name)
        if name in kinds:
            long = [option for option in parameter.opts if option.startswith("--")]
            keys[long[0].removeprefix("--") if long else name] = (name, kinds[name])
    return keys


def settings_of(path: Path, command: str, keys: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    """Read the options of one command from a TOML file.

    Parameters
    ----------
    path : Path
        Either keys with values, or a table for each command.
    command : str
        Which table is read.
    keys : mapping of str to (str, type)
        What it may hold, with the parameter's name and kind; hyphens and underscores are the same.

    Returns
    -------
    dict
        Values by the parameters' names.

    Raises
    ------
    typer.BadParameter
        When the file cannot be read, has a key that the command does not know, or a value of the wrong type.
    """
    try:
        with path.open("rb") as file:
            table: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror or error}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # TOML's own, bytes, endless numbers, endless depth
        raise typer.BadParameter(f"{path} is no TOML: {error}") from error
    if any(isinstance(value, dict) for value in table.values()):
        if loose := [key for key, value in table.items() if not isinstance(value, dict)]:
            raise typer.BadParameter(
                f"{path}: {loose[0]} stands outside of the tables; put it below [{command}]"
            )
        if command not in table:
            raise typer.BadParameter(
                f"{path} has no table [{command}], but {', '.join(f'[{name}]' for name in table)}"
            )
        table = table[command]
    found: dict[str, Any] = {}
    for given, value in table.items():
        key = given.replace("_", "-")
        if key not in keys:
            key = given  # an argument's name may have an underscore
        if key not in keys:
            near = difflib.get_close_matches(given.replace("_", "-"), keys, 1, 0)
            raise typer.BadParameter(
                f"{path}: {command} has no option {given!r}; the nearest is {near[0]!r}"
            )
        name, kind = keys[key]
        if name in found:
            raise typer.BadParameter(f"{path}: {key} stands there twice")
        found[name] = _checked(value, kind, f"{path}: {given}")
    return found


def _checked(value: Any, kind: type, where: str) -> Any:
    """Return a value as the command line's reader takes it; a number may stand where a text is wanted, as in sizes."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is list:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif kind is bool:
        fits = isinstance(value, bool)
    elif kind is int:
        fits = number and isinstance(value, int)
    elif kind is float:
        fits = number
    else:
        fits = isinstance(value, str) or (kind is str and number)
    if not fits:
        raise typer.BadParameter(f"{where} is {value!r}; {_WORDS.get(kind, 'a text')} is wanted")
    return str(value) if kind is str else value
