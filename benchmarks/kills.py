"""Kill fits and benches at random moments, go on, and compare with the runs that nobody disturbed.

    python benchmarks/kills.py [--kills 60] [--seed 0] [--cases fit branches race labels bench jobs]

One process imports everything and forks each run, so that a kill costs no start (Linux). A run is killed by
SIGKILL after a random time, by SIGKILL right before a random one of its renames, syncs and deletions, or in
the midst of writing a file, by a limit on the size of files; or it is ended by SIGINT or SIGTERM after a random
time, and has to say so. Then the same command is given again, until it ends.

What has to be the same, bit for bit: all tensors and the header of the saved detector, so weights, history,
threshold and validation scores; the CSV of scores; all records of a bench. Durations, dates and peak memory
may differ. After every kill what stands under the name of a result has to be whole, and no process may be
left. Exit code 1 where anything differs.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads cannot be forked safely

import argparse
import atexit
import contextlib
import csv
import ctypes
import importlib
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from recon_anomaly import cli

SIZE = ["--image-size", "16"]
NETWORK = ["--batch-size", "4", "--learning-rate", "0.03", "--precision", "float32"]
SMALL = ["--model", "cvae", "--model-param", "kernels=[2,3]", "--model-param", "latent_size=3"]
TWO_STAGES = [*SMALL, "--schedule", "awl-loss", "--schedule-param", "milestones=[1,4,7]"]
IMPORTED = ["cli.fitting", "cli.scoring", "cli.benching", "models.cae", "models.cvae", "models.pca"]
IMPORTED += ["schedules.awl_loss", "schedules.awl_auc", "schedules.constant", "corruptors.gaussian"]
"""What the commands import when they run; so does torch, of its own, when it makes an optimizer."""
MOST_KILLS = 6
"""Of one run, before it is let through and compared."""
PATIENCE = 600.0
"""Seconds that a run may take, and then that processes may take to follow the one that was killed."""
VARIES = {
    "header_checksum",
    "seconds",
    "fit_seconds",
    "milliseconds_per_picture",
    "process_peak_memory_mib",
    "date",
}
HOW = ("time", "operation", "byte", "SIGINT", "SIGTERM")
TOLD = {130: "interrupted", 143: "terminated"}
"""What a command that a signal ends says, by its code."""


def _fit(*options: str) -> list[list[str]]:
    fit = ["fit", "good", "-o", "m.safetensors", "--checkpoint", "run", *SIZE, *NETWORK, *options]
    return [fit, ["score", "m.safetensors", "test", "--csv", "scores.csv"]]


def _bench(*options: str) -> list[list[str]]:
    bench = ["bench", "--data", "labelled", "--out", "b.jsonl", "--resume", *SIZE, *NETWORK]
    bench += ["--models", "cae,cvae,pca", "--seeds", "1,2", "--corruptors", "gaussian"]
    for param in ("cae.kernels=[2,3]", "cvae.kernels=[2,3]", "cvae.latent_size=3"):
        bench += ["--model-param", param]
    return [[*bench, "--epochs", "2", "--csv", "b.csv", *options]]


CASES = {
    "fit": _fit("--model", "cae", "--epochs", "6", "--corruptor", "gaussian"),
    "branches": _fit(*TWO_STAGES, "--schedule-param", "race=false"),
    "race": _fit(*TWO_STAGES, "--schedule-param", "race=[[0.34,2],[0.67,1]]"),
    "labels": _fit(*SMALL, "--epochs", "5", "--schedule", "awl-auc", "--defects", "test"),
    "bench": _bench(),
    "jobs": _bench("--jobs", "2"),
}


@dataclass(frozen=True)
class Moment:
    """When a run is ended: after so many seconds, before its n-th operation, or at so many bytes of a file."""

    how: str
    value: float


@dataclass(frozen=True)
class Ended:
    """How a run ended: its code, negative for a signal, its seconds and operations, and what it said."""

    code: int
    seconds: float
    operations: int
    said: str

    @property
    def told(self) -> bool:
        """Whether it said that a signal ended it."""
        return self.code in TOLD and TOLD[self.code] in (self.said.splitlines() or [""])[-1]


def main() -> None:
    """Kill and compare, and print a line a case and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60, help="of all cases together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    options = parser.parse_args()
    _adopt_orphans()
    draw = random.Random(options.seed)
    shares = [len(range(k, options.kills, len(options.cases))) for k in range(len(options.cases))]
    wrong: list[str] = []
    killed: Counter[str] = Counter()
    runs = 0
    place = Path(tempfile.mkdtemp())  # a TemporaryDirectory would go when the first fork ends
    try:
        _draw_pictures(place / "pictures")
        _import_all()
        for name, share in zip(options.cases, shares, strict=True):
            case = Case(name, place, draw)
            case.kill(share)
            runs += case.compared
            killed += case.killed
            wrong += case.wrong
            told = ", ".join(f"{case.killed[how]} by {how}" for how in HOW)
            print(
                f"{name}: {case.killed.total()} kills ({told}), {case.compared} runs compared, "
                f"{len(case.wrong)} differences",
                flush=True,
            )
    finally:
        shutil.rmtree(place)
    print(
        f"{killed.total()} kills in {runs} runs of {len(options.cases)} cases, {len(wrong)} "
        f"differences from the undisturbed runs; torch {torch.__version__}, seed {options.seed}"
    )
    if wrong:
        sys.exit("\n".join(wrong))


