"""Files are decoded in their order, a bounded number ahead, by threads that end when the reader does."""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly import reading
from recon_anomaly.decoding import Decoded
from recon_anomaly.errors import InputError, PictureError
from recon_anomaly.reading import Reader, decoding_threads, few_threads, put

PATHS = [Path(f"{number:03}.png") for number in range(40)]


class Counting:
    """A decoder without files, which knows what it has begun and how much of it is still alive."""

    def __init__(self):
        self.begun: list[Path] = []
        self.alive = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, path, size, luminance, max_pixels):
        pixels = np.full((2, 2, 1), int(path.stem), np.uint8)
        weakref.finalize(pixels, self.freed)
        with self.lock:
            self.begun.append(path)
            self.alive += 1
            self.most = max(self.most, self.alive)
        return Decoded(pixels, [], pixels.shape[:2])

    def freed(self):
        with self.lock:
            self.alive -= 1


@pytest.fixture
def decoder(monkeypatch):
    """Counts what is decoded, in the place of the decoder of files."""
    counting = Counting()
    monkeypatch.setattr(reading, "decode", counting)
    return counting


def reached(count, wanted):
    """Wait until ``count()`` is as wanted, for half a minute at most."""
    end = time.monotonic() + 30
    while count() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    return count() == wanted


@pytest.mark.parametrize("threads", [1, 3])
def test_pictures_come_in_the_order_of_the_files(threads, monkeypatch):
    """The order is that of the files also where an early one takes longest."""

    def decode(path, size, luminance, max_pixels):
        time.sleep(0.02 if int(path.stem) % 4 == 0 else 0)
        return Decoded(np.full((1, 1, 1), int(path.stem), np.uint8), [], (1, 1))

    monkeypatch.setattr(reading, "decode", decode)
    found = [(path, int(pixels[0, 0, 0])) for path, pixels in Reader(PATHS, threads=threads)]
    assert found == [(path, int(path.stem)) for path in PATHS]


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_bounded_number_is_decoded_ahead(ahead, decoder):
    """While one picture is in hand, that many more are decoded, and never more are alive."""
    done = 0
    for _, pixels in Reader(PATHS, threads=2, ahead=ahead):
        done += 1  # noqa: SIM113  # enumerate keeps the picture before alive
        del pixels
        assert reached(lambda: len(decoder.begun), min(done + ahead, len(PATHS)))
    assert len(decoder.begun) == len(PATHS)
    assert 1 < decoder.most <= ahead + 1


def pool_threads():
    """The threads of every pool that are alive; the process may have others, which come and go."""
    return {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name}


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_the_threads_end_where_the_reader_is_left(how, decoder):
    """Whoever stops early, or fails, leaves no thread and no further file being decoded."""
    before, working = pool_threads(), set()

    def first_only():
        with closing(iter(Reader(PATHS, threads=3, ahead=30))) as pictures:
            next(pictures)
            working.update(pool_threads() - before)
            if how == "failed":
                raise ZeroDivisionError

    if how == "failed":
        with pytest.raises(ZeroDivisionError):
            first_only()
    else:
        first_only()
    assert working
    assert pool_threads() <= before
    assert len(decoder.begun) <= 31


def test_files_that_are_left_out_join_the_list(tmp_path, save, gray):
    """They come as None in their turn; what the list held before stays, and is no part of the error."""
    good, gone = save("a.png", gray()), tmp_path / "gone.png"
    skipped = [(Path("earlier"), "it was so")]
    found = list(Reader([gone, good, gone], image_size=None, skipped=skipped))
    assert [path for path, _ in found] == [gone, good, gone]
    assert [pixels is None for _, pixels in found] == [True, False, True]
    assert skipped[1:] == [(gone, "it does not exist")] * 2
    with pytest.raises(
        PictureError, match=r"none of the 2 .*the first, .*gone\.png: it does"
    ) as got:
        list(Reader([gone, gone], skipped=skipped))
    assert got.value.skipped == ((gone, "it does not exist"),) * 2


def test_without_a_list_the_error_comes_in_its_turn(tmp_path, save, gray):
    """The pictures before the bad file are given first."""
    pictures = iter(Reader([save("a.png", gray()), tmp_path / "gone.png"]))
    next(pictures)
    with pytest.raises(PictureError, match=r"gone\.png cannot be used: it does not exist"):
        next(pictures)


def test_what_is_ahead_is_at_least_one():
    """None would never give a picture."""
    with pytest.raises(InputError, match="ahead is 0"):
        Reader(PATHS, ahead=0)


@pytest.mark.parametrize(("channels", "to"), [(1, 1), (1, 3), (3, 3)])
def test_pixels_are_put_as_numpy_broadcasts_them(channels, to):
    """Gray pictures fill every channel, others keep theirs."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, channels), dtype=np.uint8)
    place = np.zeros((4, 5, to), np.uint8)
    put(pixels, place)
    assert np.array_equal(place, np.broadcast_to(pixels, place.shape))


def test_without_a_number_the_threads_are_those_of_the_processors(monkeypatch):
    """One each, eight at most, two where processes share them; whoever names a number has it."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert Reader(PATHS).threads == decoding_threads() == 4
    with few_threads():
        assert Reader(PATHS).threads == 2
        assert Reader(PATHS, threads=5).threads == 5
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with few_threads():
        assert decoding_threads() == 1
