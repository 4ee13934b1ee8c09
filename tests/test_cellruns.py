import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest

from recon_anomaly import TrainingWarning, cellruns
from recon_anomaly.benchdata import BenchData, LabelledPictures
from recon_anomaly.cellruns import CellRun, Ground, Missing, outcome_of, train
from recon_anomaly.grid import Row
from recon_anomaly.history import EpochRecord
from recon_anomaly.settings import Settings
from recon_anomaly.store import Pictures, free_memory, from_array
from recon_anomaly.training import Tick

TINY = Row("cvae", {"kernels": [2], "latent_size": 2}, "constant", epochs=2, planned=2)


@pytest.fixture
def ground(good, bad, tmp_path):
    """Small squares: 30 to train, 10 good and 8 bad to test; the files of the first have names."""
    test = np.concatenate([good[30:], bad])
    labels = np.repeat([0, 1], [10, 8])
    tests = LabelledPictures("defects", from_array(test), labels, ("good",) * 10 + ("corner",) * 8)
    named = Pictures(good[:30], [tmp_path / f"{k}.png" for k in range(30)])
    data = BenchData("squares", named, tests, (16, 16), spare=lambda: from_array(bad))
    return Ground(data, [tests], every_epoch=False, device="cpu")


def _run(ground, row, scorers=("mse",)):
    settings = Settings(ground.data, False, False, ground.data.checksum())
    missing = [Missing(name, 0, settings.of(row, 1, name, "defects")) for name in scorers]
    return CellRun(3, row, 1, scorers, missing)


def test_ticks_and_epochs_come_before_the_records(ground):
    """And the detector is what the generator returns."""
    detectors = []

    def trained():
        detectors.append((yield from train(ground, _run(ground, TINY, ("mse", "max1p")))))

    events = list(trained())
    kinds = [type(event) for event in events]
    assert kinds == [Tick, Tick, EpochRecord] * 2 + [dict] * 2
    assert [record["scorer"] for record in events[-2:]] == ["mse", "max1p"]
    scores = detectors[0].anomaly_score(ground.data.test.pictures)
    assert events[-2]["scores"] == scores.tolist()
    assert events[-1]["scores"] != scores.tolist()


def test_what_is_sent_has_all_that_is_needed(ground):
    """Through a pickle there and back, the detector scores as the record says."""
    bare = pickle.loads(pickle.dumps(ground.bare()))
    outcome = pickle.loads(pickle.dumps(outcome_of(bare, _run(ground, TINY))))
    (record,) = outcome.records
    assert (outcome.run.number, outcome.error, outcome.warned) == (3, None, ())
    scores = outcome.detector("cpu").anomaly_score(ground.data.test.pictures)
    assert record["scores"] == scores.tolist()


def test_paths_and_spare_defects_stay_at_home(ground):
    """Pixels and labels are the same; the own test set is still the data's."""
    bare = ground.bare()
    assert bare.data.train.array is ground.data.train.array
    assert (bare.data.train.paths, bare.data.spare) == (None, None)
    assert bare.data.test is bare.tests[-1]
    assert bare.data.checksum() == ground.data.checksum()
    half = replace(ground.data, train=ground.data.train.take([4, 2]))
    assert replace(ground, data=half).bare().data.train.checksum() == half.train.checksum()


def test_a_failure_is_an_outcome(ground):
    """The error is sent, and there are no records."""
    outcome = outcome_of(ground, _run(ground, replace(TINY, learning_rate=1e30)))
    outcome = pickle.loads(pickle.dumps(outcome))
    assert "term 'reconstruction' became" in str(outcome.error)
    assert (outcome.records, outcome.saved) == ([], None)


def test_warnings_are_sent(ground, monkeypatch):
    """They belong to whoever started the bench."""

    def warning(ground, run):
        warnings.warn("it diverged", TrainingWarning, stacklevel=1)
        return (yield from train(ground, run))

    monkeypatch.setattr(cellruns, "train", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        outcome = outcome_of(ground, _run(ground, Row("mean")))
    assert [(type(said), str(said)) for said in outcome.warned] == [
        (TrainingWarning, "it diverged")
    ]


def test_trainings_of_one_machine_share_a_budget(ground, monkeypatch):
    """Each has an even part of it, and hands it to the detector and to the pictures to validate on."""
    assert ground.budget() is None
    shared = replace(ground, sharing=4)
    assert shared.budget() == pytest.approx(free_memory() / 16, rel=0.2)
    shared = replace(shared, memory_budget=30_000)
    data = replace(shared.data, defects=shared.data.test.pictures.take([12, 13]))
    shared = replace(shared, data=data)
    seen = []

    def joining(first, second, memory_budget=None):
        seen.append(memory_budget)
        return joined(first, second, memory_budget)

    joined = cellruns.joined
    monkeypatch.setattr(cellruns, "joined", joining)
    run = _run(shared, replace(TINY, schedule="awl-auc", needs_labels=True))
    outcome = outcome_of(shared, run)
    assert seen == [7_500]
    assert outcome.detector("cpu").memory_budget == 7_500
