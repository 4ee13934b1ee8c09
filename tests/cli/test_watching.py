"""Tests of ``recon-anomaly watch``."""

import csv
import subprocess
import sys
import time

import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector
from recon_anomaly.station import hash_of


@pytest.fixture
def place(tmp_path, good):
    """A folder that pictures come into, beside a saved detector."""
    detector = ReconstructionDetector(model="mean", image_size=16, device="cpu").fit(good)
    detector.save(tmp_path / "parts.safetensors")
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def _table(place):
    with (place.parent / "out" / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_cannot_be_watched_is_told_at_once(run, place):
    """A missing folder, an interval of nothing, and heat maps that would come in again: one sentence, code 1."""
    model = ["--model", place.parent / "parts.safetensors", "--out"]
    for arguments, reason in [
        ([place / "missing", *model, place], "does not exist"),
        ([place, *model, place.parent / "out", "--interval", "0"], "interval"),
        ([place, *model, place / "out", "--maps", "--recursive"], "arriving pictures"),
    ]:
        code, out, errors = run("watch", *arguments)
        assert (code, out) == (1, "")
        assert errors.startswith("error: ")
        assert reason in errors


def test_ctrl_c_ends_with_a_hint(run, place, good, monkeypatch):
    """After each look there is a pause; interrupted in one, the command says what it did, and ends with 130."""
    Image.fromarray(good[0][..., 0]).save(place / "a.png")
    (place / "b.png").write_bytes(b"x")
    looks = iter(range(10))
    pause = time.sleep

    def interrupted(seconds):
        assert seconds == 0.01
        pause(0.02)
        if next(looks) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr("recon_anomaly.cli.watching.time.sleep", interrupted)
    model = ["--model", place.parent / "parts.safetensors", "--out", place.parent / "out"]
    code, out, errors = run("watch", place, *model, "--interval", 0.01, "--patience", 0)
    assert (code, out) == (130, "")
    assert "1 pictures, " in errors
    assert "1 unreadable" in errors
    assert f"unreadable: {place / 'b.png'}: it is not a picture" in errors
    assert "interrupted; the same command goes on" in errors
    assert {row["label"] for row in _table(place)} >= {"unreadable"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
def test_the_command_ends_well_and_goes_on_after_a_kill(place, good):
    """SIGTERM gives 143 and a summary; a process that is killed has left rows that the next one knows."""
    file = place.parent / "parts.safetensors"
    out = place.parent / "out"
    command = [sys.executable, "-m", "recon_anomaly", "watch", place, "--model", file]
    command = [*map(str, command), "--out", str(out), "--interval", "0.05"]

    def run(signal, rows):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watch:
            told = watch.stderr.readline()
            end = time.monotonic() + 60
            while len(_table(place)) < rows and time.monotonic() < end:
                time.sleep(0.02)
            getattr(watch, signal)()
            told += watch.stderr.read()
        assert "Traceback" not in told
        return watch.returncode, told

    Image.fromarray(good[0][..., 0]).save(place / "a.png")
    assert run("kill", 1)[0] == -9
    Image.fromarray(good[1][..., 0]).save(place / "b.png")
    code, told = run("terminate", 2)
    assert code == 143
    assert "1 rows in" in told
    assert " pictures, " in told
    assert [row["detector"] for row in _table(place)] == [hash_of(file)] * 2
