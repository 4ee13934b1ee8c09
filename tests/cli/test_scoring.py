"""Scoring files by the command: one stream over all of them, and heat maps by threads."""

from __future__ import annotations

import csv
import threading

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, load
from recon_anomaly.cli import scoring
from recon_anomaly.heatmaps import side_by_side


@pytest.fixture
def model(tmp_path, good):
    """A saved CVAE of 16 x 16 pixels that scores 8 pictures at a time."""
    detector = ReconstructionDetector("cvae", image_size=16, epochs=1, batch_size=8, device="cpu")
    path = tmp_path / "model.safetensors"
    detector.fit(good).save(path)
    return path


@pytest.fixture
def folder(tmp_path, good):
    """19 PNGs in a folder and its sub-folder."""
    for number, picture in enumerate(good[:19]):
        place = tmp_path / "new" / ("deep" if number % 2 else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., 0]).save(place / f"{number:02}.png")
    return tmp_path / "new"


def test_the_rows_are_the_scores_of_one_call(run, model, folder):
    """Several folders and files are one stream: bit for bit what the library gives for all the paths."""
    code, stdout, _ = run("score", model, folder / "deep", folder / "00.png", folder)
    rows = list(csv.DictReader(stdout.splitlines()))
    detector, paths = load(model), [row["path"] for row in rows]
    assert code == 0
    assert len(paths) == 9 + 1 + 19
    assert [float(row["score"]) for row in rows] == detector.anomaly_score(paths).tolist()
    assert [float(row["decision"]) for row in rows] == detector.decision_function(paths).tolist()
    signs = {"good": 1, "anomalous": -1}
    assert [signs[row["label"]] for row in rows] == detector.predict(paths).tolist()


def test_every_heat_map_is_that_of_its_picture(run, model, folder, tmp_path, monkeypatch):
    """More pictures than may wait: each PNG is the picture beside its own map, drawn by other threads."""
    monkeypatch.setattr(scoring, "WAITING", 3)
    threads = set()

    def watched(*arguments):
        threads.add(threading.current_thread())
        return side_by_side(*arguments)

    monkeypatch.setattr(scoring, "side_by_side", watched)
    code, _, _ = run("score", model, folder, "--maps", tmp_path / "maps")
    assert code == 0
    assert threading.main_thread() not in threads
    detector = load(model)
    for found in detector.iter_files(sorted(folder.rglob("*.png"))):
        for path, pixels, anomaly_map in zip(found.paths, found.pixels, found.maps, strict=True):
            drawn = tmp_path / "maps" / path.relative_to(folder).with_suffix(".png.png")
            wanted = side_by_side(pixels, anomaly_map, detector.map_scale_)
            assert np.array_equal(np.asarray(Image.open(drawn)), np.asarray(wanted))
    assert len(list((tmp_path / "maps").rglob("*.png"))) == 19


def test_a_heat_map_that_cannot_be_written_fails_the_command(run, model, folder, tmp_path):
    """Its error is the command's, and no table is printed or written."""
    maps = tmp_path / "maps"
    (maps / "18.png.png").mkdir(parents=True)
    code, stdout, errors = run("score", model, folder, "--maps", maps, "--csv", tmp_path / "a.csv")
    assert (code, stdout) == (1, "")
    assert "cannot write" in errors
    assert "18.png.png" in errors
    assert not (tmp_path / "a.csv").exists()


def test_a_bad_file_at_the_end_leaves_no_table(run, model, folder, tmp_path):
    """The scores before it are not written; with --skip-unreadable all others are."""
    (folder / "zz.png").write_text("no picture")
    command = ("score", model, folder, "--csv", tmp_path / "a.csv")
    code, stdout, errors = run(*command)
    assert (code, stdout) == (1, "")
    assert "zz.png cannot be used" in errors
    assert not (tmp_path / "a.csv").exists()
    code, _, errors = run(*command, "--skip-unreadable")
    assert code == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 19
    assert "skipped files: 1" in errors


def test_progress_counts_scored_and_skipped_files(run, model, folder, monkeypatch):
    """It never falls, and ends at the number of files."""
    for name in ("05x.png", "zz0.png", "zz1.png"):
        (folder / name).write_text("no picture")
    seen, counted = [], scoring.counted

    class Watched:
        def __init__(self, title, total):
            self.total = total
            self.inner = counted(title, total)

        def __enter__(self):
            self.inner.__enter__()
            return seen.append

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    monkeypatch.setattr(scoring, "counted", Watched)
    assert run("score", model, folder, "--skip-unreadable")[0] == 0
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == 22
