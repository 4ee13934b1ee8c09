import pytest
import torch
from torch.distributions import Normal, kl_divergence

from recon_anomaly.errors import InputError
from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.protocols import MapAndTerms, Reconstruction
from recon_anomaly.registry import build
from recon_anomaly.scorers.elbo import EvidenceLowerBound
from recon_anomaly.scorers.reconstruction_probability import ReconstructionProbability
from recon_anomaly.scoring import make_noise, maps_and_terms, reduce_map, score_all


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


TARGET, MEAN, LOG_VARIANCE = random(3, 4, 2, 5, 6)
LATENT_MEAN, LATENT_LOG_VARIANCE = random(2, 4, 3, seed=1)
MADE = Reconstruction(MEAN, LOG_VARIANCE, LATENT_MEAN, LATENT_LOG_VARIANCE)


def log_likelihood(target, mean, log_variance):
    target, mean, log_variance = (part.double() for part in (target, mean, log_variance))
    return Normal(mean, (0.5 * log_variance).exp()).log_prob(target)


def divergence(mean, log_variance):
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    return kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)


def test_the_score_is_minus_the_bound():
    """It is the KL divergence less the log-likelihood, as torch.distributions have them."""
    scorer = EvidenceLowerBound()
    found = scorer(TARGET, MADE)
    assert isinstance(found, MapAndTerms)
    assert found.map.dtype == found.terms.dtype == torch.float32
    wanted = log_likelihood(TARGET, MEAN, LOG_VARIANCE)
    torch.testing.assert_close(found.map.double(), -wanted.sum(1), rtol=1e-5, atol=1e-5)
    kl = divergence(LATENT_MEAN, LATENT_LOG_VARIANCE)
    torch.testing.assert_close(found.terms.double(), kl, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        reduce_map(scorer, *found), kl - wanted.sum((1, 2, 3)), rtol=1e-6, atol=0
    )


def test_the_divergence_is_averaged_over_draws_as_the_map_is():
    """Drawn often, the score is the mean log-likelihood of the drawn pictures, and the divergence once."""
    torch.manual_seed(0)
    network = CVAENetwork((8, 8, 1), kernels=(4,), latent_size=2).eval()
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    scorer = EvidenceLowerBound(draws=5)
    scorer.log_variance = torch.full((1, 8, 8), -3.0)
    noise = make_noise(network, scorer, 0, torch.device("cpu"))
    with torch.no_grad():
        maps, terms = maps_and_terms(network, scorer, images, noise)
        mean, log_variance = network.encode(images)
        pictures = [network.decode(mean + (0.5 * log_variance).exp() * row) for row in noise]
    likelihood = [
        log_likelihood(images, one, torch.tensor(-3.0)).sum((1, 2, 3)) for one in pictures
    ]
    wanted = divergence(mean, log_variance) - torch.stack(likelihood).mean(0)
    torch.testing.assert_close(reduce_map(scorer, maps, terms), wanted, rtol=1e-5, atol=1e-4)
    found = score_all(network, scorer, [images], noise)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-5, atol=1e-4)


def test_the_variance_is_fitted_as_for_the_reconstruction_probability():
    """Where the decoder has none both fit the same one, with the same floor, and give the same map."""
    made = MADE._replace(log_variance=None)
    scorer, other = EvidenceLowerBound(floor=0.3), ReconstructionProbability(floor=0.3)
    for each in (scorer, other):
        each.fit([(TARGET, made)])
    assert torch.equal(scorer.log_variance, other.log_variance)
    assert torch.equal(scorer(TARGET, made).map, other(TARGET, made))
    fresh = EvidenceLowerBound()
    fresh.load_state_dict(scorer.state_dict())
    assert torch.equal(fresh(TARGET, made).map, other(TARGET, made))


def test_without_any_variance_there_is_an_error():
    """It names the scorer that asks for it."""
    with pytest.raises(InputError, match="elbo has no variance"):
        EvidenceLowerBound()(TARGET, MADE._replace(log_variance=None))


@pytest.mark.parametrize("missing", ["latent_mean", "latent_log_variance"])
def test_a_model_without_a_latent_is_refused(missing):
    """The error names what is missing, models that have it, and a scorer that does without."""
    with pytest.raises(
        InputError, match=r"needs a variational model.*such as cvae.*'reconstruction-probability'"
    ):
        EvidenceLowerBound()(TARGET, MADE._replace(**{missing: None}))


def test_describe_says_what_is_used():
    """A network that cannot draw is scored at one reconstruction; what is added is named."""
    cvae = CVAENetwork((8, 8, 1), kernels=(4,), latent_size=2)
    added = {"added": "KL divergence, summed over latents"}
    decoder = {"variance": "the decoder's"}
    scorer = EvidenceLowerBound(draws=7)
    assert scorer.describe(cvae) == decoder | {"latent": "7 draws"} | added
    assert scorer.describe(CAENetwork((8, 8, 1)))["latent"] == "one deterministic reconstruction"


@pytest.mark.parametrize("params", [{"draws": 0}, {"draws": 2.5}, {"floor": 0.0}])
def test_wrong_parameters_are_refused(params):
    """The error has the name and the value."""
    ((name, value),) = params.items()
    with pytest.raises(InputError, match=f"{name} is {value}; give"):
        build("scorer", "elbo", params)
