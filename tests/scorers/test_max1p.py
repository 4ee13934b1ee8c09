import numpy as np
import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.max1p import MaximumPixel
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 4, 3, 5, 6, generator=GENERATOR)


def test_a_worked_case():
    """Of the errors 0.2 and -0.4 in two channels of one pixel, the map has 0.4."""
    target = torch.zeros(1, 2, 1, 2)
    target[0, :, 0, 0] = torch.tensor([0.2, -0.4])
    found = MaximumPixel()(target, Reconstruction(torch.zeros(1, 2, 1, 2)))
    torch.testing.assert_close(found, torch.tensor([[[0.4, 0.0]]]))


def test_the_score_is_equation_16_of_the_returned_map():
    """The maximum of the map is the largest absolute difference of any pixel and channel."""
    scorer = MaximumPixel()
    maps = scorer(TARGET, Reconstruction(MEAN))
    wanted = np.abs(TARGET.numpy() - MEAN.numpy()).reshape(4, -1).max(1)
    assert maps.shape == (4, 5, 6)
    assert maps.dtype == torch.float32
    np.testing.assert_array_equal(reduce_map(scorer, maps), wanted.astype(np.float64))


def test_one_pixel_decides():
    """A picture with one wrong pixel scores above one that is a little wrong everywhere."""
    images = torch.zeros(2, 1, 8, 8)
    images[0] += 0.1
    images[1, 0, 3, 5] = 0.2
    scorer = MaximumPixel()
    scores = reduce_map(scorer, scorer(images, Reconstruction(torch.zeros(2, 1, 8, 8))))
    assert scores[1] > scores[0]
