import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from recon_anomaly import CVAE, ReconstructionDetector, load
from recon_anomaly.training import Tick

FAST = ["--image-size", "16", "--epochs", "2"]


@pytest.fixture
def folder(tmp_path, good, bad):
    """A folder with good/ (40 PNGs) and new/ (8 defective PNGs, two of them below a sub-folder)."""
    for name, pictures in {"good": good, "new": bad}.items():
        for k, picture in enumerate(pictures):
            place = tmp_path / name / ("line 2" if name == "new" and k > 5 else "")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture[..., 0]).save(place / f"{k:02}.png")
    return tmp_path


@pytest.fixture
def model(folder, run):
    """A saved PCA detector of the good pictures."""
    path = folder / "model.safetensors"
    code, _, errors = run("fit", folder / "good", "-o", path, "--model", "pca", *FAST)
    assert code == 0, errors
    return path


def test_fit_writes_a_detector_and_keeps_stdout_for_data(folder, run):
    """Fit prints its epochs and its result to stderr, and writes one file that loads."""
    out = folder / "cvae.safetensors"
    options = [
        "--model",
        "cvae",
        "--model-param",
        "latent_size=4",
        "--model-param",
        "kernels=[4,8]",
    ]
    code, stdout, errors = run("fit", folder / "good", "-o", out, *options, *FAST)
    assert (code, stdout) == (0, "")
    assert "epoch 2/2" in errors
    assert "cvae on 40 pictures of 16x16x1" in errors
    detector = load(out)
    assert detector.network_.latent_size == 4
    assert detector.get_params()["model_params"] == {"latent_size": 4, "kernels": (4, 8)}


def test_auto_says_what_it_tried(folder, run):
    """--model auto prints a line a candidate, says what it chose, and writes that detector."""
    out = folder / "auto.safetensors"
    options = ["--model", "auto", "--minutes", "1e-6", "--image-size", "16"]
    code, stdout, errors = run("fit", folder / "good", "-o", out, *options)
    assert (code, stdout) == (0, "")
    assert "pca: mse 0." in errors
    assert "feature-pca view=both: left out after 0 s: the 1e-06 minutes were over" in errors
    detector = load(out)
    assert type(detector) is ReconstructionDetector
    assert f"pca scored by {detector.names_['scorer'].partition(':')[2]} on 40 pictures" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "pca", "--minutes", "3"], "--minutes is the budget of --model auto"),
        (["--model", "auto", "--model-param", "a=1"], "leave --model-param out"),
        (["--model", "auto", "--scorer", "max1p"], "leave scorer out"),
        (["--model", "auto", "--minutes", "0"], "more than 0"),
    ],
)
def test_what_auto_cannot_take_is_refused(options, message, folder, run):
    """One sentence says what to leave out, and nothing is written."""
    out = folder / "auto.safetensors"
    code, _, errors = run("fit", folder / "good", "-o", out, *options, "--image-size", "16")
    assert code == 1
    assert message in errors
    assert not out.exists()


def test_fit_prints_json(folder, run):
    """--json prints one object on stdout: file, pictures, threshold and history."""
    out = folder / "mean.safetensors"
    code, stdout, _ = run("fit", folder / "good", "-o", out, "--model", "mean", "--json", *FAST)
    summary = json.loads(stdout)
    assert code == 0
    assert (summary["file"], summary["pictures"], summary["image_shape"]) == (
        str(out),
        40,
        [16, 16, 1],
    )
    assert summary["threshold"] == -load(out).offset_


def test_the_command_and_the_library_agree(folder, run, good):
    """Fit on a folder gives the detector that the estimator gives on the same pictures."""
    out = folder / "cvae.safetensors"
    run("fit", folder / "good", "-o", out, "--model", "cvae", "--seed", "7", *FAST)
    expected = CVAE(epochs=2, random_state=7).fit(good).score_samples(good)
    assert np.array_equal(load(out).score_samples(good), expected)


def test_score_prints_csv(folder, run, model):
    """Score prints path, score, decision and label of each picture, sorted by path."""
    code, stdout, errors = run("score", model, folder / "new")
    rows = list(csv.DictReader(stdout.splitlines()))
    detector = load(model)
    paths = [row["path"] for row in rows]
    assert code == 0
    assert paths == sorted(paths)
    assert [float(row["score"]) for row in rows] == list(detector.anomaly_score(paths))
    assert [float(row["decision"]) for row in rows] == list(detector.decision_function(paths))
    assert {row["label"] for row in rows} == {"anomalous"}
    assert "8 pictures, 8 anomalous" in errors


