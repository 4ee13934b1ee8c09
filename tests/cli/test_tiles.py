"""Tiles and regions of interest by the command: they are fitted, saved and scored with the file alone."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import load
from recon_anomaly.cli import scoring


@pytest.fixture
def folder(tmp_path, gray):
    """Six pictures that differ in size."""
    (tmp_path / "good").mkdir()
    for number in range(6):
        picture = 100 + gray(number, (20 + number, 24)) // 8
        Image.fromarray(picture).save(tmp_path / "good" / f"{number}.png")
    return tmp_path / "good"


def test_fitted_and_scored_in_tiles(run, folder, tmp_path, monkeypatch):
    """The file knows its tiles; heat maps are as large as the pictures, however few may wait."""
    file = tmp_path / "a.safetensors"
    code, _, said = run("fit", folder, "-o", file, "--model", "pca", "--tile", 8, "--overlap", 2)
    assert (code, "6 pictures in" in said, "tiles of 8x8x1" in said) == (0, True, True)
    detector, paths = load(file), sorted(folder.iterdir())
    assert (detector.tile, detector.overlap, detector.image_shape_) == (8, 2, (8, 8, 1))
    monkeypatch.setattr(scoring, "WAITING_BYTES", 1)
    for options in ([], ["--maps", tmp_path / "maps"]):
        code, table, _ = run("score", file, folder, *options)
        scores = [float(row["score"]) for row in csv.DictReader(table.splitlines())]
        assert scores == detector.anomaly_score(paths).tolist()
    for path in paths:
        with (
            Image.open(path) as picture,
            Image.open(tmp_path / "maps" / f"{path.name}.png") as drawn,
        ):
            assert drawn.height % picture.height == 0


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_a_region_of_interest(run, folder, tmp_path, kind):
    """A box, or the pixels of a mask, whose file is not needed again."""
    roi = "3,2,16,12"
    if kind == "mask":
        for path in folder.iterdir():
            with Image.open(path) as picture:
                picture.crop((0, 0, 24, 20)).save(path)
        mask = np.zeros((20, 24), np.uint8)
        mask[2:14, 3:19] = 1
        roi = tmp_path / "mask.png"
        Image.fromarray(mask).save(roi)
    file = tmp_path / "a.safetensors"
    options = ["--model", "mean", "--image-size", "12x16", "--roi", roi]
    assert run("fit", folder, "-o", file, *options)[0] == 0
    if kind == "mask":
        roi.unlink()
    detector = load(file)
    assert detector.tiling_.interest.box == (3, 2, 16, 12)
    assert (detector.anomaly_map(folder / "0.png")[0] > 0).sum() <= 12 * 16


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--roi", "1,2,3"], 2, "X,Y,WIDTH,HEIGHT"),
        (["--roi", "0,0,99,9"], 1, "beyond a picture"),
        (["--tile", 99], 1, "does not fit into a picture"),
        (["--overlap", 4], 1, "give tile, too"),
        (["--max-pixels", 9], 1, "more than 9 pixels"),
    ],
)
def test_what_is_refused(run, folder, tmp_path, options, code, message):
    """With the exit code of wrong usage, or of pictures that cannot be used."""
    found, _, said = run("fit", folder, "-o", tmp_path / "a.safetensors", *options)
    assert (found, message in said) == (code, True)


def test_exports_are_refused(run, folder, tmp_path):
    """A graph holds one forward pass."""
    file = tmp_path / "a.safetensors"
    assert run("fit", folder, "-o", file, "--model", "mean", "--tile", 8)[0] == 0
    code, _, said = run("export", file, "--onnx", tmp_path / "a.onnx")
    assert (code, "cutting and blending" in said) == (1, True)


def test_files_may_be_larger_than_those_of_the_fit(run, folder, tmp_path):
    """What fit allowed is saved; score and threshold allow more for once, and the file keeps its own."""
    file, new = tmp_path / "a.safetensors", tmp_path / "new"
    options = ["--model", "mean", "--image-size", 8, "--max-pixels", 25 * 24]
    assert run("fit", folder, "-o", file, *options)[0] == 0
    new.mkdir()
    Image.fromarray(np.full((26, 24), 110, np.uint8)).save(new / "large.png")
    threshold = ["threshold", file, "--good", new, "--rule", "value", "--threshold", 1]
    for command in (
        ["score", file, new],
        ["score", file, new, "--max-pixels", 26 * 24 - 1],
        threshold,
    ):
        code, _, said = run(*command)
        assert (code, "large.png" in said, "--max-pixels of fit, score" in said) == (1, True, True)
    more = ["--max-pixels", 26 * 24]
    code, table, _ = run("score", file, new, *more)
    assert (code, len(table.splitlines())) == (0, 1 + 1)
    assert run(*threshold, *more)[0] == 0
    assert load(file).max_pixels == 25 * 24
    assert run("score", file, new, "--max-pixels", 0)[0] == 2
