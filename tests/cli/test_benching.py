import csv
import io
import json
import re
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from recon_anomaly import ReconstructionDetector, TrainingError, make_parts, run_bench
from recon_anomaly.cli import pages
from recon_anomaly.records import read_records
from recon_anomaly.report import Table, tables

SMALL = ["--models", "mean,pca", "--corruptors", "objects", "--image-size", "16"]
TINY = ["--models", "cae,pca", "--image-size", "16", "--epochs", "1"]


def put(folder, pictures):
    """Save gray pictures into a folder."""
    folder.mkdir(parents=True)
    for k, picture in enumerate(pictures):
        Image.fromarray(picture[..., 0]).save(folder / f"{k:02}.png")


@pytest.fixture(autouse=True)
def few_castings(monkeypatch):
    """The embedded set of fewer castings: 40 to train, 8 good and 10 defective to test, 5 to validate."""
    monkeypatch.setattr("recon_anomaly.benchdata.make_parts", partial(make_parts, 40, 8, 2, 1))


@pytest.fixture(scope="module")
def parts():
    """16 px castings: 24 good to train, 8 good and 10 defective to test."""
    return make_parts(24, 8, 2, image_size=16)


@pytest.fixture(scope="module")
def records():
    """A bench of two models and two seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon_anomaly.benchdata.make_parts", partial(make_parts, 40, 8, 2, 1))
        settings = {"models": ["mean", "pca"], "corruptors": ["objects"], "image_size": 16}
        return run_bench(seeds=[1, 2], **settings)


@pytest.fixture
def castings(tmp_path, parts):
    """A folder of layout castings, two of whose good test pictures were trained on."""
    good = np.concatenate([parts.test[:6], parts.train[[3, 9]]])
    put(tmp_path / "archive" / "casting_data" / "train" / "ok_front", parts.train)
    put(tmp_path / "archive" / "casting_data" / "test" / "ok_front", good)
    put(tmp_path / "archive" / "casting_data" / "test" / "def_front", parts.test[8:])
    return tmp_path / "archive"


@pytest.fixture
def both(castings, parts):
    """Both data sets of the paper, nested as its archive has them."""
    inside = castings / "casting_512x512" / "casting_512x512"
    put(inside / "ok_front", parts.train)
    put(inside / "def_front", parts.test[8:])
    return castings


def test_bench_prints_tables_and_writes_records(tmp_path, run):
    """Bench prints a page of Markdown tables, and writes JSON lines to go on from."""
    out = tmp_path / "bench.jsonl"
    code, stdout, errors = run("bench", *SMALL, "--out", out)
    assert code == 0
    assert stdout.startswith(
        "embedded: no test picture was found in the training pictures\n\n**emb"
    )
    assert stdout.count("| everything-defective |") == 4
    assert "**embedded, objects: 8 good and 8 anomalous" in stdout
    assert "**Decisions: embedded, defects: 8 good and 10 anomalous" in stdout
    assert stdout.count("| pca | mse | best-f1 (oracle) |") == 2
    assert "brackets: 95 % bootstrap interval" in stdout
    assert len(out.read_text().splitlines()) == 6
    assert f"records: {out}" in errors
    code, again, _ = run("bench", *SMALL, "--out", out, "--resume", "--json")
    assert code == 0
    assert json.loads(again) == [json.loads(line) for line in out.read_text().splitlines()]
    assert run("bench", *SMALL, "--out", out)[0] == 1


def test_without_options_the_defaults_are_as_they_were(tmp_path, run, monkeypatch):
    """An option that is not given is not handed on, so that iter_bench's own default counts."""
    seen = {}

    def listening(data, **settings):
        seen.update(settings, data=data)
        return iter(())

    monkeypatch.setattr("recon_anomaly.cli.benching.iter_bench", listening)
    code, *_ = run("bench", "--out", tmp_path / "a.jsonl")
    assert code == 0
    assert seen == {
        "data": None,
        "out": tmp_path / "a.jsonl",
        "resume": False,
        "split_by_part": False,
        "skip_unreadable": False,
        "drop_leaked": False,
        "device": "auto",
    }


