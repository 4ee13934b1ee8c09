import contextlib
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from recon_anomaly import InputError, WorkerError, jobs
from recon_anomaly.jobs import Pool, one_thread, pool
from recon_anomaly.reading import decoding_threads
from recon_anomaly.store import Pictures, allocate

# Functions are defined inside the tests: a process without this file gets them as they are.


def _collected(jobs, function, shared, tasks):
    with pool(jobs) as workers:
        return list(workers.unordered(function, shared, tasks))


@pytest.mark.usefixtures("kept_processes")
@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_computes_on_one_thread(jobs):
    """torch, OpenMP and the BLAS of NumPy obey, here and in other processes."""

    def threads(shared, task):
        np.ones((4, 4)) @ np.ones((4, 4))
        others = {library["num_threads"] for library in threadpool_info()}
        return torch.get_num_threads(), others, os.getpid()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = _collected(jobs, threads, None, range(4))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert all((count, others) == (1, {1}) for count, others, _ in found)
    assert ({pid for *_, pid in found} == {os.getpid()}) == (jobs == 1)


@pytest.mark.usefixtures("kept_processes")
def test_every_task_has_its_result_once():
    """In whichever order they come."""

    def added(shared, task):
        time.sleep(0.05 * (task % 3))
        return shared + task

    assert sorted(_collected(2, added, 100, range(10))) == list(range(100, 110))


@pytest.mark.usefixtures("kept_processes")
def test_pictures_are_mapped_and_not_copied(tmp_path, monkeypatch):
    """A mapped store goes as the name of its file, a large one as a file made once; views stay views."""
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    rng = np.random.default_rng(0)
    mapped = allocate((20, 256, 256, 1), np.uint8, 0)
    mapped[:] = rng.integers(0, 256, mapped.shape)
    large = np.array(mapped[::-1])
    views = [Pictures(mapped[:17]).take([16, 3]), Pictures(large).take([1]), Pictures(large)]
    (processes := tmp_path / "processes").mkdir()

    def seen(shared, task):
        (processes / str(os.getpid())).touch()
        until = time.monotonic() + 60
        while len(list(processes.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)  # until the other process has a task, too
        arrays = [pictures.array for pictures in shared]
        files = {getattr(array, "filename", None) for array in arrays}
        shapes = [array.shape for array in arrays]
        return files, shapes, [pictures.checksum() for pictures in shared], os.getpid()

    found = _collected(2, seen, views, range(6))
    assert len({pid for *_, pid in found}) == 2
    (files,) = {frozenset(map(str, files)) for files, *_ in found}
    assert len(files) == 2
    assert str(mapped.filename) in files
    (made,) = files - {str(mapped.filename)}
    assert str(tmp_path) in made
    for _, shapes, checksums, _ in found:
        assert shapes == [(17, 256, 256, 1), large.shape, large.shape]
        assert checksums == [pictures.checksum() for pictures in views]


@pytest.mark.usefixtures("kept_processes")
def test_what_a_task_raises_is_raised():
    """As it was, so that an error of the input stays one."""

    def refusing(shared, task):
        raise InputError("too dark")

    with pytest.raises(InputError, match="too dark"):
        _collected(2, refusing, None, [1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL and no process groups")
@pytest.mark.usefixtures("kept_processes")
def test_a_process_that_is_killed_is_an_error():
    """The message says what may help, and the next pool works."""

    def dying(shared, task):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match="fewer jobs than 2"):
        _collected(2, dying, None, [1, 2])
    assert sorted(_collected(2, lambda shared, task: task, None, [1, 2])) == [1, 2]


@pytest.mark.usefixtures("kept_processes")
def test_leaving_early_stops_the_processes():
    """Whoever has enough is not kept waiting for the tasks that run."""

    def slow(shared, task):
        time.sleep(0 if task == 0 else 60)
        return task

    started = time.monotonic()
    with pool(2) as workers:
        results = workers.unordered(slow, None, range(4))
        assert next(results) == 0
        results.close()
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("jobs", [0, -2, 1.0, True, "2"])
def test_a_number_of_jobs_is_a_whole_one(jobs):
    """Anything else is refused."""
    with pytest.raises(InputError, match="a whole number from 1 on is wanted, or -1"), pool(jobs):
        pass


def test_jobs_and_dask_exclude_each_other():
    """A cluster has its own processes; without either there is no pool."""
    with pytest.raises(InputError, match="leave one of them out"), pool(2, "tcp://127.0.0.1:1"):
        pass
    with pool() as workers:
        assert workers is None


def test_more_jobs_than_cores_are_said(monkeypatch):
    """They are allowed; as many as cores are nothing to speak of, and joblib's own limit counts."""
    with pool(-1) as workers:
        assert 1 <= workers.jobs <= len(os.sched_getaffinity(0))
        assert workers.notes == ()
        assert workers.per_machine == workers.jobs
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    with pool(-1) as workers:
        assert workers.jobs == 1
    with pool(workers.jobs + 1) as more:
        assert more.notes[0].startswith(f"{more.jobs} jobs share {workers.jobs} cores")


def test_threads_of_dask_workers_that_would_wait_are_said():
    """Two processes of four threads each train two models at a time, not eight."""
    workers = SimpleNamespace(nthreads=lambda: {"tcp://a": 4, "tcp://b": 4})
    assert "8 threads in 2 processes" in Pool(2, workers).notes[0]
    workers = SimpleNamespace(nthreads=lambda: {"tcp://a": 1, "tcp://b": 1})
    assert Pool(2, workers).notes == ()


def test_one_task_at_a_time_computes_in_a_process():
    """Generators of torch are the process's: a second thread waits for its turn."""
    inside = []

    def work():
        with one_thread():
            inside.append("in")
            time.sleep(0.05)
            inside.append("out")

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == ["in", "out"] * 3


def test_processes_of_the_next_pool_see_the_environment_as_it_is(monkeypatch):
    """Those of the pool before end with it, also where an error ends it."""

    def seen(shared, task):
        return os.environ["RECON_ANOMALY_WEIGHTS"], os.getpid()

    found = []
    for folder in ("a", "b"):
        monkeypatch.setenv("RECON_ANOMALY_WEIGHTS", folder)
        with contextlib.suppress(KeyError), pool(2) as workers:
            found += workers.unordered(seen, None, range(2))
            if folder == "b":
                raise KeyError
    assert [folder for folder, _ in found] == ["a", "a", "b", "b"]
    for _, pid in found:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_few_threads_decode_in_a_task(monkeypatch):
    """Several processes share the processors; outside there are as many as before."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    with one_thread():
        assert decoding_threads() == 2
    assert decoding_threads() == 8


def test_processes_of_one_machine_are_counted():
    """Of a cluster on two machines the one with more of them counts."""
    workers = {f"tcp://{k}": {"host": host} for k, host in enumerate(("a", "b", "b"))}
    client = SimpleNamespace(scheduler_info=lambda n_workers: {"workers": workers})
    assert Pool(3, client).per_machine == 2
    assert Pool(3).everywhere(int, "4") == {"this machine": 4}


def test_a_process_ends_soon_after_the_one_that_gave_it_work(monkeypatch):
    """Init, or a reaper, is its parent then; benchmarks/kills.py kills a bench to see it happen."""
    parents, ended = iter([7, 7, 1]), threading.Event()
    monkeypatch.setattr(jobs.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(jobs.os, "_exit", lambda code: ended.set())
    monkeypatch.setattr(jobs.time, "sleep", lambda seconds: None)
    jobs._follow(7)
    assert ended.wait(10)
    assert next(parents, None) is None
