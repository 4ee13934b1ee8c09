"""Batches: order, shape, scale and what (seed, epoch) decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_anomaly import batches as batches_module
from recon_anomaly import residency
from recon_anomaly.batches import Batch, Batches, as_float
from recon_anomaly.images import PixelRange, measure_range
from recon_anomaly.randomness import Part
from recon_anomaly.residency import find_resident, sent
from recon_anomaly.store import Pictures, from_array

CPU = torch.device("cpu")


def numbered(count, shape=(2, 3, 1), dtype=np.uint8):
    """Pictures whose every pixel is their number."""
    places = np.arange(count, dtype=dtype)[:, None, None, None]
    return np.ascontiguousarray(np.broadcast_to(places, (count, *shape)))


def batches(array, batch_size=4):
    return batches_of(from_array(array), batch_size)


def batches_of(pictures, batch_size=4):
    return Batches(pictures, PixelRange(0.0, 1.0, pictures.dtype.name), batch_size, CPU)


def numbers(images):
    return images[:, 0, 0, 0].tolist()


def joined(shuffled):
    return [number for batch in shuffled for number in numbers(batch.clean)]


def add_noise(image, rng):
    corrupted = image + rng.random(image.shape, dtype=np.float32)
    return corrupted, (corrupted != image).any(-1)


def test_batches_come_in_the_order_of_the_store():
    """Every picture comes once, in order, and the last batch holds the rest."""
    found = [numbers(images) for images in batches(numbered(10))]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_length_is_the_number_of_batches(count, expected):
    """Len counts the smaller last batch, too, and agrees with both iterators."""
    found = batches(numbered(count))
    assert len(found) == expected
    assert len(list(found)) == expected
    assert len(list(found.shuffled(0, 1))) == expected


@pytest.mark.parametrize("count", range(1, 14))
def test_full_batches_have_one_size(count):
    """Each picture counts once, in order; a last batch that would be smaller begins earlier and says by how much."""
    store = batches(numbered(count))
    store.kept = np.arange(count, dtype=np.float32)[:, None]
    found = list(store.full())
    assert len(found) == len(store)
    assert {len(batch.images) for batch in found} == {min(count, 4)}
    assert [number for b in found for number in numbers(b.images)[b.repeated :]] == list(
        range(count)
    )
    assert all(torch.equal(batch.kept[:, 0], batch.images[:, 0, 0, 0]) for batch in found)
    assert [batch.repeated for batch in found[:-1]] == [0] * (len(found) - 1)


def test_pictures_become_channels_first_floats():
    """A batch is (n, c, h, w) float32, with each pixel at its place."""
    array = np.arange(2 * 3 * 4 * 2, dtype=np.uint8).reshape(2, 3, 4, 2)
    (images,) = batches(array)
    assert images.shape == (2, 2, 3, 4)
    assert images.dtype == torch.float32
    assert np.array_equal(images.numpy(), array.transpose(0, 3, 1, 2))
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), [0.0, 0.2, 1.0]),
        (np.array([0, 13107, 65535], np.uint16), [0.0, 0.2, 1.0]),
        (np.array([0.0, 0.25, 1.0], np.float32), [0.0, 0.25, 1.0]),
        (np.array([-4.0, -3.0, 0.0], np.float32), [0.0, 0.25, 1.0]),
    ],
)
def test_the_pixel_range_is_brought_to_zero_and_one(array, expected):
    """Integers are divided by their full scale and floats shifted and scaled by the range."""
    array = array.reshape(3, 1, 1, 1)
    found = Batches(from_array(array), measure_range(array), 3, CPU)
    assert numbers(next(iter(found))) == pytest.approx(expected, abs=1e-7)


def test_nothing_is_clamped():
    """Pixels outside the range lie outside [0, 1]."""
    array = np.array([-1.0, 3.0], np.float32).reshape(2, 1, 1, 1)
    found = Batches(from_array(array), PixelRange(0.0, 2.0, "float32"), 2, CPU)
    assert numbers(next(iter(found))) == [-0.5, 1.5]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_store_is_left_as_it_is(dtype):
    """Scaling in place never reaches the pixels of the store, floats among them."""
    array = numbered(6, dtype=dtype)
    before = array.copy()
    found = Batches(from_array(array), PixelRange(1.0, 3.0, array.dtype.name), 4, CPU)
    for images in found:
        images.zero_()
    for images, *_ in found.shuffled(0, 1, add_noise):
        images.zero_()
    assert np.array_equal(array, before)


def test_shuffled_gives_every_picture_once():
    """A shuffled epoch is a permutation, cut into batches, and not the store's own order."""
    found = [numbers(clean) for _, clean, *_ in batches(numbered(50), 8).shuffled(3, 1)]
    order = [number for part in found for number in part]
    assert sorted(order) == list(range(50))
    assert order != list(range(50))
    assert [len(part) for part in found] == [8] * 6 + [2]