def test_score_writes_csv_and_json(folder, run, model):
    """--csv writes the table to a file and leaves stdout empty; --json prints the same rows."""
    target = folder / "out.csv"
    _, stdout, _ = run("score", model, folder / "new", folder / "good" / "00.png", "--csv", target)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert stdout == ""
    assert len(rows) == 9
    _, stdout, _ = run("score", model, folder / "new", folder / "good" / "00.png", "--json")
    assert [row["score"] for row in json.loads(stdout)] == [float(row["score"]) for row in rows]


def test_score_writes_a_heat_map_beside_each_picture(folder, run, model):
    """--maps writes a PNG for each picture, in the folders of the pictures: picture left, map right."""
    run("fit", folder / "good", "-o", model, "--model", "mean", *FAST)
    code, _, _ = run("score", model, folder / "new", "--maps", folder / "maps")
    found = sorted(
        p.relative_to(folder / "maps").as_posix() for p in (folder / "maps").rglob("*.png")
    )
    assert code == 0
    assert found == [f"0{k}.png.png" for k in range(6)] + ["line 2/06.png.png", "line 2/07.png.png"]
    image = np.asarray(Image.open(folder / "maps" / "00.png.png").convert("RGB")).astype(int)
    half = image.shape[1] // 2
    assert image[10, half + 100].sum() > 3 * image[-10, -10].sum()  # the bright corner, in the map


def test_skip_unreadable_lists_what_it_left_out(folder, run, model):
    """An unreadable file is an error that names it; with --skip-unreadable it is listed at the end."""
    (folder / "new" / "00.png").write_bytes(b"no picture")
    code, stdout, errors = run("score", model, folder / "new")
    assert (code, stdout) == (1, "")
    assert "00.png cannot be used" in errors
    code, stdout, errors = run("score", model, folder / "new", "--skip-unreadable")
    assert code == 0
    assert len(stdout.splitlines()) == 8
    assert "skipped files: 1" in errors
    assert "00.png" in errors.splitlines()[-1]
    code, _, errors = run("score", model, folder / "new" / "00.png", "--skip-unreadable")
    assert code == 1
    assert "00.png" in errors


def test_fit_takes_defects_to_validate_on(folder, run, good):
    """--defects are labels for a schedule that wants them: its AUROC is measured, and none is trained on."""
    out = folder / "cvae.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "cvae", "--schedule", "awl-auc", *FAST]
    code, _, errors = run(*command, "--defects", folder / "new")
    assert code == 0, errors
    history = load(out).history_
    assert all(0 <= record.figures["auroc"] <= 1 for record in history.records)
    code, _, errors = run(*command)
    assert code == 1
    assert "--defects DIR" in errors
    assert "awl-loss" in errors


def test_fit_keeps_to_its_memory_budget(folder, run, monkeypatch):
    """Pictures beyond --memory-budget lie in files, those to validate on too, and the result is the same."""
    from recon_anomaly.cli import fitting

    stores = []

    def remembered(function):
        def call(*arguments, **options):
            stores.append(function(*arguments, **options))
            return stores[-1]

        return call

    for name in ("read_files", "joined_stores"):
        monkeypatch.setattr(fitting, name, remembered(getattr(fitting, name)))
    out = folder / "cvae.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "cvae", *FAST]
    command += ["--defects", folder / "new", "--batch-size", "4"]
    files = []
    for options in ([], ["--memory-budget", "1.5KiB"]):
        code, _, errors = run(*command, *options)
        assert code == 0, errors
        files.append(load(out).network_.state_dict())
    assert [len(store) for store in stores] == 2 * [40, 8, 16]
    assert [store.in_memory for store in stores] == 3 * [True] + 3 * [False]
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])


def test_fit_trains_in_the_precision_that_is_named(folder, run):
    """--precision reaches the training, and the file says so."""
    for precision in ("float32", "bfloat16"):
        out = folder / f"{precision}.safetensors"
        code, _, errors = run("fit", folder / "good", "-o", out, "--precision", precision, *FAST)
        assert code == 0, errors
        assert load(out).recipe_["precision"] == precision


