"""Large blocks stay with the process while a training runs, and go back after it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly import CAE, allocation
from recon_anomaly.allocation import large_blocks_kept

FAULTS = """
import resource, sys
import torch
from recon_anomaly.allocation import large_blocks_kept

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(2**24)  # 64 MiB: glibc maps such a block anew each time
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0])

outside, start = faults(5), held()
with large_blocks_kept():
    faults(10)  # the heap grows to what is needed
    inside, during = faults(5), held()
print(outside, inside, during - start, held() - start)
"""


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SETTINGS = (
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
)


@pytest.fixture(autouse=True)
def untuned(monkeypatch):
    """The environment says nothing of the allocator, whatever the machine's says."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


class Library:
    """Stands in for glibc and notes what it is told; ``end`` is where its heap ends."""

    def __init__(self):
        self.told = []
        self.end = 2**40

    def sbrk(self, increment):
        assert increment == 0
        return self.end

    def mallopt(self, parameter, value):
        self.told.append((parameter, value))

    def malloc_trim(self, pad):
        self.told.append("trim")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
@pytest.mark.skipif(
    not (HUGE_PAGES.exists() and {"[madvise]", "[never]"} & set(HUGE_PAGES.read_text().split())),
    reason=f"{HUGE_PAGES} has neither [madvise] nor [never]: a page may be huge, and few are faulted in",
)
def test_pages_of_large_blocks_are_faulted_in_once():
    """Five blocks of 64 MiB fault in 16384 pages each outside, next to none inside, and none is held after."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    outside, inside, during, after = map(int, done.stdout.split())
    assert outside > 5 * 10000
    assert inside < outside / 20
    assert during > 60_000  # KiB
    assert after < 10_000


def test_the_settings_change_once_for_users_inside_each_other(monkeypatch):
    """The first user sets them and the last one restores what glibc itself would come to."""
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    with large_blocks_kept():
        first = list(library.told)
        with large_blocks_kept():
            pass
        assert library.told == first == [(-4, 0), (-1, 2**31 - 1)]
    assert library.told[2:] == [(-4, 65536), (-3, 2**25), (-1, 2**26), "trim"]


def test_the_settings_are_restored_to_what_the_environment_says(monkeypatch):
    """Who tunes glibc by variables finds that again, and glibc's own rule for what is not set."""
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "123456")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    with large_blocks_kept():
        pass
    assert library.told[2:] == [(-4, 0), (-3, 2**25), (-1, 123456), "trim"]


@pytest.mark.parametrize(
    ("tunables", "touched"),
    [("glibc.malloc.trim_threshold=4096", False), ("glibc.rtld.nns=4", True), ("", True)],
)
def test_tunables_of_the_allocator_are_left_alone(tunables, touched, monkeypatch):
    """Who tunes malloc by GLIBC_TUNABLES wants that and nothing else; tunables of other parts are none of it."""
    library = Library()
    library.gnu_get_libc_version = b"2.41"
    library.sbrk = lambda increment: 0  # a function, which takes the type it returns, as ctypes' do
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(allocation, "_glibc", allocation._glibc.__wrapped__)  # without its cache
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    with large_blocks_kept():
        pass
    assert bool(library.told) == touched


def test_the_settings_are_restored_after_an_error(monkeypatch):
    """A training that fails leaves the allocator as one that went well."""
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    with pytest.raises(ZeroDivisionError), large_blocks_kept():
        1 / 0  # noqa: B018  # the error is the test
    assert library.told[-1] == "trim"


def test_other_allocators_are_left_alone(monkeypatch):
    """Where the C library is not glibc nothing is done."""
    monkeypatch.setattr(allocation, "_glibc", lambda: None)
    with large_blocks_kept():
        pass
    assert allocation._users == 0


def test_a_system_without_a_named_library_is_left_alone(monkeypatch):
    """Windows knows no library of the process; all works as without this module."""

    def no_library(name):
        raise TypeError("a name is wanted")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    monkeypatch.setattr(allocation, "_glibc", allocation._glibc.__wrapped__)  # without its cache
    with large_blocks_kept() as tidy:
        tidy()
    assert allocation._users == 0


def test_a_heap_that_grows_far_is_given_back_inside(monkeypatch):
    """Each 256 MiB by which the heap has grown since the first call gives back once what is free in it."""
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    given_back = []
    with large_blocks_kept() as tidy:
        for _ in range(9):  # 96 MiB each: 288 MiB are passed at the steps 3 and 6
            before = library.told.count("trim")
            tidy()
            given_back.append(library.told.count("trim") - before)
            library.end += 96 * 2**20
    assert given_back == [0, 0, 0, 1, 0, 0, 1, 0, 0]


def test_a_heap_that_does_not_grow_is_left_alone(monkeypatch):
    """In a steady state no page is given back that the next batch would fault in again."""
    library = Library()
    monkeypatch.setattr(allocation, "_glibc", lambda: library)
    with large_blocks_kept() as tidy:
        for _ in range(9):
            tidy()
        assert "trim" not in library.told


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is read of /proc")
@pytest.mark.parametrize("asked", ["anomaly_score", "fit"])
def test_memory_is_flat_over_many_batches(asked):
    """The fortieth batch that is scored finds no more memory in use than the tenth, but for some noise.

    Where the scores of each batch stayed beside the room of its map it was 8 MB a batch.
    """
    held = []

    def noting(target, reconstruction):
        status = Path("/proc/self/status").read_text()
        held.append(int(status.split("RssAnon:")[1].split()[0]) / 1000)
        return (target - reconstruction.mean).square().mean(1)

    noting.reduction = "mean"
    few = np.zeros((16, 256, 256, 1), np.uint8)
    many = np.broadcast_to(few[:1], (640, 256, 256, 1))
    detector = CAE(kernels=(4,), scorer=noting, epochs=1, batch_size=16, device="cpu")
    if asked == "fit":
        detector.fit(few, validation_data=many)
    else:
        detector.fit(few)
        held.clear()
        detector.anomaly_score(many)
    assert len(held) >= 40
    assert held[-1] - held[-30] < 60
