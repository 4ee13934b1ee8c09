"""The variational half that models share: a dense latent between a feature map and a decoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly.blocks import decoder
from recon_anomaly.errors import InputError
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.models.tcvae import TCVAENetwork
from recon_anomaly.models.vae import VAENetwork
from recon_anomaly.randomness import seeded
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scoring import maps_and_terms
from recon_anomaly.variational import DenseVariational

CPU = torch.device("cpu")


class Pooled(DenseVariational):
    """Its features are means over 2 x 2 pixels."""

    def __init__(self, latent_size=3):
        super().__init__((2, 4, 3), latent_size, decoder(2, (3, 2), (True, False)))
        self.asked = 0

    def features(self, images):
        self.asked += 1
        return nn.functional.avg_pool2d(images, 2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = Pooled()
    with torch.no_grad():
        network.latent_log_variance.bias.copy_(torch.tensor([-2.0, 0.0, 1.0]))
    return network


@pytest.fixture
def images():
    return torch.rand(4, 2, 8, 6, generator=torch.Generator().manual_seed(1))


def test_the_latent_is_two_dense_layers_of_the_flat_features(network, images):
    """Mean and log-variance are affine in the features, flattened channel by channel."""
    flat = nn.functional.avg_pool2d(images, 2).reshape(4, 24)
    mean, log_variance = network.encode(images)
    wanted = flat @ network.latent_mean.weight.T + network.latent_mean.bias
    torch.testing.assert_close(mean, wanted)
    layer = network.latent_log_variance
    torch.testing.assert_close(log_variance, flat @ layer.weight.T + layer.bias)


def test_the_way_back_is_a_dense_layer_relu_decoder_and_sigmoid(network):
    """A latent becomes a map of the features' shape, then a picture between 0 and 1."""
    latent = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    flat = (latent @ network.from_latent.weight.T + network.from_latent.bias).clamp(min=0)
    wanted = torch.sigmoid(network.decoder[1](flat.reshape(5, 2, 4, 3)))
    torch.testing.assert_close(network.decode(latent), wanted)
    assert network.decode(latent).shape == (5, 2, 8, 6)


@pytest.mark.parametrize(("bias", "wanted"), [(1e4, 10.0), (-1e4, -10.0)])
def test_the_log_variance_is_clipped(network, images, bias, wanted):
    """However far out, it stays in [-10, 10], so that no variance overflows."""
    with torch.no_grad():
        network.latent_log_variance.bias.fill_(bias)
    found = network.train()(images)
    assert (found.latent_log_variance == wanted).all()
    assert found.mean.isfinite().all()


def test_kept_features_stand_in_for_the_pictures(network, images):
    """With them the features are not computed, and all that is returned is the same bit for bit."""
    kept = network.features(images)
    network.asked = 0
    for mode in (True, False):
        network.train(mode)
        with seeded(CPU, 5):
            wanted = network(images)
        network.asked = 0
        with seeded(CPU, 5):
            found = network(images, kept=kept)
        assert network.asked == 0
        for part, other in zip(found, wanted, strict=True):
            assert part is other is None or torch.equal(part, other)
    assert torch.equal(network.encode(images * 0, kept)[0], network.encode(images)[0])


def test_kept_features_may_lie_in_memory_in_any_order(network, images):
    """Channels last, as they are kept, they are flattened as channels first."""
    kept = network.features(images)
    last = kept.contiguous(memory_format=torch.channels_last)
    assert torch.equal(network.encode(images, last)[0], network.encode(images, kept)[0])


def test_training_draws_and_evaluation_does_not(network, images):
    """Training reconstructs from mu + sigma * epsilon, evaluation from mu."""
    network.train()
    with seeded(CPU, 5):
        found = network(images)
    with seeded(CPU, 5):
        noise = torch.randn(4, 3)
    mean, log_variance = network.encode(images)
    torch.testing.assert_close(found.mean, network.decode(mean + (log_variance / 2).exp() * noise))
    assert torch.equal(network.eval()(images).mean, network.decode(mean))