def test_fit_counts_branches_in_its_progress(folder, run):
    """Epochs of branches are shown with the branch's name, and the file has the losers' epochs, too."""
    out = folder / "cvae.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "cvae", "--image-size", "16"]
    schedule = ["--schedule", "awl-loss", "--schedule-param", "milestones=[1,2,3]"]
    code, _, errors = run(*command, *schedule)
    assert code == 0, errors
    assert "epoch 1/3  reconstruction" in errors
    assert "epoch 2/3 II  reconstruction" in errors
    history = load(out).history_
    assert [len(branch.path) for branch in history.lost] == [1, 1, 2, 2]
    assert [record.epoch for record in history.records] == [1, 2, 3]


def test_epochs_that_a_schedule_lays_out_are_not_overruled(folder, run):
    """--epochs beside awl-loss is refused with what to change."""
    command = ["fit", folder / "good", "-o", folder / "cvae.safetensors", "--model", "cvae", *FAST]
    code, _, errors = run(*command, "--schedule", "awl-loss")
    assert code == 1
    assert "epochs=2, but the schedule LossAdaptiveWeights lays out 200" in errors


def test_the_same_fit_goes_on_from_its_checkpoint(folder, run):
    """Fit --checkpoint again does not train again, and other settings are refused by name."""
    command = [
        "fit",
        folder / "good",
        "-o",
        folder / "a.safetensors",
        "--checkpoint",
        folder / "run",
    ]
    run(*command, *FAST)
    first = (folder / "a.safetensors").read_bytes()
    saved = (folder / "run" / "run.pt").stat().st_mtime_ns
    assert run(*command, *FAST)[0] == 0
    assert (folder / "a.safetensors").read_bytes() == first
    assert (folder / "run" / "run.pt").stat().st_mtime_ns == saved
    code, _, errors = run(*command, *FAST, "--learning-rate", "0.1")
    assert code == 1
    assert "learning_rate was 0.003 and is now 0.1" in errors


@pytest.fixture
def elsewhere(drawn_weights, tmp_path, monkeypatch):
    """A weights file that no folder in the environment names, and no network to load another from."""
    monkeypatch.delenv("RECON_ANOMALY_WEIGHTS")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    return shutil.copy(drawn_weights, tmp_path / "first.safetensors")


def fit_tcae(run, folder, weights, *options):
    out = folder / "tcae.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "tcae", *FAST]
    code, _, errors = run(*command, "--model-param", f"weights={weights}", *options)
    assert code == 0, errors
    return out


def test_frozen_weights_may_lie_elsewhere_when_scoring(folder, run, elsewhere):
    """Fit names the weights file, score takes the same weights from another place by --weights."""
    model = fit_tcae(run, folder, elsewhere)
    code, expected, _ = run("score", model, folder / "new")
    assert code == 0
    moved = shutil.move(elsewhere, folder / "second.safetensors")
    code, stdout, errors = run("score", model, folder / "new", "--weights", moved)
    assert (code, stdout) == (0, expected), errors
    assert len(expected.splitlines()) == 9


def test_missing_weights_are_one_line_with_the_way_out(folder, run, elsewhere):
    """Without them score fails with exit code 1, and says which option names the file."""
    model = fit_tcae(run, folder, elsewhere)
    elsewhere.unlink()
    code, stdout, errors = run("score", model, folder / "new")
    assert (code, stdout) == (1, "")
    *announced, error = errors.splitlines()
    assert [line.partition(":")[0] for line in announced] == ["warning", "Downloading"]
    assert error.startswith(f"error: {model} needs the frozen weights")
    assert "--weights PATH" in error


def test_other_weights_are_one_line_that_names_both(folder, run, elsewhere):
    """Weights of the same shapes and other values are refused with exit code 1."""
    model = fit_tcae(run, folder, elsewhere)
    tensors = load_file(elsewhere)
    tensors["features.0.bias"] = tensors["features.0.bias"] + 1
    other = folder / "other.safetensors"
    save_file(tensors, other)
    code, stdout, errors = run("score", model, folder / "new", "--weights", other)
    assert (code, stdout, len(errors.splitlines())) == (1, "", 1)
    assert str(elsewhere) in errors
    assert str(other) in errors


