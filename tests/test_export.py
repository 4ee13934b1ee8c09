"""Exported graphs, run by onnxruntime and by OpenVINO beside the detector that they were made of."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from recon_anomaly import Reconstruction, ReconstructionDetector, export
from recon_anomaly.builtin import recon_anomaly_models, recon_anomaly_scorers
from recon_anomaly.errors import InputError, SavedFileError
from recon_anomaly.export import MAP_TOLERANCE, OUTPUTS, TOLERANCE, export_onnx, share_of_difference
from recon_anomaly.scoringgraph import ScoringGraph

onnxruntime = pytest.importorskip("onnxruntime")

SIZE = 32
SCORED_MODEL = {"elbo": "cvae", "reconstruction-probability": "vae", "latent-distance": "ganomaly"}
SMALL = {
    "cae": {"kernels": (4, 8)},
    "sparse-ae": {"kernels": (4, 8)},
    "contractive-ae": {"kernels": (4, 8)},
    "cvae": {"kernels": (4, 8), "latent_size": 4},
    "vae": {"kernels": (4, 8), "latent_size": 4},
    "ganomaly": {"kernels": (4, 8), "latent_size": 4},
    "tcae": {"weights": None},
    "tcvae": {"weights": None, "latent_size": 4},
    "feature-pca": {"backbone": "mobilenet_v3_small", "weights": None},
    "feature-ae": {"backbone": "mobilenet_v3_small", "weights": None},
}
SCORER_PARAMS = {
    "perceptual": {"weights": None},
    "elbo": {"draws": 2},
    "reconstruction-probability": {"draws": 2},
}
PAIRS = [(model, "mse") for model in recon_anomaly_models()] + [
    (SCORED_MODEL.get(scorer, "cae"), scorer)
    for scorer in recon_anomaly_scorers()
    if scorer != "mse"
]
QUICK = {("cae", "mse"), ("nearest", "mse"), ("vae", "reconstruction-probability")}
QUICK |= {("cae", "fused"), ("cvae", "elbo"), ("cae", "gradient")}


def pictures(count, seed, channels=1, size=SIZE, dtype="uint8"):
    """Bright squares on a dark ground, the later ones with a corner that does not belong there."""
    rng = np.random.default_rng(seed)
    found = rng.uniform(0.1, 0.2, (count, size, size, channels))
    found[:, 8:24, 8:24] += rng.uniform(0.4, 0.6, (count, 1, 1, channels))
    found[count // 2 :, :6, :6] = 0.9
    return (found * np.iinfo(dtype).max).astype(dtype)


def fitted(model="cae", scorer="mse", *, channels=1, dtype="uint8"):
    detector = ReconstructionDetector(
        model,
        model_params=SMALL.get(model),
        scorer=scorer,
        scorer_params=SCORER_PARAMS.get(scorer),
        epochs=1,
        random_state=0,
        device="cpu",
    )
    good = pictures(24, 0, channels, dtype=dtype)[:12]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random weights
        return detector.fit(good)


def run(path, pixels):
    """What onnxruntime makes of pixels, by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(OUTPUTS, {"pixels": pixels}), strict=True))


def run_in_openvino(path, pixels):
    openvino = pytest.importorskip("openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.compile_model(path, "CPU", exact)
    found = compiled(pixels)
    return {name: np.asarray(found[name]) for name in OUTPUTS}


@pytest.fixture(scope="module")
def programs():
    """What torch made of the graphs that were exported."""
    return {}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, programs):
    """Make a detector and its graph once for each set of arguments."""
    made, trace = {}, export._program

    def make(*names, **params):
        key = repr((names, params))
        if key not in made:
            detector = fitted(*names, **params)
            path = tmp_path_factory.mktemp("graphs") / "graph.onnx"
            with pytest.MonkeyPatch.context() as patch:
                kept = partial(programs.setdefault, names)
                patch.setattr(export, "_program", lambda *graph: kept(trace(*graph)))
                made[key] = detector, detector.export_onnx(path)
        return made[key]

    return make


@pytest.fixture
def cae(exported, programs, monkeypatch):
    """A detector whose graph is not traced again, which takes seconds."""
    detector, _ = exported("cae", "mse")
    monkeypatch.setattr(export, "_program", lambda *_: programs["cae", "mse"])
    return detector