def test_seed_and_epoch_decide_the_order():
    """The same (seed, epoch) gives the same order, and another seed or epoch another one."""

    def order(seed, epoch):
        return joined(batches(numbered(50)).shuffled(seed, epoch))

    assert order(3, 1) == order(3, 1)
    assert len({tuple(order(*key)) for key in [(3, 1), (3, 2), (4, 1), (1, 3)]}) == 4


def test_a_view_gives_its_own_pictures():
    """Batches of a view hold the view's pictures in the view's order."""
    view = from_array(numbered(10)).take([7, 2, 5])
    found = Batches(view, PixelRange(0.0, 1.0, "uint8"), 2, CPU)
    assert [numbers(images) for images in found] == [[7, 2], [5]]
    assert sorted(joined(found.shuffled(0, 1))) == [2, 5, 7]


def test_without_a_corruptor_input_and_target_are_one():
    """Nothing is copied where nothing is corrupted."""
    for images, clean, *_ in batches(numbered(5)).shuffled(0, 1):
        assert images is clean


def test_a_corruptor_spoils_the_input_and_not_the_target():
    """The input is corrupted, picture by picture, and the target stays clean."""
    for images, clean, *_ in batches(numbered(9, (2, 3, 2))).shuffled(0, 1, add_noise):
        assert images.shape == clean.shape
        assert images.dtype == torch.float32
        assert (clean == clean.round()).all()
        assert ((images - clean) > 0).all()
        assert len(set(numbers(images - clean))) == len(images)


def test_a_picture_is_corrupted_alike_in_any_batch():
    """Its corruption depends on seed, epoch and place in the store alone, not on the batch size."""

    def noise(batch_size, seed=1, epoch=1):
        found = {}
        for images, clean, *_ in batches(numbered(9), batch_size).shuffled(seed, epoch, add_noise):
            found |= dict(zip(numbers(clean), numbers(images - clean), strict=True))
        return [found[number] for number in range(9)]

    assert noise(4) == noise(9) == noise(1)
    assert not set(noise(4)) & set(noise(4, epoch=2))
    assert not set(noise(4)) & set(noise(4, seed=2))


def test_the_corruptor_gets_one_picture():
    """A corruptor is handed (h, w, c) float32 in [0, 1], as its contract says."""
    seen = []

    def look(image, rng):
        seen.append((image.shape, image.dtype, float(image.max())))
        return image, np.zeros(image.shape[:2], bool)

    array = np.full((3, 4, 5, 3), 255, np.uint8)
    list(Batches(from_array(array), measure_range(array), 2, CPU).shuffled(0, 1, look))
    assert seen == [((4, 5, 3), np.float32, 1.0)] * 3


# What is kept ------------------------------------------------------------------------------------


def with_kept(count, shape=(5, 4, 3), batch_size=4):
    """Batches whose kept features are their picture's number, then 0, 1, 2, …."""
    found = batches(numbered(count), batch_size)
    size = int(np.prod(shape))
    found.kept = np.arange(size, dtype=np.float32).reshape(shape) + np.zeros(
        (count, *[1] * len(shape)), np.float32
    )
    found.kept[(slice(None), *[0] * len(shape))] = np.arange(count)
    return found


def test_in_order_gives_pictures_and_what_is_kept_of_them():
    """Each batch holds its pictures, twice the same tensor, and their features, channels first."""
    found = with_kept(10)
    number = 0
    for batch, images in zip(found.in_order(), found, strict=True):
        assert batch.images is batch.clean
        assert torch.equal(batch.images, images)
        assert batch.kept.shape == (len(images), 3, 5, 4)
        assert numbers(batch.kept) == numbers(images)
        wanted = found.kept[number : number + len(images)].transpose(0, 3, 1, 2)
        assert np.array_equal(batch.kept.numpy(), wanted)
        number += len(images)
    assert number == 10


def test_shuffled_batches_have_the_features_of_their_pictures():
    """Whatever the order, a picture comes with its own features."""
    found = list(with_kept(10).shuffled(3, 1))
    assert all(numbers(batch.kept) == numbers(batch.images) for batch in found)
    order = [number for batch in found for number in numbers(batch.kept)]
    assert sorted(order) == list(range(10))
    assert order != sorted(order)