class Case:
    """One chain of commands: run once undisturbed, then killed again and again.

    Parameters
    ----------
    name : str
        Of `CASES`.
    place : path
        Has the pictures, and gets a folder for each run.
    draw : random.Random
        Draws the moments.
    """

    def __init__(self, name: str, place: Path, draw: random.Random) -> None:
        self.name, self.place, self.draw = name, place, draw
        self.killed: Counter[str] = Counter()
        self.compared = 0
        self.wrong: list[str] = []
        folder = self._folder("whole")
        self.whole = run(CASES[name], folder)
        if self.whole.code:
            sys.exit(f"{name}: the undisturbed run ended with {self.whole.code}: {self.whole.said}")
        self.wanted = {path.name: contents(path) for path in results(folder)}
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        self.largest = max(path.stat().st_size for path in files)

    def kill(self, kills: int) -> None:
        """Run anew and kill, until there were so many kills."""
        while self.killed.total() < kills:
            folder = self._folder(str(self.compared))
            for left in range(MOST_KILLS, -1, -1):
                moment = None
                if left and self.killed.total() < kills:
                    moment = self._moment()
                ended = run(CASES[self.name], folder, moment)
                for path in results(folder):
                    if contents(path) != self.wanted[path.name] and path.suffix != ".jsonl":
                        self._note(f"{path.name} is not the undisturbed run's", moment, ended)
                if moment is None or not (ended.code < 0 or ended.told):
                    break
                self.killed[moment.how] += 1
            if ended.code:
                self._note("did not go on", moment, ended)
            elif {path.name: contents(path) for path in results(folder)} != self.wanted:
                self._note("ended with other results", moment, ended)
            if left_behind := litter(folder):
                self._note(f"left {', '.join(left_behind)}", moment, ended)
            self.compared += 1
            shutil.rmtree(folder)
            if len(self.wrong) > 5:
                return

    def _moment(self) -> Moment:
        # A limit on files that other processes inherit is an error there, and no kill.
        how = self.draw.choice([how for how in HOW if (self.name, how) != ("jobs", "byte")])
        if how == "operation":
            return Moment(how, self.draw.randint(1, self.whole.operations))
        if how == "byte":  # the log is a file, too, and not what is to be cut
            return Moment(how, self.draw.randint(2000, self.largest))
        return Moment(how, self.draw.uniform(0, self.whole.seconds))

    def _folder(self, name: str) -> Path:
        folder = self.place / f"{self.name}-{name}"
        folder.mkdir()
        for path in (self.place / "pictures").iterdir():
            (folder / path.name).symlink_to(path)
        return folder

    def _note(self, what: str, moment: Moment | None, ended: Ended) -> None:
        last = ended.said.strip().splitlines()[-1:] or [""]
        self.wrong.append(f"{self.name}: {what} (code {ended.code}, {moment}): {last[0]}")


def run(commands: Sequence[Sequence[str]], folder: Path, moment: Moment | None = None) -> Ended:
    """Run a chain of commands in a fork, in a folder, and end it at the moment.

    Raises
    ------
    SystemExit
        When processes that it started outlive it.
    """
    started = time.monotonic()
    log, count = folder / "log", folder / "count"
    child = os.fork()
    if not child:
        _run_and_exit(commands, folder, moment)
    status, sent = None, signal.SIGKILL
    if moment is not None and moment.how not in ("operation", "byte"):
        status = _waited(child, moment.value)
        sent = getattr(signal, moment.how, sent)
    else:
        status = _waited(child, PATIENCE)
    if status is None:
        os.kill(child, sent)
        status = _waited(child, PATIENCE)
        if status is None:
            sys.exit(f"{commands[0][0]}: still runs {PATIENCE:.0f} seconds after {moment}")
    seconds = time.monotonic() - started
    for _ in range(round(PATIENCE / 0.05)):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-child, os.WNOHANG)[0]:
                pass
        try:
            os.killpg(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)  # looked at again until the processes are gone
    else:
        os.killpg(child, signal.SIGKILL)
        sys.exit(f"{commands[0][0]}: processes are left {PATIENCE:.0f} seconds after {moment}")
    operations = int(count.read_text()) if count.exists() else 0
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, seconds, operations, log.read_text(errors="replace"))


