from dataclasses import replace

import pytest
import typer
from PIL import Image

from recon_anomaly.cli.presetting import announced, grids_of, preset_of, read
from recon_anomaly.errors import InputError
from recon_anomaly.presets import find_preset

SIMPLE = find_preset("klimkevicius")
ADAPTIVE = replace(
    find_preset("nakata"),
    lay_out=lambda epochs: [
        {
            "models": ("vae", "cvae"),
            "model_grid": {"vae": {"likelihood": ["bernoulli", "gaussian"], "latent_size": [2]}},
            "schedules": ("constant", "awl-auc"),
            "epochs": epochs,
            "image_size": 16,
        },
        {"models": ("pca", "mean"), "image_size": 16},
    ],
)


def test_without_options_the_grids_are_the_presets():
    """Every setting is the paper's."""
    (grid,) = grids_of(SIMPLE, {})
    (wanted,) = SIMPLE.grids()
    assert {**wanted, "models": list(wanted["models"])} == {
        name: value for name, value in grid.items() if name in wanted
    }
    assert (grid["model_params"], grid["model_grid"]) == ({}, {})


def test_options_beat_the_settings_of_every_grid():
    """Epochs are the preset's to lay out, all others go to each grid as they are."""
    first, second = grids_of(ADAPTIVE, {"epochs": 7, "seeds": [5], "image_size": 8, "resume": True})
    assert (first["epochs"], "epochs" in second) == (7, False)
    for grid in (first, second):
        assert (grid["seeds"], grid["image_size"], grid["resume"]) == ([5], 8, True)
    assert first["schedules"] == ("constant", "awl-auc")


def test_models_that_are_named_stay_in_their_grids():
    """A grid without one is left out; a new model is trained by the preset's schedules."""

    def models(*names):
        return [grid["models"] for grid in grids_of(ADAPTIVE, {"models": names})]

    assert models("pca", "vae") == [["vae"], ["pca"]]
    assert models("vae") == [["vae"]]
    assert models("mean") == [["mean"]]
    assert models("cae", "mean") == [["cae"], ["mean"]]
    assert [grid["models"] for grid in grids_of(SIMPLE, {"models": ["pca", "acme:ae"]})] == [
        ["pca", "acme:ae"]
    ]


def test_a_parameter_that_is_given_takes_the_place_of_the_presets():
    """Only that one; models that are not run have no parameters left to refuse."""
    given = {"model_params": {"vae": {"likelihood": "gaussian"}}, "models": ["vae"]}
    (grid,) = grids_of(ADAPTIVE, given)
    assert grid["model_params"] == {"vae": {"likelihood": "gaussian"}}
    assert grid["model_grid"] == {"vae": {"latent_size": [2]}}
    (grid,) = grids_of(ADAPTIVE, {"models": ["cvae"], "model_grid": {"cvae": {"kernels": [[2]]}}})
    assert grid["model_grid"] == {"cvae": {"kernels": [[2]]}}
    assert ADAPTIVE.grids()[0]["model_grid"]["vae"]["likelihood"] == ["bernoulli", "gaussian"]


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("klim", {}, "known are"),
        ("klimkevicius", {"split_by_part": True}, "splits by part"),
        ("nakata", {"schedules": ["constant"]}, "says itself which schedules"),
        ("nakata", {"schedule_params": {"awl-loss": {"window": 3}}}, "says itself which schedules"),
    ],
)
def test_what_a_preset_has_no_place_for_is_refused(tmp_path, name, given, words):
    """Unknown presets, and options that the preset settles itself."""
    with pytest.raises(typer.BadParameter, match=words):
        preset_of(name, tmp_path, given)


def test_a_preset_wants_a_folder_and_may_leave_schedules_open(tmp_path):
    """Without pictures there is nothing to run; Klimkevičius does not say how the terms are weighed."""
    with pytest.raises(typer.BadParameter, match="wants --data"):
        preset_of("nakata", None, {})
    assert preset_of("klimkevicius", tmp_path, {"schedules": ["constant"]}).name == "klimkevicius"


def test_the_number_of_trainings_is_said_first():
    """Experiment I trains 2 likelihoods by 2 schedules for 5 seeds and 2 scorers, II by 3 seeds alone."""
    nakata = find_preset("nakata")
    assert announced(nakata, grids_of(nakata, {}), 3) == (
        f"preset nakata, data sets: 3, trainings of networks: {3 * (40 + 12)}, "
        f"models in closed form: {3 * 4 * 5}"
    )
    given = {
        "models": ["cae", "pca"],
        "seeds": [1, 2],
        "model_grid": {"cae": {"kernels": [[2], [3]]}},
    }
    assert announced(SIMPLE, grids_of(SIMPLE, given), 1).endswith(
        "trainings of networks: 4, models in closed form: 2"
    )


@pytest.fixture
def sets(tmp_path, good, bad):
    """Two labelled folders, the second with too few defects to validate on."""
    for name, defects in {"many": bad, "few": bad[:2]}.items():
        for place, pictures in {"ok": good[:10], "def": defects}.items():
            (tmp_path / name / place).mkdir(parents=True)
            for k, picture in enumerate(pictures):
                Image.fromarray(picture[..., 0]).save(tmp_path / name / place / f"{k}.png")
    return tmp_path


def test_data_sets_without_labels_enough_are_left_out(sets, capsys):
    """The others are read, with labels where a grid wants them; without any left the reason is the error."""
    (data,) = read(ADAPTIVE, sets, 16, labelled=True, skip_unreadable=False)
    assert (data.name, len(data.defects)) == ("many", 2)
    errors = capsys.readouterr().err
    assert f"left out: {sets / 'few'}" in errors
    assert "'awl-loss', which needs no labels" in errors
    assert len(read(ADAPTIVE, sets, 16, labelled=False, skip_unreadable=False)) == 2
    with pytest.raises(InputError, match="leaves 1 to test on"):
        read(ADAPTIVE, sets / "few", 16, labelled=True, skip_unreadable=False)
