import numpy as np
import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.latent import LatentDistance
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
TARGET, MEAN = torch.rand(2, 4, 3, 5, 6, generator=GENERATOR).unbind(0)
CODE, SECOND = torch.randn(2, 4, 10, generator=GENERATOR).unbind(0)


def test_a_hand_worked_case():
    """Codes that lie 1 + 2 apart, and errors of 0.1 and 0.3: a quarter and three quarters of 3."""
    target = torch.tensor([[[[0.5, 0.5]]]])
    mean = torch.tensor([[[[0.4, 0.8]]]])
    found = LatentDistance()(
        target,
        Reconstruction(mean, code=torch.tensor([[1.0, -1.0]]), second_code=torch.tensor([[0.0, 1.0]])),
    )  # fmt: skip
    torch.testing.assert_close(found, torch.tensor([[[0.75, 2.25]]]))


def test_the_score_is_the_l1_distance_of_the_codes():
    """By a plain loop over pictures and latents; the map adds up to it."""
    scorer = LatentDistance()
    maps = scorer(TARGET, Reconstruction(MEAN, code=CODE, second_code=SECOND))
    wanted = [sum(abs(a - b) for a, b in zip(one, other, strict=True))
              for one, other in zip(CODE.tolist(), SECOND.tolist(), strict=True)]  # fmt: skip
    assert maps.shape == (4, 5, 6)
    np.testing.assert_allclose(reduce_map(scorer, maps), wanted, rtol=1e-6)


def test_the_map_is_proportional_to_the_absolute_error():
    """Within a picture; the errors of the channels add up."""
    maps = LatentDistance()(TARGET, Reconstruction(MEAN, code=CODE, second_code=SECOND))
    for found, target, mean in zip(maps, TARGET, MEAN, strict=True):
        ratio = found / (target - mean).abs().sum(0)
        torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_codes_may_be_maps():
    """Of (n, c, h, w) all differences are summed."""
    code, second = CODE[:, :8].reshape(4, 2, 2, 2), SECOND[:, :8].reshape(4, 2, 2, 2)
    flat = LatentDistance()(
        TARGET, Reconstruction(MEAN, code=CODE[:, :8], second_code=SECOND[:, :8])
    )
    found = LatentDistance()(TARGET, Reconstruction(MEAN, code=code, second_code=second))
    torch.testing.assert_close(found, flat)


def test_a_perfect_reconstruction_still_has_its_score():
    """Where no pixel differs the distance is spread evenly, and not lost."""
    found = LatentDistance()(TARGET, Reconstruction(TARGET, code=CODE, second_code=SECOND))
    wanted = (CODE - SECOND).abs().sum(1) / 30
    torch.testing.assert_close(found, wanted[:, None, None].expand(4, 5, 6))


def test_a_score_depends_on_nothing_else_that_is_scored():
    """It is neither brought to the range of a batch nor to that of a set."""
    scorer = LatentDistance()
    maps = scorer(TARGET, Reconstruction(MEAN, code=CODE, second_code=SECOND))
    for k in range(4):
        one = slice(k, k + 1)
        alone = scorer(
            TARGET[one], Reconstruction(MEAN[one], code=CODE[one], second_code=SECOND[one])
        )
        torch.testing.assert_close(alone, maps[one])


@pytest.mark.parametrize("codes", [{}, {"code": CODE}, {"second_code": SECOND}])
def test_a_model_without_two_codes_is_refused(codes):
    """The error says what is compared, and names a model and a scorer that work."""
    with pytest.raises(InputError, match=r"does not give both; take .* 'ganomaly', or .* 'mse'"):
        LatentDistance()(TARGET, Reconstruction(MEAN, **codes))