def test_a_finished_bench_is_rendered_again_without_a_training(tmp_path, run, monkeypatch):
    """With --resume the very page is printed, and written with the CSV; nothing is trained."""
    out = tmp_path / "bench.jsonl"
    _, page, _ = run("bench", *SMALL, "--out", out)

    def never(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(ReconstructionDetector, "iter_fit", never)
    files = ["--csv", tmp_path / "all.csv", "--markdown", tmp_path / "page.md"]
    code, again, errors = run("bench", *SMALL, "--out", out, "--resume", *files)
    assert code == 0, errors
    assert again == page == (tmp_path / "page.md").read_text()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text())))
    assert len(rows) == 2 * (1 + 2 * 4)
    records = read_records(out)
    assert float(rows[-1]["auroc"]) == records[-1]["auroc"]


def test_other_rules_and_thresholds_need_no_training(tmp_path, run):
    """--rules and --threshold change tables and records, not what is trained."""
    out = tmp_path / "bench.jsonl"
    run("bench", *SMALL, "--out", out)
    again = ["bench", *SMALL, "--out", out, "--resume", "--threshold", "0.002"]
    _, page, errors = run(*again, "--rules", "youden,sensitivity")
    assert "seed 42" not in errors  # the title of a training
    heads = "| F1, youden (oracle) | F1, sensitivity (oracle) | F1, value | fit s |"
    assert page.count(heads) == 2
    assert page.count("| pca | mse | value | 0.002 |") == 2
    _, stdout, _ = run(*again, "--json")
    decisions = json.loads(stdout)[-1]["decisions"]
    assert decisions["value"]["threshold"] == 0.002


def test_leakage_is_said_and_can_be_dropped(castings, run):
    """The page begins with what leaks; with --drop-leaked every title says that it is left out."""
    folder = castings / "casting_data"
    command = ["bench", "--data", folder, *SMALL, "--out"]
    _, page, errors = run(*command, castings / "a.jsonl")
    assert page.startswith("casting_data: 2 of 8 good and 0 of 10 anomalous test pictures stand in")
    assert page.splitlines()[0] in errors
    _, page, _ = run(*command, castings / "b.jsonl", "--drop-leaked")
    assert "tested without them, on 6 good and 10 anomalous pictures" in page
    titles = [line for line in page.splitlines() if line.startswith("**")]
    assert len(titles) == 5  # figures, decisions, and pixels of the objects
    assert all("without leaked pictures: 6 good and" in title for title in titles)


@pytest.mark.parametrize(
    ("kept", "words"), [("ok_front", "6 good and 0 anom"), ("def_front", "0 good and 10 anom")]
)
def test_a_folder_of_one_class_is_tested_all_the_same(tmp_path, parts, run, kept, words):
    """With good or defective test pictures alone the table says which figures need both."""
    put(tmp_path / "set" / "train" / "ok_front", parts.train)
    pictures = parts.test[:6] if kept == "ok_front" else parts.test[8:]
    put(tmp_path / "set" / "test" / kept, pictures)
    command = ["bench", "--data", tmp_path / "set", "--out", tmp_path / "a.jsonl", *SMALL]
    code, page, errors = run(*command, "--csv", tmp_path / "a.csv")
    assert code == 0, errors
    assert f"set, defects: {words}" in page
    assert "| one class | one class |" in page
    assert "one class: AUROC, average precision" in page
    assert ("so objects are left out" in page) == (kept == "def_front")


