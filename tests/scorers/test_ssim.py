import numpy as np
import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.ssim import structural_difference
from recon_anomaly.scoring import reduce_map
from recon_anomaly.similarity import structural_dissimilarity

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 3, 2, 9, 7, generator=GENERATOR)


def test_the_map_is_the_mean_over_channels():
    """Each channel has an SSIM of its own, and one minus it is averaged; the score is the map's mean."""
    found = structural_difference(TARGET, Reconstruction(MEAN))
    wanted = np.mean([structural_dissimilarity(TARGET, MEAN)[:, k] for k in range(2)], 0)
    assert found.shape == (3, 9, 7)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    scores = reduce_map(structural_difference, found)
    np.testing.assert_allclose(scores, wanted.astype(float).mean((1, 2)), rtol=1e-6)


def test_structure_counts_more_than_its_error():
    """A lost texture scores above a uniform change of brightness with the same mean squared error."""
    image = torch.full((1, 1, 16, 16), 0.5)
    texture = 0.1 * (-1.0) ** (torch.arange(16)[:, None] + torch.arange(16))
    lost = structural_difference(image + texture, Reconstruction(image)).mean()
    darker = structural_difference(image + texture, Reconstruction(image + texture - 0.1)).mean()
    assert lost > 10 * darker


def test_features_are_compared_as_pictures_are():
    """Numbers far outside of [0, 1] give a finite map, and equal ones zero."""
    features = 100 * torch.randn(2, 5, 4, 4, generator=GENERATOR)
    assert structural_difference(features, Reconstruction(features)).max() == 0
    found = structural_difference(features, Reconstruction(features.flip(-1)))
    assert found.isfinite().all()
    assert found.min() >= 0
