"""Finds plugins, and imports what they offer only when it is asked for by name."""

from __future__ import annotations

import copy
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial, update_wrapper
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import Any

import pluggy

from . import builtin, hookspecs
from .errors import InputError, PluginError, PluginWarning
from .protocols import ImageShape

__all__ = [
    "KINDS",
    "Offer",
    "build",
    "build_network",
    "find",
    "load",
    "offers",
    "plugin_manager",
    "register",
    "resolve",
]

KINDS = ("model", "scorer", "corruptor", "schedule")
BUILTIN = "builtin"


@dataclass(frozen=True)
class Offer:
    """One name that one plugin offers, not yet imported.

    Attributes
    ----------
    kind : {"model", "scorer", "corruptor", "schedule"}
        Which contract it claims to satisfy.
    name : str
        The short name.
    target : str or object
        ``"package.module:attribute"``, or the object itself.
    plugin : str
        The entry point's name, or "builtin".
    distribution, version : str
        The installed package that brings it; empty for one registered by hand.
    """

    kind: str
    name: str
    target: Any
    plugin: str
    distribution: str = ""
    version: str = ""

    @property
    def full_name(self) -> str:
        """``plugin:name``, which always means this one."""
        return f"{self.plugin}:{self.name}"

    def load(self) -> Any:
        """Import the object; raises `PluginError`, which names the plugin, where that fails."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:  # a plugin may raise anything while it is imported
            source = f" of package {self.distribution!r}" if self.distribution else ""
            raise PluginError(
                f"{self.kind} '{self.full_name}'{source} ({self.target}) cannot be imported: {error}"
            ) from error


@cache
def plugin_manager() -> pluggy.PluginManager:
    """Register the built-ins and every installed plugin, once; a broken one is left out with a warning.

    ``RECON_ANOMALY_PLUGINS=a,b`` in the environment loads only the entry points of these names;
    an empty value loads none. ``plugin_manager.cache_clear()`` makes the next call look again.
    """
    _distribution.cache_clear()
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(builtin, BUILTIN)
    wanted = os.environ.get("RECON_ANOMALY_PLUGINS")
    for entry in sorted(entry_points(group=hookspecs.GROUP), key=lambda entry: entry.name):
        if wanted is None or entry.name in wanted.replace(" ", "").split(","):
            with _left_out_on_error(entry.name):
                register(manager, entry.load(), entry.name)
    return manager


def register(manager: pluggy.PluginManager, plugin: Any, name: str) -> None:
    """Register one plugin whole or not at all; a hook that this version lacks is warned of.

    In a notebook: ``register(plugin_manager(), my_module, "mine")``.
    """
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError:
        manager.unregister(name=name)  # pluggy leaves the hooks before the bad one in place
        raise
    for hook in dir(plugin):
        known = hasattr(hookspecs, hook)
        if not known and manager.parse_hookimpl_opts(plugin, hook) is not None:
            warnings.warn(
                f"plugin {name!r} has a hook {hook!r} that this version does not know; it is "
                "ignored (a newer recon-anomaly may know it)",
                PluginWarning,
                stacklevel=2,
            )


def offers(kind: str) -> list[Offer]:
    """List what plugins offer of one kind, sorted by full name, importing none of it."""
    if kind not in KINDS:
        raise InputError(f"kind {kind!r} is unknown; say one of: {', '.join(KINDS)}")
    found: list[Offer] = []
    for hook in getattr(plugin_manager().hook, f"recon_anomaly_{kind}s").get_hookimpls():
        # Each by itself: pluggy's own call of all stops at the first exception.
        with _left_out_on_error(hook.plugin_name):
            package = _distribution(hook.plugin_name)
            found += [
                Offer(kind, name, target, hook.plugin_name, *package)
                for name, target in dict(hook.function()).items()
            ]
    return sorted(found, key=lambda offer: (offer.plugin != BUILTIN, offer.plugin, offer.name))


def find(kind: str, name: str) -> Offer:
    """Return the one offer that is called ``name``, or ``plugin:name``.

    A bare name means the built-in where there is one, since installing a package must not change
    what "cae" means.

    Raises
    ------
    PluginError
        If there is none, or if two plugins offer the bare name; the message lists what to say.

    Examples
    --------
    >>> find("model", "pca").full_name
    'builtin:pca'
    """
    known = offers(kind)
    plugin, _, short = name.rpartition(":")
    matches = [offer for offer in known if offer.name == short and plugin in ("", offer.plugin)]
    if not plugin:
        matches = [offer for offer in matches if offer.plugin == BUILTIN] or matches
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = ", ".join(offer.full_name for offer in matches)
        raise PluginError(f"several plugins offer a {kind} named {name!r}; say one of: {names}")
    names = ", ".join(offer.name if offer.plugin == BUILTIN else offer.full_name for offer in known)
    hint = f" Is the package of plugin {plugin!r} installed?" if plugin else ""
    raise PluginError(f"no {kind} is named {name!r}; known are: {names}.{hint}")


def load(kind: str, name: str) -> Any:
    """Import and return what is called ``name``."""
    return find(kind, name).load()


def resolve(kind: str, value: Any) -> tuple[Any, str | None]:
    """Return the object behind a name or an object, and the full name to save it by, if any."""
    if isinstance(value, str):
        offer = find(kind, value)
        return offer.load(), offer.full_name
    if not callable(value):
        raise InputError(
            f"{kind}={value!r} is neither a name nor a callable; the names are listed by "
            "`recon-anomaly plugins`"
        )
    for offer in offers(kind):
        if offer.target is value or (isinstance(offer.target, str) and _points_at(offer, value)):
            return value, offer.full_name
    return value, None


def build(kind: str, value: Any, params: Mapping[str, Any] | None = None) -> tuple[Any, str | None]:
    """Make a ready scorer, corruptor or schedule from a name or an object and its parameters.

    A class is called with ``params``; a function gets them as keywords at each call. An object is
    copied, since fitting a scorer must not reach into another detector's.
    """
    found, name = resolve(kind, value)
    if not isinstance(params, Mapping | None):
        raise InputError(f"{kind}_params is {params!r}; a mapping from names to values is wanted")
    settings = dict(params or {})
    try:
        if isinstance(found, type):
            return found(**settings), name
        inspect.signature(found).bind_partial(**settings)
    except TypeError as error:
        raise InputError(f"{kind} {name or value!r} does not take {settings}: {error}") from error
    if settings:  # with the function's own abilities: a scorer's reduction, a schedule's needs
        return update_wrapper(partial(found, **settings), found), name
    return copy.deepcopy(found), name


def build_network(builder: Any, image_shape: ImageShape, params: Mapping[str, Any]) -> Any:
    """Call a model for pictures of one shape; a wrong parameter is an `InputError`."""
    try:
        network = builder(image_shape, **params)
    except TypeError as error:
        raise InputError(f"model {builder!r} does not take {dict(params)}: {error}") from error
    if not callable(network) or not hasattr(network, "losses"):
        raise InputError(f"model {builder!r} built {network!r}; wanted is a module with losses")
    return network


def _points_at(offer: Offer, value: Any) -> bool:
    return bool(
        offer.target
        == f"{getattr(value, '__module__', None)}:{getattr(value, '__qualname__', None)}"
    )


@cache
def _distribution(plugin: str) -> tuple[str, str]:
    if plugin == BUILTIN:
        names = ["recon-anomaly"]
    else:
        names = [
            entry.dist.name
            for entry in entry_points(group=hookspecs.GROUP, name=plugin)
            if entry.dist is not None
        ]
    try:
        return (names[0], version(names[0])) if names else ("", "")
    except PackageNotFoundError:
        return ("", "")


@contextmanager
def _left_out_on_error(plugin: str) -> Iterator[None]:
    """Turn an exception inside into a warning, so that one bad plugin does not stop the others."""
    try:
        yield
    except Exception as error:  # whatever a stranger's module raises
        warnings.warn(f"plugin {plugin!r} was left out: {error!r}", PluginWarning, stacklevel=4)
