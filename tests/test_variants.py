from pathlib import Path

import pytest

from recon_anomaly.errors import InputError, PluginError
from recon_anomaly.variants import check_grid, named, variants_of

GRID = {
    "models": ["cae", "pca"],
    "model_params": {"cae": {"kernels": (4, 8)}},
    "model_grid": {"pca": {"n_components": [2, 3]}},
    "schedules": ["constant", ("constant", {"weights": {"kl": 4}})],
    "scorers": ["mse"],
    "corruptors": ["gaussian"],
    "seeds": [1, 2],
    "epochs": 1,
}


@pytest.mark.parametrize("changes", [{}, {"epochs": None}, {"model_params": {}, "model_grid": {}}])
def test_a_whole_grid_passes(changes):
    """Known names, each once, with parameters of a model that is there; epochs need not be said."""
    check_grid(**GRID | changes)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"models": []}, InputError, r"models=\[\]: at least one"),
        ({"seeds": [1, 1]}, InputError, r"seeds=\[1, 1\]: at least one is wanted, and each once"),
        ({"seeds": [-1]}, InputError, r"seeds=\[-1\], epochs=1: seeds of at least 0"),
        ({"epochs": 0}, InputError, "epochs=0: .* one epoch"),
        ({"corruptors": ["objects", "objects"]}, InputError, "each is wanted once"),
        ({"models": ["cea"]}, PluginError, "known are"),
        ({"scorers": ["mes"]}, PluginError, "known are"),
        ({"corruptors": ["gauss"]}, PluginError, "known are"),
        ({"schedules": ["const"]}, PluginError, "known are"),
        ({"schedules": ["constant"] * 2}, InputError, "each once with the same parameters"),
        ({"schedules": [("constant", {"speed": 1})]}, InputError, "does not take"),
        ({"model_params": {"cvae": {}}}, InputError, "model_params has 'cvae', which is none of"),
        ({"model_grid": {"cvae": {}}}, InputError, "model_grid has 'cvae', which is none of"),
        ({"model_grid": {"pca": {"n_components": 2}}}, InputError, "a list of values is wanted"),
        ({"model_grid": {"pca": {"n_components": []}}}, InputError, "a list of values is wanted"),
        ({"model_grid": {"pca": {"n_components": [2, 2]}}}, InputError, "has a variant twice"),
        ({"model_grid": {"cae": {"kernels": [[4]]}}}, InputError, "kernels of 'cae' stands in"),
        ({"model_params": {"cae": {"kernels": {4}}}}, InputError, "cannot stand in a record"),
    ],
)
def test_what_is_wrong_in_a_grid_is_named(changes, error, words):
    """Unknown, repeated and missing names, grids that are none, and parameters of a model not there."""
    with pytest.raises(error, match=words):
        check_grid(**GRID | changes)


def test_variants_are_every_combination():
    """Those of nested loops, each with what the model always has; another model's play no part."""
    grid = {"vae": {"latent_size": [1, 2], "likelihood": ["bernoulli", "gaussian"]}}
    params = {"vae": {"kernels": (4, 8)}, "cae": {"kernels": [2]}}
    found = variants_of("vae", params, grid)
    wanted = [
        {"kernels": [4, 8], "latent_size": size, "likelihood": likelihood}
        for size in (1, 2)
        for likelihood in ("bernoulli", "gaussian")
    ]
    assert found == wanted
    assert variants_of("cae", params, grid) == [{"kernels": [2]}]
    assert variants_of("pca", params, grid) == [{}]


def test_several_grids_of_one_model_follow_each_other():
    """A list of grids holds the variants of each, as for scikit-learn."""
    grids = [{"latent_size": [1]}, {"kernels": [[4], [8]]}]
    found = variants_of("vae", {}, {"vae": grids})
    assert found == [{"latent_size": 1}, {"kernels": [4]}, {"kernels": [8]}]


def test_parameters_become_what_a_file_gives_back():
    """Tuples become lists, and paths texts, so that a row looks the same when it is read again."""
    assert named([("constant", {"weights": {"kl": 1}, "path": Path("a/b")})]) == [
        ("constant", {"weights": {"kl": 1}, "path": "a/b"})
    ]
