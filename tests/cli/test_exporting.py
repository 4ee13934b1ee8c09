"""Exporting by the command: a saved detector becomes a graph, and says what it is."""

from __future__ import annotations

import json

import pytest

from recon_anomaly import ReconstructionDetector
from recon_anomaly.cli import exporting
from recon_anomaly.export import Exported

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path, good):
    """A saved detector without a network."""
    path = tmp_path / "model.safetensors"
    ReconstructionDetector("mean", device="cpu").fit(good).save(path)
    return path


def test_a_saved_detector_becomes_a_graph(run, model, good, tmp_path):
    """Its scores in onnxruntime are the detector's; one line says size and check, --json the rest."""
    path = tmp_path / "parts.onnx"
    code, stdout, stderr = run("export", model, "--onnx", path, "--json")
    assert code == 0, stderr
    assert f"{path}: pictures of 16x16x1" in stderr
    assert "checked: scores differ by" in stderr
    said = json.loads(stdout)
    assert (said["model"], said["image_shape"]) == ("builtin:mean", [16, 16, 1])
    assert said["difference"] <= 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["score"], {"pixels": good[:5]})
    wanted = ReconstructionDetector.load(model).anomaly_score(good[:5])
    assert scores == pytest.approx(wanted, rel=1e-5)


def test_weights_of_their_own_are_told(run, model, tmp_path, monkeypatch):
    """Who moves a graph has to know of its second file; without --json stdout stays empty."""
    path, weights = tmp_path / "parts.onnx", tmp_path / "parts.onnx.1.data"

    def export_onnx(detector, onnx):
        onnx.write_bytes(b"graph")
        return Exported(onnx, weights, None)

    monkeypatch.setattr(exporting, "export_onnx", export_onnx)
    code, stdout, stderr = run("export", model, "--onnx", path)
    assert (code, stdout) == (0, "")
    assert f"{weights}: its weights, to be kept beside it" in stderr
    assert "not checked: onnxruntime is not installed" in stderr


def test_a_file_that_is_no_detector_ends_with_one_line(run, tmp_path):
    """Exit code 1, and no graph."""
    (tmp_path / "notes.txt").write_text("notes")
    code, _, stderr = run("export", tmp_path / "notes.txt", "--onnx", tmp_path / "parts.onnx")
    assert code == 1
    assert stderr.startswith("error: cannot read")
    assert not (tmp_path / "parts.onnx").exists()


def test_the_detector_is_not_overwritten(run, model):
    """A graph that would take the place of the detector it is made of is refused."""
    before = model.read_bytes()
    code, _, stderr = run("export", model, "--onnx", model)
    assert code == 1
    assert "would be replaced" in " ".join(stderr.split())
    assert model.read_bytes() == before
