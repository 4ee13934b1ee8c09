import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import Leakage, Pictures, make_parts
from recon_anomaly.audit import Twin
from recon_anomaly.cli.pairsheet import draw_pairs

SMALL = ["--image-size", "64"]


@pytest.fixture
def labelled(tmp_path):
    """A labelled folder of embedded castings with a copied file and a mirrored, darker copy."""
    parts = make_parts(30, 4, 1, image_size=64)
    good = parts.test[parts.labels == 0][..., 0]
    bad = parts.test[parts.labels == 1][..., 0]
    darker = np.rint(0.8 * parts.train[11, :, ::-1, 0] + 10).astype(np.uint8)
    folders = {"train/ok": parts.train[..., 0], "test/ok": [*good, darker], "test/def": bad[:3]}
    for name, pictures in folders.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / "set" / name / f"{k:02}.png")
    shutil.copy(tmp_path / "set/train/ok/05.png", tmp_path / "set/test/def/copy, of 5.png")
    return tmp_path / "set"


def _rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_goes_to_stdout_and_the_counts_to_stderr(labelled, run):
    """Each leaked picture has a row with its twin's path, kind, turn and fit."""
    code, out, errors = run("audit", labelled, *SMALL)
    assert code == 0, errors
    near, copy = _rows(out)
    assert list(near) == [
        *("test", "train", "kind", "turn"),
        *("gain", "offset", "distance", "moved"),
    ]
    assert near["test"] == str(labelled / "test/ok/04.png")
    assert near["train"] == str(labelled / "train/ok/11.png")
    assert (near["kind"], near["turn"]) == ("near", "mirrored")
    assert float(near["gain"]) == pytest.approx(0.8, abs=0.01)
    assert float(near["offset"]) == pytest.approx(10 / 255, abs=0.01)
    assert (copy["kind"], copy["train"]) == ("identical-file", str(labelled / "train/ok/05.png"))
    assert errors.splitlines() == [
        "1 of 5 good and 1 of 4 anomalous test pictures stand in the training pictures "
        "(1 identical, 1 near)",
        "  identical-file: 0 good, 1 anomalous",
        "  identical-pixels: 0 good, 0 anomalous",
        "  near: 1 good, 0 anomalous",
    ]


def test_csv_json_and_sheet(labelled, run, tmp_path):
    """--csv holds what stdout would, --json prints counts and rows, --sheet is a picture."""
    _, table, _ = run("audit", labelled, *SMALL)
    options = ["--csv", tmp_path / "a.csv", "--sheet", tmp_path / "a.png", "--json"]
    code, out, _ = run("audit", labelled, *SMALL, *options)
    assert code == 0
    assert (tmp_path / "a.csv").read_text() == table
    found = json.loads(out)
    assert (found["train"], found["test"]) == (30, 9)
    assert found["counts"]["near"] == {"good": 1, "anomalous": 0}
    assert found["counts"]["identical-file"] == {"good": 0, "anomalous": 1}
    rows = [{name: str(cell) for name, cell in row.items()} for row in found["twins"]]
    assert rows == _rows(table)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.format == "PNG"


def test_csv_alone_leaves_stdout_empty(labelled, run, tmp_path):
    """With --csv nothing is printed to stdout."""
    code, out, _ = run("audit", labelled, *SMALL, "--csv", tmp_path / "a.csv")
    assert (code, out) == (0, "")


def test_no_leak_is_said(labelled, run):
    """Without twins the table is its head, and one sentence says that none was found."""
    (labelled / "test/ok/04.png").unlink()
    (labelled / "test/def/copy, of 5.png").unlink()
    code, out, errors = run("audit", labelled, *SMALL)
    assert (code, len(out.splitlines())) == (0, 1)
    assert errors == "no test picture was found in the training pictures\n"


def test_a_damaged_picture_is_named_or_skipped(labelled, run):
    """A file that cannot be read ends the audit, or is listed with --skip-unreadable."""
    (labelled / "test/ok/00.png").write_bytes(b"no picture")
    code, out, errors = run("audit", labelled, *SMALL)
    assert (code, out) == (1, "")
    assert "00.png cannot be used" in errors
    code, out, errors = run("audit", labelled, *SMALL, "--skip-unreadable")
    assert code == 0
    assert "1 of 4 good and 1 of 4 anomalous" in errors
    assert "skipped files: 1" in errors
    assert len(_rows(out)) == 2


def test_a_place_that_cannot_be_written_is_told_first(labelled, run, tmp_path):
    """A folder that does not exist is named before pictures are read."""
    code, _, errors = run("audit", labelled, *SMALL, "--sheet", tmp_path / "no" / "a.png")
    assert code == 1
    assert "cannot write" in errors


def _drawn(twins, size=(20, 30, 3), count=60):
    rng = np.random.default_rng(0)
    store = Pictures(rng.integers(0, 256, (count, *size), dtype=np.uint8))
    return store, draw_pairs(Leakage(count, count, tuple(twins)), "a title", store, store)


def test_a_pair_is_drawn_side_by_side():
    """The training picture is turned and relit, so that it equals the test picture."""
    pixels = np.random.default_rng(0).integers(50, 200, (2, 160, 160, 1), dtype=np.uint8)
    pixels[1, ..., 0] = np.rot90(pixels[0, ..., 0])
    known = Pictures((pixels[:1] - 20).astype(np.uint8))
    twin = Twin(1, 0, "near", "turned by 90°", 1.0, 20 / 255, 0.0)
    sheet = np.asarray(draw_pairs(Leakage(1, 2, (twin,)), "a title", known, Pictures(pixels)))
    left = sheet[85 : 85 + 160, 20 : 20 + 160]
    np.testing.assert_array_equal(left[..., 0], pixels[1, ..., 0])
    right = sheet[85 : 85 + 160, 184 : 184 + 160]
    np.testing.assert_array_equal(right, left)


def test_at_most_forty_pairs_are_drawn():
    """Of 60 near pairs 32 are drawn; the sheet grows by rows of four and never with the rest."""
    near = [Twin(k, k, "near", "as it is", 1.0, 0.0, k / 100) for k in range(60)]
    _, many = _drawn(near)
    _, most = _drawn(near[:32])
    _, few = _drawn(near[:4])
    assert many.size == most.size
    assert most.height > few.height > 100


def test_a_sheet_without_pairs_has_its_title():
    """Where nothing leaks the sheet says so and is no error."""
    _, sheet = _drawn([])
    assert (np.asarray(sheet) < 128).any()
