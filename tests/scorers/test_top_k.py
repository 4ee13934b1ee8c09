import numpy as np
import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scorers.top_k import LargestErrors
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 4, 3, 10, 20, generator=GENERATOR)


def test_a_worked_case():
    """Of the four squared errors 0.01, 0.04, 0.09 and 0.16 the largest half has the mean 0.125."""
    target = torch.tensor([0.1, -0.2, 0.3, -0.4]).reshape(1, 1, 2, 2)
    scorer = LargestErrors(share=0.5)
    maps = scorer(target, Reconstruction(torch.zeros(1, 1, 2, 2)))
    torch.testing.assert_close(maps, torch.tensor([[[0.01, 0.04], [0.09, 0.16]]]))
    torch.testing.assert_close(reduce_map(scorer, maps), torch.tensor([0.125]).double())


@pytest.mark.parametrize(
    ("share", "count"),
    [(1e-9, 1), (0.001, 1), (0.005, 1), (0.0051, 2), (0.035, 7), (0.29, 58), (1.0, 200)],
)
def test_the_count_is_rounded_up(share, count):
    """Of 200 pixels 0.51 % are two, at least one counts, and floating point adds none."""
    scorer = LargestErrors(share)
    maps = scorer(TARGET, Reconstruction(MEAN))
    ordered = np.sort(maps.double().numpy().reshape(4, -1), 1)
    found = reduce_map(scorer, maps)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, ordered[:, -count:].mean(1), rtol=1e-14)


def test_the_whole_share_is_the_mean_squared_error():
    """With a share of 1 map and score are those of mse."""
    scorer = LargestErrors(1)
    maps = scorer(TARGET, Reconstruction(MEAN))
    wanted = mean_squared_error(TARGET, Reconstruction(MEAN))
    assert torch.equal(maps, wanted)
    torch.testing.assert_close(
        reduce_map(scorer, maps), reduce_map(mean_squared_error, wanted), rtol=1e-14, atol=0
    )


def test_one_percent_counts_unless_told_otherwise():
    """Of 200 pixels that are the two largest."""
    maps = torch.arange(200.0).reshape(1, 10, 20)
    assert LargestErrors().reduce(maps) == 198.5


def test_ties_do_not_matter():
    """Which of equal pixels is among the largest changes nothing."""
    maps = torch.tensor([[[3.0, 1.0], [1.0, 1.0]]])
    assert LargestErrors(0.5).reduce(maps) == 2.0
    assert LargestErrors(0.5).reduce(maps.flip(-1, -2)) == 2.0


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    """The error says what was given, and what a share is."""
    wanted = f"^share is {share}; give a share of the pixels, above 0 and at most 1$"
    with pytest.raises(InputError, match=wanted):
        LargestErrors(share)