def test_model_parameters_reach_their_model(tmp_path, run):
    """--model-param MODEL.NAME=VALUE is one model's, and stands in its rows and records."""
    command = ["bench", "--models", "cae,pca", "--corruptors", "", "--image-size", "16"]
    command += ["--epochs", "1", "--out", tmp_path / "a.jsonl"]
    params = ["--model-param", "pca.n_components=3", "--model-param", "cae.kernels=[2,4]"]
    code, page, errors = run(*command, *params)
    assert code == 0, errors
    assert "| pca (n_components=3) | mse |" in page
    assert "| cae (kernels=[2, 4]) | mse |" in page
    again = run(*command, *params, "--resume")[1]
    assert again == page


def test_the_preset_runs_all_protocols(both, run):
    """One command runs the paper's split, then the two others, into one file, with the paper's tables."""
    out = both / "k.jsonl"
    command = ["bench", "--preset", "klimkevicius", "--data", both, *TINY, "--out", out]
    code, page, errors = run(*command)
    assert code == 0, errors
    assert "casting_data: the paper's split" in errors
    records = read_records(out)
    by_part = "casting_512x512, split by part (19 to train, 5 to test)"
    names = ("casting_data", "casting_512x512", by_part)
    assert [r["data"] for r in records] == [name for name in names for _ in range(12)]
    assert {r["layout"] for r in records} == {"castings", "good-and-defective"}
    assert {r["seed"] for r in records} == {None, 42}
    assert {r["test_set"] for r in records} == {"gaussian", "salt-and-pepper", "objects", "defects"}
    assert {r["epochs"] for r in records if r["schedule"]} == {1}  # an option beats the preset's
    notes = page.split("\n\n**")[0]
    assert notes.startswith("casting_data: 2 of 8 good")
    assert "casting_512x512: no test picture was found" in notes
    assert f"{by_part}: no test picture was found" in notes
    titles = [line[2:] for line in page.splitlines() if line.startswith("**klimkevicius")]
    assert [title[: len("klimkevicius, Table 1")][-1] for title in titles] == ["1", "2", "3"]
    assert all(title.partition("(oracle): ")[2].startswith("casting_data,") for title in titles)
    real = next(r for r in records if r["model"] == "cae" and r["test_set"] == "defects")
    here = f"{real['pr_auc']:.3f}".removeprefix("0")
    assert f" | .837 / {here} / " in page
    assert run(*command, "--resume")[1] == page


def test_the_preset_runs_what_is_there(castings, run):
    """With one data set alone the other protocol is left out, and stderr says so."""
    command = ["bench", "--preset", "klimkevicius", "--data", castings / "casting_data", *TINY]
    code, page, errors = run(*command, "--corruptors", "", "--out", castings / "k.jsonl")
    assert code == 0, errors
    assert "holds no folder of layout good-and-defective" in errors
    assert "Table 3" in page
    assert "Table 2" not in page


def test_the_presets_own_settings_count_where_no_option_is_given(both, run, monkeypatch):
    """Models, scorers, corruptors, seeds and epochs are the preset's, the size that of its pictures."""
    seen = []

    def listening(data, **settings):
        seen.append((data.name, data.image_size, settings))
        return iter(())

    monkeypatch.setattr("recon_anomaly.cli.benching.iter_bench", listening)
    run("bench", "--preset", "klimkevicius", "--data", both, "--out", both / "k.jsonl")
    assert [(name, size) for name, size, _ in seen] == [
        ("casting_data", (256, 256)),
        ("casting_512x512", (256, 256)),
        ("casting_512x512, split by part (19 to train, 5 to test)", (256, 256)),
    ]
    (_, _, first), (_, _, second), _ = seen
    assert first["models"][:4] == ["cae", "cvae", "tcae", "tcvae"]
    assert (first["scorers"], first["seeds"], first["epochs"]) == (("mse",), (42,), 50)
    assert (first["precision"], "memory_budget" in first) == ("float32", False)
    assert (first["resume"], second["resume"]) == (False, True)


