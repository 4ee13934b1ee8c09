import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly import InputError, Reconstruction
from recon_anomaly.batches import Batches
from recon_anomaly.distributed import ALONE, Ranks
from recon_anomaly.images import PixelRange
from recon_anomaly.randomness import Part, corrupt, derive_seed, latent_noise, noise_of, seeded
from recon_anomaly.store import from_array
from recon_anomaly.training import Plan, RunState, train

CPU = torch.device("cpu")
keys = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=3)


@settings(deadline=None)
@given(keys)
def test_a_derived_seed_is_64_bits_and_repeats(key):
    """The same key gives the same seed, which torch takes."""
    seed = derive_seed(*key)
    assert seed == derive_seed(*key)
    assert 0 <= seed < 2**64
    torch.Generator().manual_seed(seed)


@settings(deadline=None)
@given(keys, keys)
def test_other_keys_give_other_seeds(one, other):
    """Two different keys, of the same length or not, never share a seed."""
    assert (derive_seed(*one) == derive_seed(*other)) == (one == other)


def test_a_step_of_zero_is_a_key_of_its_own():
    """(seed, epoch) and (seed, epoch, 0) are other keys and give other seeds."""
    assert derive_seed(42, 1) != derive_seed(42, 1, 0)


def test_derived_seeds_look_random():
    """Each of the 64 bits is set in about half of the seeds of neighbouring keys."""
    seeds = np.array([derive_seed(42, epoch, 1) for epoch in range(2000)], np.uint64)
    shares = [(seeds >> np.uint64(bit) & np.uint64(1)).mean() for bit in range(64)]
    assert np.abs(np.array(shares) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


def test_the_same_key_draws_the_same_numbers():
    """What is drawn inside depends on the key alone, not on what was drawn before."""
    with seeded(CPU, 1, 2):
        first = torch.randn(5)
    torch.randn(3)
    with seeded(CPU, 1, 2):
        assert torch.equal(torch.randn(5), first)
    with seeded(CPU, 1, 3):
        assert not torch.equal(torch.randn(5), first)


def test_the_global_generators_are_restored():
    """Torch's, NumPy's and Python's global generators go on as if nothing had been drawn."""
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 -- the global generator is what is tested
    with seeded(CPU, 7):
        torch.randn(100)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002 -- the global generator is what is tested
    assert random.getstate() == before[2]


def test_the_global_generator_is_restored_after_an_error():
    """An exception inside leaves torch's generator as it was, too."""

    def draw_and_fail():
        with seeded(CPU, 7):
            torch.randn(100)
            raise ZeroDivisionError

    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), before)


def test_one_thread_at_a_time_is_inside():
    """Threads do not draw from each other's seeds, nor restore each other's generators."""
    before = torch.get_rng_state()

    def draw(key):
        with seeded(CPU, key):
            return torch.cat([torch.randn(250) for _ in range(8)]).tolist()

    wanted = [draw(key) for key in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(draw, list(range(4)) * 20))
    assert found == wanted * 20
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_may_be_nested():
    """An inner block leaves the outer one's sequence undisturbed."""
    with seeded(CPU, 1):
        wanted = torch.randn(4)
    with seeded(CPU, 1):
        first = torch.randn(2)
        with seeded(CPU, 2):
            torch.randn(9)
        rest = torch.randn(2)
    assert torch.equal(torch.cat([first, rest]), wanted)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 5))
def test_latent_noise_belongs_to_the_place_in_the_whole_batch(whole, size):
    """Whoever draws a part gets the rows that one process draws for these places, call by call."""
    key = (7, 3, 2)
    with noise_of(CPU, None, *key):
        expected = [latent_noise(torch.zeros(whole, 4)), latent_noise(torch.zeros(whole, 2, 3))]
    for rank in range(size):
        part = Part.of(whole, rank, size)
        rows = max(part.length, 1)
        with noise_of(CPU, part, *key):
            found = [latent_noise(torch.zeros(rows, 4)), latent_noise(torch.zeros(rows, 2, 3))]
        for ours, all_rows in zip(found, expected, strict=True):
            assert torch.equal(ours, all_rows[part.first : part.first + rows])


