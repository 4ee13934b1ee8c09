import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.smoothed_maximum import SmoothedMaximum
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("sigma", "pixels"), [(1 / 8, 3.0), (1 / 64, 0.375), (0, 0.0)])
def test_the_map_is_that_of_scipy(sigma, pixels):
    """Squared errors, averaged over channels and blurred; the deviation is a share of the shorter side."""
    target, mean = torch.rand(2, 3, 2, 30, 24, generator=GENERATOR)
    scorer = SmoothedMaximum(sigma)
    found = scorer(target, Reconstruction(mean))
    errors = ((target.double() - mean.double()) ** 2).mean(1).numpy()
    wanted = np.stack([gaussian_filter(one, pixels, mode="nearest", truncate=4) for one in errors])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    np.testing.assert_allclose(reduce_map(scorer, found), wanted.max((1, 2)), rtol=1e-5)


def test_a_region_outweighs_a_pixel():
    """One pixel that is quite wrong scores below nine that are half as wrong, at the default smoothing."""
    images = torch.zeros(2, 1, 128, 128)
    images[0, 0, 30, 30] = 1.0
    images[1, 0, 60:63, 60:63] = 0.5
    scorer = SmoothedMaximum()
    maps = scorer(images, Reconstruction(torch.zeros_like(images)))
    scores = reduce_map(scorer, maps)
    assert scores[1] > scores[0]
    assert [divmod(int(one.argmax()), 128) for one in maps] == [(30, 30), (61, 61)]


@pytest.mark.parametrize("sigma", [-0.1, 1.5, float("nan")])
def test_a_sigma_that_is_no_share_is_refused(sigma):
    """The error says what was given, and in what the deviation is measured."""
    wanted = f"^sigma is {sigma}; give a share of the shorter side, from 0 to 1$"
    with pytest.raises(InputError, match=wanted):
        SmoothedMaximum(sigma)
