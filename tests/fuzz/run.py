"""Damages thousands of files and uses each: ``python tests/fuzz/run.py --count 14000``.

A file is used in a process of its own kind, within a limit of memory and of time. A process that
crashes or is too slow counts as a failure of its file, and the next one goes on behind it. The outcome
of each file depends on the seed and its number alone: ``--only KIND:NUMBER`` does one again, and keeps it.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from corpus import quietly
from targets import KINDS, outcome_of

SECONDS, MEBIBYTES = 20, 1024
WAITING = 300  # seconds that pass, on a machine that has other things to do


def main():
    """Run, print what came of it, and end with 1 where a file failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=182, help="files in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--only", help="KIND:NUMBER")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.only:
            kind, number = options.only.split(":")
            contents = quietly(KINDS[kind][0], Path(folder))
            kept = Path(tempfile.mkdtemp(prefix="fuzz-"))
            print(*_one(kind, contents, options.seed, int(number), kept), kept, sep="\n")
            return 0
        return _all(options.kinds.split(","), options.count, options.seed, Path(folder))


def _all(kinds, count, seed, folder):
    failed = 0
    for kind in kinds:
        contents = quietly(KINDS[kind][0], folder)
        found, slowest, largest = collections.Counter(), 0.0, 0
        for number, outcome, why, seconds, grown in _outcomes(
            kind, contents, seed, count // len(kinds), folder
        ):
            found[outcome] += 1
            slowest, largest = max(slowest, seconds), max(largest, grown)
            if outcome == "FAILED":
                print(f"FAILED {kind}:{number}: {why}")
        print(
            f"{kind}: {found.total()} files made of {len(contents)}, {found['result']} used, "
            f"{found['refused']} refused, {found['FAILED']} failed; the slowest took {slowest:.1f} s, "
            f"memory grew by {largest} MiB at most",
            flush=True,
        )
        failed += found["FAILED"]
    return int(failed > 0)


def _outcomes(kind, contents, seed, count, folder):
    """Give (number, outcome, why, seconds, MiB) of each file, from one process after the other."""
    start = 0
    while start < count:
        source, sink = os.pipe()
        child = os.fork()
        if not child:
            os.close(source)
            _work(kind, contents, seed, range(start, count), folder, sink)
        os.close(sink)
        with os.fdopen(source) as lines:
            for line in lines:
                start += 1
                yield json.loads(line)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status and start < count:
            slow = status in (-signal.SIGALRM, -signal.SIGPROF)
            yield start, "FAILED", "too slow" if slow else f"ended by {status}", SECONDS, 0
            start += 1


def _work(kind, contents, seed, numbers, folder, sink):
    """Use files until the numbers or this process end, which frees nothing of its parent's."""
    status = 1
    try:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        # Of addresses: what is asked for and never written to is no memory yet.
        most = size + 8 * MEBIBYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C talk there
        before = _peak()
        for number in numbers:
            place = Path(tempfile.mkdtemp(dir=folder))
            signal.alarm(WAITING)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            started = time.process_time()
            outcome, why = _one(kind, contents, seed, number, place)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            seconds, grown = time.process_time() - started, _peak() - before
            if grown > MEBIBYTES:
                outcome, why = "FAILED", f"memory grew by {grown} MiB"
            line = json.dumps([number, outcome, why, seconds, grown])
            os.write(sink, line.encode() + b"\n")
            shutil.rmtree(place)
            if outcome == "FAILED":
                break  # what is left of it must not be counted again
        status = 0
    finally:
        os._exit(status)


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _one(kind, contents, seed, number, place):
    rng = random.Random(f"{kind} {seed} {number}")
    return outcome_of(kind, contents[number % len(contents)], rng, place)


if __name__ == "__main__":
    sys.exit(main())
