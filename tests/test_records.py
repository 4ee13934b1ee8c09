import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from recon_anomaly import ReconstructionDetector, SavedFileError
from recon_anomaly.benchdata import BenchData, LabelledPictures
from recon_anomaly.decisions import decide
from recon_anomaly.detector import Observed
from recon_anomaly.inputs import split_validation
from recon_anomaly.masks import GOOD, UNKNOWN, Masks
from recon_anomaly.metrics import ranking_metrics
from recon_anomaly.pixelmetrics import PIXEL
from recon_anomaly.records import read_records, record_of, start_records, trivial_record
from recon_anomaly.settings import key_of
from recon_anomaly.store import from_array

SETTINGS = {"model": "mean", "seed": 1}
WHOLE = {
    **dict.fromkeys(("key", "data", "data_checksum", "model", "test_set"), "a"),
    **dict.fromkeys(
        ("layout", "epochs", "batch_size", "learning_rate", "schedule", "seed", "scorer")
    ),
    **dict.fromkeys(("auroc", "average_precision", "pr_auc", "validation_scores")),
    **{key: {} for key in ("schedule_params", "model_params", "intervals", "decisions")},
    **dict.fromkeys(("n_good", "n_test_good", "n_test_anomalous"), 1),
    "drop_leaked": False,
    "image_size": [16, 16],
}


@pytest.fixture
def data(good, bad):
    """Small squares: 30 to train, 10 good and 8 bad to test."""
    test = from_array(np.concatenate([good[30:], bad]))
    labels = np.repeat([0, 1], [10, 8])
    tests = LabelledPictures("defects", test, labels, ("good",) * 10 + ("corner",) * 8)
    return BenchData("squares", from_array(good[:30]), tests, (16, 16))


@pytest.fixture
def detector(data):
    """A fitted detector with a known share of validation pictures."""
    training, validation = split_validation(data.train, 0.2, 1)
    return ReconstructionDetector("mean").fit(training, validation_data=validation)


def test_a_record_holds_scores_and_figures(data, detector):
    """Scores are the detector's, in test order; threshold and validation scores are its own, too."""
    record = record_of(SETTINGS, detector, data.test, data)
    scores = detector.anomaly_score(data.test.pictures)
    assert record["scores"] == scores.tolist()
    assert record["labels"] == data.test.labels.tolist()
    assert record["validation_scores"] == (-detector.validation_scores_).tolist()
    assert record["decisions"]["quantile"]["threshold"] == -detector.offset_
    figures = ranking_metrics(data.test.labels, scores)
    assert {name: record[name] for name in figures} == figures
    assert (record["n_good"], record["n_test_good"], record["n_test_anomalous"]) == (30, 10, 8)
    assert record["key"] == key_of(SETTINGS)
    assert record["milliseconds_per_picture"] > 0
    assert json.loads(json.dumps(record)) == record


def test_a_closed_form_has_no_epochs(data, detector):
    """There is no recipe, no history and nothing observed, and no labels were asked for."""
    record = record_of(SETTINGS, detector, data.test, data)
    empty = ("recipe", "history", "observed", "diverged", "kept_epoch", "validation_auroc")
    assert {record[name] for name in empty} == {None}
    assert (record["epochs_run"], record["epochs_trained"]) == (0, 0)
    assert (record["n_validation_anomalous"], record["validation_defect_scores"]) == (0, None)


def test_a_network_has_its_recipe_and_its_history_beside_its_own_test_set(data):
    """The records of other test sets name the epochs only, since the history would be the same."""
    params = {"kernels": [2], "latent_size": 2}
    detector = ReconstructionDetector("cvae", model_params=params, epochs=2)
    detector.fit(data.train.take(slice(20)), validation_data=data.train.take(slice(20, 30)))
    settings = {"model": "cvae", "seed": 1, "scorer": "mse"}
    seen = [Observed(1, (), {"mse": np.arange(18.0)}), Observed(2, (), {"mse": np.zeros(18)})]
    record = record_of(settings, detector, data.test, data, observed=seen)
    assert record["recipe"] == detector.recipe_
    assert [epoch["epoch"] for epoch in record["history"]["records"]] == [1, 2]
    assert record["history"]["terms"] == ["reconstruction", "kl"]
    assert [epoch["auroc"] for epoch in record["observed"]] == [1.0, 0.5]
    assert record["kinds"] == list(data.test.kinds)
    assert json.loads(json.dumps(record)) == record
    other = LabelledPictures("noise", data.test.pictures, data.test.labels, data.test.kinds)
    elsewhere = record_of(settings, detector, other, data, observed=seen)
    assert (elsewhere["history"], elsewhere["observed"]) == (None, None)
    assert elsewhere["epochs_trained"] == 2


def test_scores_of_defects_to_validate_on_make_a_threshold(data, detector):
    """They are kept with their AUROC, and the decision is made from the record alone."""
    highest = max(-detector.validation_scores_)
    defects = highest + np.array([1.0, 2.0])
    record = record_of(SETTINGS, detector, data.test, data, defect_scores=defects)
    assert record["validation_auroc"] == 1.0
    assert record["validation_defect_scores"] == defects.tolist()
    found = record["decisions"]["youden-validation"]
    assert highest < found["threshold"] < highest + 1
    assert found == decide(record, "youden-validation")