def test_a_failed_training_leaves_the_tables_of_the_others(both, run, monkeypatch):
    """What failed is told when it fails and at the end, with code 1; all protocols have their rows."""
    fit = ReconstructionDetector.iter_fit

    def failing(self, *arguments, **options):
        if self.model == "mean":
            raise TrainingError("a loss became NaN")
        return fit(self, *arguments, **options)

    monkeypatch.setattr(ReconstructionDetector, "iter_fit", failing)
    command = ["bench", "--preset", "klimkevicius", "--data", both, *SMALL]
    code, page, errors = run(*command, "--out", both / "k.jsonl")
    assert code == 1
    assert errors.count("failed: mean, seed 42: a loss became NaN\n") == 3 + 1
    assert errors.count("[2/2] pca, seed 42") == 3
    assert page.count("| pca | mse | quantile |") == 6
    assert "| mean |" not in page


def test_plots_are_drawn_for_every_training(tmp_path, run):
    """--plots draws curves and histograms of each test set, and pictures of each fitted detector."""
    pytest.importorskip("matplotlib")
    command = ["bench", "--models", "mean", "--corruptors", "", "--image-size", "16"]
    command += ["--seeds", "1,2", "--out", tmp_path / "a.jsonl"]
    code, _, errors = run(*command, "--plots", tmp_path / "plots")
    assert code == 0, errors
    found = sorted(path.name for path in (tmp_path / "plots").iterdir())
    pictures = [name for name in found if name.endswith("-pictures.png")]
    assert pictures == [f"embedded-mean-seed{seed}-16x16-pictures.png" for seed in (1, 2)]
    assert "no pictures of" not in errors
    assert sum("precision-recall" in name for name in found) == 1
    assert all(f"plots/{name}" in errors for name in found)
    _, _, errors = run(*command, "--resume", "--plots", tmp_path / "again")
    assert "no pictures of mean: they are drawn when a model is trained" in errors
    assert len([*(tmp_path / "again").iterdir()]) == 2


def test_plots_without_matplotlib_end_before_any_training(tmp_path, run, monkeypatch):
    """The error says how to install it, and no file of records is begun."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    command = ["bench", *SMALL, "--out", tmp_path / "a.jsonl", "--plots", tmp_path / "plots"]
    code, _, errors = run(*command)
    assert code == 1
    assert "pip install 'recon-anomaly[report]'" in errors
    assert "seed 42" not in errors
    assert not (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_on_a_terminal(monkeypatch, width, records):
    """Drawn tables are no wider than the terminal and cut nothing off."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(pages, "Console", lambda: console)
    found = tables(records)
    pages.show(["embedded: no leak"], found, ["how to read it"])
    assert max(map(len, text.getvalue().splitlines())) <= width
    words = set(text.getvalue().split())
    for row in (row for table in found for row in table.rows):
        model, _, *cells = row  # the one scorer went into the title
        assert {*model.replace("-", "- ").split(), *" ".join(cells).split()} <= words


