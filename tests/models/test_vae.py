import math

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly import VAE, InputError, load
from recon_anomaly.batches import Batches
from recon_anomaly.images import measure_range
from recon_anomaly.models.vae import VAENetwork
from recon_anomaly.randomness import seeded
from recon_anomaly.scoring import reconstruct
from recon_anomaly.store import from_array
from recon_anomaly.testing import check_model

TERMS = {
    "bernoulli": ["reconstruction", "kl"],
    "gaussian": ["scaled_error", "log_variance", "kl"],
}
CPU = torch.device("cpu")
likelihoods = pytest.mark.parametrize("likelihood", TERMS)


@pytest.fixture
def make():
    """Build a small network of a likelihood, its latent log-variances far from all alike."""

    def build(likelihood="gaussian"):
        torch.manual_seed(0)
        network = VAENetwork((16, 8, 2), likelihood, latent_size=3, kernels=(4, 6))
        with torch.no_grad():
            network.latent_log_variance.bias.copy_(torch.tensor([-2.0, 0.0, 1.0]))
        return network

    return build


@pytest.fixture
def images():
    return torch.rand(4, 2, 16, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("side", "kernels", "bottleneck"),
    [
        (1, (16,), 1),
        (15, (16,), 8),
        (30, (16,), 15),
        (31, (16, 32), 8),
        (64, (16, 32, 64), 8),
        (128, (16, 32, 64, 64), 8),
        (240, (16, 32, 64, 64), 15),
        (256, (16, 32, 64, 64, 64), 8),
        (512, (16, 32, 64, 64, 64, 64), 8),
    ],
)
def test_it_convolves_until_the_longer_side_is_below_16(side, kernels, bottleneck):
    """By default the dense layers begin at 8 to 15 pixels, or less where the picture has no more."""
    with torch.device("meta"):
        network = VAENetwork((side, 1, 3), latent_size=2)
    convolutions = [layer for layer in network.encoder if isinstance(layer, torch.nn.Conv2d)]
    assert tuple(layer.out_channels for layer in convolutions) == kernels
    assert network.stride == 2 ** len(kernels)
    assert network.latent_mean.in_features == kernels[-1] * bottleneck


def test_a_branch_s_snapshot_fits_into_a_gigabyte():
    """Weights, Adam's two moments and the kept weights, 16 bytes a parameter, of the largest default."""
    gigabytes = {}
    for side in (240, 256):
        with torch.device("meta"):
            network = VAENetwork((side, side, 3))
        gigabytes[side] = 16 * sum(part.numel() for part in network.parameters()) / 1e9
    assert gigabytes[256] == pytest.approx(0.2, abs=0.005)
    assert gigabytes[240] == pytest.approx(0.69, abs=0.005)


def test_the_defaults_are_the_papers():
    """A latent of 1000, 100 epochs of batches of 32 at 0.0001, neither plateau nor early stopping."""
    with torch.device("meta"):
        assert VAENetwork((256, 256, 1)).latent_size == VAE().latent_size == 1000
    assert dict(VAENetwork.recipe) == {
        "epochs": 100,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "reduce_learning_rate": False,
        "early_stopping": False,
    }


@likelihoods
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(likelihood, shape):
    """Odd sizes and single pixels are padded inside; mean and variance come back in their own size."""
    height, width, channels = shape
    network = VAENetwork(shape, likelihood, latent_size=2).eval()
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    found = reconstruct(network, images)
    assert found.mean.shape == images.shape
    if likelihood == "gaussian":
        assert found.log_variance.shape == images.shape


@likelihoods
def test_it_keeps_every_contract(likelihood):
    """The checks for plugin authors pass, with few kernels."""
    check_model("vae", {"likelihood": likelihood, "latent_size": 3, "kernels": (4, 6)})


@pytest.mark.parametrize(("bias", "bound"), [(1e4, 10.0), (-1e4, -10.0)])
def test_the_latent_s_log_variance_nears_its_bounds(make, images, bias, bound):
    """Far out it lies close to 10 or -10 and still has a gradient, and the draw stays finite."""
    network = make()
    with torch.no_grad():
        network.latent_log_variance.bias.fill_(bias)
    found = network(images)
    torch.testing.assert_close(
        found.latent_log_variance, torch.full((4, 3), bound), rtol=0, atol=0.02
    )
    assert found.mean.isfinite().all()
    found.latent_log_variance.sum().backward()
    assert (network.latent_log_variance.bias.grad > 0).all()


