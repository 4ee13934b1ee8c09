import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from recon_anomaly.errors import InputError, WeightsError
from recon_anomaly.models.tcae import TCAENetwork
from recon_anomaly.scoring import reconstruct
from recon_anomaly.testing import check_model

random_weights = pytest.mark.filterwarnings("ignore:the weights of .* are random")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TCAENetwork((16, 16, 1))


@pytest.fixture
def images():
    return torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_shapes_of_the_paper(channels):
    """(256, 256) becomes (64, 64, 128) by VGG16 and comes back by three transposed convolutions."""
    network = TCAENetwork((256, 256, channels)).eval()
    images = torch.zeros(1, channels, 256, 256)
    with torch.inference_mode():
        features = network.frozen(images)
        assert features.shape == (1, 128, 64, 64)
        assert features.numel() == 524288
        assert network(images).mean.shape == images.shape
    steps = [layer for layer in network.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [(step.in_channels, step.out_channels, step.stride[0]) for step in steps] == [
        (128, 64, 1),
        (64, 32, 2),
        (32, channels, 2),
    ]


@random_weights
@pytest.mark.parametrize("params", [{"weights": None}, {"backbone": "resnet18", "weights": None}])
def test_it_keeps_the_contract(params):
    """What plugin authors check holds with random weights, of VGG16 and of ResNet18."""
    check_model("tcae", params)


@random_weights
@pytest.mark.parametrize(
    ("backbone", "layer", "channels", "stride"),
    [
        ("resnet18", None, 64, 4),
        ("resnet18", "layer2", 128, 8),
        ("resnet18", "relu", 64, 2),
        ("vgg16", "features.3", 64, 1),
        ("mobilenet_v3_small", None, 16, 4),
        ("efficientnet_b0", None, 24, 4),
    ],
)
def test_other_backbones_and_cuts(backbone, layer, channels, stride):
    """The decoder follows from channels and stride of whatever the backbone is cut to."""
    network = TCAENetwork((16, 24, 3), backbone, layer, None).eval()
    images = torch.rand(2, 3, 16, 24)
    assert network.stride == stride
    assert network.frozen(images).shape == (2, channels, 16 // stride, 24 // stride)
    assert network(images).mean.shape == images.shape


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 13, 3), (17, 8, 1)])
def test_any_height_and_width(shape):
    """Odd sizes and single pixels are padded and come back in their own size."""
    height, width, channels = shape
    images = torch.rand(2, channels, height, width)
    assert reconstruct(TCAENetwork(shape).eval(), images).mean.shape == images.shape


def test_the_reconstruction_is_decoded_from_the_features_alone(network, images, drawn_weights):
    """It is the logistic function of what the decoder makes of torchvision's own features."""
    layers = models.vgg.make_layers(models.vgg.cfgs["D"][:6]).eval()
    state = load_file(drawn_weights)
    layers.load_state_dict({name.removeprefix("features."): part for name, part in state.items()})
    means = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)
    features = layers(images * 255 - means) / network.backbone.scale
    wanted = 1 / (1 + (-network.decoder(features)).exp())
    found = network(images)
    torch.testing.assert_close(found.mean, wanted)
    assert set(found[1:]) == {None}
    assert network(images * 0, kept=network.frozen(images)).mean.equal(found.mean)


def test_the_loss_is_the_mean_of_the_pictures_rmse(network, images):
    """The only term is the CAE's: the root mean squared error of each picture, averaged."""
    found = network(images)
    terms = network.losses(images, found)
    each = [
        (image - mean).square().mean().sqrt()
        for image, mean in zip(images, found.mean, strict=True)
    ]
    assert list(terms) == ["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], torch.stack(each).mean())


def test_only_the_decoder_learns(network, images):
    """Each of its parameters has a gradient, and the backbone's have none."""
    network.train()
    network.losses(images, network(images))["reconstruction"].backward()
    for name, parameter in network.named_parameters():
        if name.startswith("backbone."):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@random_weights
def test_training_and_evaluation_are_the_same(images):
    """Nothing is random or depends on the mode, also with the batch norms of ResNet18."""
    network = TCAENetwork((16, 16, 1), "resnet18", weights=None)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert torch.equal(network.train()(images).mean, network.eval()(images).mean)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"backbone": "vgg61"}, InputError, "backbone='vgg61'"),
        ({"layer": "features.99"}, InputError, r"no layer 'features\.99'"),
        ({"weights": "gone.pth"}, WeightsError, r"gone\.pth does not exist"),
    ],
)
def test_a_backbone_that_cannot_be_is_refused(params, error, words):
    """The error is the backbone's own."""
    with pytest.raises(error, match=words):
        TCAENetwork((16, 16, 1), **params)