def results(folder: Path) -> Iterator[Path]:
    """Give the files that the commands were told to write, those that are there."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".csv", ".jsonl") and not path.name.startswith("."):
            yield path


def litter(folder: Path) -> list[str]:
    """Return what a run that has ended well should not have left, in its own and the temporary folder."""
    left = [*folder.rglob("*.part"), *folder.rglob("*.lock"), *(folder / "tmp").iterdir()]
    # Torch's cache of compiled code is made to stay.
    return [
        str(path.relative_to(folder)) for path in left if not path.name.startswith("torchinductor_")
    ]


def contents(path: Path) -> Any:
    """Return what a result holds, without durations, dates and memory; NaN as text, so that it equals itself."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="np") as file:
            header = json.loads(file.metadata()["recon_anomaly"])
            tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118  # it is no dict
        return without_times(header), tensors
    if path.suffix == ".jsonl":
        records = map(json.loads, path.read_text().splitlines())
        return [without_times(record) for record in records]
    header, *rows = csv.reader(path.read_text().splitlines())
    kept = [place for place, name in enumerate(header) if name not in VARIES]
    return [[row[place] for place in kept] for row in (header, *rows)]


def without_times(value: Any) -> Any:
    """Return a JSON value without what varies from run to run."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if name not in VARIES}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return repr(value)


def _run_and_exit(commands: Sequence[Sequence[str]], folder: Path, moment: Moment | None) -> None:
    """Run in this fork, and never return."""
    os.setpgid(0, 0)
    for name in ("SIGINT", "SIGTERM"):  # the command's, not this script's
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    os.chdir(folder)
    os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    Path("tmp").mkdir(exist_ok=True)
    os.environ["TMPDIR"] = os.environ["JOBLIB_TEMP_FOLDER"] = str(folder / "tmp")
    tempfile.tempdir = None
    operations = _count_operations(moment)
    if moment is not None and moment.how == "byte":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(moment.value), resource.RLIM_INFINITY))
    code = 0
    try:
        for command in commands:
            sys.argv = ["recon-anomaly", *command]
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                cli.main()
            except SystemExit as ended:
                code = int(ended.code or 0)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            if code:
                break
        atexit._run_exitfuncs()
        Path("count").write_text(str(operations()))
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_operations(moment: Moment | None) -> Callable[[], int]:
    """Let every rename, sync and deletion of this process count, and one be the last."""
    done = 0

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if moment is not None and moment.how == "operation" and done == moment.value:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted

    for name in ("replace", "fsync", "unlink"):
        setattr(os, name, counting(getattr(os, name)))
    return lambda: done


def _waited(child: int, seconds: float) -> int | None:
    """Wait so long for a child, and return how it ended; None where it still runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)  # looked at again until the moment has come
    return None


def _adopt_orphans() -> None:
    """Become the parent of processes whose own one is killed, so that they can be waited for."""
    set_child_subreaper = 36  # linux/prctl.h
    if ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0):
        sys.exit("prctl failed; Linux is wanted")


def _import_all() -> None:
    """Import what a run imports, so that no fork has to."""
    for name in IMPORTED:
        importlib.import_module(f"recon_anomaly.{name}")
    importlib.import_module("torch._dynamo")


def _draw_pictures(place: Path) -> None:
    """Draw good and defective pictures, of 16 x 16."""
    rng = np.random.default_rng(0)
    counts = {"good": 14, "test": 6, "labelled/train/good": 12}
    counts |= {"labelled/test/good": 4, "labelled/test/defect": 5}
    for name, count in counts.items():
        (folder := place / name).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(20, 40, (16, 16)).astype(np.uint8)
            picture[4:12, 4:12] += rng.integers(100, 140, dtype=np.uint8)
            if name in ("test", "labelled/test/defect"):
                picture[:6, :6] = 250
            Image.fromarray(picture).save(folder / f"{number}.png")


if __name__ == "__main__":
    main()
