"""The examples that have options run, small, from their command lines; the others run as the docs are built."""

import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from recon_anomaly import VAE, ReconstructionDetector, make_parts

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example with options; return its variables and what it printed."""

    def go(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *options])
        found = runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return found, capsys.readouterr().out

    return go


@pytest.fixture
def labelled(tmp_path, good, bad):
    """A labelled folder of small files."""
    for place, pictures in {"train/ok": good[:20], "test/ok": good[20:28], "test/def": bad}.items():
        (tmp_path / place).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / place / f"{number}.png")
    return tmp_path


def test_the_latent_size_is_searched_on_one_split(run, labelled):
    """Each candidate's AUROC is that of a VAE fitted on the good files alone and scored on one half."""
    options = [
        "--sizes",
        "2",
        "5",
        "--image-size",
        "16",
        "--epochs",
        "3",
        "--learning-rate",
        "0.01",
    ]
    found, text = run("latent_size.py", "--data", str(labelled), *options)
    paths, y, choosing, testing = (found[name] for name in ("joined", "y", "choosing", "testing"))
    good = paths[:20]
    assert [path.parent.name for path in good] == ["ok"] * 20
    assert sorted(y[choosing]) == sorted(y[testing]) == [-1] * 4 + [1] * 4
    assert not set(choosing) & set(testing)

    def auroc(size, places):
        detector = VAE(latent_size=size, image_size=16, epochs=3, learning_rate=0.01).fit(good)
        scores = detector.anomaly_score([paths[place] for place in places])
        return roc_auc_score(y[places] == -1, scores)

    wanted = [auroc(size, choosing) for size in (2, 5)]
    assert found["search"].cv_results_["mean_test_score"].tolist() == wanted
    best = (2, 5)[int(np.argmax(wanted))]
    assert f"best: {best}; AUROC {auroc(best, testing):.3f} on the other half" in text


def test_the_search_runs_without_any_pictures_of_one_s_own(run):
    """Without a folder, castings are drawn; every candidate gets a line."""
    _, text = run("latent_size.py", "--sizes", "2", "3", "--image-size", "16", "--epochs", "1")
    assert [line.split(":")[0] for line in text.splitlines()[:2]] == [
        "latent_size     2",
        "latent_size     3",
    ]


def test_the_papers_search_is_its_sizes_with_its_recipe(run, monkeypatch):
    """--full is 100 to 5000 at 256 pixels on all good pictures, all else as VAE has it."""
    parts = make_parts(4, 4, 1, 0, image_size=16)

    def stop(search, X, y):
        assert len(X) == len(y) == len(parts.train) + len(parts.test)
        raise InterruptedError(search.estimator.get_params(), search.param_grid)

    monkeypatch.setattr(GridSearchCV, "fit", stop)
    monkeypatch.setattr("recon_anomaly.synthetic.make_parts", lambda image_size: parts)
    with pytest.raises(InterruptedError) as caught:
        run("latent_size.py", "--full")
    params, grid = caught.value.args
    assert params == VAE(image_size=256).get_params()
    assert grid == {"latent_size": [100, 500, 1000, 2000, 5000]}


@pytest.mark.parametrize(
    ("name", "channels"), [("gray.png", 1), ("colour.png", 1), ("colour.png", 3)]
)
def test_a_frame_is_scored_without_torch_as_its_file_is(
    monkeypatch, capsys, tmp_path, name, channels
):
    """A larger frame, resized as files are: the detector's score, place and decision of the same file."""
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (53, 70, 3), dtype=np.uint8)
    path = tmp_path / name
    Image.fromarray(frame if name == "colour.png" else frame[..., 0]).save(path)
    detector = ReconstructionDetector("mean", image_size=(17, 24), channels=channels, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of colours that become luminance
        detector.fit([path, path])
        detector.network_.mean += 0.1 * torch.rand(detector.network_.mean.shape)
        score, anomaly_map = (part[0] for part in next(detector.iter_scores([path])))
        anomalous = detector.predict([path])[0] == -1
    graph = tmp_path / "parts.onnx"
    detector.export_onnx(graph)
    monkeypatch.setattr(sys, "argv", ["score_frame.py", str(graph), str(path)])
    found = runpy.run_path(str(EXAMPLES / "score_frame.py"), run_name="__main__")
    assert found["found"] == pytest.approx(score, rel=1e-4)
    np.testing.assert_allclose(found["anomaly_map"], anomaly_map, rtol=1e-4, atol=1e-6)
    assert ("anomalous" if anomalous else "good") in capsys.readouterr().out
