import numpy as np
import torch

from recon_anomaly.models.brightness import Brightness
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scoring import anomaly_maps, reduce_map

PICTURES = torch.rand(7, 2, 4, 3, generator=torch.Generator().manual_seed(0))


def fitted():
    network = Brightness((4, 3, 2))
    network.fit_batches(PICTURES.split([4, 2, 1]))
    return network


def test_the_target_is_the_mean_of_all_pixels_and_channels():
    """One number stands for each picture."""
    found = fitted().target(PICTURES)
    assert found.shape == (7, 1, 1, 1)
    np.testing.assert_allclose(found.flatten(), PICTURES.numpy().mean((1, 2, 3)), rtol=1e-6)


def test_the_reconstruction_is_the_training_pictures_brightness():
    """Batches of unequal size count by their pictures."""
    found = fitted()(PICTURES[:3]).mean
    assert found.shape == (3, 1, 1, 1)
    np.testing.assert_allclose(found.flatten(), [PICTURES.numpy().mean()] * 3, rtol=1e-6)


def test_the_score_is_the_squared_distance_from_the_mean_brightness():
    """The map has the pictures' size and is the same everywhere, so its mean is that distance."""
    images = torch.full((2, 2, 4, 3), 0.25)
    images[1] = 1.0
    network = fitted()
    maps = anomaly_maps(network, mean_squared_error, images)
    mean = PICTURES.numpy().mean(dtype=np.float64)
    wanted = np.array([(0.25 - mean) ** 2, (1.0 - mean) ** 2])
    assert maps.shape == (2, 4, 3)
    np.testing.assert_allclose(maps, np.broadcast_to(wanted[:, None, None], (2, 4, 3)), rtol=1e-5)
    np.testing.assert_allclose(reduce_map(mean_squared_error, maps), wanted, rtol=1e-5)


def test_the_loss_is_the_squared_distance():
    """Its mean over the batch is the only term."""
    network = Brightness((4, 3, 2))
    network.fit_batches([torch.zeros(1, 2, 4, 3)])
    images = torch.stack([torch.full((2, 4, 3), 1.0), torch.full((2, 4, 3), 3.0)])
    assert network.losses(network.target(images), network(images)) == {"reconstruction": 5.0}
