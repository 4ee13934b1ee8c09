import os
import signal
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from recon_anomaly import InputError, WorkerError, clusters
from recon_anomaly.clusters import answering, connected
from recon_anomaly.jobs import pool

distributed = pytest.importorskip("distributed")


@pytest.fixture
def impatient(monkeypatch):
    """A second is enough."""
    monkeypatch.setattr(clusters, "SECONDS", 1.0)


@pytest.mark.parametrize("address", ["scheduler", "foo://bar:1", "tcp://host", "", "tcp://a b:1"])
def test_what_is_no_address_is_refused(address):
    """Nothing is asked of the network; the message shows how one looks."""
    with pytest.raises(InputError, match="no address of a scheduler"), connected(address):
        pass


@pytest.mark.parametrize("listening", [False, True])
def test_where_nobody_answers_it_is_said_in_time(impatient, listening):
    """A closed port, and a server that takes the call and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        started = time.monotonic()
        with (
            pytest.raises(InputError, match=f"answers at {address} within 1 s"),
            connected(address),
        ):
            pass
        assert time.monotonic() - started < 10


def test_without_dask_the_extra_is_named(monkeypatch):
    """The message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with (
        pytest.raises(InputError, match=r"pip install 'recon-anomaly\[dask\]'"),
        connected("a:1"),
    ):
        pass


def test_a_scheduler_without_workers_is_refused(impatient):
    """It could never do anything."""
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(InputError, match="no worker after 1 seconds; start some with `dask worker"),
        connected(empty.scheduler_address),
    ):
        pass


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    """Its records would stand under a wrong version."""
    monkeypatch.setattr(clusters, "version", lambda name: "9.9")
    with (
        pytest.raises(InputError, match=r"has recon-anomaly .*, and this process 9\.9"),
        connected(cluster.scheduler_address),
    ):
        pass


def test_tasks_are_computed_there_on_one_thread(cluster):
    """Each result comes once, from the processes of the cluster."""
    import torch

    def computed(shared, task):
        return shared[task], torch.get_num_threads(), os.getpid()

    with pool(dask=cluster.scheduler_address) as workers:
        assert workers.jobs == 2
        found = list(workers.unordered(computed, [10, 20, 30], range(3)))
    assert sorted(value for value, *_ in found) == [10, 20, 30]
    assert {threads for _, threads, _ in found} == {1}
    assert os.getpid() not in {pid for *_, pid in found}


def test_a_cluster_of_one_core_computes_there():
    """With joblib alone it would be done in the thread that asks."""
    asking = threading.get_ident()

    def elsewhere(shared, task):
        return threading.get_ident()

    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address=":0",
        ) as small,
        pool(dask=small.scheduler_address) as workers,
    ):
        assert asking not in set(workers.unordered(elsewhere, None, range(3)))


def test_work_that_the_cluster_gives_up_is_an_error(cluster, monkeypatch):
    """With joblib alone there would be no end to the waiting."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)

    def dying(shared, task):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        pool(dask=cluster.scheduler_address) as workers,
        pytest.raises(WorkerError, match="the Dask cluster gave work up"),
    ):
        list(workers.unordered(dying, None, [1]))


def test_every_worker_is_asked_by_a_task_of_its_own(cluster):
    """Once, alone and on one thread; not in the thread that keeps the connection, which must not wait."""
    import asyncio

    import torch

    def told(said):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return said, os.getpid(), torch.get_num_threads()
        return "in the event loop"

    with pool(dask=cluster.scheduler_address) as workers:
        found = workers.everywhere(told, "hello")
        assert set(found) == set(workers.client.scheduler_info(n_workers=-1)["workers"])
        assert workers.per_machine == 2
    assert {(said, threads) for said, _, threads in found.values()} == {("hello", 1)}
    assert len({pid for _, pid, _ in found.values()}) == 2


def test_what_a_worker_raises_is_raised(cluster):
    """Also a time-out of its own, which is not one of the connection."""

    def refusing():
        raise TimeoutError("the camera sleeps")

    with (
        pool(dask=cluster.scheduler_address) as workers,
        pytest.raises(TimeoutError, match="the camera sleeps"),
    ):
        workers.everywhere(refusing)


def test_a_worker_that_is_busy_is_waited_for(cluster, monkeypatch):
    """With the tasks of others, as any task would wait; one that is free and silent is an error."""
    monkeypatch.setattr(clusters, "ANSWER", 0.3)
    with (
        distributed.Client(cluster.scheduler_address, set_as_default=False) as other,
        pool(dask=cluster.scheduler_address) as workers,
    ):
        others = [
            other.submit(time.sleep, 2, workers=[address], pure=False)
            for address in other.scheduler_info(n_workers=-1)["workers"]
        ]
        while len(other.processing()) < 2:
            time.sleep(0.01)  # until both workers are busy
        assert set(workers.everywhere(int, "7").values()) == {7}
        assert {future.status for future in others} == {"finished"}
        with pytest.raises(WorkerError, match=r"tcp://.* does not answer within 0 seconds"):
            workers.everywhere(time.sleep, 2)


def test_a_worker_that_ends_meanwhile_is_an_error(cluster, monkeypatch):
    """Whatever Dask says of it."""
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)

    def dying():
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(clusters, "ANSWER", 5.0)
    with (
        pool(dask=cluster.scheduler_address) as workers,
        pytest.raises(WorkerError, match=r"the Dask worker tcp://.* (ended while|does not answer)"),
    ):
        workers.everywhere(dying)


def test_a_broken_connection_is_one_sentence():
    """What to look at; other errors stay what they are."""
    with (
        pytest.raises(WorkerError, match=r"stopped answering \(in <TCP>\); look whether"),
        answering(),
    ):
        raise distributed.comm.CommClosedError("in <TCP>\nmore")
    with pytest.raises(KeyError), answering():
        raise KeyError("a")


def test_pictures_that_cannot_be_sent_are_an_error_of_the_cluster(cluster, monkeypatch):
    """The connection may break before the first task, too."""

    def closed(*arguments, **options):
        raise distributed.comm.CommClosedError("closed by the peer")

    with pool(dask=cluster.scheduler_address) as workers:
        monkeypatch.setattr(workers.client, "scatter", closed)
        with pytest.raises(WorkerError, match=r"stopped answering \(closed by the peer\)"):
            list(workers.unordered(lambda shared, task: task, None, [1]))


def test_a_client_that_comes_too_late_is_closed(impatient, monkeypatch):
    """Nobody is left to do it."""
    closed = threading.Event()

    def slow(address, **options):
        time.sleep(1.5)  # a server that answers too late
        return SimpleNamespace(close=closed.set)

    monkeypatch.setattr("dask.distributed.Client", slow)
    with pytest.raises(InputError, match="no Dask scheduler answers"), connected("tcp://a:1"):
        pass
    assert not closed.is_set()
    assert closed.wait(10)


def test_workers_are_waited_for_from_the_connection_on(impatient, monkeypatch):
    """A slow connection takes nothing from the time that they have."""
    waited = []

    class Slow:
        def __init__(self, address, **options):
            time.sleep(0.6)  # a server that takes most of the wait

        def wait_for_workers(self, count, timeout):
            waited.append(timeout)
            raise TimeoutError

        def close(self):
            pass

    monkeypatch.setattr("dask.distributed.Client", Slow)
    with pytest.raises(InputError, match="has no worker"), connected("tcp://a:1"):
        pass
    assert waited == [1.0]