def test_draws_encode_once(network, images):
    """Any number of rows costs one pass through the features, and each row serves every picture."""
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    draws = list(network.eval().draw(images, noise))
    assert network.asked == 1
    mean, log_variance = network.encode(images)
    for row, found in zip(noise, draws, strict=True):
        wanted = network.decode(mean + log_variance.exp().sqrt() * row)
        torch.testing.assert_close(found.mean, wanted)


def test_the_kl_term_is_torchs(network, images):
    """It is the KL divergence from the standard normal, summed over the latent, averaged over pictures."""
    found = network.eval()(images)
    terms = network.losses(images, found)
    posterior = Normal(found.latent_mean, found.latent_log_variance.exp().sqrt())
    wanted = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(terms["kl"], wanted)
    error = sum(((image - mean) ** 2).sum() for image, mean in zip(images, found.mean, strict=True))
    torch.testing.assert_close(terms["reconstruction"], error / 4)


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
@pytest.mark.parametrize(
    ("model", "params"),
    [
        (CVAENetwork, {"kernels": (2,)}),
        (VAENetwork, {"kernels": (2,), "likelihood": "bernoulli"}),
        (VAENetwork, {"kernels": (2,), "likelihood": "gaussian"}),
        (TCVAENetwork, {"weights": None}),
    ],
    ids=["cvae", "vae, bernoulli", "vae, gaussian", "tcvae"],
)
def test_the_kl_term_of_each_model_reaches_the_encoder_however_large(model, params):
    """A hundred nats are a hundred, and pull with the gradient of the Gaussians' divergence: mu/n, (sigma^2 - 1)/2n."""
    network = model((8, 8, 1), latent_size=3, **params)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    made = network.eval()(images)
    mean = torch.full((4, 3), 10.0, requires_grad=True)
    log_variance = torch.full((4, 3), 2.0, requires_grad=True)
    made = made._replace(latent_mean=mean, latent_log_variance=log_variance)
    term = network.losses(images, made)["kl"]
    wanted = torch_kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(term, wanted.sum(1).mean())
    assert term > 100
    term.backward()
    torch.testing.assert_close(mean.grad, mean.detach() / 4)
    torch.testing.assert_close(log_variance.grad, (log_variance.detach().exp() - 1) / 8)


def test_draws_are_decoded_one_after_the_other(network, images):
    """However many are asked for, no more rows than pictures are held at once."""
    rows = []
    network.decoder.register_forward_hook(lambda module, given, made: rows.append(len(given[0])))
    noise = torch.randn(10, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps, _ = maps_and_terms(network.eval(), mean_squared_error, images, noise)
    assert maps.shape == (4, 8, 6)
    assert rows == [4] * 10


def test_the_features_are_a_subclass_s_business(images):
    """The class alone has none."""
    base = DenseVariational((2, 4, 3), 3, decoder(2, (3, 2), (True, False)))
    with pytest.raises(NotImplementedError):
        base(images)


class Spread(Pooled):
    """Its log-variance is halved in place of clipped, and its decoder gives a variance, too."""

    def limit(self, log_variance):
        return log_variance / 2

    def pixels(self, latent):
        outputs = self.outputs(latent)
        return outputs.sigmoid(), outputs - 1


def test_a_subclass_may_have_other_ranges_and_a_variance(images):
    """What it makes of the log-variance and of the decoder's outputs is what is drawn and returned."""
    torch.manual_seed(0)
    network = Spread()
    with torch.no_grad():
        network.latent_log_variance.bias.fill_(100.0)
    found = network.eval()(images)
    assert (found.latent_log_variance > 49).all()
    torch.testing.assert_close(found.log_variance.sigmoid(), (found.mean.logit() - 1).sigmoid())
    torch.testing.assert_close(network.decode(found.latent_mean), found.mean)
    (drawn,) = network.draw(images, torch.zeros(1, 3))
    for part, other in zip(drawn, found, strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("latent_size", [0, -1, 2.0, "many"])
def test_a_latent_without_dimensions_is_refused(latent_size):
    """The error shows the parameter; a float or a word is no number of dimensions either."""
    with pytest.raises(InputError, match=f"latent_size is {latent_size!r}; give"):
        Pooled(latent_size)
