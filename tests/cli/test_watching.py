"""Tests of ``recon-anomaly watch``."""

import contextlib
import csv
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, load
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


def test_larger_files_are_allowed(run, place, good, monkeypatch):
    """The option takes the place of what the detector was fitted with."""
    Image.fromarray(good[0][..., 0]).save(place / "a.png")

    def ended(_):
        if _table(place):
            raise KeyboardInterrupt

    monkeypatch.setattr("recon_anomaly.cli.watching.time.sleep", ended)
    model = ["--model", place.parent / "parts.safetensors", "--out", place.parent / "out"]
    options = ["--interval", 0.001, "--patience", 0, "--max-pixels", 16 * 16 - 1]
    assert run("watch", place, *model, *options)[0] == 130
    (row,) = _table(place)
    assert (row["label"], "more than 255 pixels" in row["note"]) == ("unreadable", True)


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
    (place.parent / "out").mkdir()
    (place.parent / "out" / "scores.csv").write_text("path,sco")
    code, out, errors = run("watch", place, *model, "--interval", 0.01, "--patience", 0)
    assert (code, out) == (130, "")
    assert "scores.csv: a torn last line of 8 bytes was cut off" in errors
    assert "1 pictures, " in errors
    assert "1 unreadable" in errors
    assert f"unreadable: {place / 'b.png'}: it is not a picture" in errors
    assert "interrupted; the same command goes on" in errors
    assert {row["label"] for row in _table(place)} >= {"unreadable"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a signal")
def test_each_picture_once_over_a_kill(run, place, good, monkeypatch):
    """Killed while pictures arrive, and begun anew: one row and the right score each; SIGTERM gives 143."""
    file = place.parent / "parts.safetensors"
    out = place.parent / "out"
    arguments = ["watch", place, "--model", file, "--out", out, "--interval", "0.02"]
    command = [sys.executable, "-m", "recon_anomaly", *map(str, arguments)]
    pictures = iter(enumerate(good))

    def arrive():
        k, picture = next(pictures)
        Image.fromarray(picture[..., 0]).save(place / f"{k:02}.png")

    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watch:
        told = watch.stderr.readline()
        while len(_table(place)) < 5:
            arrive()
            time.sleep(0.03)
        watch.kill()
        told += watch.stderr.read()
    assert watch.returncode == -9
    assert "Traceback" not in told
    known = len(_table(place))
    assert 5 <= known < len(good)
    pause = time.sleep

    def arriving(seconds):
        if len(_table(place)) == len(good):
            signal.raise_signal(signal.SIGTERM)
        with contextlib.suppress(StopIteration):
            arrive()
        pause(seconds)

    monkeypatch.setattr("recon_anomaly.cli.watching.time.sleep", arriving)
    code, _, told = run(*arguments)
    assert code == 143
    assert f"{known} rows in" in told
    assert f"{len(good) - known} pictures, " in told
    rows = {row["path"]: row for row in _table(place)}
    assert len(rows) == len(_table(place)) == len(good)
    paths = [place / f"{k:02}.png" for k in range(len(good))]
    for path, score in zip(paths, load(file).anomaly_score(paths), strict=True):
        assert float(rows[str(path)]["score"]) == pytest.approx(score, rel=1e-5)
        assert rows[str(path)]["detector"] == hash_of(file)


def test_a_folder_that_goes_and_comes_back(run, place, good, monkeypatch):
    """One warning while it is gone, and no picture is lost or scored twice."""
    away = place.with_name("away")

    def pictures(*numbers):
        for k in numbers:
            Image.fromarray(good[k][..., 0]).save(place / f"{k}.png")

    happens = {
        0: lambda: pictures(0, 1),
        8: lambda: place.rename(away),
        16: lambda: (away.rename(place), pictures(2)),
        24: lambda: signal.raise_signal(signal.SIGINT),
    }
    looks = iter(range(25))
    pause = time.sleep

    def happening(seconds):
        happens.get(next(looks), lambda: None)()
        pause(seconds)

    monkeypatch.setattr("recon_anomaly.cli.watching.time.sleep", happening)
    model = ["--model", place.parent / "parts.safetensors", "--out", place.parent / "out"]
    code, _, errors = run("watch", place, *model, "--interval", 0.02)
    assert code == 130
    assert errors.count("is gone") == 1
    assert [row["path"][-5:] for row in _table(place)] == ["0.png", "1.png", "2.png"]
