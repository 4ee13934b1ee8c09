"""A Dask cluster: connected to within seconds or refused, and joblib's backend for it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import cache, partial
from importlib.metadata import version
from typing import Any, TypeVar

from .errors import InputError, WorkerError

__all__ = [
    "ANSWER",
    "SECONDS",
    "LostWorkError",
    "answering",
    "asked",
    "backend_of",
    "connected",
    "first_line",
    "workers_of",
]

_Result = TypeVar("_Result")

SECONDS = 6.0
"""How long a scheduler has to answer, and then to have a worker, and these to tell their version."""

ANSWER = 60.0
"""How long a worker that has nothing else to do has to answer what it is asked."""

_ADDRESS = re.compile(r"((tcp|tls|ucx|ws|wss)://)?[^/\s]+:\d+")


class LostWorkError(Exception):
    """The cluster gave a task up: its worker ended each time, or the pictures went with the last one."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give a Dask client of the scheduler at ``address``, and close it at the end.

    Raises
    ------
    InputError
        When the address is none, nobody answers there, there is no worker within `SECONDS`, a worker has
        another version of this package, or Dask is not installed.
    WorkerError
        When the scheduler or a worker stops answering meanwhile.
    """
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise InputError(
            f"dask={address!r} wants the package distributed, which is not installed: "
            "pip install 'recon-anomaly[dask]'"
        ) from error
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        raise InputError(
            f"dask={address!r} is no address of a scheduler; one such as tcp://192.168.0.2:8786 is "
            "wanted, as `dask scheduler` prints it"
        )
    client = _client(Client, address)
    try:
        with answering():
            try:
                client.wait_for_workers(1, timeout=SECONDS)
            except TimeoutError as error:
                raise InputError(
                    f"the Dask scheduler at {address} has no worker after {SECONDS:.0f} seconds; start some "
                    f"with `dask worker {address}`"
                ) from error
            _check_versions(client)
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn what Dask raises where a cluster cannot be reached any more into one sentence.

    Raises
    ------
    WorkerError
        For an OSError, which broken connections and time-outs are.
    """
    try:
        yield
    except OSError as error:
        raise WorkerError(
            f"the Dask cluster stopped answering ({first_line(error)}); look whether its scheduler and "
            "workers still run, and start again"
        ) from error


def workers_of(client: Any) -> dict[str, dict[str, Any]]:
    """Return what the scheduler says of each worker that it has now, by address."""
    with answering():
        workers: dict[str, dict[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    return workers


def asked(client: Any, function: Callable[..., _Result], *arguments: Any) -> dict[str, _Result]:
    """Return what a function gives in each worker, called once there as a task, by address.

    A worker that has tasks of others before is waited for, as any task would.

    Raises
    ------
    WorkerError
        When one does not answer within `ANSWER` seconds, although it has nothing else to do.
    """
    with answering():
        futures = {
            address: client.submit(function, *arguments, workers=[address], pure=False)
            for address in workers_of(client)
        }
        for address, future in futures.items():
            while not _has_ended(future):
                if set(client.processing().get(address, ())) <= {future.key}:
                    raise WorkerError(
                        f"the Dask worker {address} does not answer within {ANSWER:.0f} seconds; look "
                        "what it does, or start it anew"
                    )
    return {address: _result(address, future) for address, future in futures.items()}


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _has_ended(future: Any) -> bool:
    """Wait for a task, `ANSWER` seconds at the most."""
    try:
        future.exception(timeout=ANSWER)
    except TimeoutError:
        return False
    return True


def _result(address: str, future: Any) -> Any:
    from dask.distributed import KilledWorker

    cause = future.exception() if future.status == "error" else None
    if future.status not in ("finished", "error") or isinstance(cause, KilledWorker):
        raise WorkerError(
            f"the Dask worker {address} ended while it was asked whether it can do the work; look why, and "
            "start again"
        ) from cause
    return future.result()


def _client(make: Any, address: str) -> Any:
    made = _begun(partial(make, address, timeout=SECONDS, set_as_default=False))
    try:
        return made.result(SECONDS)
    except Exception as error:  # a server of something else makes Dask raise anything
        made.add_done_callback(_close)
        raise InputError(
            f"no Dask scheduler answers at {address} within {SECONDS:.0f} seconds; look whether "
            "`dask scheduler` runs there, and whether a firewall lets this machine reach it"
        ) from error


def _begun(function: Callable[[], _Result]) -> Future[_Result]:
    """Call in a thread of its own: one who listens and says nothing would hold this one forever."""
    promise: Future[_Result] = Future()

    def call() -> None:
        try:
            promise.set_result(function())
        except BaseException as error:
            promise.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return promise


def _close(made: Future[Any]) -> None:
    """Close a client that came too late."""
    if made.exception() is None:
        made.result().close()


def _check_versions(client: Any) -> None:
    ours = version("recon-anomaly")

    # Defined here, so that it travels as it is: a worker without this package can say that it has none.
    def installed() -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("recon-anomaly")
        except PackageNotFoundError:
            return "none"

    # This runs beside the tasks of others, which may take hours.
    for worker, theirs in _begun(partial(client.run, installed)).result(SECONDS).items():
        if theirs != ours:
            raise InputError(
                f"the Dask worker {worker} has recon-anomaly {theirs}, and this process {ours}; install "
                "the same version there"
            )


def backend_of(client: Any, shared: Any) -> Any:
    """Return joblib's Dask backend, with ``shared`` sent to every worker once."""
    return _backend_class()(client=client, scatter=[shared])


@cache
def _backend_class() -> Any:
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib is untyped
        """joblib's backend, with two of its habits mended (seen in joblib 1.6)."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            # joblib would run everything in this process on a cluster of one core.
            return max(2, int(super().effective_n_jobs(n_jobs)))

        async def _collect(self) -> None:
            # joblib would wait forever for a task that Dask gives up.
            while self._continue:
                async for future, result in self.waiting_futures:
                    if future.status != "finished":
                        cause = result[1] if future.status == "error" else future.status
                        result = LostWorkError(str(cause))
                    self._results.pop(future).set_result(result)
                    self._callbacks.pop(future)(result)
                await asyncio.sleep(0.01)

    return Backend