def test_a_self_contained_model_needs_no_weights(folder, run, elsewhere):
    """With --self-contained the file is larger, scores alike, and takes no --weights."""
    model = fit_tcae(run, folder, elsewhere)
    _, expected, _ = run("score", model, folder / "new")
    small = model.stat().st_size
    fit_tcae(run, folder, elsewhere, "--self-contained")
    assert model.stat().st_size > small + elsewhere.stat().st_size - 2000
    other = shutil.move(elsewhere, folder / "second.safetensors")
    code, stdout, errors = run("score", model, folder / "new")
    assert (code, stdout) == (0, expected), errors
    code, _, errors = run("score", model, folder / "new", "--weights", other)
    assert (code, len(errors.splitlines())) == (1, 1)
    assert "names no frozen weights" in errors


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("weights=gone.pth", "gone.pth does not exist"),
        ("backbone=vgg61", "backbone='vgg61' is no torchvision network"),
        ("layer=features.99", "no layer 'features.99'"),
    ],
)
def test_a_wrong_backbone_is_found_before_training(pair, words, folder, run):
    """One line, exit code 1, and no file."""
    out = folder / "out.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "tcae", "--model-param", pair, *FAST]
    code, stdout, errors = run(*command)
    assert (code, stdout) == (1, "")
    assert words in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert not out.exists()


def test_random_weights_are_warned_of(folder, run):
    """weights=null is JSON's None: it trains, and says on stderr that the features are random."""
    out = folder / "tcae.safetensors"
    command = ["fit", folder / "good", "-o", out, "--model", "tcae", *FAST]
    code, stdout, errors = run(*command, "--model-param", "weights=null")
    assert (code, stdout) == (0, "")
    assert errors.count("warning: the weights of vgg16 are random") == 1


def test_plugins_lists_every_name(run):
    """Plugins prints a line for each name, and the same as JSON."""
    code, stdout, _ = run("plugins")
    assert code == 0
    assert {"cvae", "max1p", "objects", "constant"} <= {
        line.split()[1] for line in stdout.splitlines()
    }
    assert len(json.loads(run("plugins", "--json")[1])) == len(stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "GOOD", "-o", "OUT", "--model", "cea"], 2, "known are: brightness, cae"),
        (["fit", "GOOD", "-o", "OUT", "--scorer", "mes"], 2, "known are: elbo, fused"),
        (["fit", "GOOD", "-o", "OUT", "--device", "cuda:99"], 1, "known are: auto"),
        (["fit", "GOOD", "-o", "OUT", "--precision", "half"], 1, "may be: auto, float32, bfloat16"),
        (["fit", "GOOD", "-o", "OUT", "--epochs", "0"], 1, "epochs=0"),
        (["fit", "GOOD", "-o", "OUT", "--image-size", "big"], 2, "whole number"),
        (["fit", "GOOD", "-o", "OUT", "--memory-budget", "2gb"], 2, "such as 500MB"),
        (["fit", "GOOD", "-o", "OUT", "--model-param", "width"], 2, "NAME=VALUE"),
        (["fit", "GOOD", "-o", "OUT", "--model-param", "depth=3"], 1, "depth"),
        (["fit", "GOOD", "-o", "nowhere/out.safetensors"], 1, "cannot write"),
        (["fit", "GOOD"], 2, "--out"),
        (["fit", "nowhere", "-o", "OUT"], 1, "nowhere does not exist"),
        (["fit", "EMPTY", "-o", "OUT"], 1, "holds no picture"),
        (["fit", "ONE", "-o", "OUT"], 1, "at least 2 are needed"),
        (["score", "nowhere.safetensors", "GOOD"], 1, "nowhere.safetensors"),
        (["score", "MODEL", "EMPTY"], 1, "holds no picture"),
        (["score", "MODEL", "GOOD", "--csv", "nowhere/out.csv"], 1, "cannot write"),
        (["fit", "GOOD", "-o", "OUT", "--seed", "-1"], 1, "random_state=-1"),
        (["fit", "GOOD", "-o", "OUT", "--scorer-param", "power=2"], 1, "does not take"),
        (["score", "MODEL", "GOOD", "--maps", "MODEL"], 1, "cannot make the folder"),
        (["paint"], 2, "paint"),
    ],
)
def test_errors_are_short_and_have_their_code(folder, run, model, arguments, code, words):
    """A user's mistake ends in one or two sentences on stderr and the right exit code."""
    (folder / "empty").mkdir()
    (folder / "one").mkdir()
    (folder / "one" / "a.png").write_bytes((folder / "good" / "00.png").read_bytes())
    places = {"GOOD": "good", "OUT": "out.safetensors", "EMPTY": "empty", "ONE": "one"}
    places["MODEL"] = "model.safetensors"
    got, stdout, errors = run(*(folder / places[a] if a in places else a for a in arguments))
    assert got == code
    assert stdout == ""
    assert words in " ".join(errors.split())
    assert "Traceback" not in errors
    assert not (folder / "out.safetensors").exists()


