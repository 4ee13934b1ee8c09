"""The benchmarks run, on few pictures; what they measure is for a quiet machine."""

import argparse
import functools
import importlib
import json
import re
import runpy
import sys
import warnings
from pathlib import Path

import pytest
import torch

from recon_anomaly.devices import choose_precision

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark with options and return what it printed."""

    def go(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *options])
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        return capsys.readouterr().out

    return go


class Here:
    """A worker in this process, since another would take seconds to import torch."""

    def __init__(self, script, **settings):
        prepare = runpy.run_path(str(BENCHMARKS / "peers" / script))["prepare"]
        self.about, self._measures = prepare(json.loads(json.dumps(settings)))

    def ask(self, line="go"):
        return json.loads(json.dumps(self._measures[line]()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def workers_here(monkeypatch):
    """Workers prepare and measure in this process; its number of threads is left as it was."""
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(importlib.import_module("timing"), "Worker", Here)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("workers_here")
def test_scoring_is_measured_beside_its_parts(run):
    """Four rows have pictures a second that fit their times, and the ratios are those of the printed times."""
    options = ["--pictures", "3", "--image-size", "16", "--channels", "1", "--batch-size", "2"]
    text = run("scoring.py", "--model", "vae", "--rounds", "1", "--threads", "1", *options)
    assert text.startswith("vae, 3 pictures of 16x16x1, batch size 2, 1 rounds\n")
    rows = re.findall(r"^.+? +([\d.]+) +\[[^]]+\] +([\d.]+)$", text, re.M)
    ms = [float(time) for time, _ in rows]
    assert [float(rate) for _, rate in rows] == pytest.approx(
        [1000 / time for time in ms], rel=0.02
    )
    score, command, decode, forward = ms
    slower = max(decode, forward)
    ratios = [float(found) for found in re.findall(r"([\d.]+)  \[.+\](?:   wanted|$)", text, re.M)]
    wanted = [slower / score, slower / command, slower / (decode + forward)]
    wanted.append(score / (decode + forward))
    assert ratios == pytest.approx(wanted, rel=0.03, abs=0.006)
    assert "torch" in text


def test_the_latency_of_each_model_is_printed(run, monkeypatch):
    """The median is not above the 95 % quantile, nor that above the slowest; the paper's figure stands below."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--pictures", "4", "--image-size", "16", "--models", "cae", "cvae"]
    text = run("latency.py", "--rounds", "1", "--threads", str(torch.get_num_threads()), *options)
    rows = re.findall(r"^(\w+) +([\d.]+) ms +([\d.]+) ms +([\d.]+) ms$", text, re.M)
    assert [row[0] for row in rows] == ["cae", "cvae"]
    assert all(0 < float(m) <= float(late) <= float(slowest) for _, m, late, slowest in rows)
    assert "Titan RTX" in text


def test_an_exported_graph_is_measured_beside_pytorch(run, monkeypatch):
    """One picture and a batch a call, a row for each runtime that is installed; PyTorch is as fast as itself."""
    pytest.importorskip("onnxruntime")
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--models", "cae", "--image-size", "16", "--channels", "1", "--batch-size", "2"]
    threads = str(torch.get_num_threads())
    text = run("export.py", "--calls", "2", "--rounds", "1", "--threads", threads, *options)
    assert "cae, 16x16x1, " in text
    tables = text.split("ms a picture, ")[1:]
    assert [table.partition(" ")[0] for table in tables] == ["1", "2"]
    for table in tables:
        rows = re.findall(r"^(\w+) +([\d.]+) +\[.+?\] +([\d.]+)", table, re.M)
        assert {"PyTorch", "onnxruntime"} <= {name for name, _, _ in rows}
        ms = {name: float(time) for name, time, _ in rows}
        for name, _, faster in rows:
            assert float(faster) == pytest.approx(ms["PyTorch"] / ms[name], rel=0.2, abs=0.02)


