import sys
import warnings
from importlib.metadata import version
from types import ModuleType, SimpleNamespace

import pluggy
import pytest

from recon_anomaly import hookspecs, registry
from recon_anomaly.errors import InputError, PluginError, PluginWarning
from recon_anomaly.hookspecs import hookimpl


@pytest.fixture
def manager():
    """A plugin manager of its own, which the registry uses during the test."""
    registry.plugin_manager.cache_clear()
    yield registry.plugin_manager()
    registry.plugin_manager.cache_clear()


def _module(**hooks):
    module = ModuleType("stranger")
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, hookimpl(function))
    return module


def _entry(name, load):
    return SimpleNamespace(name=name, load=load, dist=SimpleNamespace(name=f"recon-{name}"))


@pytest.fixture
def installed(monkeypatch):
    """A function that makes modules look like installed plugins."""

    def install(**modules):
        def found(group, name=None):
            assert group == "recon_anomaly"
            entries = [_entry(plugin, load) for plugin, load in modules.items()]
            return [entry for entry in entries if name in (None, entry.name)]

        monkeypatch.setattr(registry, "entry_points", found)
        monkeypatch.delenv("RECON_ANOMALY_PLUGINS", raising=False)
        registry.plugin_manager.cache_clear()

    yield install
    registry.plugin_manager.cache_clear()


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_builtin_can_be_imported(kind):
    """What the built-in plugin offers is there, and callable."""
    assert all(callable(offer.load()) for offer in registry.offers(kind))


def test_builtins_are_listed_first_and_sorted():
    """The listing is sorted by name, the built-ins first."""
    names = [offer.name for offer in registry.offers("model")]
    assert names == sorted(names)
    assert {"cae", "cvae", "mean", "nearest", "pca"} <= set(names)


def test_plugins_are_listed_behind_the_builtins(manager):
    """By the plugin's name and then by the offer's, in whatever order they were registered."""
    registry.register(
        manager, _module(recon_anomaly_models=lambda: {"b": dict, "a": dict}), "zebra"
    )
    registry.register(manager, _module(recon_anomaly_models=lambda: {"c": dict}), "ant")
    names = [offer.full_name for offer in registry.offers("model")]
    assert names[-3:] == ["ant:c", "zebra:a", "zebra:b"]
    assert all(name.startswith("builtin:") for name in names[:-3])


def test_offers_say_the_package_that_brings_them(installed, monkeypatch):
    """Name and version of the installed distribution; nothing where there is none, or it is not to be found."""
    modules = {
        name: _module(recon_anomaly_scorers=lambda: {"x": "nowhere_at_all:f"})
        for name in ("known", "lost", "nobodys")
    }
    installed(**{name: lambda module=module: module for name, module in modules.items()})
    found = registry.entry_points
    packages = {
        "known": SimpleNamespace(name="numpy"),
        "lost": SimpleNamespace(name="recon-lost"),
        "nobodys": None,
    }

    def of_packages(group, name=None):
        entries = found(group, name)
        return [SimpleNamespace(**vars(e) | {"dist": packages[e.name]}) for e in entries]

    monkeypatch.setattr(registry, "entry_points", of_packages)
    said = {o.plugin: (o.distribution, o.version) for o in registry.offers("scorer")}
    wanted = dict.fromkeys(packages, ("", "")) | {"known": ("numpy", version("numpy"))}
    assert said == wanted | {"builtin": ("recon-anomaly", version("recon-anomaly"))}
    with pytest.raises(PluginError, match=r"'known:x' of package 'numpy' \(nowhere_at_all:f\)"):
        registry.load("scorer", "known:x")


def test_an_unknown_kind_is_refused():
    """Only the four kinds can be asked for."""
    with pytest.raises(InputError, match="model, scorer, corruptor, schedule"):
        registry.offers("loss")


def test_an_unknown_name_lists_the_known_ones():
    """The error for a wrong name says what would be right."""
    with pytest.raises(PluginError, match=r"'cea'; known are: brightness, cae, .*cvae"):
        registry.find("model", "cea")


def test_a_name_of_a_missing_plugin_asks_for_its_package():
    """A full name of a plugin that is not installed says so."""
    with pytest.raises(PluginError, match="Is the package of plugin 'acme' installed"):
        registry.find("model", "acme:skip-ae")


