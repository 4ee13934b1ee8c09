import numpy as np
import pytest
import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.gradient import gradient_difference
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)


def magnitudes(plane):
    """Central differences of one plane, pixel by pixel, where the outermost pixels are repeated."""
    height, width = plane.shape
    found = np.zeros_like(plane)
    for row in range(height):
        for column in range(width):
            right = plane[row, min(column + 1, width - 1)]
            left = plane[row, max(column - 1, 0)]
            below = plane[min(row + 1, height - 1), column]
            above = plane[max(row - 1, 0), column]
            found[row, column] = np.sqrt(((right - left) / 2) ** 2 + ((below - above) / 2) ** 2)
    return found


@pytest.mark.parametrize("shape", [(3, 7, 6), (1, 1, 1), (2, 1, 5), (1, 2, 2)])
def test_the_map_is_that_of_plain_loops(shape):
    """Magnitudes are taken of each channel, and their absolute differences averaged over channels."""
    target, mean = torch.rand(2, 4, *shape, generator=GENERATOR)
    found = gradient_difference(target, Reconstruction(mean))
    wanted = [
        np.mean([np.abs(magnitudes(a) - magnitudes(b)) for a, b in zip(one, other, strict=True)], 0)
        for one, other in zip(target.double().numpy(), mean.double().numpy(), strict=True)
    ]
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    scores = reduce_map(gradient_difference, found)
    np.testing.assert_allclose(scores, np.mean(wanted, (1, 2)), rtol=1e-5, atol=1e-7)


def test_a_slope_has_its_own_magnitude():
    """A plane that rises by 0.3 to the right and 0.4 downwards has a gradient of 0.5 off its edges."""
    slope = 0.4 * torch.arange(5.0)[:, None] + 0.3 * torch.arange(6.0)
    found = gradient_difference(slope[None, None], Reconstruction(torch.zeros(1, 1, 5, 6)))
    torch.testing.assert_close(found[0, 1:-1, 1:-1], torch.full((3, 4), 0.5))


def test_a_difference_of_brightness_does_not_count():
    """A reconstruction that is darker everywhere has the same edges; a blurred one has not."""
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4:] = 0.5
    assert gradient_difference(image + 0.25, Reconstruction(image)).max() == 0
    assert gradient_difference(image, Reconstruction(torch.full_like(image, 0.25))).max() > 0.2
