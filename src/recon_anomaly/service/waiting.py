"""A bounded queue of pictures, scored by one thread, as many at once as are waiting."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from numpy.typing import NDArray

from recon_anomaly.checks import at_least
from recon_anomaly.together import Found

__all__ = ["BusyError", "ScoringQueue"]

_NEW = 0.2
"""What the last batch weighs in the mean of the seconds that a picture takes."""

_LAST = 10.0
"""Seconds that the last pictures may take when the queue is closed."""


class BusyError(Exception):
    """All places are taken.

    Parameters
    ----------
    seconds : int
        After which it may be worth another try.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"all places are taken; try again in {seconds} s")
        self.seconds = seconds


class _Job(NamedTuple):
    pixels: NDArray[Any]
    future: Future[Found | str]


class ScoringQueue:
    """Scores pictures in one thread. Whoever has one takes a place first, even before it is read.

    So what is held in memory is bounded by the places, also while slow clients send.

    Parameters
    ----------
    score : callable
        Takes a list of pictures (h, w, c), and returns for each what was found or why it could not be scored.
    batch_size : int
        Pictures at once, at the most.
    capacity : int
        Places.

    Raises
    ------
    InputError
        When a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> with_words = ScoringQueue(lambda pictures: ["no"] * len(pictures), batch_size=2, capacity=1)
    >>> with with_words.place():
    ...     with_words.submit(np.zeros((2, 2, 1))).result()
    'no'
    >>> with_words.close()
    """

    def __init__(
        self,
        score: Callable[[list[NDArray[Any]]], Sequence[Found | str]],
        *,
        batch_size: int,
        capacity: int,
    ) -> None:
        self.capacity = at_least("queue", capacity, 1)
        self._score = score
        self._batch_size = at_least("batch_size", batch_size, 1)
        self._taken = 0
        self._lock = threading.Lock()
        self._closed = False
        self._seconds = 0.0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)
        self._thread.start()

    @property
    def length(self) -> int:
        """How many places are taken."""
        return self._taken

    @property
    def alive(self) -> bool:
        """Whether pictures are being scored."""
        return self._thread.is_alive() and not self._closed

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises
        ------
        BusyError
            When there is none.
        """
        with self._lock:
            if self._taken >= self.capacity:
                raise BusyError(max(1, math.ceil(self._taken * self._seconds)))
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1

    def submit(self, pixels: NDArray[Any]) -> Future[Found | str]:
        """Let a picture be scored, and return where the result will be.

        Raises
        ------
        RuntimeError
            When the queue is closed, or its thread has ended.
        """
        with self._lock:
            if not self.alive:
                raise RuntimeError("the queue is closed")
            future: Future[Found | str] = Future()
            self._jobs.put(_Job(pixels, future))
        return future

    def close(self) -> None:
        """Score what waits, and end the thread; a model that is stuck is left behind after some seconds."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join(_LAST)

    def _work(self) -> None:
        going = True
        while going:
            batch = []
            job = self._jobs.get()
            while job is not None:
                if job.future.set_running_or_notify_cancel():  # else whoever asked has gone
                    batch.append(job)
                if len(batch) == self._batch_size:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            going = job is not None
            if batch:
                self._score_batch(batch)

    def _score_batch(self, batch: list[_Job]) -> None:
        began = time.monotonic()
        try:
            found = self._score([job.pixels for job in batch])
        # Whatever a model may raise is told to those who asked, and the next ones are scored.
        except Exception as error:
            for job in batch:
                job.future.set_exception(error)
        else:
            for job, one in zip(batch, found, strict=True):
                job.future.set_result(one)
        spent = (time.monotonic() - began) / len(batch)
        self._seconds = (1 - _NEW) * self._seconds + _NEW * spent if self._seconds else spent
