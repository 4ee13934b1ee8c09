import numpy as np
import torch

from recon_anomaly.models.mean import MeanPicture

PICTURES = torch.rand(7, 2, 4, 3, generator=torch.Generator().manual_seed(0))


def test_the_reconstruction_is_the_mean_of_the_training_pictures():
    """Batches of unequal size count by their pictures, as NumPy's mean over all of them."""
    network = MeanPicture((4, 3, 2))
    network.fit_batches(PICTURES.split([4, 2, 1]))
    wanted = PICTURES.numpy().mean(0, dtype=np.float64)
    found = network(torch.zeros(3, 2, 4, 3)).mean.numpy()
    np.testing.assert_allclose(found, np.stack([wanted] * 3), rtol=1e-6)


def test_the_mean_is_taken_in_float64():
    """16 pictures of 1 and one of 2 to the 24th keep the ones that float32 would lose."""
    network = MeanPicture((1, 1, 1))
    levels = torch.tensor([2.0**24, *[1.0] * 16])
    network.fit_batches(levels.reshape(17, 1, 1, 1).split(1))
    assert network.mean.item() == np.float32((2**24 + 16) / 17)


def test_the_loss_is_the_summed_squared_error():
    """Pictures of 1 against a mean of 0 in 24 values give 24."""
    network = MeanPicture((4, 3, 2))
    network.fit_batches([torch.zeros(2, 2, 4, 3)])
    images = torch.ones(5, 2, 4, 3)
    assert network.losses(images, network(images)) == {"reconstruction": 24.0}


def test_a_second_fit_starts_afresh():
    """The mean is that of the last fit's pictures."""
    network = MeanPicture((4, 3, 2))
    network.fit_batches([torch.full((9, 2, 4, 3), 5.0)])
    network.fit_batches([torch.ones(1, 2, 4, 3)])
    assert torch.equal(network.mean, torch.ones(2, 4, 3))
