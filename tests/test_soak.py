"""A process that scores for long, or is interrupted, holds no more than before: memory, descriptors, threads."""

import ast
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import EpochRecord, ReconstructionDetector
from recon_anomaly.cli.progress import counted, followed
from recon_anomaly.training import Tick

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@linux
def test_descriptors_and_threads_stay_as_many(tmp_path):
    """Over four rounds of files, broken ones among them, and arrays, in a process that nothing else shares."""
    script = (
        "import sys, soak; from pathlib import Path; soak.ROWS = 4; "
        "found = soak.soak(Path(sys.argv[1]), 200, 'mean', 16); "
        "print([(one.descriptors, one.threads) for one in (found[0], found[-1])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])},
    )
    *rows, counts = done.stdout.splitlines()
    first, last = ast.literal_eval(counts)
    assert first == last
    assert sum(bool(re.match(r" +\d+ pictures .* MiB", row)) for row in rows) == 4


@linux
@pytest.mark.slow
def test_memory_stays_flat_over_many_pictures():
    """Ten thousand in one process; `python benchmarks/soak.py` scores a hundred thousand."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "soak.py", "--pictures", "10000"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def terminal(monkeypatch):
    """Progress is drawn as on a terminal, by a thread."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")


def threads():
    return set(threading.enumerate())


def end_but_for(before):
    """Whether all others end; rich tells its thread to, and does not wait for it."""
    end = time.monotonic() + 10
    while threads() - before and time.monotonic() < end:
        time.sleep(0.01)
    return not threads() - before


def test_an_interrupted_bar_leaves_no_thread(terminal):
    """Whether the bar of a reading or of a training is drawn when Ctrl-C comes."""
    before = threads()
    with pytest.raises(KeyboardInterrupt), counted("reading", 10) as done:  # noqa: PT012 -- what fails is the block itself
        done(1)
        assert threads() > before
        raise KeyboardInterrupt
    assert end_but_for(before)

    def events():
        yield Tick(1, 2, 1, 3)
        yield EpochRecord(1, {"a": 1.0}, {"a": 1.0}, {"a": 1.0}, 0.1)
        raise KeyboardInterrupt

    seen = 0
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 -- what fails is the block itself
        for _ in followed(events(), "cae", 2):
            seen += threads() > before
    assert seen == 2
    assert end_but_for(before)


def test_a_scoring_that_is_left_leaves_no_thread(good, tmp_path):
    """The threads that decode ahead end when nobody asks for more."""
    for number, picture in enumerate(np.tile(good, (3, 1, 1, 1))):
        Image.fromarray(picture[..., 0]).save(tmp_path / f"{number}.png")
    detector = ReconstructionDetector(model="mean", batch_size=4).fit(good)
    before, descriptors = threads(), len(list(Path("/dev/fd").iterdir()))
    parts = detector.iter_files(sorted(tmp_path.iterdir()))
    next(parts)
    assert threads() > before
    parts.close()
    assert end_but_for(before)
    assert len(list(Path("/dev/fd").iterdir())) == descriptors
