import json
import os
import signal
import threading
import time
import warnings
from collections import deque
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from recon_anomaly import InputError, TrainingError, TrainingWarning, devices, gridruns, run_bench
from recon_anomaly.bench import iter_bench
from recon_anomaly.benchdata import BenchData, LabelledPictures
from recon_anomaly.cellruns import outcome_of
from recon_anomaly.events import Begun, Cell, Failed, Fitted
from recon_anomaly.records import read_records
from recon_anomaly.store import from_array

pytestmark = pytest.mark.usefixtures("kept_processes")

VOLATILE = {"date", "fit_seconds", "milliseconds_per_picture", "process_peak_memory_mib", "seconds"}
GRID = {
    "models": ["cvae", "pca"],
    "model_params": {"cvae": {"kernels": [4], "latent_size": 2}},
    "schedules": ["constant", "awl-auc"],
    "scorers": ["mse", "max1p"],
    "corruptors": [],
    "seeds": [1, 2],
    "epochs": 2,
    "every_epoch": True,
}
LONG = GRID | {"epochs": 8, "seeds": [1, 2, 3], "scorers": ["mse"], "every_epoch": False}


def _settled(part):
    """Records without what differs from run to run."""
    if isinstance(part, dict):
        return {name: _settled(value) for name, value in part.items() if name not in VOLATILE}
    if isinstance(part, list | tuple):
        return [_settled(value) for value in part]
    return part


@pytest.fixture(scope="module")
def data():
    """Noisy squares of 48 x 48: 40 to train, 10 good and 10 bad to test."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(20, 60, (60, 48, 48, 1), np.uint8)
    pictures[:, 16:32, 16:32] += 100
    pictures[50:, :8, :8] = 250
    labels = np.repeat([0, 1], 10)
    kinds = ("good",) * 10 + ("corner",) * 10
    tests = LabelledPictures("defects", from_array(pictures[40:]), labels, kinds)
    return BenchData("squares", from_array(pictures[:40]), tests, (48, 48))


@pytest.fixture(scope="module")
def alone(data):
    """The records of one job."""
    return run_bench(data, jobs=1, **GRID)


def test_records_are_the_same_for_every_number_of_jobs(data, alone, tmp_path):
    """In every field but dates, seconds and memory; the file has the grid's order, whatever came first."""
    out = tmp_path / "a.jsonl"
    both = run_bench(data, jobs=2, out=out, **GRID)
    assert _settled(both) == _settled(alone)
    assert len(both) == 1 + 2 * (2 + 2 + 2)
    in_file = [record["key"] for record in read_records(out)]
    assert in_file == [record["key"] for record in alone]


def test_a_cluster_gives_the_records_of_a_job(data, alone, cluster):
    """Each training computes on one thread there, too."""
    there = run_bench(data, dask=cluster.scheduler_address, **GRID)
    assert _settled(there) == _settled(alone)


def test_nothing_is_lost_or_done_twice_when_a_worker_is_killed(data, cluster, tmp_path):
    """Its trainings are run again elsewhere: the grid finishes, each record once."""
    from dask.distributed import Client

    killed = []

    def kill_one_that_trains():
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            while not killed:
                time.sleep(0.05)
                for worker, tasks in client.processing().items():
                    if any("outcome" in task or "_alone" in task for task in tasks):
                        (nanny,) = (
                            nanny
                            for nanny in cluster.workers.values()
                            if nanny.worker_address == worker
                        )
                        os.kill(nanny.pid, signal.SIGKILL)
                        killed.append(worker)
                        return

    out = tmp_path / "a.jsonl"
    killer = threading.Thread(target=kill_one_that_trains, daemon=True)
    killer.start()
    records = run_bench(data, dask=cluster.scheduler_address, out=out, **LONG)
    killer.join(10)
    assert len(killed) == 1
    keys = [record["key"] for record in read_records(out)]
    assert keys == [record["key"] for record in records]
    assert len(set(keys)) == len(keys) == 1 + 3 * 3
    assert _settled(records) == _settled(run_bench(data, jobs=1, **LONG))


def test_events_of_a_training_come_together_when_it_has_ended(data):
    """Its cell, its records, and the detector, which scores as they say."""
    settings = GRID | {"corruptors": [], "scorers": ["mse"], "seeds": [1]}
    begun, trivial, *events = iter_bench(data, jobs=2, **settings)
    assert isinstance(begun, Begun)
    assert trivial["key"] == begun.keys[0]
    assert [type(event) for event in events] == [Cell, dict, Fitted] * 3
    cells = [event for event in events if isinstance(event, Cell)]
    assert {(cell.number, cell.count) for cell in cells} == {(1, 3), (2, 3), (3, 3)}
    for cell, record, fitted in zip(*[iter(events)] * 3, strict=True):
        assert (cell.model, cell.schedule) == (record["model"], record["schedule"])
        assert fitted.title == cell.title
        scores = fitted.detector.anomaly_score(fitted.tests[-1].pictures)
        assert record["scores"] == pytest.approx(scores, rel=1e-6)


