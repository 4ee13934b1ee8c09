import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.randomness import derive_seed, seeded

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