def test_a_bare_name_means_the_builtin(manager):
    """Installing a plugin does not change what "cae" means; its own is reached by its full name."""
    registry.register(manager, _module(recon_anomaly_models=lambda: {"cae": dict}), "other")
    assert registry.find("model", "cae").plugin == "builtin"
    assert registry.load("model", "other:cae") is dict
    assert registry.load("model", "builtin:cae") is not dict


def test_a_name_of_two_plugins_is_an_error_on_use_only(manager):
    """Two plugins may share a name; only who uses it bare is told, with both full names."""
    registry.register(manager, _module(recon_anomaly_models=lambda: {"unet": dict}), "one")
    registry.register(manager, _module(recon_anomaly_models=lambda: {"unet": list}), "two")
    assert registry.load("model", "two:unet") is list
    with pytest.raises(PluginError, match="one:unet, two:unet"):
        registry.load("model", "unet")


def test_a_plugin_that_fails_to_import_is_left_out(installed):
    """One broken plugin is warned of by name, and the next one works."""

    def broken():
        raise RuntimeError("no such library")

    installed(bad=broken, fine=lambda: _module(recon_anomaly_scorers=lambda: {"x": dict}))
    with pytest.warns(PluginWarning, match="'bad' was left out.*no such library"):
        assert registry.load("scorer", "x") is dict
    assert registry.load("model", "mean").__name__ == "MeanPicture"


def test_a_plugin_with_a_wrong_signature_is_left_out_whole(installed):
    """A hook that wants arguments takes its plugin out, with the hooks before it."""
    module = _module(
        recon_anomaly_corruptors=lambda: {"x": dict}, recon_anomaly_models=lambda wanted: {}
    )
    installed(wrong=lambda: module)
    with pytest.warns(PluginWarning, match="'wrong' was left out"):
        assert [o.plugin for o in registry.offers("corruptor")] == ["builtin"] * 4


def test_a_plugin_that_raises_in_its_hook_loses_that_hook(installed):
    """A hook that raises is warned of when it is asked; the plugin's other hooks work."""

    def raises():
        raise ValueError("broken hook")

    module = _module(recon_anomaly_models=raises, recon_anomaly_scorers=lambda: {"x": dict})
    installed(half=lambda: module)
    assert registry.load("scorer", "x") is dict
    with pytest.warns(PluginWarning, match="'half' was left out.*broken hook") as warned:
        assert all(offer.plugin == "builtin" for offer in registry.offers("model"))
    assert warned[0].filename == __file__  # it points at who asked


def test_an_unknown_hook_is_ignored_with_a_warning(installed):
    """A hook of a newer version is warned of, and the plugin's known hooks stay."""
    module = _module(recon_anomaly_teapots=lambda: {}, recon_anomaly_schedules=lambda: {"x": dict})
    installed(new=lambda: module)
    with pytest.warns(PluginWarning, match="'recon_anomaly_teapots' that this version"):
        assert registry.load("schedule", "x") is dict
    mine = _module(recon_anomaly_teapots=lambda: {})
    with pytest.warns(PluginWarning, match="plugin 'mine' has a hook") as warned:
        registry.register(registry.plugin_manager(), mine, "mine")
    assert warned[0].filename == __file__  # it points at who registers


def test_a_missing_target_is_named(manager):
    """A name whose module or attribute is missing fails on use, naming the plugin and the target."""
    registry.register(
        manager, _module(recon_anomaly_models=lambda: {"gone": "nowhere_at_all:Net"}), "acme"
    )
    with pytest.raises(PluginError, match=r"'acme:gone' \(nowhere_at_all:Net\)"):
        registry.load("model", "gone")


def test_the_environment_chooses_plugins(installed, monkeypatch):
    """RECON_ANOMALY_PLUGINS loads the named plugins alone; an empty value loads none."""
    one = _module(recon_anomaly_models=lambda: {"x": dict})
    two = _module(recon_anomaly_models=lambda: {"y": dict})
    both = {"one", "two"}
    for value, expected in (("one", {"one"}), ("", set()), ("one,two", both), ("one, two", both)):
        installed(one=lambda: one, two=lambda: two)
        monkeypatch.setenv("RECON_ANOMALY_PLUGINS", value)
        registry.plugin_manager.cache_clear()
        assert {o.plugin for o in registry.offers("model")} - {"builtin"} == expected


