"""The command report: what it writes, and one sentence for whatever it cannot use."""

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector


@pytest.fixture
def model(tmp_path, good):
    """A saved detector of 16 x 16 pixels."""
    path = tmp_path / "model.safetensors"
    ReconstructionDetector("pca", image_size=16, device="cpu").fit(good[:20]).save(path)
    return path


@pytest.fixture
def folder(tmp_path, good, bad):
    """Folders of 6 good pictures and 4 dents."""
    for kind, pictures in (("good", good[20:26]), ("dent", bad[:4])):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / "set" / kind / f"{k}.png")
    return tmp_path / "set"


def test_a_page_is_written(run, model, folder, tmp_path):
    """Of a detector and a folder: all pictures are in the page, and stderr says how large it is."""
    out = tmp_path / "report.html"
    code, stdout, stderr = run("report", model, "--data", folder, "-o", out, "--pictures", 3)
    assert (code, stdout) == (0, "")
    assert f"10 pictures, 3 of them shown: {out}, " in stderr
    assert "set, scored by model.safetensors" in out.read_text()


def test_training_pictures_are_looked_through(run, model, folder, tmp_path):
    """With --train the page says how many of its pictures stand among them."""
    out = tmp_path / "report.html"
    code, _, _ = run("report", model, "--data", folder, "-o", out, "--train", folder / "good")
    assert code == 0
    assert "6 of 6 good and 0 of 4 anomalous test pictures stand in the training" in out.read_text()


def test_plots_are_drawn(run, model, folder, tmp_path):
    """With --plots each plot is drawn, and its file told."""
    pytest.importorskip("matplotlib")
    plots = tmp_path / "plots"
    code, _, stderr = run(
        "report", model, "--data", folder, "-o", tmp_path / "r.html", "--plots", plots
    )
    assert code == 0
    assert len(list(plots.iterdir())) == stderr.count("plot: ") == 6


def test_a_bench_is_reported_on(run, tmp_path):
    """Records of the embedded castings need no folder: the pictures are drawn again."""
    records, out = tmp_path / "bench.jsonl", tmp_path / "report.html"
    options = ["--models", "mean,pca", "--corruptors", "", "--image-size", 16, "--out", records]
    assert run("bench", *options, "--keep-detectors", tmp_path / "kept")[0] == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2
    code, _, stderr = run("report", records, "-o", out, "--thumbnail", 16)
    assert code == 0
    assert "120 pictures, 120 of them shown" in stderr
    assert "no reconstructions" not in out.read_text()
    code, _, stderr = run("report", records, "-o", out, "--row", 9)
    assert code == 1
    assert "row is 9" in stderr


def test_unreadable_pictures_are_refused_or_listed(run, model, folder, tmp_path):
    """As for score: an error that names the file, or a list at the end and a sentence in the page."""
    (folder / "dent" / "broken.png").write_bytes(b"\x89PNG")
    out = tmp_path / "report.html"
    code, _, stderr = run("report", model, "--data", folder, "-o", out)
    assert code == 1
    assert "broken.png cannot be used" in stderr
    assert not out.exists()
    code, _, stderr = run("report", model, "--data", folder, "-o", out, "--skip-unreadable")
    assert code == 0
    assert "skipped files: 1" in stderr
    assert "1 of 11 files could not be read and are left out." in out.read_text()


def test_names_may_be_any_bytes(run, model, folder, tmp_path, good):
    """A name with bytes that are no text, and a line break, is in the page, escaped."""
    name = b"a\xff\n<b>.png".decode("utf-8", "surrogateescape")
    Image.fromarray(good[0, ..., 0]).save(folder / "good" / name, format="PNG")
    out = tmp_path / "report.html"
    assert run("report", model, "--data", folder, "-o", out)[0] == 0
    assert r"good/a\xff\n&lt;b&gt;.png" in out.read_text()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"--data": None}, 2, "--data is wanted"),
        ({"--data": "nowhere"}, 1, "does not exist"),
        ({"--data": "empty"}, 1, "holds no picture"),
        ({"-o": "nowhere/report.html"}, 1, "cannot write"),
        ({"-o": "empty"}, 1, "it is a folder"),
        ({"source": "text.txt"}, 1, "text.txt"),
        ({"source": "nothing"}, 1, "cannot read"),
        ({"source": "lines.jsonl"}, 1, "is no record of a bench"),
        ({"--row": "1"}, 2, "--row is for the records"),
        ({"--pictures": "0"}, 1, "pictures is 0"),
        ({"--thumbnail": "1"}, 1, "thumbnail is 1"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_used_is_said(run, model, folder, tmp_path, monkeypatch, change, code, said):
    """One sentence, no traceback, no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "lines.jsonl").write_text('{"a": 1}\n')
    options = {"--data": str(folder), "-o": "report.html"} | change
    source = options.pop("source", model)
    words = [word for pair in options.items() if pair[1] is not None for word in pair]
    got, stdout, stderr = run("report", source, *words)
    assert (got, stdout) == (code, "")
    assert said in " ".join(stderr.replace("│", " ").split())
    assert "Traceback" not in stderr
    assert not (tmp_path / "report.html").exists()


def test_the_detector_is_not_overwritten(run, model, folder):
    """A page that would take the place of the detector it reports on is refused."""
    before = model.read_bytes()
    code, _, stderr = run("report", model, "--data", folder, "-o", model)
    assert code == 1
    assert "would be replaced" in " ".join(stderr.split())
    assert model.read_bytes() == before


def test_missing_training_pictures_are_told_before_anything_is_scored(run, model, folder, tmp_path):
    """--train with a folder that is not there ends at once, and writes nothing."""
    out = tmp_path / "report.html"
    code, _, stderr = run("report", model, "--data", folder, "-o", out, "--train", tmp_path / "no")
    assert (code, out.exists()) == (1, False)
    assert "does not exist" in " ".join(stderr.split())


def test_one_class_is_enough(run, model, folder, tmp_path):
    """A folder of good pictures only, or of bad ones only, is reported on as far as that goes."""
    out = tmp_path / "report.html"
    for kept, said in (("good", "There are no anomalous pictures"), ("bad", "There are no good")):
        place = tmp_path / f"only-{kept}" / kept
        place.mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(place / "1.png")
        assert run("report", model, "--data", place.parent, "-o", out)[0] == 0
        assert said in out.read_text()