def assert_alike(detector, found, pixels):
    """Scores, maps and decisions are the detector's; decisions where the score is not on the threshold."""
    scores, maps = detector.anomaly_score(pixels), detector.anomaly_map(pixels)
    assert found["score"].shape == (len(pixels),)
    assert found["map"].shape == pixels.shape[:3]
    assert share_of_difference(found["score"], scores) <= TOLERANCE
    assert share_of_difference(found["map"], maps) <= MAP_TOLERANCE
    clear = np.abs(scores + detector.offset_) > TOLERANCE * max(scores.std(), np.abs(scores).max())
    assert clear.any()
    assert np.array_equal(found["anomalous"][clear], detector.predict(pixels)[clear] == -1)


@pytest.mark.parametrize(
    ("model", "scorer"),
    [pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow) for pair in PAIRS],
)
def test_the_graph_scores_as_the_detector(exported, model, scorer):
    """Every built-in model with mse, every scorer with a model that suits it; batches of 7 and of 1."""
    detector, written = exported(model, scorer)
    assert written.difference <= TOLERANCE
    pixels = pictures(8, 1)
    parts = [run(written.path, part) for part in (pixels[:7], pixels[7:])]
    # Together: the deviation of the scores is that of all pictures.
    found = {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
    assert_alike(detector, found, pixels)


@pytest.mark.parametrize(
    ("model", "scorer"),
    [pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow) for pair in PAIRS],
)
def test_openvino_scores_as_the_detector(exported, model, scorer):
    """The same graph in OpenVINO, in float32."""
    detector, written = exported(model, scorer)
    pixels = pictures(7, 1)
    assert_alike(detector, run_in_openvino(written.path, pixels), pixels)


def test_colours_of_sixteen_bits_are_taken_as_they_are(exported):
    """A detector of uint16 pictures has a graph of uint16 pixels; odd sides are padded inside."""
    detector, written = exported("pca", "max1p", channels=3, dtype="uint16")
    pixels = pictures(5, 1, 3, dtype="uint16")
    assert_alike(detector, run(written.path, pixels), pixels)


def test_the_metadata_say_what_the_graph_is(exported):
    """Whoever has only the file knows model, scorer, threshold, size, range and versions."""
    detector, written = exported("cae", "mse")
    session = onnxruntime.InferenceSession(written.path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert (about["model"], about["scorer"]) == ("builtin:cae", "builtin:mse")
    assert json.loads(about["threshold"]) == -detector.offset_
    assert json.loads(about["threshold_rule"]) == {"rule": "quantile"}
    assert json.loads(about["image_size"]) == [SIZE, SIZE]
    assert json.loads(about["channels"]) == 1
    assert json.loads(about["pixel_range"]) == {"low": 0.0, "high": 255.0, "dtype": "uint8"}
    assert json.loads(about["format"]) == export.FORMAT
    assert torch.__version__.startswith(about["torch"])
    assert {"recon-anomaly", "map_scale"} <= set(about)
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type) == ("pixels", "tensor(uint8)")
    assert pixels.shape[1:] == [SIZE, SIZE, 1]
    assert isinstance(pixels.shape[0], str)
    types = {output.name: output.type for output in session.get_outputs()}
    assert types == {
        "score": "tensor(float)",
        "map": "tensor(float)",
        "anomalous": "tensor(bool)",
    }


def test_a_graph_that_disagrees_does_not_replace_one_that_is_there(cae, tmp_path, monkeypatch):
    """The old file stays, and nothing else is left in the folder."""
    path = tmp_path / "graph.onnx"
    path.write_text("an older one")
    other = fitted("cae", "mse")
    other.network_.decoder[-1].bias.data += 0.5
    monkeypatch.setattr(cae, "iter_scores", other.iter_scores)
    with pytest.raises(InputError, match="scores otherwise than the detector"):
        export_onnx(cae, path)
    assert path.read_text() == "an older one"
    assert [file.name for file in tmp_path.iterdir()] == ["graph.onnx"]