def test_listing_imports_nothing(manager):
    """Listing offers leaves their modules alone."""
    registry.register(
        manager, _module(recon_anomaly_models=lambda: {"x": "antigravity:fly"}), "joke"
    )
    assert "joke:x" in {offer.full_name for offer in registry.offers("model")}
    assert "antigravity" not in sys.modules


def test_objects_may_stand_in_place_of_names():
    """An object that some plugin offers is found again by its full name; another has none."""
    cae = registry.load("model", "cae")
    assert registry.resolve("model", cae) == (cae, "builtin:cae")
    assert registry.resolve("model", dict) == (dict, None)
    with pytest.raises(InputError, match="neither a name nor a callable"):
        registry.resolve("model", 3)


def test_an_object_that_a_plugin_offers_has_its_name(manager):
    """A plugin may offer the object itself, which is then known by its full name."""
    registry.register(manager, _module(recon_anomaly_models=lambda: {"x": dict}), "mine")
    assert registry.resolve("model", dict) == (dict, "mine:x")


def test_an_object_is_copied():
    """What is built from an object does not share its state."""
    scorer = registry.build("scorer", "standardised")[0]
    built, name = registry.build("scorer", scorer)
    assert (type(built), name) == (type(scorer), None)
    assert built is not scorer


@pytest.mark.parametrize("built", [object(), SimpleNamespace(losses=dict), dict])
def test_what_is_no_network_is_refused(built):
    """A model gives something that is called and has losses; the error shows what it was."""
    with pytest.raises(InputError, match=r"built .*; wanted is a module with losses"):
        registry.build_network(lambda image_shape: built, (4, 4, 1), {})


def test_a_network_gets_its_shape_and_parameters():
    """As they are; a parameter that the model does not take is named."""

    def model(image_shape, depth=1):
        network = lambda images: (image_shape, depth)  # noqa: E731  # as a plugin may
        network.losses = dict
        return network

    assert registry.build_network(model, (4, 4, 1), {"depth": 3})(None) == ((4, 4, 1), 3)
    with pytest.raises(InputError, match=r"does not take \{'width': 2\}: .*'width'"):
        registry.build_network(model, (4, 4, 1), {"width": 2})


def test_build_refuses_wrong_parameters():
    """A parameter that a scorer does not take is named."""
    with pytest.raises(InputError, match=r"max1p.*'depth'"):
        registry.build("scorer", "max1p", {"depth": 2})


def test_a_function_keeps_its_parameters():
    """A function gets its parameters at each call, a class once."""
    built, name = registry.build("corruptor", lambda image, rng, level=0: level, {"level": 7})
    assert (built(None, None), name) == (7, None)


def test_every_hook_is_one_that_the_registry_reads():
    """The page of hookspecs is the whole extension API: a hook for each kind, two that follow a training, and no other."""
    hooks = {name for name in dir(hookspecs) if name.startswith("recon_anomaly_")}
    followed = {"recon_anomaly_epoch_end", "recon_anomaly_fit_end"}
    assert hooks == {f"recon_anomaly_{kind}s" for kind in registry.KINDS} | followed


def test_the_manager_is_made_once():
    """Entry points are read once a process."""
    with warnings.catch_warnings():
        assert registry.plugin_manager() is registry.plugin_manager()
        assert isinstance(registry.plugin_manager(), pluggy.PluginManager)


def test_a_function_keeps_its_abilities(manager):
    """Parameters on a function leave its attributes, such as a scorer's reduction, in place."""

    def worst(target, reconstruction, power=1):
        return target

    worst.reduction = "max"
    built, _ = registry.build("scorer", worst, {"power": 2})
    assert built.reduction == "max"


def test_parameters_that_are_no_table_are_refused():
    """A list or a text in their place is named, and is no error of Python's."""
    for params in (["power", 2], "power", 3):
        with pytest.raises(InputError, match=r"scorer_params is .*; a mapping from names"):
            registry.build("scorer", "mse", params)


def test_wrong_parameters_of_a_function_are_found_at_once():
    """A parameter that a function does not take is an error when it is built, not when it is called."""
    with pytest.raises(InputError, match=r"mse' does not take \{'power': 2\}"):
        registry.build("scorer", "mse", {"power": 2})
