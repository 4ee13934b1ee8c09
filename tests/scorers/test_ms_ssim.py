import torch

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.ms_ssim import MultiScaleDifference
from recon_anomaly.scorers.ssim import structural_difference
from recon_anomaly.scoring import reduce_map
from recon_anomaly.similarity import multi_scale_dissimilarity

GENERATOR = torch.Generator().manual_seed(0)


def test_the_map_is_the_mean_over_channels():
    """Each channel has a product over scales of its own; the score is the mean of the map."""
    target, mean = torch.rand(2, 3, 2, 40, 30, generator=GENERATOR)
    scorer = MultiScaleDifference()
    found = scorer(target, Reconstruction(mean))
    assert found.shape == (3, 40, 30)
    assert found.dtype == torch.float32
    wanted = multi_scale_dissimilarity(target, mean)
    torch.testing.assert_close(found, (wanted[:, 0] + wanted[:, 1]) / 2)
    torch.testing.assert_close(reduce_map(scorer, found), found.double().mean((1, 2)))


def test_coarse_structure_survives_a_fine_shift():
    """A pixel of fine texture displaced counts less than in SSIM, since coarser scales agree."""
    coarse = (torch.arange(64) // 16 % 2).float().expand(64, 64)
    fine = 0.2 * (torch.arange(64) % 2).float().expand(64, 64)
    target, made = (coarse + fine)[None, None], (coarse + fine.flip(-1))[None, None]
    several = MultiScaleDifference()(target, Reconstruction(made)).mean()
    assert several < 0.6 * structural_difference(target, Reconstruction(made)).mean()


def test_describe_says_how_many_scales_there_are():
    """After fit it is what the size allows, which survives saving; before it is not known."""
    scorer = MultiScaleDifference()
    assert scorer.describe(None) == {"scales": "as many as fit of 5"}
    assert scorer.state_dict() == {}
    for side, scales in {256: 5, 90: 4, 16: 1, 1: 1}.items():
        image = torch.zeros(1, 1, side, side + 3)
        scorer.fit(iter([(image, Reconstruction(image))]))
        assert scorer.describe(None) == {"scales": f"{scales} of 5"}
        other = MultiScaleDifference()
        other.load_state_dict(scorer.state_dict())
        assert other.describe(None) == scorer.describe(None)


def test_fit_looks_at_one_pair():
    """What no scorer needs is not reconstructed."""
    asked = []

    def pairs():
        for number in range(3):
            asked.append(number)
            yield torch.zeros(1, 1, 8, 8), Reconstruction(torch.zeros(1, 1, 8, 8))

    MultiScaleDifference().fit(pairs())
    assert asked == [0]
