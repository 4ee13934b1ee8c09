"""What is sent to a device, what lives there, and for how long; the CPU stands in for a device with memory of its own."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from recon_anomaly import residency
from recon_anomaly.residency import find_resident, free_on, make_resident, sent

CPU, META, CUDA = torch.device("cpu"), torch.device("meta"), torch.device("cuda")


@pytest.fixture
def room(monkeypatch):
    """Let the CPU be a device with that many bytes free."""

    def give(count):
        monkeypatch.setattr(residency, "free_on", lambda device: count)

    return give


@pytest.fixture
def sendings(monkeypatch):
    """Count the arrays that are sent."""
    seen = []
    monkeypatch.setattr(
        residency, "sent", lambda array, device: seen.append(array) or sent(array, device)
    )
    return seen


def numbered(count, dtype=np.uint8):
    return np.arange(count * 6).reshape(count, 2, 3, 1).astype(dtype)


# Sending ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int64])
def test_nothing_is_copied_or_converted_on_the_cpu(dtype):
    """The tensor has the array's memory and dtype."""
    array = numbered(3, dtype)
    tensor = sent(array, CPU)
    assert np.array_equal(tensor.numpy(), array)
    assert tensor.numpy().dtype == array.dtype
    assert np.shares_memory(tensor.numpy(), array)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.uint8, torch.uint8), (np.uint16, torch.int16), (np.float32, torch.float32)],
)
def test_16_bits_travel_as_int16(dtype, expected):
    """On other devices torch lacks most operations on uint16, so that its bits go as int16."""
    tensor = sent(numbered(3, dtype), META)
    assert (tensor.dtype, tensor.shape, tensor.device) == (expected, (3, 2, 3, 1), META)


def test_to_cuda_pinned_memory_is_copied_without_waiting(monkeypatch):
    """The array is pinned first, and the copy returns at once."""
    calls = []

    def pin(self):
        calls.append("pinned")
        return self

    def to(self, *args, **options):
        calls.append((*args, options))
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    sent(numbered(3), CUDA)
    assert calls == ["pinned", (CUDA, {"non_blocking": True})]


# Living there --------------------------------------------------------------------------------------


def test_a_cuda_device_has_the_memory_that_it_says(monkeypatch):
    """What is free on a GPU is asked of it, by its index, and the first of the two figures counts."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 + device.index, 1000))
    assert free_on(torch.device("cuda", 2)) == 102
    assert (free_on(CPU), free_on(torch.device("mps"))) == (0, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_resident_has_the_numbers_of_the_array(dtype, room):
    """Every picture stands in the tensor at its place, which is a copy."""
    room(10**9)
    array = numbered(5, dtype)
    resident = make_resident(array, CPU)
    assert np.array_equal(resident.tensor.numpy(), array)
    assert resident.array is array
    assert not np.shares_memory(resident.tensor.numpy(), array)


@pytest.mark.parametrize(("free", "fits"), [(90, True), (89, False), (0, False)])
def test_a_third_of_what_is_free_may_be_taken(free, fits, room):
    """30 bytes fit where 90 are free, and not where 89 are."""
    room(free)
    assert (make_resident(numbered(5), CPU) is not None) == fits


def test_an_array_is_sent_once(room, sendings):
    """Who asks again gets the one that is there, even where there is no more room."""
    room(10**9)
    array = numbered(5)
    first = make_resident(array, CPU)
    room(0)
    assert make_resident(array, CPU) is first
    assert find_resident(array, CPU) is first
    assert len(sendings) == 1


def test_other_arrays_and_devices_are_others(room):
    """An equal array is not the same one, and neither is the same array elsewhere."""
    room(10**9)
    array = numbered(5)
    resident = make_resident(array, CPU)
    assert find_resident(array.copy(), CPU) is None
    assert find_resident(array, META) is None
    assert make_resident(array, META).tensor.device == META
    assert find_resident(array, CPU) is resident


def test_a_resident_goes_when_nobody_holds_it(room):
    """The device's memory is free again, although the array is still there."""
    room(10**9)
    array = numbered(5)
    resident = make_resident(array, CPU)
    assert find_resident(array, CPU) is resident
    del resident
    gc.collect()
    assert find_resident(array, CPU) is None


@pytest.mark.parametrize("chunk", [1, 12, 13, 18, 10**6])
def test_large_arrays_are_sent_in_chunks(chunk, room, sendings, monkeypatch):
    """Chunks of whole pictures, as many bytes at most where that is a picture, make the same resident."""
    room(10**9)
    monkeypatch.setattr(residency, "_CHUNK_BYTES", chunk)
    array = numbered(7)
    assert np.array_equal(make_resident(array, CPU).tensor.numpy(), array)
    pictures = max(1, chunk // 6)
    assert [len(part) for part in sendings] == [
        min(pictures, 7 - start) for start in range(0, 7, pictures)
    ]


def test_a_mapped_file_that_may_only_be_read_can_live_there(tmp_path, room):
    """The store's file is not written to, and torch does not warn of it."""
    room(10**9)
    np.save(tmp_path / "pixels.npy", numbered(5))
    array = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert np.array_equal(make_resident(array, CPU).tensor.numpy(), numbered(5))
