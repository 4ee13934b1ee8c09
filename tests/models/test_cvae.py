import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly.errors import InputError
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.randomness import seeded
from recon_anomaly.scoring import reconstruct


@pytest.fixture
def network():
    """A small network whose latent log-variances are far from all alike."""
    torch.manual_seed(0)
    network = CVAENetwork((16, 8, 2), kernels=(4, 6), latent_size=3)
    with torch.no_grad():
        network.latent_log_variance.bias.copy_(torch.tensor([-2.0, 0.0, 1.0]))
    return network


@pytest.fixture
def images():
    return torch.rand(4, 2, 16, 8, generator=torch.Generator().manual_seed(1))


def test_the_shapes_of_the_paper():
    """(256, 256, 3) is encoded as 32 latents and comes back in its size."""
    network = CVAENetwork((256, 256, 3)).eval()
    with torch.inference_mode():
        found = network(torch.zeros(1, 3, 256, 256))
    assert found.mean.shape == (1, 3, 256, 256)
    assert found.latent_mean.shape == found.latent_log_variance.shape == (1, 32)
    assert found.log_variance is None
    assert network.latent_size == 32


def test_it_is_convolutional():
    """Three convolutions of 16, 32 and 64 kernels, each pooled; three transposed ones lead back (§4.1)."""
    found = list(CVAENetwork((256, 256, 1)).modules())
    assert [m.out_channels for m in found if isinstance(m, nn.Conv2d)][:3] == [16, 32, 64]
    assert sum(isinstance(m, nn.MaxPool2d) for m in found) == 3
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in found) == 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(shape):
    """Odd sizes and single pixels are padded inside and come back in their own size."""
    height, width, channels = shape
    network = CVAENetwork(shape, kernels=(2, 3, 4), latent_size=2).eval()
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    assert reconstruct(network, images).mean.shape == images.shape


@pytest.mark.parametrize(("bias", "wanted"), [(100.0, 10.0), (-100.0, -10.0), (0.0, 0.0)])
def test_the_log_variance_is_clipped(network, images, bias, wanted):
    """The log-variance stays in [-10, 10], whatever the dense layer gives."""
    with torch.no_grad():
        network.latent_log_variance.weight.zero_()
        network.latent_log_variance.bias.fill_(bias)
    log_variance = network(images).latent_log_variance
    assert torch.equal(log_variance, torch.full((4, 3), wanted))


def test_evaluation_reconstructs_from_the_mean(network, images):
    """In evaluation mode the latent is its mean: twice the same bits, no random number drawn."""
    network.eval()
    state = torch.get_rng_state()
    found = network(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found.mean, network(images).mean)
    torch.testing.assert_close(found.mean, network.decode(found.latent_mean))


def test_training_reconstructs_from_a_draw(network, images):
    """In training mode the latent is mu + sigma * epsilon, with a new epsilon at each call."""
    network.train()
    with seeded(torch.device("cpu"), 5):
        found, other = network(images), network(images)
    with seeded(torch.device("cpu"), 5):
        noise = torch.randn(4, 3)
    deviation = found.latent_log_variance.exp().sqrt()
    wanted = network.decode(found.latent_mean + deviation * noise)
    torch.testing.assert_close(found.mean, wanted)
    assert not torch.equal(found.mean, other.mean)
    assert torch.equal(found.latent_mean, other.latent_mean)


def test_a_draw_of_zeros_is_the_mean_s_reconstruction(network, images):
    """A row of zeros draws the latent's mean, in training mode too."""
    wanted = network.eval()(images)
    for mode in (True, False):
        (found,) = network.train(mode).draw(images, torch.zeros(1, 3))
        torch.testing.assert_close(found.mean, wanted.mean)
        torch.testing.assert_close(found.latent_mean, wanted.latent_mean)
        torch.testing.assert_close(found.latent_log_variance, wanted.latent_log_variance)


def test_each_row_of_noise_serves_every_picture(network, images):
    """Draw l is the reconstruction from mu + sigma * row l, with the same row for all pictures."""
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    draws = list(network.eval().draw(images, noise))
    assert len(draws) == 5
    mean, log_variance = network.encode(images)
    for row, found in zip(noise, draws, strict=True):
        wanted = network.decode(mean + log_variance.exp().sqrt() * row.repeat(4, 1))
        torch.testing.assert_close(found.mean, wanted)
    alone = list(network.draw(images[2:3], noise))
    torch.testing.assert_close(alone[4].mean, draws[4].mean[2:3])


def test_the_losses_are_sums_over_the_picture(network, images):
    """The terms are the negative log-likelihood's squared error and the KL divergence, summed."""
    found = network.eval()(images)
    terms = network.losses(images, found)
    posterior = Normal(found.latent_mean, found.latent_log_variance.exp().sqrt())
    kl = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    # -2 log N(x; mean, 1) without its constant is the squared error.
    unit = Normal(found.mean, 1.0)
    excess = 2 * (unit.log_prob(found.mean) - unit.log_prob(images))
    assert list(terms) == ["reconstruction", "kl"]
    torch.testing.assert_close(terms["kl"], kl)
    torch.testing.assert_close(terms["reconstruction"], excess.sum((1, 2, 3)).mean())


def test_every_parameter_learns(network, images):
    """Through the draw, the reconstruction alone has a gradient for each parameter."""
    network.train()
    with seeded(torch.device("cpu"), 5):
        network.losses(images, network(images))["reconstruction"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_pictures_lie_between_zero_and_one(network):
    """Latents far out are decoded to pixels in [0, 1], too."""
    pictures = network.decode(torch.tensor([[1e4, -1e4, 1e4], [0.0, 0.0, 0.0]]))
    assert pictures.shape == (2, 2, 16, 8)
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.mark.parametrize("params", [{"latent_size": 0}, {"kernels": ()}, {"kernels": (0,)}])
def test_a_network_of_nothing_is_refused(params):
    """The error names the parameter."""
    with pytest.raises(InputError, match=next(iter(params))):
        CVAENetwork((8, 8, 1), **params)
