import numpy as np
import pytest
import torch
from torch.distributions import Normal

from recon_anomaly.errors import InputError
from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.reconstruction_probability import ReconstructionProbability
from recon_anomaly.scoring import anomaly_maps, reduce_map


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


TARGET, MEAN, LOG_VARIANCE = random(3, 4, 2, 5, 6)


def negative_log_likelihood(target, mean, log_variance):
    """Return torch.distributions' -log N summed over channels, in float64."""
    target, mean, log_variance = (part.double() for part in (target, mean, log_variance))
    return -Normal(mean, (0.5 * log_variance).exp()).log_prob(target).sum(1)


def test_the_map_is_the_likelihood_under_the_decoder_s_variance():
    """A decoder with a variance of its own gives the negative log-density, summed over channels."""
    found = ReconstructionProbability()(TARGET, Reconstruction(MEAN, LOG_VARIANCE))
    wanted = negative_log_likelihood(TARGET, MEAN, LOG_VARIANCE)
    assert found.shape == (4, 5, 6)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_the_score_is_the_joint_log_likelihood():
    """The sum of the map is the negative log-likelihood of the whole picture."""
    scorer = ReconstructionProbability()
    found = reduce_map(scorer, scorer(TARGET, Reconstruction(MEAN, LOG_VARIANCE)))
    wanted = negative_log_likelihood(TARGET, MEAN, LOG_VARIANCE).sum((1, 2))
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_the_fitted_variance_is_the_mean_squared_residual():
    """Batches of unequal size count by their pictures, pixel by pixel and channel by channel."""
    scorer = ReconstructionProbability(floor=1e-12)
    scorer.fit((TARGET[part], Reconstruction(MEAN[part])) for part in (slice(3), slice(3, 4)))
    wanted = np.square(TARGET.double().numpy() - MEAN.double().numpy()).mean(0)
    np.testing.assert_allclose(scorer.log_variance.exp(), wanted, rtol=1e-5)
    torch.testing.assert_close(
        scorer(TARGET, Reconstruction(MEAN)).double(),
        negative_log_likelihood(TARGET, MEAN, torch.tensor(np.log(wanted)).expand(4, -1, -1, -1)),
        rtol=1e-5,
        atol=1e-5,
    )


def test_the_fitted_variance_is_the_most_likely_one():
    """No other variance makes the validation pictures more likely on the whole."""
    scorer = ReconstructionProbability(floor=1e-12)
    reconstruction = Reconstruction(MEAN)
    scorer.fit([(TARGET, reconstruction)])
    best = scorer(TARGET, reconstruction).sum()
    fitted = scorer.log_variance
    for change in (-0.1, 0.1):
        scorer.log_variance = fitted + change
        assert scorer(TARGET, reconstruction).sum() > best


def test_the_fitted_variance_has_a_floor():
    """Pixels that never varied get the floor, 0.01 squared unless told otherwise."""
    for params, floor in (({}, 1e-4), ({"floor": 0.25}, 0.25)):
        scorer = ReconstructionProbability(**params)
        scorer.fit([(MEAN, Reconstruction(MEAN))])
        torch.testing.assert_close(scorer.log_variance, torch.full((2, 5, 6), floor).log())


def test_the_decoder_s_variance_is_not_floored():
    """The floor is for fitted variances alone."""
    sharp = Reconstruction(MEAN, torch.full_like(MEAN, -20.0))
    found = ReconstructionProbability(floor=1.0)(MEAN, sharp)
    torch.testing.assert_close(found, torch.full((4, 5, 6), np.log(2 * np.pi) - 20.0).float())


def test_the_decoder_s_variance_comes_first():
    """A decoder with a variance leaves nothing to fit, and a fitted variance does not replace it."""
    scorer = ReconstructionProbability()
    scorer.fit([(TARGET, Reconstruction(MEAN, LOG_VARIANCE))])
    assert scorer.log_variance is None
    own = scorer(TARGET, Reconstruction(MEAN, LOG_VARIANCE))
    scorer.fit([(TARGET, Reconstruction(MEAN))])
    assert scorer.log_variance is not None
    assert torch.equal(scorer(TARGET, Reconstruction(MEAN, LOG_VARIANCE)), own)


def test_without_any_variance_there_is_an_error():
    """The error says that neither the decoder nor a fit gave a variance."""
    with pytest.raises(InputError, match=r"no variance: the decoder .* fitted"):
        ReconstructionProbability()(TARGET, Reconstruction(MEAN))


def test_draws_are_averaged():
    """The map is the mean of -log N over the draws, which differs from that of the mean picture."""
    torch.manual_seed(0)
    network = CVAENetwork((8, 8, 1), kernels=(4,), latent_size=2).eval()
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    noise = random(4, 2)
    scorer = ReconstructionProbability(draws=4)
    scorer.log_variance = torch.full((1, 8, 8), -3.0)
    with torch.no_grad():
        found = anomaly_maps(network, scorer, images, noise)
        mean, log_variance = network.encode(images)
        pictures = [network.decode(mean + (0.5 * log_variance).exp() * row) for row in noise]
        wanted = [
            negative_log_likelihood(images, picture, torch.tensor(-3.0)) for picture in pictures
        ]
    torch.testing.assert_close(found.double(), torch.stack(wanted).mean(0), rtol=1e-5, atol=1e-5)


def test_the_state_is_what_was_fitted():
    """A scorer that takes back the state of a fitted one gives the same maps."""
    fitted, fresh = ReconstructionProbability(), ReconstructionProbability()
    assert fitted.state_dict() == {}
    fitted.fit([(TARGET, Reconstruction(MEAN))])
    fresh.load_state_dict(fitted.state_dict())
    reconstruction = Reconstruction(MEAN)
    assert torch.equal(fresh(TARGET, reconstruction), fitted(TARGET, reconstruction))
    fresh.load_state_dict({})
    assert fresh.log_variance is None


def test_it_says_what_it_uses():
    """The description names the variance and the latent that really go into the map."""
    scorer = ReconstructionProbability(draws=7)
    assert scorer.describe(CVAENetwork((8, 8, 1), kernels=(2,))) == {
        "variance": "the decoder's",
        "latent": "7 draws",
    }
    scorer.fit([(TARGET, Reconstruction(MEAN))])
    assert scorer.describe(CAENetwork((8, 8, 1), kernels=(2,))) == {
        "variance": "fitted per pixel on validation residuals",
        "latent": "one deterministic reconstruction",
    }


@pytest.mark.parametrize("params", [{"draws": 0}, {"floor": 0.0}, {"floor": np.nan}])
def test_impossible_parameters_are_refused(params):
    """The error names the parameter and its value."""
    ((name, value),) = params.items()
    with pytest.raises(InputError, match=f"{name} is {value}; give"):
        ReconstructionProbability(**params)