def test_a_graph_that_decides_otherwise_is_refused(exported, tmp_path, monkeypatch):
    """Also where its scores are right: here its threshold lies below all of them, the detector's above."""
    detector, _ = exported("cae", "mse")
    monkeypatch.setattr(detector, "offset_", -1e9)
    monkeypatch.setattr(export, "ScoringGraph", lambda *parts: ScoringGraph(*parts[:-1], -1e9))
    with pytest.raises(InputError, match="decides otherwise than the detector on 4 of 4"):
        export_onnx(detector, tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_of_many_bytes_stand_beside_the_graph(cae, tmp_path, monkeypatch):
    """Where they are too large for one file they have one of their own, which the graph finds."""
    with monkeypatch.context() as patch:
        patch.setattr(export, "LARGEST", 100)
        written = cae.export_onnx(tmp_path / "graph.onnx")
    assert written.weights.parent == tmp_path
    assert written.weights.stat().st_size > 0
    assert sorted(tmp_path.iterdir()) == sorted([written.path, written.weights])
    pixels = pictures(3, 1)
    assert_alike(cae, run(written.path, pixels), pixels)
    (tmp_path / "graph.onnx.mine.data").write_bytes(b"not the graph's")
    cae.export_onnx(tmp_path / "graph.onnx")
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["graph.onnx", "graph.onnx.mine.data"]


def test_weights_go_with_a_graph_that_fails(cae, tmp_path, monkeypatch):
    """Neither file is left where the check fails."""
    monkeypatch.setattr(export, "LARGEST", 100)
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="nothing was written"):
        cae.export_onnx(tmp_path / "graph.onnx")
    assert list(tmp_path.iterdir()) == []


def test_floats_of_another_unit_are_refused_before_anything_is_traced(good, tmp_path, monkeypatch):
    """A graph of bytes would not know what they mean."""
    detector = ReconstructionDetector("mean", device="cpu").fit(good.astype(np.float32) - 7)
    monkeypatch.setattr(export, "_program", None)
    with pytest.raises(InputError, match=r"floats in \[0, 1\], can be exported.*from -?\d+ to"):
        detector.export_onnx(tmp_path / "graph.onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(good, tmp_path, monkeypatch):
    """The error says what to install."""
    detector = ReconstructionDetector("mean", device="cpu").fit(good)
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx and onnxscript.*recon-anomaly\[onnx\]"):
        detector.export_onnx(tmp_path / "graph.onnx")


def test_without_onnxruntime_nothing_is_compared(exported, tmp_path, monkeypatch):
    """The graph is written all the same, and the answer says that it was not run."""
    detector, written = exported("cae", "mse")
    found = export.find_spec
    monkeypatch.setattr(
        export, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    assert export._differences(detector, written.path, pictures(4, 1)) is None


def test_a_graph_that_onnxruntime_refuses_is_an_error(good, tmp_path):
    """It names the model and onnxruntime's reason, in one line."""
    detector = ReconstructionDetector("mean", device="cpu").fit(good)
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    message = r"onnxruntime cannot run the exported graph of model .*mean with scorer .*mse: \w+"
    with pytest.raises(InputError, match=message) as refused:
        export._differences(detector, tmp_path / "graph.onnx", good[:4])
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_missing_is_an_error_before_anything_is_traced(
    good, tmp_path, monkeypatch
):
    """The error names the path."""
    detector = ReconstructionDetector("mean", device="cpu").fit(good)
    monkeypatch.setattr(export, "_program", None)
    with pytest.raises(SavedFileError, match="nowhere"):
        detector.export_onnx(tmp_path / "nowhere" / "graph.onnx")


class Worded(torch.nn.Module):
    """A model whose reconstruction depends on a number that is only known when it runs."""

    def __init__(self, image_shape):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        brightest = float(images.max())
        return Reconstruction(self.scale * images * (0.5 if brightest > 0.7 else 0.9))

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


def test_what_torch_cannot_export_is_an_error_with_its_reason(good, tmp_path):
    """A model of somebody's own ends in one of our errors, and no file."""
    detector = ReconstructionDetector(Worded, epochs=1, device="cpu").fit(good)
    with pytest.raises(InputError, match=r"torch cannot export model .+ with scorer .+: \w+: .+"):
        detector.export_onnx(tmp_path / "graph.onnx")
    assert list(tmp_path.iterdir()) == []


def test_differences_are_shares_of_what_is_larger():
    """Of the value, or of the values' deviation; what is not finite differs infinitely."""
    wanted = np.array([1.0, 3.0])  # deviation 1
    assert share_of_difference(np.array([1.5, 3.0]), wanted) == 0.5
    assert share_of_difference(np.array([1.0, 3.6]), wanted) == pytest.approx(0.2)
    assert share_of_difference(np.array([0.0, 0.1]), np.array([0.0, 0.0])) == np.inf
    assert share_of_difference(np.array([np.nan, 3.0]), wanted) == np.inf
    assert share_of_difference(wanted, wanted) == 0