def test_latent_noise_does_not_depend_on_other_draws():
    """Dropout before it, which each process draws for its own pictures, shifts nothing."""
    like = torch.zeros(3, 2)
    with noise_of(CPU, None, 1):
        expected = latent_noise(like)
    with noise_of(CPU, None, 1):
        torch.rand(17)
        assert torch.equal(latent_noise(like), expected)


def test_latent_noise_outside_a_training_is_randn_like():
    """It then comes from torch's global generator, in the dtype that is asked for."""
    like = torch.zeros(3, 2, dtype=torch.float64)
    with seeded(CPU, 5):
        expected = torch.randn_like(like)
    with seeded(CPU, 5):
        assert torch.equal(latent_noise(like), expected)


@pytest.mark.parametrize(("length", "rows"), [(2, 5), (2, 1), (0, 0), (0, 2)])
def test_latent_noise_of_other_rows_than_the_parts_is_refused(length, rows):
    """Rows that belong to no picture cannot be those of one process, and what to ask for is said."""
    with (
        noise_of(CPU, Part(1, length, 5), 7),
        pytest.raises(InputError, match=rf"{rows} rows where {max(length, 1)} pictures are.*draws"),
    ):
        latent_noise(torch.zeros(rows, 3))


class Drawing(torch.nn.Module):
    """Draws from torch's generator and from the latent's in every step, and keeps both."""

    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.zeros(()))
        self.own, self.latent = [], []

    def forward(self, images):
        if self.training:
            self.own.append(torch.randn(len(images), 3))
            self.latent.append(latent_noise(torch.zeros(len(images), 3)))
        return Reconstruction(images * 0 + self.level)

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


class Pretended(Ranks):
    """One process of several that wait for nobody and hear from nobody."""

    def wrapped(self, step):
        return step

    def summed(self, values):
        return values

    def of_first(self, values):
        return dict(values)


def drawn(ranks=ALONE):
    """What a network draws in two epochs of three batches of 4, 4 and 2 pictures, a tensor a step."""
    network = Drawing()
    array = np.random.default_rng(0).random((10, 2, 2, 1), dtype=np.float32)
    batches = Batches(from_array(array), PixelRange(0.0, 1.0, "float32"), 4, CPU)
    plan = Plan(lambda history: {"reconstruction": 1.0}, 2, 0.1, seed=5, ranks=ranks)
    list(train(RunState(network, plan, ("reconstruction",), CPU), batches, batches, plan))
    return network.own, network.latent


def test_a_step_draws_no_number_twice():
    """The latent's noise, torch's generator and every other step draw numbers of their own."""
    own, latent = drawn()
    assert [len(rows) for rows in own] == [len(rows) for rows in latent] == [4, 4, 2] * 2
    every = torch.cat(own + latent).flatten()
    assert len(every.unique()) == len(every)


def test_processes_share_the_latents_noise_alone():
    """Of two processes each has its rows of the latent's noise, and other numbers from torch's generator."""
    _, alone_latent = drawn()
    parts = [drawn(Pretended(rank, 2)) for rank in range(2)]
    for step, whole in enumerate(alone_latent):
        assert torch.equal(torch.cat([latent[step] for _, latent in parts]), whole)
    own = torch.cat([rows for part, _ in parts for rows in part]).flatten()
    assert len(own.unique()) == len(own)


@pytest.mark.parametrize("made", [np.zeros((4, 4, 1)), np.zeros((4, 5, 1), np.float32)])
def test_a_corruptor_that_gives_something_else_is_refused(made):
    """Another type or shape is named, beside what is wanted."""
    image = np.zeros((4, 4, 1), np.float32)
    with pytest.raises(
        InputError, match=rf"gave {made.dtype} of shape .*float32 of shape \(4, 4, 1"
    ):
        corrupt(lambda image, rng: (made, None), image, np.random.default_rng(0))
