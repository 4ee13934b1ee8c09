"""The worker's side of a benchmark: prepares once, and then measures each time it is asked to.

A worker reads its settings, one line of JSON, from standard input and prepares; then it answers every
further line with one line of JSON. Between two lines it waits on standard input and costs nothing, so
workers of different environments can take turns in one run. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

Measure = Callable[[], dict[str, Any]]


def answer(prepare: Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Measure]]]) -> None:
    """Serve until standard input ends.

    ``prepare`` gets the settings; it returns what the worker says of itself, and the measurement that
    each word asks for.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the measured libraries print goes to standard error
    about, measures = prepare(json.loads(sys.stdin.readline()))
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(measures[line.strip()]()), file=answers, flush=True)


def versions(*packages: str) -> str:
    """Return packages of this environment with their versions, for a table's head."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def time_steps(steps: Iterable[object], batch_size: int) -> dict[str, float]:
    """Run an epoch, and return its milliseconds a picture from the end of the first step to that of the last.

    So all are timed on the same thing, and not on what each does before the first step.
    """
    return between([time.perf_counter() for _ in steps], batch_size)


def between(moments: list[float], batch_size: int) -> dict[str, float]:
    """Return the milliseconds a picture between the first and the last of the steps' ends."""
    seconds = moments[-1] - moments[0]
    return {"ms": 1000 * seconds / (batch_size * (len(moments) - 1))}