@pytest.mark.parametrize("model", [pytest.param("cae", marks=pytest.mark.slow), "cvae"])
def test_training_is_measured_where_all_compute_the_same(run, monkeypatch, request, model):
    """Library, plain and best loop start from the same losses, and the ratios are those of the printed times."""
    if model == "cvae":
        request.getfixturevalue("workers_here")
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--pictures", "6", "--image-size", "16", "--batch-size", "2", "--channels", "1"]
    only = ["--only", "a32", "c", "d32", "--rounds", "1", "--threads", "1"]
    text = run("training.py", "--model", model, *only, *options)
    losses = dict(re.findall(r"^(\w+) +([\d.]+) +[\d.]+ +[\d.]+$", text, re.M))
    assert list(losses) == ["a32", "c", "d32"]
    assert [float(loss) for loss in losses.values()] == pytest.approx(
        [float(losses["c"])] * 3, 1e-5
    )
    ms = dict(re.findall(r"^(\w+) .*?([\d.]+) +\[.*the whole epoch", text, re.M))
    for name in ("c", "d32"):
        ratio = float(re.search(rf"^{name} / a32 +([\d.]+)", text, re.M)[1])
        assert ratio == pytest.approx(float(ms[name]) / float(ms["a32"]), rel=0.03, abs=0.006)


def test_losses_are_compared_in_the_precision_that_is_timed(monkeypatch):
    """What bfloat16 may round is another function in float32, which alone the others are compared with."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    compare = runpy.run_path(str(BENCHMARKS / "training.py"))["_compare"]
    exact, rounded = [1.0, 0.99, 0.98], [1.0005, 0.9905, 0.9805]
    losses = {"a": rounded, "c": exact, "d32": exact}
    compare(losses, {"a": "bfloat16", "c": "float32", "d32": "float32"})
    with pytest.raises(SystemExit, match=r"^c is another function"):
        compare(losses, dict.fromkeys(losses, "float32"))
    with pytest.raises(SystemExit, match=r"^a is another function"):
        compare({"a": [1.002, 0.992, 0.982], "c": exact}, {"a": "bfloat16", "c": "float32"})


def test_the_precisions_are_compared_size_by_size(run, monkeypatch):
    """One row a model and size, with the ratio of its two times and the precision that "auto" takes there."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--image-sizes", "16", "32", "--batch-size", "256", "--channels", "1"]
    threads = ["--threads", str(torch.get_num_threads())]
    text = run(
        "precision.py", "--models", "cae", "--rounds", "1", "--steps", "1", *options, *threads
    )
    assert text.startswith("gradient steps, batches of 256 with 1 channels, 1 rounds of 1 steps\n")
    figure = r"([\d.]+)  \[.+?\] +"
    rows = re.findall(rf"^cae +(\d+) +(\d+) +{figure}{figure}{figure}(\w+)$", text, re.M)
    assert [(row[0], row[1]) for row in rows] == [("16", "65536"), ("32", "262144")]
    for _, pixels, whole, half, ratio, auto in rows:
        assert float(ratio) == pytest.approx(float(whole) / float(half), abs=0.006, rel=0.1)
        taken = choose_precision("auto", torch.device("cpu"), int(pixels))
        assert str(taken) == f"torch.{auto}"


@pytest.mark.slow
def test_a_cold_start_is_split_into_its_parts(run, monkeypatch):
    """Each row is a process that took its time, and what the score consists of is all of it."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    text = run("startup.py", "--rounds", "1", "--image-size", "16")
    rows = dict(re.findall(r"^(.+?) +(\d+)  \[.+\]$", text, re.M))
    assert [name for name in rows if "score" in name] == ["recon-anomaly score, one picture"]
    added = int(rows["import recon_anomaly"]) - int(rows["bare Python"])
    printed = re.search(r"^import recon_anomaly adds (-?\d+) ms", text, re.M)
    assert int(printed[1]) == pytest.approx(added, abs=1)
    shares = [int(share) for share in re.findall(r"(-?\d+) %", text)]
    assert sum(shares) == pytest.approx(100, abs=2)
    assert shares[0] == pytest.approx(
        100
        * (int(rows["import torch"]) - int(rows["bare Python"]))
        / int(rows["recon-anomaly score, one picture"]),
        abs=1,
    )


@pytest.mark.usefixtures("workers_here")
def test_a_profile_adds_up(run):
    """The groups of operators and what is outside them are the step, and convolutions are among them."""
    options = ["--pictures", "6", "--image-size", "16", "--batch-size", "2", "--threads", "1"]
    text = run("training.py", "--profile", *options)
    rows = dict(re.findall(r"^(.+?) +([-\d.]+) +[-\d.]+%$", text, re.M))
    total = float(re.search(r"with the profiler +([\d.]+)", text)[1])
    assert sum(map(float, rows.values())) == pytest.approx(total, abs=0.01 * len(rows))
    assert float(rows["convolution, backward"]) > 0
    assert float(rows["convolution, forward"]) > 0


def test_a_worker_that_fails_ends_the_benchmark_with_what_it_said(monkeypatch, tmp_path):
    """The error of the other process is the message, not an empty answer."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    timing = importlib.import_module("timing")
    monkeypatch.setattr(timing, "PEERS", tmp_path)
    (tmp_path / "broken.py").write_text("raise ValueError('no such thing')")
    with pytest.raises(SystemExit, match=r"(?s)broken\.py ended:.*no such thing"):
        timing.Worker("broken.py")


