"""The main job on real pictures: RECON_ANOMALY_DATA names their folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recon_anomaly import TCAE, TCVAE, ReconstructionDetector, find_labelled, load, run_bench
from recon_anomaly.benchdata import from_folder
from recon_anomaly.labelling import with_labels
from recon_anomaly.pictures import list_pictures


@pytest.fixture(scope="module")
def castings(real_data):
    """All of casting_300 at 64 px, decoded once."""
    return from_folder(real_data / "casting_300", 64)


@pytest.fixture
def few(real_data, tmp_path):
    """A function that lays out a tenth of a real data set as the whole is, and returns its folder."""

    def lay_out(name):
        for folder, _, files in os.walk(real_data / name):
            stems = sorted({Path(file).stem for file in files})
            chosen = set(stems[::10])
            place = tmp_path / Path(folder).relative_to(real_data)
            place.mkdir()
            for file in files:
                if Path(file).stem in chosen:
                    (place / file).symlink_to(Path(folder) / file)
        return tmp_path / name

    return lay_out


def test_real_castings_are_read(castings):
    """casting_300 has 2875 good training pictures and 262 + 453 to test, gray ones."""
    assert len(castings.train) == 2875
    assert np.bincount(castings.test.labels).tolist() == [262, 453]
    assert castings.train.shape == (64, 64, 1)


def test_real_defects_of_the_training_folder_are_found(castings):
    """casting_300 has 600 of them, beside 453 to test."""
    data = with_labels(castings)
    assert (len(data.defects), int(data.test.labels.sum())) == (600, 453)


def test_pca_and_the_nearest_picture_on_castings(castings):
    """At 64 px PCA ranks the defects of the castings well, and the leak makes 1-NN near perfect."""

    def auroc(model):
        detector = ReconstructionDetector(model).fit(castings.train)
        return roc_auc_score(castings.test.labels, detector.anomaly_score(castings.test.pictures))

    assert 0.88 < auroc("pca") < 0.95
    assert auroc("nearest") > 0.99


@pytest.mark.filterwarnings("ignore:.*have defects that vanish at 32 x 32")  # thin ones do
@pytest.mark.parametrize(
    "name", ["casting_300", "casting_512", "mvtec_bottle_320", "magnetic_tile"]
)
def test_every_layout_goes_through_the_bench(few, name):
    """Each kind of folder is read, scored and put into records, gray and coloured."""
    records = run_bench(few(name), models=["mean"], corruptors=["objects"], image_size=32)
    assert [record["test_set"] for record in records] == ["objects", "defects"] * 2
    assert all(0 <= record["auroc"] <= 1 for record in records)


def test_real_bottles_from_folder_to_scores(real_data, tmp_path):
    """Fitted on a folder, saved and loaded, a detector tells good bottles from broken ones."""
    folder = real_data / "mvtec_bottle_320" / "bottle"
    detector = ReconstructionDetector("pca", image_size=64).fit(folder / "train" / "good")
    detector.save(tmp_path / "bottle.safetensors")
    loaded = load(tmp_path / "bottle.safetensors")
    found = find_labelled(folder)
    broken = [
        p for p, kind in zip(found.test, found.test_kinds, strict=True) if kind == "broken_large"
    ]
    assert (loaded.predict(broken) == -1).all()
    assert (loaded.predict(folder / "test" / "good") == 1).mean() > 0.5
    assert loaded.anomaly_map(broken[:2]).shape == (2, 64, 64)


def test_transfer_models_on_real_bottles(real_data, real_weights, tmp_path, monkeypatch):
    """On VGG16's real features TCAE tells broken bottles; both models load small and score alike."""
    monkeypatch.setenv("RECON_ANOMALY_WEIGHTS", str(real_weights))
    folder = real_data / "mvtec_bottle_320" / "bottle"
    good = list_pictures(folder / "train" / "good")[:40]
    broken = list_pictures(folder / "test" / "broken_large")
    fresh = list_pictures(folder / "test" / "good")
    labels = np.r_[np.ones(len(fresh)), -np.ones(len(broken))]
    scores = {}
    for estimator in (TCAE, TCVAE):
        detector = estimator(image_size=32, epochs=25).fit(good)
        weights = real_weights / "vgg16_block1to2.safetensors"
        assert detector.network_.backbone.source == str(weights)
        records = detector.history_.records
        assert records[-1].loss < 0.5 * records[0].loss
        scores[estimator] = detector.score_samples([*fresh, *broken])
        detector.save(tmp_path / "bottle.safetensors")
        loaded = load(tmp_path / "bottle.safetensors")
        assert np.array_equal(loaded.score_samples([*fresh, *broken]), scores[estimator])
    assert roc_auc_score(labels, scores[TCAE]) > 0.9


@pytest.mark.slow
def test_the_papers_networks_on_castings(real_data):
    """With the default recipe at 128 px, CVAE and CAE repeat the figures of docs/results.md."""
    records = run_bench(
        real_data / "casting_300", models=["cvae", "cae"], corruptors=[], image_size=128
    )
    found = {record["model"]: record["pr_auc"] for record in records}
    assert found["cvae"] >= 0.99
    assert 0.85 < found["cae"] < 0.95
