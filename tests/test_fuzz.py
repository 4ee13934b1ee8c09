"""Damaged files: each ends in a result or in one of the library's errors, in bounded time and memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "fuzz" / "run.py"
LINE = re.compile(
    r"(?P<kind>[\w ]+): (?P<files>\d+) files made of \d+, (?P<used>\d+) used, (?P<refused>\d+) refused, 0 failed"
)

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and /proc are Linux's"
)


@pytest.mark.parametrize("count", [182, pytest.param(14_000, marks=pytest.mark.slow)])
def test_no_damaged_file_does_harm(count):
    """Detectors, weights, checkpoints, records, options and pictures; the counts by outcome are printed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, PROGRAM, "--count", str(count)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [match.groupdict() for match in map(LINE.match, ended.stdout.splitlines()) if match]
    assert sum(int(line["files"]) for line in found) == count
    for line in found:  # else nothing would have been tried
        assert int(line["used"]) > 0, line
        assert int(line["refused"]) > 0, line
