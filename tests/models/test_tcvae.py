import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly.errors import InputError
from recon_anomaly.models.tcae import TCAENetwork
from recon_anomaly.models.tcvae import TCVAENetwork
from recon_anomaly.randomness import seeded
from recon_anomaly.scoring import reconstruct
from recon_anomaly.testing import check_model

random_weights = pytest.mark.filterwarnings("ignore:the weights of .* are random")


@pytest.fixture
def network():
    """A small network whose latent log-variances are far from all alike."""
    torch.manual_seed(0)
    network = TCVAENetwork((16, 8, 3), latent_size=3)
    with torch.no_grad():
        network.latent_log_variance.bias.copy_(torch.tensor([-2.0, 0.0, 1.0]))
    return network


@pytest.fixture
def images():
    return torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(1))


def test_the_shapes_of_the_paper():
    """(256, 256) becomes 64 x 64 x 128 = 524288 flat features, and these 32 latents."""
    network = TCVAENetwork((256, 256, 1)).eval()
    images = torch.zeros(1, 1, 256, 256)
    with torch.inference_mode():
        assert network.frozen(images).shape == (1, 128, 64, 64)
        found = network(images)
    assert found.mean.shape == images.shape
    assert found.latent_mean.shape == found.latent_log_variance.shape == (1, 32)
    assert network.latent_mean.in_features == network.latent_log_variance.in_features == 524288
    assert (network.latent_size, network.from_latent.out_features) == (32, 524288)


@random_weights
@pytest.mark.parametrize(
    "params",
    [{"weights": None}, {"backbone": "resnet18", "weights": None, "latent_size": 2}],
)
def test_it_keeps_the_contract(params):
    """What plugin authors check holds, draws among it, for VGG16 and for ResNet18."""
    check_model("tcvae", params)


@random_weights
@pytest.mark.parametrize(
    ("layer", "flat", "stride"), [(None, 64 * 4 * 6, 4), ("layer2", 128 * 2 * 3, 8)]
)
def test_other_backbones_and_cuts(layer, flat, stride):
    """The dense layers follow from the features of whatever the backbone is cut to."""
    network = TCVAENetwork((16, 24, 1), "resnet18", layer, None, latent_size=5).eval()
    images = torch.rand(2, 1, 16, 24)
    assert (network.stride, network.latent_mean.in_features) == (stride, flat)
    found = network(images)
    assert found.mean.shape == images.shape
    assert found.latent_mean.shape == (2, 5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(shape):
    """Odd sizes and single pixels are padded and come back in their own size."""
    height, width, channels = shape
    images = torch.rand(2, channels, height, width)
    assert reconstruct(TCVAENetwork(shape).eval(), images).mean.shape == images.shape


def test_the_features_are_the_tcaes_over_the_root_of_their_number(network, images):
    """Their length is so of the order of 1 at any size of pictures."""
    others = TCAENetwork((16, 8, 3)).frozen(images)
    flat = others.flatten(1)
    assert flat.shape[1] == 128 * 4 * 2
    torch.testing.assert_close(network.frozen(images), others / flat.shape[1] ** 0.5)
    for side in (16, 64):
        found = TCVAENetwork((side, side, 1)).frozen(torch.rand(1, 1, side, side))
        assert 0.3 < float(found.norm()) < 3


def test_the_first_step_leaves_the_latent_alive(images):
    """After one step of Adam at the default rate no log-variance stands at its bound."""
    images = torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    network = TCVAENetwork((64, 64, 1))
    optimizer = torch.optim.Adam(
        [parameter for parameter in network.parameters() if parameter.requires_grad], lr=0.003
    )
    with seeded(torch.device("cpu"), 1):
        sum(network.losses(images, network(images)).values()).backward()
    optimizer.step()
    _, log_variance = network.encode(images)
    assert log_variance.abs().max() < 9


def test_evaluation_uses_the_mean_and_training_a_draw(network, images):
    """In training mode the latent is mu + sigma * epsilon; in evaluation mode it is mu."""
    network.train()
    with seeded(torch.device("cpu"), 5):
        found = network(images)
    with seeded(torch.device("cpu"), 5):
        noise = torch.randn(4, 3)
    deviation = found.latent_log_variance.exp().sqrt()
    torch.testing.assert_close(found.mean, network.decode(found.latent_mean + deviation * noise))
    still = network.eval()(images)
    torch.testing.assert_close(still.mean, network.decode(found.latent_mean))
    torch.testing.assert_close(still.mean, network(images * 0, network.frozen(images)).mean)


def test_the_losses_are_sums_over_the_picture(network, images):
    """The terms are the summed squared error and torch's KL divergence, averaged over pictures."""
    found = network.eval()(images)
    terms = network.losses(images, found)
    posterior = Normal(found.latent_mean, found.latent_log_variance.exp().sqrt())
    assert list(terms) == ["reconstruction", "kl"]
    wanted = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(terms["kl"], wanted)
    error = sum(((image - mean) ** 2).sum() for image, mean in zip(images, found.mean, strict=True))
    torch.testing.assert_close(terms["reconstruction"], error / 4)


def test_all_but_the_backbone_learns(network, images):
    """Through the draw, both terms have a gradient for each parameter outside the frozen part."""
    network.train()
    with seeded(torch.device("cpu"), 5):
        sum(network.losses(images, network(images)).values()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith("backbone."):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


def test_a_latent_without_dimensions_is_refused():
    """The error shows the parameter."""
    with pytest.raises(InputError, match="latent_size is 0; give"):
        TCVAENetwork((16, 16, 1), latent_size=0)