@pytest.mark.parametrize(
    ("columns", "row"),
    [(("model", "AUROC"), ("pca", "0.9")), (("model", "scorer", "AUROC"), ("pca", "mse", "0.9"))],
)
def test_columns_are_drawn_that_tell_rows_apart(monkeypatch, columns, row):
    """A scorer leaves its column only where there is one, and where all rows have the same."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(pages, "Console", lambda: console)
    other = tuple({"mse": "ssim"}.get(cell, cell) for cell in row)
    pages.show([], [Table("figures", columns, (row, other))], [])
    title, header, _, *lines = (line.split() for line in text.getvalue().splitlines() if line)
    assert (title, header) == (["figures"], list(columns))
    assert lines == [list(row), list(other)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "EMPTY"], 1, "known ways"),
        (["--seeds", "a"], 2, "whole number"),
        (["--models", "cea"], 2, "known are: brightness, cae"),
        (["--model-param", "latent_size=3"], 2, "MODEL.NAME=VALUE is wanted"),
        (["--model-param", "cvae.latent_size"], 2, "MODEL.NAME=VALUE is wanted"),
        (["--models", "pca", "--model-param", "cvae.latent_size=3"], 2, "none of the models: pca"),
        (["--models", "pca", "--model-param", "pca.depth=3"], 1, "does not take"),
        (["--rules", "best"], 2, "say one of: best-f1, quantile"),
        (["--rules", "value"], 2, "wants a --threshold"),
        (["--threshold", "1", "--scorers", "mse,max1p"], 1, "in the unit of one scorer"),
        (["--threshold", "nan"], 1, "finite number"),
        (["--preset", "nagata", "--data", "EMPTY"], 2, "known are: klimkevicius"),
        (["--preset", "nakata", "--data", "EMPTY", "--epochs", "0"], 1, "at least one epoch"),
        (
            ["--preset", "nakata", "--data", "EMPTY", "--schedules", "awl-auc"],
            2,
            "says itself which",
        ),
        (
            ["--preset", "nakata", "--data", "EMPTY", "--schedule-param", "awl-loss.window=3"],
            2,
            "says itself which schedules it trains by",
        ),
        (
            [
                "--preset",
                "klimkevicius",
                "--data",
                "EMPTY",
                "--schedule-param",
                "awl-loss.window=3",
            ],
            2,
            "none of the schedules: constant",
        ),
        (
            ["--preset", "nakata", "--data", "EMPTY", "--training-corruptors", "gaussian"],
            2,
            "trains on clean pictures",
        ),
        (
            ["--training-corruptor-param", "gaussian.std=1"],
            2,
            "none of the training-corruptors: none",
        ),
        (["--schedules", "awl"], 2, "known are: awl-auc"),
        (["--schedules", ""], 1, "at least one is wanted"),
        (["--schedule-param", "update_every=3"], 2, "SCHEDULE.NAME=VALUE is wanted"),
        (["--schedule-param", "awl-auc.update_every=3"], 2, "none of the schedules: constant"),
        (["--schedules", "constant,constant"], 1, "each once"),
        (["--model-grid", "pca.n_components=3"], 2, "MODEL.NAME=[VALUE,...] is wanted"),
        (["--models", "pca", "--model-grid", "cae.kernels=[[4]]"], 2, "none of the models: pca"),
        (["--preset", "klimkevicius"], 2, "wants --data"),
        (["--preset", "klimkevicius", "--data", "EMPTY"], 1, "holds no data set of preset"),
        (["--csv", "nowhere/a.csv"], 1, "cannot write nowhere/a.csv"),
        (["--markdown", "EMPTY"], 1, "it is a folder"),
        (["--device", "cuda:99"], 1, "known are: auto"),
        (["--jobs", "0"], 1, "jobs=0: a whole number from 1 on is wanted"),
        (["--jobs", "2", "--dask", "tcp://127.0.0.1:1"], 1, "leave one of them out"),
        (["--dask", "scheduler"], 1, "is no address of a scheduler"),
        (
            ["--preset", "klimkevicius", "--data", "EMPTY", "--dask", "scheduler"],
            1,
            "is no address of a scheduler",
        ),
    ],
)
def test_errors_come_first_and_have_their_code(tmp_path, run, arguments, code, words):
    """A user's mistake ends the bench before any training, with the right code and no file."""
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": tmp_path / "empty"}
    out = tmp_path / "a.jsonl"
    got, stdout, errors = run("bench", "--out", out, *(places.get(a, a) for a in arguments))
    assert (got, stdout) == (code, "")
    # An error of usage stands in a box.
    assert words in " ".join(errors.replace("│", " ").split())
    assert "Traceback" not in errors
    assert not out.exists()


