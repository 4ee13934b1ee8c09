import numpy as np
import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 4, 3, 5, 6, generator=GENERATOR)


def test_a_worked_case():
    """Errors of 0.2 and 0.4 in two channels of one pixel give (0.04 + 0.16) / 2 there."""
    target = torch.zeros(1, 2, 1, 2)
    target[0, :, 0, 0] = torch.tensor([0.2, -0.4])
    found = mean_squared_error(target, Reconstruction(torch.zeros(1, 2, 1, 2)))
    torch.testing.assert_close(found, torch.tensor([[[0.1, 0.0]]]))


def test_the_score_is_equation_15_of_the_returned_map():
    """The mean of the map is the sum of squared differences over pixels times channels."""
    maps = mean_squared_error(TARGET, Reconstruction(MEAN))
    difference = TARGET.double().numpy() - MEAN.double().numpy()
    wanted = [np.sum(picture**2) / (3 * 5 * 6) for picture in difference]
    assert maps.shape == (4, 5, 6)
    assert maps.dtype == torch.float32
    scores = reduce_map(mean_squared_error, maps)
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)
    np.testing.assert_allclose(scores, maps.numpy().astype(np.float64).mean((1, 2)), rtol=1e-14)


def test_a_perfect_reconstruction_scores_zero():
    """Where nothing differs, map and score are exactly zero."""
    assert not mean_squared_error(TARGET, Reconstruction(TARGET)).any()