def test_a_stopped_bench_goes_on_with_jobs_and_without(data, tmp_path):
    """Whoever did the first part, done trainings are not run again, and the file is in order at the end."""
    out = tmp_path / "a.jsonl"
    settings = GRID | {"corruptors": [], "scorers": ["mse"], "out": out}
    for event in iter_bench(data, jobs=2, **settings):
        if isinstance(event, Fitted):
            break
    done = {record["key"] for record in read_records(out)}
    assert len(done) == 2
    half = iter_bench(data, resume=True, **settings)
    numbers = (event.number for event in half if isinstance(event, Cell))
    assert len(list(islice(numbers, 3))) == 3
    half.close()
    before = {record["key"] for record in read_records(out)}
    begun, *rest = iter_bench(data, jobs=2, resume=True, **settings)
    trained = sum(isinstance(event, Cell) for event in rest)
    assert trained == len(begun.keys) - len(before) == 7 - 4
    keys = [record["key"] for record in read_records(out)]
    assert sorted(keys) == sorted(begun.keys)
    assert tuple(keys) == begun.keys


def test_a_failed_training_does_not_cost_the_others(data, tmp_path):
    """It is told of, and at the end; what the others made is in the file."""
    out = tmp_path / "a.jsonl"
    settings = {"models": ["cae", "mean"], "corruptors": [], "learning_rate": 1e30, "out": out}
    events = deque()
    with pytest.raises(TrainingError, match=r"1 of 2 trainings failed: cae, constant, seed 42: "):
        events.extend(iter_bench(data, jobs=2, **settings))
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "term 'reconstruction' became" in str(failed.error)
    assert {record["model"] for record in read_records(out)} == {"everything-defective", "mean"}


def test_what_is_wrong_with_jobs_shows_first(tmp_path):
    """Before pictures are read, and no file is begun."""
    out = tmp_path / "a.jsonl"
    for wrong in ({"jobs": 0}, {"jobs": 2, "dask": "tcp://127.0.0.1:1"}, {"dask": "nowhere"}):
        with pytest.raises(InputError, match=r"jobs|no address"):
            run_bench("nowhere", out=out, **wrong)
    assert not out.exists()


def test_more_jobs_than_cores_are_noted(data):
    """On the page of tables, where whoever reads the seconds sees it."""
    many = 2 * os.cpu_count() + 1
    begun = next(iter_bench(data, models=["mean"], corruptors=[], jobs=many))
    assert begun.notes[-1].startswith(f"{many} jobs share ")


def test_without_jobs_the_file_is_in_order_too(data, tmp_path):
    """A record that an interrupted bench with jobs made early stands where the grid has it."""
    out = tmp_path / "a.jsonl"
    settings = {"models": ["mean", "pca", "nearest"], "corruptors": [], "out": out}
    records = run_bench(data, **settings)
    last = [record for record in records if record["model"] == "nearest"]
    out.write_text("".join(json.dumps(record) + "\n" for record in last))
    run_bench(data, resume=True, **settings)
    assert [record["model"] for record in read_records(out)] == [
        "everything-defective",
        "mean",
        "pca",
        "nearest",
    ]


def test_records_are_kept_before_anything_is_warned_of(data, tmp_path, monkeypatch):
    """A filter that turns the warning into an error costs no training that is done."""

    def warned(ground, run):
        return replace(outcome_of(ground, run), warned=(TrainingWarning("it diverged"),))

    monkeypatch.setattr(gridruns, "outcome_of", warned)
    out = tmp_path / "a.jsonl"
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(TrainingWarning, match="it diverged"),
    ):
        run_bench(data, models=["mean"], corruptors=[], jobs=1, out=out)
    models = [record["model"] for record in read_records(out)]
    assert models == ["everything-defective", "mean"]


@pytest.mark.parametrize("jobs", [None, 1])
def test_records_of_another_precision_are_noted(data, tmp_path, monkeypatch, jobs):
    """Their key says "auto", and what that was is gone on from; who names one has no such records."""
    out = tmp_path / "a.jsonl"
    settings = GRID | {"schedules": ["constant"], "seeds": [1], "out": out}
    settings |= {"scorers": ["mse"], "models": ["cvae", "pca"]}
    run_bench(data, **settings)
    again = next(iter_bench(data, resume=True, jobs=jobs, **settings))
    assert not any("precision" in note for note in again.notes)
    monkeypatch.setattr(devices, "_has_matrix_extensions", lambda: True)
    monkeypatch.setattr(devices, "_LEAST_PIXELS", 1)
    begun = next(iter_bench(data, resume=True, jobs=jobs, **settings))
    (note,) = (note for note in begun.notes if "precision" in note)
    assert "trained in float32 (cvae (kernels=[4], latent_size=2)), where" in note
    assert "'auto' now takes bfloat16" in note
    named = next(iter_bench(data, resume=True, jobs=jobs, precision="float32", **settings))
    assert not any("precision" in note for note in named.notes)
