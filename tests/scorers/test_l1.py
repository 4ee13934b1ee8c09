import numpy as np
import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.l1 import mean_absolute_error
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 4, 3, 5, 6, generator=GENERATOR)


def test_a_worked_case():
    """Errors of 0.2 and -0.4 in two channels of one pixel give (0.2 + 0.4) / 2 there."""
    target = torch.zeros(1, 2, 1, 2)
    target[0, :, 0, 0] = torch.tensor([0.2, -0.4])
    found = mean_absolute_error(target, Reconstruction(torch.zeros(1, 2, 1, 2)))
    torch.testing.assert_close(found, torch.tensor([[[0.3, 0.0]]]))


def test_the_score_is_the_mean_of_the_returned_map():
    """It is the sum of absolute differences over pixels times channels."""
    maps = mean_absolute_error(TARGET, Reconstruction(MEAN))
    difference = np.abs(TARGET.double().numpy() - MEAN.double().numpy())
    wanted = [np.sum(picture) / (3 * 5 * 6) for picture in difference]
    assert maps.shape == (4, 5, 6)
    assert maps.dtype == torch.float32
    np.testing.assert_allclose(reduce_map(mean_absolute_error, maps), wanted, rtol=1e-6)


def test_many_small_errors_count_as_one_large_one():
    """A picture that is off by 0.1 at four pixels scores as one that is off by 0.4 at one."""
    images = torch.zeros(2, 1, 2, 2)
    images[0] += 0.1
    images[1, 0, 0, 0] = 0.4
    maps = mean_absolute_error(images, Reconstruction(torch.zeros(2, 1, 2, 2)))
    scores = reduce_map(mean_absolute_error, maps)
    torch.testing.assert_close(scores[0], scores[1])
