"""Work spread over processes of this machine (joblib) or over a Dask cluster (joblib's Dask backend).

Every task computes on one thread, wherever it runs: the last bits of a training depend on how many
threads add numbers up, so results are the same at any number of jobs, on one machine or on several.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits

from .clusters import LostWorkError, answering, asked, backend_of, connected, first_line, workers_of
from .errors import InputError, WorkerError
from .reading import few_threads

__all__ = ["Pool", "one_thread", "pool"]

_Shared = TypeVar("_Shared")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

# torch's generators and flags belong to a whole process, and a Dask worker may have several threads.
_ALONE = threading.RLock()


@dataclass(frozen=True)
class Pool:
    """Where tasks run; `pool` makes it.

    Attributes
    ----------
    jobs : int
        How many tasks run at a time; with Dask, how many processes the cluster has now.
    client : dask.distributed.Client or None
        None on this machine.
    """

    jobs: int
    client: Any = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever started it should know."""
        if self.client is not None:
            threads = sum(self.client.nthreads().values())
            if threads > self.jobs:
                return (
                    f"the Dask cluster has {threads} threads in {self.jobs} processes, and a process "
                    "trains one model at a time: start workers with --nthreads 1 and more --nworkers",
                )
        elif self.jobs > cpu_count():
            return (
                f"{self.jobs} jobs share {cpu_count()} cores, so each takes longer than it would alone",
            )
        return ()

    @property
    def per_machine(self) -> int:
        """How many processes share the memory of one machine, at the most."""
        if self.client is None:
            return self.jobs
        hosts = Counter(worker["host"] for worker in workers_of(self.client).values())
        return max(hosts.values(), default=1)

    def unordered(
        self,
        function: Callable[[_Shared, _Task], _Result],
        shared: _Shared,
        tasks: Iterable[_Task],
    ) -> Generator[_Result, None, None]:
        """Give ``function(shared, task)`` of each task as soon as it is there, in any order.

        Parameters
        ----------
        function : callable
            One that a module of this package has, so that other processes find it.
        shared : object
            What all tasks need, such as pictures: large arrays in it reach the processes of this machine
            as memory-mapped files, and those of a cluster once.
        tasks : iterable
            Small objects.

        Raises
        ------
        WorkerError
            When a process ended before its task, as for want of memory: at once on this machine, and
            at the fourth time for the same task on a cluster, which starts it anew until then; or when the
            cluster stops answering.

        Notes
        -----
        One job alone runs in this process, as soon as its result is asked for. Leaving the iterator
        before its end stops the processes of this machine; those of a cluster finish the tasks that
        they have begun, and nobody waits for them.
        """
        with self._reached(), self._backend(shared):
            parallel = Parallel(
                n_jobs=self.jobs,
                batch_size=1,
                pre_dispatch="all" if self.client else "2*n_jobs",
                return_as="generator_unordered",
            )
            results = parallel(delayed(_alone)(function, shared, task) for task in tasks)
        try:
            # "yield from" would close them before the warning below is silenced.
            for result in results:  # noqa: UP028  # see above
                yield result
        except BrokenProcessPool as error:
            raise WorkerError(
                "a process that was given work ended before it was done; where memory was short, fewer "
                f"jobs than {self.jobs} need less of it ({first_line(error)})"
            ) from error
        except LostWorkError as error:
            raise WorkerError(f"the Dask cluster gave work up: {first_line(error)}") from error
        finally:
            with warnings.catch_warnings():  # that results are left is known here
                warnings.simplefilter("ignore", UserWarning)
                results.close()

    def everywhere(self, function: Callable[..., _Result], *arguments: Any) -> dict[str, _Result]:
        """Call a function once in every process of a cluster, or once here; what it raises is raised.

        Like any task it is alone in its process, so those that are busy are waited for.

        Returns
        -------
        dict
            What it gave, by the address of the process, or for "this machine".

        Raises
        ------
        WorkerError
            When a process of the cluster that has nothing else to do does not answer within a minute.
        """
        if self.client is None:
            return {"this machine": _called(function, arguments)}
        return asked(self.client, _called, function, arguments)

    def _reached(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.client is None else answering()

    def _backend(self, shared: Any) -> Any:
        if self.client is None:
            return parallel_config(
                "loky", inner_max_num_threads=1, initializer=_follow, initargs=(os.getpid(),)
            )
        return parallel_config(backend_of(self.client, shared))


@contextlib.contextmanager
def pool(jobs: int | None = None, dask: str | None = None) -> Iterator[Pool | None]:
    """Open processes to work in, on this machine or on a Dask cluster; None where neither is asked for.

    Parameters
    ----------
    jobs : int, optional
        How many tasks at a time on this machine, each on one thread; -1 means as many as it has cores
        for this process (`joblib.cpu_count`). More than cores are allowed: `Pool.notes` says so.
    dask : str, optional
        Address of a Dask scheduler, such as ``tcp://192.168.0.2:8786``.

    Raises
    ------
    InputError
        When both are given, ``jobs`` is no whole number from 1 on (or -1), nobody answers at the address
        within 6 seconds, a worker has another version of this package, or Dask is not installed.
    WorkerError
        When a cluster that has answered stops to.

    Notes
    -----
    The processes of this machine end with the pool: the next ones see the environment as it then is.

    Examples
    --------
    >>> import operator
    >>> with pool(jobs=1) as workers:
    ...     list(workers.unordered(operator.add, 10, [1, 2]))
    [11, 12]
    """
    if jobs is not None and dask is not None:
        raise InputError(
            f"jobs={jobs} and dask={dask!r} were given; jobs are processes of this machine, and a Dask "
            "cluster has its own: leave one of them out"
        )
    if dask is not None:
        with connected(dask) as client:
            yield Pool(len(workers_of(client)), client)
    elif jobs is not None:
        opened = Pool(_checked(jobs))
        try:
            yield opened
        except BaseException:
            _end_processes(opened, at_once=True)
            raise
        _end_processes(opened)
    else:
        yield None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, as the only task of this process, and restore the number of threads.

    Two more decode pictures, where files are scored.
    """
    with _ALONE:
        before = torch.get_num_threads()
        with threadpool_limits(1), few_threads():
            torch.set_num_threads(1)
            try:
                yield
            finally:
                torch.set_num_threads(before)


def _alone(function: Callable[[Any, Any], Any], shared: Any, task: Any) -> Any:
    return _called(function, (shared, task))


def _follow(owner: int) -> None:
    """End this process soon after its owner: one that is killed would leave it training, then waiting."""

    def watch() -> None:
        while os.getppid() == owner:
            time.sleep(1)  # nothing tells a process that the one which started it has ended
        os._exit(1)

    threading.Thread(target=watch, name="recon-anomaly-owner", daemon=True).start()


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    with one_thread():
        return function(*arguments)


def _end_processes(opened: Pool, *, at_once: bool = False) -> None:
    """End the processes that joblib would keep for minutes, with the environment that they started in."""
    if opened.jobs > 1:  # one job starts none
        get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=at_once)


def _checked(jobs: Any) -> int:
    if isinstance(jobs, int) and not isinstance(jobs, bool):
        if jobs == -1:
            return int(cpu_count())
        if jobs >= 1:
            return jobs
    raise InputError(
        f"jobs={jobs!r}: a whole number from 1 on is wanted, or -1 for as many as there are cores"
    )
