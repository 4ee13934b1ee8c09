"""Batches of files that are being decoded: those of a store, ahead of whoever scores, in bounded memory."""

from __future__ import annotations

import threading
import warnings
import weakref
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recon_anomaly import reading
from recon_anomaly.batches import Batches
from recon_anomaly.decoding import Decoded
from recon_anomaly.errors import InputError, PictureError, PictureWarning
from recon_anomaly.images import PixelRange, range_for
from recon_anomaly.pictures import read_pictures
from recon_anomaly.streams import PictureStream

CPU = torch.device("cpu")
BYTE = PixelRange(0.0, 255.0, "uint8")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Nine pictures, gray and coloured, of several sizes; the last two names are no pictures."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(11)]
    for number, path in enumerate(paths[:9]):
        size = (5 + number % 3, 7) if number % 2 else (5, 7, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
    paths[9].write_text("no picture")
    return paths


def stream_of(paths, batch_size, channels=3, fitted=BYTE, **options):
    return PictureStream(paths, (5, 7, channels), fitted, batch_size, CPU, **options)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 10), min_size=1, max_size=20).filter(lambda chosen: min(chosen) < 9),
    st.integers(1, 8),
    st.sampled_from([1, 3]),
    st.integers(1, 3),
)
def test_a_stream_has_the_batches_of_a_store(files, chosen, batch_size, channels, threads):
    """Whatever the files and the batch size: the very floats, the same repeats, and the same files skipped."""
    paths = [files[number] for number in chosen]
    skipped = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)
        store = read_pictures(paths, image_size=(5, 7), channels=channels, on_error="skip")
        options = {"skipped": skipped, "threads": threads}
        found = list(stream_of(paths, batch_size, channels, **options))
    wanted = list(Batches(store, BYTE, batch_size, CPU).full())
    assert [part.batch.repeated for part in found] == [batch.repeated for batch in wanted]
    for part, batch in zip(found, wanted, strict=True):
        assert torch.equal(part.batch.images, batch.images)
        assert part.batch.images.stride() == batch.images.stride()
    assert [path for part in found for path in part.paths] == list(store.paths)
    pixels = np.concatenate([part.pixels for part in found])
    assert np.array_equal(pixels, store.batch(slice(None)))
    assert skipped == list(store.skipped)


class Decoder:
    """Decodes nothing; says by an event for each file when it is done."""

    def __init__(self, paths):
        self.done = {path: threading.Event() for path in paths}
        self._decoded = []

    def __call__(self, path, size, luminance, max_pixels):
        pixels = np.zeros((5, 7, 1), np.uint8)
        self._decoded.append(weakref.ref(pixels))
        self.done[path].set()
        return Decoded(pixels, [], pixels.shape[:2])

    @property
    def alive(self):
        return sum(decoded() is not None for decoded in self._decoded)


def test_the_next_batch_is_decoded_while_one_is_in_hand(monkeypatch):
    """Whoever holds a batch sees the whole next one decoded without asking for it, and no further file."""
    paths = [Path(f"{number}.png") for number in range(14)]
    decoder = Decoder(paths)
    monkeypatch.setattr(reading, "decode", decoder)
    for count, part in enumerate(stream_of(paths, 4, threads=2), 1):
        assert part.paths == tuple(paths[4 * (count - 1) : 4 * count])
        assert all(decoder.done[path].wait(30) for path in paths[: 4 * (count + 1)])
        assert not any(decoder.done[path].is_set() for path in paths[4 * (count + 1) :])


def test_tiny_batches_keep_every_thread_busy(monkeypatch):
    """With one picture a batch there are still two files a thread decoded ahead."""
    paths = [Path(f"{number}.png") for number in range(9)]
    decoder = Decoder(paths)
    monkeypatch.setattr(reading, "decode", decoder)
    with closing(iter(stream_of(paths, 1, threads=3))) as stream:
        next(stream)
        assert all(decoder.done[path].wait(30) for path in paths[:7])


def test_the_pixels_of_a_few_batches_are_held(monkeypatch):
    """Of what was handed over live the pixels of the last batch and no floats, and no decoded picture twice."""
    paths = [Path(f"{number}.png") for number in range(30)]
    decoder = Decoder(paths)
    monkeypatch.setattr(reading, "decode", decoder)
    stream = iter(stream_of(paths, 3, threads=2))
    pixels, floats = [], []
    for _ in range(9):
        part = next(stream)
        pixels.append(weakref.ref(part.pixels))
        floats.append(weakref.ref(part.batch.images))
        del part
        assert sum(kept() is not None for kept in pixels) <= 1
        assert sum(kept() is not None for kept in floats) == 0
    assert decoder.alive <= 3 + 2  # those ahead, and one for each thread that has just ended it


def test_warnings_come_once_at_the_end(tmp_path, gray, colour):
    """A note of several files is one warning that counts them, after the last batch."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths[:2]:
        Image.fromarray(colour()).save(path)
    Image.fromarray(gray()).save(paths[2])
    parts = iter(stream_of(paths, 2, channels=1))
    next(parts)
    next(parts)
    with pytest.warns(
        PictureWarning, match=r"2 of 3 pictures had colours.*first is .*0\.png"
    ) as got:
        assert next(parts, None) is None
    assert len(got) == 1


def test_sixteen_bits_are_divided_by_their_own_full_scale(save, gray):
    """As from a store; a detector of other floats refuses them with the same words."""
    path = save("a.png", gray(0, (5, 7)).astype(np.uint16) * 256)
    store = read_pictures([path], image_size=(5, 7))
    (part,) = stream_of([path], 4, channels=1)
    (wanted,) = Batches(store, range_for(store, BYTE), 4, CPU).full()
    assert torch.equal(part.batch.images, wanted.images)
    fitted = PixelRange(-3.0, 4.0, "float32")
    with pytest.raises(InputError) as expected:
        range_for(store, fitted)
    with pytest.raises(InputError) as got:
        list(stream_of([path], 4, channels=1, fitted=fitted))
    assert str(got.value) == str(expected.value)


@pytest.mark.parametrize(
    ("chosen", "channels"), [([0, 10], 3), ([9], 3), ([], 3), ([0], 2)], ids=str
)
def test_errors_are_those_of_a_store(files, chosen, channels):
    """Missing and broken files, none at all, and channels that no file has, are refused in the same words."""
    paths = [files[number] for number in chosen]
    with pytest.raises(InputError) as expected:
        read_pictures(paths, image_size=(5, 7), channels=channels)
    with pytest.raises(InputError) as got:
        list(stream_of(paths, 4, channels))
    assert (type(got.value), str(got.value)) == (type(expected.value), str(expected.value))


def test_eight_and_sixteen_bits_do_not_mix(save, gray):
    """Also where they are batches apart."""
    paths = [save("a.png", gray()), save("b.png", gray(1)), save("c.png", gray().astype(np.uint16))]
    with pytest.raises(InputError, match=r"a\.png has 8 bits and .*c\.png has 16"):
        list(stream_of(paths, 1, channels=1))


def test_none_that_can_be_used_is_an_error_with_all_of_them(files):
    """As from a store, the error lists every file."""
    with pytest.raises(PictureError, match="none of the 2 pictures can be used") as got:
        list(stream_of(files[9:], 4, skipped=[]))
    assert [path for path, _ in got.value.skipped] == files[9:]