def test_unreadable_pictures_can_be_left_out(castings, run):
    """A damaged picture ends the bench, or is left out with its label and listed, as is said."""
    folder = castings / "casting_data"
    damaged = sorted((folder / "test" / "ok_front").iterdir())[0]
    damaged.write_bytes(b"no picture")
    command = ["bench", "--data", folder, *SMALL, "--out", castings / "a.jsonl", "--json"]
    code, _, errors = run(*command)
    assert code == 1
    assert damaged.name in errors
    assert "--skip-unreadable" in errors
    code, page, errors = run(*command, "--skip-unreadable")
    assert code == 0, errors
    assert f"left out: {damaged}" in errors
    record = json.loads(page)[-1]
    assert (record["n_test_good"], record["labels"].count(0)) == (7, 7)


NETWORK = ["--models", "cvae", "--model-param", "cvae.kernels=[2]", "--image-size", "16"]
NETWORK += ["--corruptors", "", "--epochs", "1"]


def test_schedules_and_grids_make_rows(run, tmp_path):
    """Every variant is trained by every schedule, with its parameters and in its own way."""
    command = ["bench", *NETWORK, "--model-grid", "cvae.latent_size=[2,3]"]
    command += ["--schedules", "constant,awl-auc", "--schedule-param", 'constant.weights={"kl": 4}']
    command += ["--batch-size", "8", "--learning-rate", "0.01", "--out", tmp_path / "a.jsonl"]
    code, page, errors = run(*command, "--json")
    assert code == 0, errors
    records = json.loads(page)[1:]
    assert [(r["model_params"]["latent_size"], r["schedule"]) for r in records] == [
        (size, schedule) for size in (2, 3) for schedule in ("constant", "awl-auc")
    ]
    assert records[0]["schedule_params"] == {"weights": {"kl": 4}}
    assert {(r["recipe"]["batch_size"], r["recipe"]["learning_rate"]) for r in records} == {
        (8, 0.01)
    }
    assert {r["n_validation_anomalous"] for r in records} == {5}
    assert "[4/4] cvae (kernels=[2], latent_size=3), awl-auc by mse, seed 42" in errors
    assert "labels to validate on come from 5 defects" in errors


def test_training_corruptors_make_rows(run, tmp_path):
    """Denoising models stand in the tables beside those that were trained on clean pictures."""
    command = ["bench", *NETWORK, "--training-corruptors", "none,gaussian"]
    command += ["--training-corruptor-param", "gaussian.std=0.2", "--out", tmp_path / "a.jsonl"]
    code, page, errors = run(*command)
    assert code == 0, errors
    assert "denoising gaussian (std=0.2)" in page
    assert "denoising gaussian (std=0.2), seed" in errors


def test_a_schedules_parameters_alone_are_those_of_the_default(run, tmp_path):
    """--schedule-param makes a beta-VAE of the CVAE without naming the schedule again."""
    command = ["bench", *NETWORK, "--out", tmp_path / "a.jsonl", "--json"]
    code, page, errors = run(*command, "--schedule-param", 'constant.weights={"kl": 4}')
    assert code == 0, errors
    assert json.loads(page)[-1]["schedule_params"] == {"weights": {"kl": 4}}


def test_labels_and_every_epoch_are_asked_for(run, tmp_path):
    """Without a schedule that needs them, labels are taken where they are wanted; so are the epochs."""
    command = ["bench", *NETWORK, "--out", tmp_path / "a.jsonl", "--json"]
    code, page, errors = run(*command, "--labelled-validation", "--every-epoch")
    assert code == 0, errors
    record = json.loads(page)[-1]
    assert len(record["observed"]) == 1
    assert "youden-validation" in record["decisions"]


