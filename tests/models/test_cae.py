import numpy as np
import pytest
import torch
from torch import nn

from recon_anomaly import CAE
from recon_anomaly.corruptors.gaussian import GaussianNoise
from recon_anomaly.errors import InputError
from recon_anomaly.models.cae import CAENetwork


@pytest.fixture
def network():
    torch.manual_seed(0)
    return CAENetwork((16, 16, 1), kernels=(4, 6, 8))


@pytest.fixture
def images():
    return torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_shapes_of_the_paper():
    """(256, 256, 3) is encoded as (64, 64, 64), with three convolutions and two poolings."""
    network = CAENetwork((256, 256, 3)).eval()
    with torch.inference_mode():
        code = network.encoder(torch.zeros(1, 3, 256, 256))
        assert code.shape == (1, 64, 64, 64)
        assert network(torch.zeros(1, 3, 256, 256)).mean.shape == (1, 3, 256, 256)
    kinds = [type(layer) for layer in network.encoder]
    assert kinds.count(nn.Conv2d) == 3
    assert kinds.count(nn.MaxPool2d) == 2
    assert [type(layer) for layer in network.decoder].count(nn.ConvTranspose2d) == 3


@pytest.mark.parametrize(("kernels", "stride"), [((8,), 1), ([4, 8], 2), ((2, 3, 4, 5), 8)])
def test_every_layer_but_the_last_is_pooled(kernels, stride):
    """The stride follows from the number of layers, and so does the size of the code."""
    network = CAENetwork((16, 24, 2), kernels)
    images = torch.zeros(1, 2, 16, 24)
    assert network.stride == stride
    assert network.encoder(images).shape == (1, kernels[-1], 16 // stride, 24 // stride)
    assert network(images).mean.shape == images.shape


def test_the_reconstruction_is_an_autoencoder_s_alone(network, images):
    """There is no variance and no latent distribution, and all pixels lie between 0 and 1."""
    found = network(100 * images)
    assert set(found[1:]) == {None}
    assert found.mean.min() >= 0
    assert found.mean.max() <= 1


def test_the_output_is_a_sigmoid(network, images):
    """The reconstruction is the logistic function of what the decoder gives."""
    decoded = network.decoder(network.encoder(images))
    torch.testing.assert_close(network(images).mean, 1 / (1 + (-decoded).exp()))


def test_the_loss_is_the_mean_of_the_pictures_rmse(network, images):
    """The only term is the root mean squared error of each picture, averaged."""
    found = network(images)
    terms = network.losses(images, found)
    each = [
        (image - mean).square().mean().sqrt()
        for image, mean in zip(images, found.mean, strict=True)
    ]
    assert list(terms) == ["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], torch.stack(each).mean())


def test_every_parameter_learns(network, images):
    """The loss has a gradient, not zero all over, for each weight and bias."""
    network.losses(images, network(images))["reconstruction"].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_training_and_evaluation_are_the_same(network, images):
    """Nothing is random or depends on the mode."""
    assert torch.equal(network.train()(images).mean, network.eval()(images).mean)


@pytest.mark.parametrize("kernels", [(), (4, 0)])
def test_a_network_without_kernels_is_refused(kernels):
    """An empty list of layers, or a layer without kernels, raises an error."""
    with pytest.raises(InputError, match="kernels"):
        CAENetwork((8, 8, 1), kernels)


# Denoising ---------------------------------------------------------------------------------------


def test_trained_with_a_corruptor_it_removes_what_that_adds(good):
    """Of noisy pictures that were not trained on, it gives back the clean ones better than a plain one does."""
    clean = good[32:] / np.float32(255)
    noise = GaussianNoise(std=0.3)
    noisy = np.stack(
        [noise(picture, np.random.default_rng(k))[0] for k, picture in enumerate(clean)]
    )
    recipe = {"epochs": 40, "batch_size": 8, "early_stopping": False, "reduce_learning_rate": False}
    errors = {}
    for corruptor, params in {None: None, "gaussian": {"std": 0.3}}.items():
        detector = CAE(kernels=(8, 16), corruptor=corruptor, corruptor_params=params, **recipe)
        detector.fit(good[:32], validation_data=good[32:])
        errors[corruptor] = np.square(detector.reconstruct(noisy) - clean).mean()
    assert errors["gaussian"] < 0.5 * errors[None]
    assert errors["gaussian"] < 0.1 * np.square(noisy - clean).mean()