def test_a_worker_answers_each_line(monkeypatch, tmp_path):
    """It says what it is once it has its settings, and each word has its measurement; prints go elsewhere."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    timing = importlib.import_module("timing")
    peers = timing.PEERS
    monkeypatch.setattr(timing, "PEERS", tmp_path)
    (tmp_path / "counting.py").write_text(
        f"import sys; sys.path.insert(0, {str(peers)!r})\n"
        "from answering import answer\n"
        "def prepare(settings):\n"
        "    print('not an answer')\n"
        "    return settings, {'go': lambda: {'ms': 1.5}, 'profile': lambda: {'ms': 2.5}}\n"
        "answer(prepare)\n"
    )
    with timing.Worker("counting.py", threads=1) as worker:
        assert worker.about == {"threads": 1}
        assert [worker.ask(), worker.ask("profile"), worker.ask()] == [
            {"ms": 1.5},
            {"ms": 2.5},
            {"ms": 1.5},
        ]


def test_workers_take_turns_and_the_first_round_does_not_count(monkeypatch):
    """Every other round runs in reverse; what is found stands in the order of the rounds."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    timing = importlib.import_module("timing")
    asked = []

    def measure(name):
        asked.append(name)
        return {"number": len(asked)}

    found = timing.alternate({name: functools.partial(measure, name) for name in "ab"}, rounds=2)
    assert "".join(asked) == "abbaab"
    assert found == {"a": [{"number": 4}, {"number": 5}], "b": [{"number": 3}, {"number": 6}]}


SCRIPTS = [path for path in sorted(BENCHMARKS.glob("*.py")) if "__main__" in path.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_benchmark_is_listed(script):
    """Each script has a row in the folder's README."""
    assert f"`python benchmarks/{script.name}" in (BENCHMARKS / "README.md").read_text()


def test_the_table_of_a_gpu_is_printed_on_the_cpu_as_a_trial(run, monkeypatch):
    """Each row has a positive time with its spread, the last one is compared with, and it says what it is."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    options = ["--pictures", "8", "--image-size", "16", "--batch-size", "4", "--rounds", "2"]
    text = run("gpu.py", "--device", "cpu", "--model", "cvae", *options)
    assert text.startswith("cvae, 8 pictures of 16x16x3, batch size 4, on cpu: no GPU")
    rows = re.findall(r"^(.+?) +([\d.]+) +\[ *([\d.]+), +([\d.]+)\] +([\d.]+) +-$", text, re.M)
    assert [name for name, *_ in rows] == [
        "fit, float32, in memory",
        "fit, bfloat16, in memory",
        "a plain PyTorch loop, float32",
        "anomaly_score",
        "anomaly_score of one picture",
        "one forward pass, batches there already",
    ]
    assert all(0 < float(low) <= float(ms) <= float(high) for _, ms, low, high, _ in rows)
    assert [float(rows[number][-1]) for number in (2, 5)] == [1, 1]


def test_without_a_gpu_nothing_is_measured(run, monkeypatch, capsys):
    """One sentence says why, and the exit code is 2."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as caught:
        run("gpu.py")
    printed = capsys.readouterr()
    assert caught.value.code == 2
    assert printed.out == ""
    assert re.fullmatch(r"Nothing was measured, since device='cuda' is not .*\n", printed.err)


def test_what_makes_the_host_wait_is_counted_within_the_steps(monkeypatch):
    """CUDA is told to warn after an epoch's first step and no more after its last, and its warnings count."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    names = runpy.run_path(str(BENCHMARKS / "gpu.py"))
    modes = []

    def set_mode(mode):
        modes.append(mode)
        if len(modes) == 2:
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)
    options = argparse.Namespace(
        model="cae", channels=1, image_size=16, batch_size=2, pictures=8, rounds=1
    )
    assert names["Run"](options, torch.device("cpu")).waits() == (1, 3)
    assert modes == ["warn", "warn", "warn", "default", "default"]