@pytest.mark.parametrize(("bias", "bound"), [(1e4, 2.0), (-1e4, -10.0)])
def test_the_decoder_s_log_variance_nears_its_bounds(make, images, bias, bound):
    """Far out it lies close to 2 or -10, and still has a gradient."""
    network = make()
    with torch.no_grad():
        network.decoder[1][-1].bias[2:] = bias
    log_variance = network(images).log_variance
    torch.testing.assert_close(log_variance, torch.full((4, 2, 16, 8), bound), rtol=0, atol=0.02)
    log_variance.sum().backward()
    assert (network.decoder[1][-1].bias.grad[2:] > 0).all()


@pytest.mark.parametrize(("bias", "logit"), [(1e4, 10.0), (-1e4, -10.0)])
def test_a_bernoulli_decoder_is_never_certain(make, images, bias, logit):
    """Its logits lie in [-10, 10], so black and white pixels cost little and wrong ones at most 10 nats."""
    network = make("bernoulli")
    with torch.no_grad():
        network.decoder[1][-1].bias.fill_(bias)
    found = network(images)
    wanted = 1 / (1 + math.exp(-logit))
    torch.testing.assert_close(found.mean, torch.full_like(found.mean, wanted), rtol=0, atol=1e-4)
    network.losses(images, found)["reconstruction"].backward()
    assert network.decoder[1][-1].bias.grad.isfinite().all()
    assert network.decoder[1][-1].bias.grad.all()


@pytest.mark.parametrize(("dropped", "bound"), [("scaled_error", -10), ("log_variance", 2)])
def test_what_a_dropped_term_lets_go_comes_back(dropped, bound):
    """A weight of 1e-10 drives the decoder's variance to its bound; with all weights 1 it returns."""
    torch.manual_seed(0)
    images = torch.rand(4, 1, 4, 4)
    network = VAENetwork((4, 4, 1), latent_size=2, kernels=(4,))
    optimizer = torch.optim.Adam(network.parameters(), 0.05, fused=True)

    def train(steps, **weights):
        for _ in range(steps):
            terms = network.losses(images, network.train()(images))
            loss = sum(weights.get(name, 1.0) * term for name, term in terms.items())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        distances = network.eval()(images).log_variance - bound
        return distances.abs().median().item()

    with seeded(CPU, 0):
        before = train(50)
        driven = train(400, **{dropped: 1e-10})
        after = train(100)
    assert driven < 0.5 * before
    assert after > 1.5 * driven


@likelihoods
def test_training_reconstructs_from_a_draw_and_evaluation_from_the_mean(make, images, likelihood):
    """Training decodes mu + sigma * epsilon, a new epsilon at each call; evaluation decodes mu."""
    network = make(likelihood)
    with seeded(CPU, 5):
        found, other = network(images), network(images)
    with seeded(CPU, 5):
        noise = torch.randn(4, 3)
    mean, log_variance = network.encode(images)
    torch.testing.assert_close(found.mean, network.decode(mean + (log_variance / 2).exp() * noise))
    assert not torch.equal(found.mean, other.mean)
    network.eval()
    torch.testing.assert_close(network(images).mean, network.decode(mean))


@likelihoods
def test_draws_are_reconstructions_with_their_variance(make, images, likelihood):
    """Each row of noise serves every picture, a row of zeros is the mean's own reconstruction."""
    network = make(likelihood).eval()
    rows = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    draws = list(network.draw(images, rows))
    for part, other in zip(draws[0], network(images), strict=True):
        assert part is other is None or torch.allclose(part, other, atol=1e-6)
    mean, log_variance = network.encode(images)
    for row, found in zip(rows, draws, strict=True):
        wanted, variance = network.pixels(mean + log_variance.exp().sqrt() * row)
        torch.testing.assert_close(found.mean, wanted)
        assert (found.log_variance is None) == (variance is None) == (likelihood == "bernoulli")
        if variance is not None:
            torch.testing.assert_close(found.log_variance, variance)


@likelihoods
def test_the_terms_are_the_evidence_bound_of_torch_distributions(make, images, likelihood):
    """Their sum is KL - log p(x | z), summed over a picture and averaged over the batch."""
    network = make(likelihood).eval()
    found = network(images)
    terms = network.losses(images, found)
    assert list(terms) == TERMS[likelihood]
    posterior = Normal(found.latent_mean, found.latent_log_variance.exp().sqrt())
    kl = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms["kl"], kl.mean())
    if likelihood == "gaussian":
        decoder = Normal(found.mean, found.log_variance.exp().sqrt())
        log_likelihood = decoder.log_prob(images)
    else:
        decoder = Bernoulli(probs=found.mean)
        white, black = decoder.log_prob(torch.ones(())), decoder.log_prob(torch.zeros(()))
        log_likelihood = images * white + (1 - images) * black
    bound = kl - log_likelihood.sum((1, 2, 3))
    torch.testing.assert_close(sum(terms.values()), bound.mean(), rtol=1e-5, atol=1e-3)


