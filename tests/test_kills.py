"""Whatever kills a run, and whenever: it goes on, and ends as the run that nobody disturbed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recon_anomaly import writing

KILLS = Path(__file__).parents[1] / "benchmarks" / "kills.py"
SOURCE = Path(writing.__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the parent of orphans is Linux's"
)


def killed(*arguments, before=""):
    """Run the script in a process of its own, whose forks have no threads, after some other code."""
    code = f"import sys; sys.path.insert(0, {str(KILLS.parent)!r}); import kills\n{before}\nkills.main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "RECON_ANOMALY_PLUGINS": ""},
    )


def compared(done):
    """Return how many kills and runs there were, where nothing differed."""
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(r"^(\d+) kills in (\d+) runs of \d cases, 0 differences", done.stdout, re.M)
    assert told is not None, done.stdout
    return int(told[1]), int(told[2])


def test_a_race_and_a_bench_survive_kills():
    """Five kills, by any of the ways: weights, history, scores and records are the undisturbed ones."""
    kills, runs = compared(killed("--kills", 5, "--cases", "race", "bench"))
    assert kills == 5
    assert runs >= 2


@pytest.mark.slow
def test_every_way_to_train_survives_many_kills():
    """Sixty kills of all cases: branches, races, labels, and a bench in several processes."""
    kills, runs = compared(killed("--kills", 60))
    assert kills == 60
    assert runs >= 12


IN_PLACE = """
from contextlib import contextmanager
from pathlib import Path
from recon_anomaly import snapshots
@contextmanager
def in_place(path):
    path = Path(path)
    path.write_bytes(b"")
    yield path
snapshots.whole_file = in_place
"""


@pytest.mark.slow
def test_a_library_that_writes_in_place_is_found_out():
    """Were a checkpoint not replaced in one step, the same kills would show it."""
    done = killed("--kills", 8, "--cases", "fit", before=IN_PLACE)
    assert done.returncode == 1
    assert "fit: did not go on" in done.stderr
