"""The benchmark of memory: its folders, its reading of /proc, its table, and that it leaves nothing behind."""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly.memory import is_memory

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "memory.py"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the benchmark reads /proc"
)


@pytest.fixture
def script(monkeypatch):
    """The names of the script, which is not run."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return runpy.run_path(str(SCRIPT))


def test_a_folder_of_links(script, tmp_path):
    """So many files, none of which takes disk, in folders of a thousand, are gone afterwards."""
    drawn = [tmp_path / f"{name}.jpg" for name in "ab"]
    for path in drawn:
        path.write_bytes(path.stem.encode())
    with script["_folder"](tmp_path, drawn, 2001) as folder:
        files = sorted(folder.rglob("*.jpg"))
        assert [len(list(inner.iterdir())) for inner in sorted(folder.iterdir())] == [1000, 1000, 1]
        assert {file.stat().st_ino for file in files} == {path.stat().st_ino for path in drawn}
    assert sorted(tmp_path.iterdir()) == drawn


def test_anonymous_memory_is_what_was_written(script, tmp_path):
    """An array in memory counts, pages of a mapped file do not; a process that has ended has none."""
    size = 2**26
    before = script["anonymous"]("self")
    kept = np.ones(size, np.uint8)
    np.save(tmp_path / "a.npy", kept)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert int(mapped.sum(dtype=np.int64)) == size == len(kept)
    after = script["anonymous"]("self")
    assert after["RssAnon"] - before["RssAnon"] == pytest.approx(size, rel=0.2)
    if not is_memory(tmp_path):
        assert after["RssFile"] - before["RssFile"] == pytest.approx(size, rel=0.2)
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    assert script["anonymous"](ended.pid) == {}


def test_flat_is_said_of_what_lies_beyond_the_budget(script, capsys):
    """Ratios are of the medians of the rounds; rows within the budget take part for scoring only."""
    seconds = {"fit": [8.0, 2.0, 3.0], "score": [1.0, 1.0, 1.5]}
    found = {
        (name, count): [
            {"baseline": 1e6, "seconds_a_picture": value + off, "peak": 1e8 * (value + off)}
            for off in (0.0, -0.25, 0.25)
        ]
        for name, values in seconds.items()
        for count, value in zip((10, 20, 30), values, strict=True)
    }
    options = argparse.Namespace(
        image_size=10, channels=1, budget="1kB", counts=[20, 10, 30], model="cae"
    )
    options.model_params, options.rounds = "{}", 3
    script["_print"](found, options)
    text = capsys.readouterr().out
    assert "flat, fit, 20 to 30 pictures, max/min: seconds_a_picture 1.500 (±20.0 %)" in text
    assert "flat, score, 10 to 30 pictures, max/min: seconds_a_picture 1.500 (±20.0 %)" in text
    assert "8000.00 [7750.00, 8250.00]" in text


def test_a_run_prints_its_rows_and_leaves_nothing(tmp_path, monkeypatch):
    """Each measurement is a line of JSON, with a peak above what the imports take."""
    out, temporary = tmp_path / "rows.jsonl", tmp_path / "tmp"
    temporary.mkdir()
    if is_memory(temporary):
        pytest.skip("the temporary folder is memory")
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of the tests stay as they are
    command = _command("--counts", "4", "--image-size", "16", "--out", str(out))
    monkeypatch.setattr(sys, "argv", command[1:])
    runpy.run_path(str(SCRIPT), run_name="__main__")  # what it measures are processes of their own
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["measured"] for row in rows] == ["fit", "score"]
    for row in rows:
        assert row["peak"] > row["baseline"] > 5e7
        assert row["seconds_a_picture"] == pytest.approx(row["seconds"] / 4)
    assert list(temporary.iterdir()) == []


def test_a_run_that_is_terminated_leaves_nothing(tmp_path):
    """SIGTERM, as of a scheduler, removes the temporary folder."""
    run = subprocess.Popen(_command(), env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 60
    while not any(tmp_path.iterdir()) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)  # until the other process has begun
    if run.poll() is not None:
        pytest.skip("the temporary folder is memory")
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def _command(*options):
    small = ["--model-params", '{"kernels": [2, 2]}', *options]
    return [sys.executable, str(SCRIPT), *small]
