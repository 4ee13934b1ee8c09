"""Regions of pictures by the command: a table, COCO's JSON, and which pictures are in them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, load


@pytest.fixture
def model(tmp_path, good):
    """A saved mean of 16 x 16 pixels."""
    path = tmp_path / "model.safetensors"
    ReconstructionDetector("mean", image_size=16, device="cpu").fit(good).save(path)
    return path


@pytest.fixture
def folder(tmp_path, good, bad):
    """Four good and three bad pictures, twice as large as the model's."""
    place = tmp_path / "new"
    place.mkdir()
    for number, picture in enumerate(np.concatenate([good[:4], bad[:3]])):
        large = Image.fromarray(picture[..., 0]).resize((32, 32), Image.Resampling.NEAREST)
        large.save(place / f"{number}.png")
    return place


def test_nothing_that_is_read_or_written_is_replaced(run, model, folder, tmp_path):
    """Neither the detector nor a picture, and no table by another one: before anything is scored."""
    before = model.read_bytes()
    table, picture = tmp_path / "table.csv", folder / "0.png"
    for options, said in (
        (("--csv", model), "is the file that is read"),
        (("--regions", model), "is the file that is read"),
        (("--coco", picture), "is the file that is read"),
        (("--csv", table, "--regions", table), "would be written twice"),
        (("--regions", table, "--coco", tmp_path / "." / "table.csv"), "would be written twice"),
    ):
        code, stdout, errors = run("score", model, folder, *options)
        assert (code, stdout) == (1, "")
        assert said in errors
    assert model.read_bytes() == before
    assert load(model).anomaly_score([picture]).shape == (1,)
    assert not table.exists()


def test_table_and_coco_have_the_regions_of_the_library(run, model, folder, tmp_path):
    """Bit for bit, of the pictures called anomalous; the scores are printed as ever."""
    table, objects = tmp_path / "regions.csv", tmp_path / "regions.json"
    code, stdout, errors = run("score", model, folder, "--regions", table, "--coco", objects)
    assert code == 0
    assert len(list(csv.DictReader(stdout.splitlines()))) == 7
    wanted = load(model).regions(folder)
    lines = [
        (str(found.path), region.box, region.maximum)
        for found in wanted
        for region in found.regions
    ]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    box = ("x", "y", "width", "height")
    assert [
        (row["path"], tuple(float(row[name]) for name in box), float(row["maximum"]))
        for row in rows
    ] == lines
    assert {row["path"] for row in rows} >= {str(folder / f"{number}.png") for number in (4, 5, 6)}
    found = json.loads(objects.read_text())
    assert [image["file_name"] for image in found["images"]] == [f"{n}.png" for n in range(7)]
    assert [image["anomalous"] for image in found["images"]] == [f.anomalous for f in wanted]
    assert {(image["width"], image["height"]) for image in found["images"]} == {(32, 32)}
    assert [(a["bbox"], a["score"]) for a in found["annotations"]] == [
        (list(box), maximum) for _, box, maximum in lines
    ]
    assert f"{len(lines)} regions above " in errors


def test_limits_are_those_that_are_said(run, model, folder, tmp_path):
    """A threshold, a least area and good pictures, too, give what the library gives for them."""
    table = tmp_path / "regions.csv"
    options = ["--pixel-threshold", "0.001", "--least-area", "20", "--all-regions"]
    assert run("score", model, folder, "--regions", table, *options)[0] == 0
    wanted = load(model).regions(folder, threshold=0.001, least_area=20, every_picture=True)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    areas = [region.area for found in wanted for region in found.regions]
    assert [float(row["area"]) for row in rows] == areas
    assert min(areas) >= 20
    assert len({row["path"] for row in rows}) == 7


def test_labels_of_a_whole_batch_decide_which_pictures_have_regions(run, model, folder, tmp_path):
    """With a false discovery rate that nothing passes, no picture has regions, whatever its own decision is."""
    table = tmp_path / "regions.csv"
    code, stdout, _ = run("score", model, folder, "--regions", table, "--false-discovery", "0.0001")
    assert code == 0
    rows = list(csv.DictReader(stdout.splitlines()))
    assert {row["label"] for row in rows} == {"good"}
    assert min(float(row["decision"]) for row in rows) < 0
    assert table.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--least-area", "3"], "--regions OUT or --coco OUT"),
        (["--coco", "a.json", "--dask", "tcp://x"], "--coco and --dask"),
        (["--regions", "a.csv", "--dask", "tcp://x"], "--regions and --dask"),
        (
            ["--coco", "a.json", "--pixel-threshold", "1", "--pixel-false-alarm", "0.1"],
            "not both",
        ),
    ],
)
def test_options_without_a_place_are_refused(run, model, folder, options, message):
    """Before anything is scored."""
    code, stdout, errors = run("score", model, folder, *options)
    assert (code, stdout) == (2, "")
    assert message in " ".join(errors.replace("│", " ").split())