def test_keeping_does_not_change_the_order():
    """Pictures come in the order in which they come without features."""
    assert joined(with_kept(10).shuffled(3, 1)) == joined(batches(numbered(10)).shuffled(3, 1))


@pytest.mark.parametrize("shape", [(7,), (2, 3)])
def test_features_that_are_no_map_keep_their_axes(shape):
    """Only maps lie channels last; rows and sequences are handed out as they are."""
    found = with_kept(5, shape)
    kept = torch.cat([batch.kept for batch in found.in_order()])
    assert np.array_equal(kept.numpy(), found.kept)


def test_what_is_handed_out_is_a_copy():
    """A network that writes to its features does not change those of the next epoch."""
    found = with_kept(6)
    before = found.kept.copy()
    for batch in (*found.in_order(), *found.shuffled(0, 1)):
        batch.kept.zero_()
    assert np.array_equal(found.kept, before)


def test_a_memory_mapped_file_of_features_serves(tmp_path):
    """Also one that may only be read gives writable tensors, without a warning."""
    found = with_kept(6)
    np.save(tmp_path / "kept.npy", found.kept)
    wanted = torch.cat([batch.kept for batch in found.in_order()])
    found.kept = np.load(tmp_path / "kept.npy", mmap_mode="r")
    assert torch.equal(torch.cat([batch.kept for batch in found.in_order()]), wanted)


def test_spoiled_pictures_come_without_features():
    """What is kept belongs to clean pictures, so a corruptor's batches have none."""
    found = list(with_kept(5).shuffled(0, 1, add_noise))
    assert [batch.kept for batch in found] == [None, None]


def test_nothing_is_kept_unless_it_is_set():
    """Fresh batches come without features."""
    found = batches(numbered(5))
    assert [batch.kept for batch in (*found.in_order(), *found.shuffled(0, 1))] == [None] * 4


# Floats and parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("low", [0.0, -3.0, 7.0])
def test_floats_are_the_same_bits_whatever_the_range_begins_with(low, dtype):
    """Taking no 0 away saves a pass and no bit: it is (x - low) / (high - low) in float32."""
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2)).astype(dtype)
    wanted = (array.astype(np.float32) - np.float32(low)) / np.float32(255.0 - low)
    found = as_float(array.copy(), PixelRange(low, 255.0, array.dtype.name), CPU)
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), wanted)


def test_the_bits_of_uint16_become_the_same_floats(monkeypatch):
    """Where 16 bits travel as int16, numbers from 32768 on are not negative."""
    array = np.arange(2**16, dtype=np.uint16).reshape(4, 128, 128, 1)
    pixel_range = measure_range(array)
    wanted = as_float(array, pixel_range, CPU)
    monkeypatch.setattr(
        batches_module, "sent", lambda array, device: torch.from_numpy(array.view(np.int16))
    )
    assert torch.equal(as_float(array, pixel_range, CPU), wanted)
    assert wanted.max() == 1


def third_of(whole):
    return Part.of(whole, 1, 3)


def test_a_part_is_what_the_whole_batch_has_there():
    """Pictures, features and their place are those of the whole batch between its first and its last."""
    store = with_kept(10)
    for whole, found in zip(
        store.shuffled(3, 1), store.shuffled(3, 1, part_of=third_of), strict=True
    ):
        part = Part.of(len(whole.images), 1, 3)
        inside = slice(part.first, part.first + max(part.length, 1))
        assert found.part == part
        assert numbers(found.images) == numbers(whole.images)[inside]
        assert numbers(found.kept) == numbers(whole.kept)[inside]
        assert whole.part is None


# On a device with memory of its own ------------------------------------------------------------------


@pytest.fixture
def resident(monkeypatch):
    """Let the CPU be a device that holds a copy of a store."""
    monkeypatch.setattr(residency, "free_on", lambda device: 10**9)


def everything(store):
    """All that a store's iterators give, in two epochs."""
    found = [*store.shuffled(3, 1), *store.shuffled(3, 2), *store.in_order(), *store.full()]
    return found + [Batch(images, images) for images in store]


