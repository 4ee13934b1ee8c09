"""The limit on what a network that a file asks for may make."""

from __future__ import annotations

import threading

import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.rationing import Ration

HUGE = 2**40


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Linear(HUGE, 2),
        lambda: torch.nn.Conv2d(2**20, 2**20, 3),
        lambda: torch.zeros(HUGE),
        lambda: torch.zeros((2**20, 2**20)),
        lambda: torch.randn(size=(HUGE,)),
        lambda: torch.arange(HUGE),
        lambda: torch.eye(2**20),
        lambda: torch.full((HUGE,), 1.0, device="cpu"),
        lambda: [torch.zeros(600) for _ in range(2)],
        lambda: [torch.zeros(1) for _ in range(11)],
    ],
)
def test_what_exceeds_it_is_refused_before_it_is_made(make):
    """A terabyte is not asked for, whichever way, nor many small tensors."""
    with pytest.raises(InputError, match="ask for more numbers or tensors"), Ration(1000, 10):
        make()


def test_what_is_within_it_is_made():
    """Exactly as many as were granted; on the device meta, which has no memory, any number."""
    with Ration(numbers=8, tensors=2):
        assert torch.nn.Linear(3, 2).weight.shape == (2, 3)
        assert torch.zeros(HUGE, device="meta").shape == (HUGE,)
        with torch.device("meta"):
            assert torch.nn.Linear(2**20, 2**20).weight.is_meta
        torch.tensor([1.0, 2.0]).repeat(9)
    torch.zeros(10)


def test_other_threads_are_left_alone():
    """Whoever works beside makes what he wants."""
    made = []
    with Ration(numbers=1, tensors=1):
        beside = threading.Thread(target=lambda: made.append(torch.zeros(100)))
        beside.start()
        beside.join()
    assert len(made) == 1