@likelihoods
def test_every_parameter_learns(make, images, likelihood):
    """Through the draw, the terms without the KL divergence have a gradient for each parameter."""
    network = make(likelihood)
    with seeded(CPU, 5):
        terms = network.losses(images, network(images))
    sum(term for name, term in terms.items() if name != "kl").backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_half_precision_ends_at_the_decoder(make, images):
    """Under autocast the pixels are float32: bfloat16 would round those near white to certainty."""
    network = make("bernoulli")
    with torch.no_grad():
        network.decoder[1][-1].bias.fill_(100.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(images)
    assert found.mean.dtype == torch.float32
    assert found.mean.max() < 1
    assert network.losses(images, found)["reconstruction"].isfinite()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"likelihood": "poisson"}, "likelihood is 'poisson'; give one of: bernoulli, gaussian"),
        ({"latent_size": 0}, "latent_size is 0; give"),
        ({"latent_size": 2.5}, "latent_size is 2.5; give"),
        ({"kernels": ()}, r"kernels is \(\); give"),
        ({"kernels": (4, 0)}, r"kernels is \(4, 0\); give"),
        ({"kernels": 4}, "kernels is 4; give a list"),
    ],
)
def test_bad_parameters_are_refused(params, message, good):
    """The error shows what was given, and the likelihoods that are known."""
    with pytest.raises(InputError, match=message):
        VAE(**params, epochs=1).fit(good)


# The estimator -----------------------------------------------------------------------------------


@likelihoods
def test_a_weight_makes_it_a_beta_vae(good, likelihood):
    """With {"kl": 4} a step of Adam goes down the other terms + 4 KL, worked out here by hand."""
    small = {"likelihood": likelihood, "latent_size": 3, "kernels": (4, 6)}
    beta = {"schedule_params": {"weights": {"kl": 4}}}
    detector = VAE(**small, **beta, epochs=1, learning_rate=0.01)
    detector.fit(good[8:], validation_data=good[:8])

    with seeded(CPU, detector.seed_):
        network = VAENetwork((16, 16, 1), **small).to(memory_format=torch.channels_last)
    pictures = from_array(good[8:])
    batches = Batches(pictures, measure_range(pictures), 32, CPU)
    (batch,) = batches.shuffled(detector.seed_, 1)
    with seeded(CPU, detector.seed_, 1, 0):
        terms = network.losses(batch.images, network(batch.images))
    *others, kl = terms.values()
    loss = sum(others) + 4 * kl
    loss.backward()
    with torch.no_grad():  # Adam's first step, by its formula
        for part in network.parameters():
            part -= 0.01 * part.grad / (part.grad.abs() + 1e-8)

    (record,) = detector.history_.records
    assert record.training == pytest.approx({k: v.item() for k, v in terms.items()}, rel=1e-5)
    assert record.weighted_training_loss == pytest.approx(loss.item(), rel=1e-5)
    learned = detector.network_.state_dict()
    for name, part in network.state_dict().items():
        torch.testing.assert_close(learned[name], part, rtol=1e-4, atol=1e-5, msg=name)


def test_terms_of_another_likelihood_are_refused(good):
    """A weight for a term that the model does not have lists those that it has."""
    detector = VAE(latent_size=3, epochs=1, schedule_params={"weights": {"reconstruction": 2}})
    with pytest.raises(InputError, match="scaled_error, log_variance, kl"):
        detector.fit(good)


@likelihoods
def test_a_saved_vae_scores_alike(good, bad, tmp_path, likelihood):
    """It comes back as a VAE with its parameters, and its scores are the same bit for bit."""
    detector = VAE(likelihood=likelihood, latent_size=3, epochs=1).fit(good)
    detector.save(tmp_path / "vae.safetensors")
    loaded = load(tmp_path / "vae.safetensors")
    assert type(loaded) is VAE
    assert loaded.get_params()["likelihood"] == likelihood
    assert np.array_equal(loaded.anomaly_score(bad), detector.anomaly_score(bad))


@likelihoods
def test_the_reconstruction_probability_takes_the_variance_of_a_gaussian_decoder(good, likelihood):
    """Where there is one it is used; for a Bernoulli decoder one is fitted on validation pictures."""
    detector = VAE(
        likelihood=likelihood, latent_size=3, epochs=1, scorer="reconstruction-probability"
    ).fit(good)
    used = {"gaussian": "the decoder's", "bernoulli": "fitted per pixel on validation residuals"}
    assert detector.scorer_uses_ == {"variance": used[likelihood], "latent": "10 draws"}