def test_a_labelled_folder_trains_on_its_good_part_only(tmp_path, good, bad, run):
    """Fit on the root of a labelled set leaves its defects out, and says so."""
    for place, pictures in {
        "train/ok": good,
        "train/def": bad,
        "test/ok": good,
        "test/def": bad,
    }.items():
        (tmp_path / place).mkdir(parents=True)
        for k, picture in enumerate(pictures[:6]):
            Image.fromarray(picture[..., 0]).save(tmp_path / place / f"{k}.png")
    code, _, errors = run(
        "fit", tmp_path, "-o", tmp_path / "m.safetensors", "--model", "mean", *FAST
    )
    assert code == 0
    assert "its 6 good training pictures are used" in errors
    assert "mean on 6 pictures" in errors


@pytest.mark.parametrize(("ends", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_fit_that_a_signal_ends_says_how_to_go_on(ends, code, folder, run, monkeypatch):
    """Ctrl-C and SIGTERM end it without a traceback, with a hint, and with their codes."""

    def interrupted(self, X, y=None, **_):
        yield Tick(1, 2, 1, 3)
        signal.raise_signal(getattr(signal, ends))
        pytest.fail("the signal came to nothing")

    monkeypatch.setattr(ReconstructionDetector, "iter_fit", interrupted)
    command = [
        "fit",
        folder / "good",
        "-o",
        folder / "x.safetensors",
        "--checkpoint",
        folder / "run",
    ]
    got, _, errors = run(*command, *FAST)
    assert got == code
    said = {130: "interrupted", 143: "terminated"}[code]
    assert errors.splitlines()[-1] == f"{said}; the same command goes on from {folder / 'run'}"
    assert not (folder / "x.safetensors").exists()


@pytest.mark.parametrize(("ends", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_before_the_work_begins_is_one_word(ends, code, run, monkeypatch):
    """There is nothing to go on with yet."""
    monkeypatch.setattr(
        "recon_anomaly.registry.offers", lambda kind: signal.raise_signal(getattr(signal, ends))
    )
    got, _, errors = run("plugins")
    assert (got, errors) == (code, {130: "interrupted\n", 143: "terminated\n"}[code])


def test_version_and_module_call_work():
    """Python -m recon_anomaly --version prints the version alone."""
    command = [sys.executable, "-m", "recon_anomaly", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
def test_a_terminated_fit_leaves_no_file(folder, tmp_path):
    """SIGTERM in a training removes the mapped pictures, and the code is 143."""
    (temporary := tmp_path / "temporary").mkdir()
    out = folder / "x.safetensors"
    command = ["fit", folder / "good", "-o", out, "--image-size", "96", "--batch-size", "2"]
    command += ["--memory-budget", "200KB", "--epochs", "1000"]
    with subprocess.Popen(
        [sys.executable, "-m", "recon_anomaly", *map(str, command)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    ) as fit:
        told = []
        for line in fit.stderr:
            told.append(line)
            if "epoch 1/1000" in line:
                break
        there = [path.name for path in temporary.iterdir()]
        fit.terminate()
        told += fit.stderr
    assert fit.returncode == 143, told
    assert [name for name in there if name.endswith(".pixels")], told
    left = {path.name for path in temporary.iterdir()}
    # Some imports of torch make the folder of its compiler.
    assert not {name for name in left if not name.startswith("torchinductor_")}
    assert not out.exists()
    assert "Traceback" not in "".join(told)
    assert told[-1] == (
        "terminated; with --checkpoint DIR the same command would go on from the last epoch\n"
    )


@pytest.mark.parametrize(
    "command", [["bench", "GOOD"], ["score", "MODEL", "GOOD"], ["audit", "GOOD"]]
)
def test_only_fit_is_started_by_torchrun(command, folder, run, monkeypatch):
    """Several processes would each do the whole work of the other commands, and write the same files."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    places = {"GOOD": folder / "good", "MODEL": folder / "model.safetensors"}
    code, stdout, errors = run(*(places.get(word, word) for word in command))
    assert (code, stdout) == (1, "")
    assert f"torchrun started 2 processes of {command[0]}, and only fit knows" in errors
    assert run("plugins")[0] == 0
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "torchrun" not in run(*(places.get(word, word) for word in command))[2]