def test_a_training_tells_no_figure_of_the_test_set(run, tmp_path, parts):
    """With good and defective test pictures swapped, --every-epoch prints the same lines of progress."""
    told, aurocs = [], []
    for good, bad in ((parts.test[8:], parts.test[:8]), (parts.test[:8], parts.test[8:])):
        folder = tmp_path / str(len(told)) / "set"
        put(folder / "train" / "ok_front", parts.train)
        put(folder / "test" / "ok_front", good)
        put(folder / "test" / "def_front", bad)
        command = ["bench", "--data", folder, *NETWORK, "--epochs", "2", "--every-epoch", "--json"]
        code, page, errors = run(*command, "--out", tmp_path / f"{len(told)}.jsonl")
        assert code == 0, errors
        aurocs += [seen["auroc"] for seen in json.loads(page)[-1]["observed"]]
        told.append(
            re.sub(r"[\d.]+ s\b", "", errors.partition("[1/1]")[2].partition("records:")[0])
        )
    assert aurocs[:2] != aurocs[2:]
    assert "epoch 2/2" in told[0]
    assert told[0] == told[1]


def test_the_schedules_of_a_network_are_drawn_beside_each_other(run, tmp_path, monkeypatch):
    """A picture of both detectors joins those of each."""
    pytest.importorskip("matplotlib")
    panels = []
    monkeypatch.setattr(
        "recon_anomaly.cli.drawing.draw_panels", lambda *_: panels.append(_[-1]) or _[2]
    )
    monkeypatch.setattr("recon_anomaly.plots.draw_records", lambda records, folder: [])
    command = ["bench", *NETWORK, "--model-param", "cvae.latent_size=2"]
    command += ["--schedules", "constant,awl-auc", "--out", tmp_path / "a.jsonl"]
    code, _, errors = run(*command, "--plots", tmp_path / "plots")
    assert code == 0, errors
    assert len(panels) == 2
    (path,) = (tmp_path / "plots").iterdir()
    assert "constant-awl-auc_by_mse" in path.name
    assert f"plot: {path}" in errors


def test_the_nakata_preset_runs_its_grids_on_every_set(castings, run, tmp_path):
    """Both experiments and the trivial rows share the test pictures, and the paper's tables follow."""
    out = tmp_path / "n.jsonl"
    command = ["bench", "--preset", "nakata", "--data", castings, "--epochs", "1", "--out", out]
    command += ["--image-size", "16", "--seeds", "1", "--model-param", "vae.latent_size=2"]
    command += ["--model-param", "vae.kernels=[2]"]
    code, page, errors = run(*command, "--scorers", "mse")
    assert code == 0, errors
    records = read_records(out)
    trained = [(r["model_params"]["likelihood"], r["schedule"]) for r in records if r["schedule"]]
    likelihoods = ("bernoulli", "gaussian")
    assert sorted(trained) == sorted(
        (likelihood, schedule)
        for likelihood in likelihoods
        for schedule in ("constant", "awl-auc", "constant", "awl-loss")
    )
    assert {r["model"] for r in records} == {
        *("everything-defective", "vae", "mean", "brightness", "pca", "nearest")
    }
    assert len({record["key"] for record in records}) == len(records)
    assert {(r["data_checksum"], r["n_test_anomalous"]) for r in records} == {
        (records[0]["data_checksum"], 8)
    }
    for text in (page, errors):
        assert text.count("casting_data: 2 of 8 good") == 1
        assert text.count("labels to validate on come from") == 1
    assert errors.count("reading pictures") == 1
    assert "data sets: 1, trainings of networks: 8, models in closed form: 4\n" in errors
    assert "Table 6" in page
    assert run(*command, "--scorers", "mse", "--resume")[1] == page


def test_precision_and_memory_beat_the_presets(both, run, monkeypatch):
    """Pictures are read under the budget, and the grids hear of both."""
    seen = []

    def listening(data, **settings):
        seen.append((data.train.in_memory, settings["precision"], settings["memory_budget"]))
        return iter(())

    monkeypatch.setattr("recon_anomaly.cli.benching.iter_bench", listening)
    command = ["bench", "--preset", "klimkevicius", "--data", both, "--image-size", "16"]
    command += ["--precision", "auto", "--memory-budget", "4kB", "--out", both / "k.jsonl"]
    code, _, errors = run(*command)
    assert code == 0, errors
    assert seen == [(False, "auto", 4000)] * 3