@pytest.mark.parametrize("index", [None, [7, 2, 5, 9, 0]])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_resident_store_gives_the_same_batches(dtype, index, monkeypatch):
    """Bits, order, layout, what is kept and what is repeated are those of batches cut on the host."""
    array = np.random.default_rng(0).integers(0, 256, (10, 4, 5, 2)).astype(dtype)
    pictures = from_array(array) if index is None else from_array(array).take(index)
    store = Batches(pictures, PixelRange(3.0, 255.0, array.dtype.name), 4, CPU)
    store.kept = np.random.default_rng(1).random((len(pictures), 2, 2, 3), np.float32)
    wanted = everything(store)
    monkeypatch.setattr(residency, "free_on", lambda device: 10**9)
    store = Batches(pictures, store.pixel_range, 4, CPU)
    store.kept = np.random.default_rng(1).random((len(pictures), 2, 2, 3), np.float32)
    found = everything(store)
    assert find_resident(array, CPU) is not None
    assert find_resident(store.kept, CPU) is not None
    for batch, other in zip(found, wanted, strict=True):
        assert torch.equal(batch.images, other.images)
        assert batch.images is batch.clean
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert (batch.kept is None) == (other.kept is None)
        assert batch.kept is None or torch.equal(batch.kept, other.kept)
        assert batch.repeated == other.repeated


def test_a_resident_store_is_not_read_again(resident, monkeypatch):
    """After the first epoch's start no pixel is read on the host, in no epoch and in no validation."""
    whole = from_array(numbered(10))
    training, validation = batches_of(whole.take(range(7))), batches_of(whole.take([9, 8, 7]))
    first = training.shuffled(0, 1)
    next(first)
    monkeypatch.setattr(Pictures, "batch", None)
    assert len(list(first)) == 1
    assert sorted(joined(training.shuffled(0, 2))) == list(range(7))
    assert [numbers(images) for images in validation] == [[9, 8, 7]]


def test_whether_a_store_fits_is_asked_once(monkeypatch):
    """A training that began without a resident store goes on without, whatever becomes free later."""
    asked = []
    monkeypatch.setattr(residency, "free_on", lambda device: asked.append(device) or 0)
    store = batches(numbered(10))
    for epoch in range(3):
        list(store.shuffled(0, epoch))
    assert asked == [CPU]


def test_the_order_is_sent_once_an_epoch(resident, monkeypatch):
    """An epoch sends the numbers of the pictures, and after that nothing."""
    store = batches(numbered(10), 2)
    list(store.shuffled(0, 1))
    sendings = []
    monkeypatch.setattr(
        batches_module, "sent", lambda array, device: sendings.append(array) or sent(array, device)
    )
    given = joined(store.shuffled(0, 2))
    assert [array.tolist() for array in sendings] == [given]


def test_a_batch_of_a_resident_store_may_be_written_to(resident):
    """The resident is left as it is, floats among them."""
    array = numbered(6, dtype=np.float32)
    store = batches(array)
    store.kept = array + 1
    for batch in everything(store):
        batch.images.zero_()
        if batch.kept is not None:
            batch.kept.zero_()
    assert np.array_equal(find_resident(array, CPU).tensor.numpy(), numbered(6))
    assert np.array_equal(find_resident(store.kept, CPU).tensor.numpy(), numbered(6) + 1)


def test_parts_of_a_resident_store_are_the_same(resident):
    """Several processes that train together may each hold the store on a GPU of their own."""
    store = with_kept(10)
    found = [numbers(batch.images) for batch in store.shuffled(3, 1, part_of=third_of)]
    assert found == [numbers(batch.kept) for batch in store.shuffled(3, 1, part_of=third_of)]
    order = joined(store.shuffled(3, 1))
    assert found == [order[1:2], order[5:6], order[8:9]]


@pytest.mark.parametrize("iterate", [Batches.in_order, Batches.full, iter])
def test_what_is_read_once_is_not_sent_whole(iterate, resident):
    """A pass over the pictures alone, as scoring is, leaves the device's memory to the network."""
    store = batches(numbered(10))
    list(iterate(store))
    assert find_resident(store.pictures.array, CPU) is None


def test_spoiled_pictures_are_made_on_the_host(resident):
    """A corruptor works on the CPU, so that no store is sent whole for it."""
    store = batches(numbered(10))
    list(store.shuffled(0, 1, add_noise))
    assert find_resident(store.pictures.array, CPU) is None


def test_spoiled_pictures_make_no_way_back():
    """To a device whose tensors cannot be read they come as well, clean and spoiled."""
    meta = torch.device("meta")
    store = Batches(from_array(numbered(5)), PixelRange(0.0, 1.0, "uint8"), 4, meta)
    found = list(store.shuffled(0, 1, add_noise))
    assert [(batch.images.device, batch.clean.device) for batch in found] == [(meta, meta)] * 2
    assert [batch.images.shape for batch in found] == [(4, 1, 2, 3), (1, 1, 2, 3)]
