import csv
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import CVAE, make_parts
from recon_anomaly.records import read_records

pytestmark = pytest.mark.usefixtures("kept_processes")

SMALL = ["--models", "mean,pca,nearest", "--corruptors", "objects", "--image-size", "16"]
SECONDS = {"fit s", "ms/picture", "peak MiB"}


@pytest.fixture(autouse=True)
def few_castings(monkeypatch):
    """The embedded set of fewer castings."""
    monkeypatch.setattr("recon_anomaly.benchdata.make_parts", partial(make_parts, 40, 8, 2, 1))


def _cells(page):
    """The words and figures of the tables, without seconds and memory."""
    found, kept = [], None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            kept = None
            found.append(line)
        else:
            kept = kept or [k for k, cell in enumerate(cells) if cell not in SECONDS]
            found.append([cells[k] for k in kept])
    return found


def test_the_page_of_several_jobs_is_that_of_one(run, tmp_path):
    """Rows stand in the grid's order; stderr has a line for each training that has ended."""
    one, two = (
        run("bench", *SMALL, "--seeds", "1,2", "--jobs", jobs, "--out", tmp_path / f"{jobs}.jsonl")
        for jobs in (1, 2)
    )
    assert (one[0], two[0]) == (0, 0), two[2]
    assert _cells(one[1]) == _cells(two[1])
    done = [line for line in two[2].splitlines() if "] done: " in line]
    assert {line.split("]")[0] for line in done} == {f"[{k}/6" for k in range(1, 7)}
    again = run("bench", *SMALL, "--seeds", "1,2", "--out", tmp_path / "2.jsonl", "--resume")
    assert again[1] == two[1]


def test_plots_are_drawn_of_what_other_processes_trained(run, tmp_path):
    """Each detector comes back for its panel."""
    pytest.importorskip("matplotlib")
    command = ["bench", "--models", "mean,pca", "--corruptors", "", "--image-size", "16"]
    command += ["--jobs", "2", "--plots", tmp_path / "plots", "--out", tmp_path / "a.jsonl"]
    code, _, errors = run(*command)
    assert code == 0, errors
    names = {path.name for path in (tmp_path / "plots").iterdir()}
    assert sum("-seed42-16x16" in name for name in names) >= 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no process groups")
def test_an_interrupted_bench_leaves_its_records_and_no_process(tmp_path):
    """Ctrl-C reaches all processes of the terminal; the code is 130, and a line says how to go on."""
    out = tmp_path / "a.jsonl"
    command = [sys.executable, "-m", "recon_anomaly", "bench", "--models", "mean,cae"]
    command += ["--corruptors", "", "--epochs", "500", "--jobs", "2", "--out", str(out)]
    bench = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores it, and so would its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 100
    while time.monotonic() < until and not (out.exists() and len(read_records(out)) == 2):
        time.sleep(0.1)  # until the other process has written
    os.killpg(bench.pid, signal.SIGINT)
    _, errors = bench.communicate(timeout=60)
    assert bench.returncode == 130, errors
    assert f"interrupted; with --out {out} --resume it goes on" in errors
    assert "Traceback" not in errors
    assert [record["model"] for record in read_records(out)] == ["everything-defective", "mean"]


@pytest.fixture(scope="module")
def parts_file(tmp_path_factory):
    """A small saved detector."""
    pictures = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 1), np.uint8)
    made = CVAE(kernels=(2,), latent_size=2, image_size=16, epochs=1, batch_size=4).fit(pictures)
    path = tmp_path_factory.mktemp("file") / "parts.safetensors"
    made.save(path)
    return path


@pytest.fixture
def folder(tmp_path, gray):
    """Pictures of two folders, one of them damaged."""
    for k in range(30):
        place = tmp_path / "new" / f"batch {k % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(gray(k, (16, 16))).save(place / f"{k:02}.png")
    (tmp_path / "new" / "batch 0" / "04.png").write_bytes(b"")
    return tmp_path / "new"


def test_a_cluster_writes_the_same_table(cluster, run, parts_file, folder, tmp_path):
    """Rows in order, within 1e-6 relative; what cannot be read is listed."""
    command = ["score", parts_file, folder, "--skip-unreadable", "--csv"]
    code, _, here = run(*command, tmp_path / "a.csv")
    assert code == 0, here
    code, _, there = run(*command, tmp_path / "b.csv", "--dask", cluster.scheduler_address)
    assert code == 0, there
    assert there == here
    first, second = (
        list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines())) for name in "ab"
    )
    assert len(first) == 29
    for name in ("path", "label"):
        assert [row[name] for row in first] == [row[name] for row in second]
    scores = [[float(row["score"]) for row in rows] for rows in (first, second)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-6)


def test_maps_are_not_asked_of_a_cluster(run, parts_file, folder, tmp_path):
    """Nothing is made before that is said."""
    command = ["score", parts_file, folder, "--maps", tmp_path / "maps", "--dask", "tcp://a:1"]
    code, _, errors = run(*command)
    assert code == 2
    assert "maps are not sent over the network" in " ".join(errors.replace("│", " ").split())
    assert not (tmp_path / "maps").exists()


def test_a_cluster_benches(cluster, run, tmp_path):
    """The command hands the address on."""
    out = tmp_path / "a.jsonl"
    code, page, errors = run("bench", *SMALL, "--dask", cluster.scheduler_address, "--out", out)
    assert code == 0, errors
    assert "| pca | mse |" in page
    assert len(read_records(out)) == 8
