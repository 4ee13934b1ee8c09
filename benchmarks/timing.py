"""What the benchmarks share: workers that take turns, medians with their spread, and the machine."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

PEERS = Path(__file__).parent / "peers"


class Worker:
    """A process of its own, in an environment of its own, that measures when it is asked to.

    Parameters
    ----------
    script : str
        In the folder ``peers``; see ``peers/answering.py`` for what it has to do.
    python : str
        The interpreter; by default this one.
    **settings
        What the script is told before it prepares; plain values.
    """

    def __init__(self, script: str, python: str = sys.executable, **settings: Any) -> None:
        self._script = script
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the worker
        self._process = subprocess.Popen(
            [python, str(PEERS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
        )
        self.about = self.ask(json.dumps(settings))

    def ask(self, line: str = "go") -> dict[str, Any]:
        """Send a line, and wait for the answer."""
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        try:
            print(line, file=asked, flush=True)
            answer = answers.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._process.wait()
            self._complaints.seek(0)
            last = "".join(self._complaints.readlines()[-12:])
            self.close()
            raise SystemExit(f"peers/{self._script} ended:\n{last}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End the process, which ends with its standard input."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def alternate(
    measures: Mapping[str, Callable[[], dict[str, Any]]], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Let all take turns, round by round, every other round in reverse; the first one does not count."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        order = list(measures)[:: -1 if number % 2 else 1]
        for name in order:
            answer = measures[name]()
            if number:
                found[name].append(answer)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return found


def median_and_spread(values: Sequence[float], form: str = "8.2f") -> str:
    """Return the median, and the least and the greatest value in brackets."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}}  [{low:{form}}, {high:{form}}]"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what disturbs a whole round disturbs both."""
    return [a / b for a, b in zip(above, below, strict=True)]


def machine(threads: int, *packages: str) -> str:
    """Return date, machine and versions, for a table's head."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{time.strftime('%Y-%m-%d')}, {_processor()}, {os.cpu_count()} processors, {threads} threads, "
        f"{platform.system()}, Python {platform.python_version()}, {versions}"
    )


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