def test_intervals_stand_around_their_figures(data, detector):
    """Each ranking figure and each decision's figure lies in its interval."""
    scores = np.random.default_rng(0).normal(size=18) + data.test.labels
    detector.anomaly_score = lambda pictures: scores
    record = record_of(SETTINGS, detector, data.test, data)
    for figures in (record, *record["decisions"].values()):
        assert figures["intervals"]
        for name, (low, high) in figures["intervals"].items():
            assert low <= figures[name] <= high, name
            assert low < high or figures[name] in (0.0, 1.0)


def test_the_trivial_record_has_one_decision_and_no_scores(data):
    """Everything is called anomalous: recall 1, specificity 0, precision the share, nothing chosen."""
    record = trivial_record(SETTINGS, data.test, data)
    decision = record["decisions"]["everything"]
    assert list(record["decisions"]) == ["everything"]
    assert (record["scores"], record["validation_scores"], decision["threshold"]) == (None,) * 3
    assert (decision["recall"], decision["specificity"], decision["oracle"]) == (1.0, 0.0, False)
    assert decision["precision"] == pytest.approx(8 / 18)
    assert record["intervals"]["auroc"] == [0.5, 0.5]
    assert record["kinds"] == list(data.test.kinds)


def test_records_are_read_as_they_were_written(tmp_path):
    """Each line is a record."""
    path = tmp_path / "records.jsonl"
    records = [WHOLE | {"key": key, "labels": [1], "scores": [0.1]} for key in "ab"]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert read_records(path) == records


@pytest.mark.parametrize("text", ["{", "[1]\n", '{"a": 1}\n'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    """What holds no records is named."""
    path = tmp_path / "records.jsonl"
    path.write_text(text)
    with pytest.raises(SavedFileError, match=r"records\.jsonl"):
        read_records(path)


def test_a_bench_starts_empty_or_where_it_was(tmp_path):
    """No file and a new one have no records; one that exists is read with resume, else refused."""
    path = tmp_path / "records.jsonl"
    assert (
        start_records(None, False) == start_records(path, False) == start_records(path, True) == []
    )
    record = WHOLE | {"labels": [], "scores": None}
    path.write_text(json.dumps(record) + "\n")
    assert start_records(path, True) == [record]
    with pytest.raises(SavedFileError, match="say --resume"):
        start_records(path, False)
    with pytest.raises(SavedFileError, match="cannot write"):
        start_records(tmp_path / "no" / "records.jsonl", False)


def test_figures_of_pixels_are_those_of_the_maps(data, detector):
    """Scikit-learn agrees on the maps of the test pictures that are good or have a mask; scores stay the same bits."""
    corner = np.zeros((1, 16, 16), bool)
    corner[0, :5, :5] = True
    rows = np.repeat([GOOD, 0], [10, 8])
    rows[-1] = UNKNOWN
    test = replace(data.test, masks=Masks(corner, rows))
    record = record_of(SETTINGS, detector, test, data, memory_budget=0)
    maps = detector.anomaly_map(data.test.pictures)[:17]
    truth = np.stack([test.masks[k] for k in range(17)])
    assert record["scores"] == record_of(SETTINGS, detector, data.test, data)["scores"]
    assert record["pixel_auroc"] == pytest.approx(roc_auc_score(truth.ravel(), maps.ravel()))
    assert record["pixel_average_precision"] == pytest.approx(
        average_precision_score(truth.ravel(), maps.ravel())
    )
    assert 0 < record["aupro"] <= 1
    assert record["pixel_pictures"] == 17
    assert json.loads(json.dumps(record)) == record


def test_without_masks_there_are_no_figures_of_pixels(data, detector):
    """They are unknown, and the number of pictures is not there."""
    record = record_of(SETTINGS, detector, data.test, data)
    assert {record[name] for name in PIXEL} == {None}
    assert "pixel_pictures" not in record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [2]}, "labels are not all 0 or 1"),
        ({"scores": [1.0, 2.0]}, "2 scores and 1 labels"),
        ({"kinds": []}, "0 kinds and 1 labels"),
        ({"image_size": [16]}, r"image_size has 1 entries; 2 are wanted"),
        ({"model": None}, r"the record\.model is None; a text is wanted"),
        ({"seed": 10**30}, r"the record\.seed is"),
        ({"intervals": {"auc": None}}, "intervals has an entry 'auc', which is not known"),
        ({"decisions": {"quantile": 3}}, r"decisions\.quantile is 3; a table is wanted"),
        ({"corruptor": "gaussian"}, "its corruptor has no corruptor_params"),
        ({"history": {"terms": 1}}, r"the history\.terms is 1; a list is wanted"),
    ],
)
def test_a_record_that_cannot_be_right_is_refused_by_its_line(tmp_path, change, message):
    """The message has the file, the line and the entry."""
    path = tmp_path / "records.jsonl"
    lines = [WHOLE | {"labels": [1], "scores": None} | changed for changed in ({}, change)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(SavedFileError, match=rf"records\.jsonl, line 2, .*{message}"):
        read_records(path)
