"""Every command takes its options from a file, the command line wins, and what is wrong in it is refused."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import torch
import typer
from PIL import Image

from recon_anomaly import load
from recon_anomaly.cli import app


@pytest.fixture
def folder(tmp_path, good, bad, monkeypatch):
    """A folder that is worked in, with good/ and new/."""
    monkeypatch.chdir(tmp_path)
    for name, pictures in {"good": good[:20], "new": bad}.items():
        (tmp_path / name).mkdir()
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / name / f"{k:02}.png")
    return tmp_path


def refusal(run, text, *command):
    """Run a command with this text as its file, and return what it says, in one line."""
    Path("run.toml").write_text(text)
    code, _, errors = run(*command, "--config", "run.toml")
    assert code == 2
    return re.sub(r"[\s│]+", " ", errors)


def test_a_fit_can_be_repeated_from_the_file_that_it_wrote(folder, run):
    """The file beside the model trains the same weights, and what is on the command line wins over it."""
    command = ["fit", "good", "-o", "a.safetensors", "--model", "cvae", "--image-size", "16"]
    params = ["--model-param", "latent_size=4", "--model-param", "kernels=[4,8]"]
    code, _, errors = run(*command, *params, "--epochs", "2", "--batch-size", "4", "--seed", "7")
    assert code == 0, errors
    code, _, errors = run("fit", "--config", "a.safetensors.run.toml", "--out", "b.safetensors")
    assert code == 0, errors
    code, _, errors = run(
        "fit", "--config", "a.safetensors.run.toml", "-o", "c.safetensors", "--seed", "8"
    )
    assert code == 0, errors
    first, again, other = (load(f"{name}.safetensors") for name in "abc")
    weights = [detector.network_.state_dict() for detector in (first, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert first.offset_ == again.offset_
    written = [
        tomllib.loads(Path(f"{name}.safetensors.run.toml").read_text())["fit"] for name in "ab"
    ]
    assert written[1] == written[0] | {"out": "b.safetensors"}
    assert written[0]["model-param"] == ["latent_size=4", "kernels=[4,8]"]
    assert (written[0]["scorer"], written[0]["batch-size"]) == ("mse", 4)
    assert "learning-rate" not in written[0]


def test_one_file_serves_several_commands(folder, run):
    """Each command reads its own table; arguments stand in it by their names, and several in a list."""
    Path("run.toml").write_text(
        '[fit]\nfolder = "good"\nout = "mean.safetensors"\nmodel = "mean"\nimage_size = 16\n'
        '[score]\nfile = "mean.safetensors"\npictures = ["new", "good/00.png"]\njson = true\n'
        '[threshold]\nfile = "mean.safetensors"\ngood = "new"\nrule = "value"\nthreshold = 3\nout = "three.safetensors"\n'
        "[plugins]\njson = true\n"
    )
    outputs = {}
    for command in ("fit", "score", "threshold", "plugins"):
        code, outputs[command], errors = run(command, "--config", "run.toml")
        assert code == 0, errors
    assert len(json.loads(outputs["score"])) == 9
    assert load("three.safetensors").offset_ == -3
    assert json.loads(outputs["plugins"])[0]["kind"] == "model"
    _, scored, _ = run("score", "--config", "run.toml", "mean.safetensors", "good/00.png")
    assert [row["path"] for row in json.loads(scored)] == ["good/00.png"]


def test_a_flat_file_is_for_the_command_that_reads_it(folder, run):
    """Keys without a table are those of the command on the command line; --no-... overrules a switch."""
    Path("run.toml").write_text('model = "mean"\nimage-size = "16x16"\nskip-unreadable = true\n')
    (folder / "good" / "00.png").write_bytes(b"no picture")
    command = ["fit", "good", "-o", "a.safetensors", "--config", "run.toml"]
    code, _, errors = run(*command)
    assert (code, "skipped files: 1" in errors) == (0, True)
    code, _, errors = run(*command, "--no-skip-unreadable")
    assert (code, "00.png cannot be used" in errors) == (1, True)


def test_bench_writes_its_options_beside_its_records(folder, run):
    """The file names the options, and a bench from it makes the same figures."""
    options = ["--models", "mean", "--scorers", "mse,l1", "--corruptors", "", "--image-size", "16"]
    code, first, errors = run("bench", *options, "--out", "a.jsonl", "--json")
    assert code == 0, errors
    code, again, errors = run("bench", "--config", "a.jsonl.run.toml", "--out", "b.jsonl")
    assert code == 0, errors
    figures = [[record["scores"] for record in json.loads(text)] for text in (first, again)]
    assert figures[0] == figures[1]
    before = Path("a.jsonl.run.toml").read_bytes()
    code, _, errors = run("bench", "--models", "pca", "--out", "a.jsonl")
    assert (code, "a.jsonl exists" in errors) == (1, True)
    assert Path("a.jsonl.run.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "fit has no option 'epoch'; the nearest is 'epochs'"),
        ("as_json = true", "fit has no option 'as_json'; the nearest is 'json'"),
        ('config = "other.toml"', "fit has no option 'config'"),
        ("epochs = 2.5", "epochs is 2.5; a whole number is wanted"),
        ("epochs = true", "epochs is True; a whole number is wanted"),
        ('learning-rate = "0.1"', "learning-rate is '0.1'; a number is wanted"),
        ("json = 1", "json is 1; true or false is wanted"),
        ("model = true", "model is True; a text is wanted"),
        ("out = 3", "out is 3; a text is wanted"),
        ('model-param = "a=1"', "model-param is 'a=1'; a list of texts is wanted"),
        ("model-param = [1]", "model-param is [1]; a list of texts is wanted"),
        ("batch-size = 1\nbatch_size = 2", "batch-size stands there twice"),
        ("seed = 1\n[fit]\nseed = 2", "seed stands outside of the tables; put it below [fit]"),
        ("[bench]\nepochs = 2", "run.toml has no table [fit], but [bench]"),
        ("seed = ", "run.toml is no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused(text, message, folder, run):
    """One sentence names the file and the key, says what is wanted, and nothing is written."""
    assert message in refusal(run, text, "fit", "good", "-o", "a.safetensors")
    assert not Path("a.safetensors").exists()


def test_a_file_that_is_missing_is_refused(folder, run):
    """The message has its name."""
    code, _, errors = run("plugins", "--config", "nothing.toml")
    assert code == 2
    assert "cannot read nothing.toml" in errors


def test_what_no_file_says_is_still_wanted(folder, run):
    """A required option that stands neither in the file nor on the command line is asked for."""
    assert "'--out' / '-o'" in refusal(run, 'model = "mean"', "fit", "good")


def test_write_config_writes_what_the_command_was_run_with(folder, run):
    """Any command writes its options on request, defaults with them, and may not write where it read."""
    code, _, errors = run("plugins", "--write-config", "plugins.toml")
    assert code == 0, errors
    assert tomllib.loads(Path("plugins.toml").read_text()) == {"plugins": {"json": False}}
    assert "# recon-anomaly " in Path("plugins.toml").read_text()
    code, _, errors = run("plugins", "--config", "plugins.toml", "--write-config", "plugins.toml")
    assert code == 1
    assert "plugins.toml is the file that is read" in errors


def test_a_file_by_hand_is_not_written_over(folder, run):
    """Where NAME.run.toml was not written by a run it stays, and the model is saved all the same."""
    text = 'folder = "good"\nout = "a.safetensors"\nmodel = "mean"\nimage-size = 16\n'
    Path("a.safetensors.run.toml").write_text(text)
    code, _, errors = run("fit", "--config", "a.safetensors.run.toml")
    assert code == 0
    assert Path("a.safetensors.run.toml").read_text() == text
    assert "a.safetensors.run.toml is there already, and no run wrote it" in errors
    assert load("a.safetensors").predict("new/").shape == (8,)


def test_every_command_has_both_options():
    """Whatever is registered with the app takes and writes such files."""
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--config", "--write-config"} <= options, name
