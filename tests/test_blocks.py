import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from recon_anomaly.blocks import (
    at_least_float32,
    bounded,
    decoder,
    encoder,
    halved,
    pad_to_stride,
    padded_size,
)
from recon_anomaly.errors import InputError

sides = st.integers(1, 40)
strides = st.integers(1, 16)


@pytest.fixture
def images():
    return torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))


def test_encoder_is_convolution_relu_and_pooling(images):
    """Each layer is a 3 x 3 convolution and ReLU, then max-pooling just where it is asked for."""
    network = encoder(3, (4, 6, 5), (True, False, True))
    first, second, third = (layer for layer in network if isinstance(layer, nn.Conv2d))
    wanted = F.max_pool2d(F.conv2d(images, first.weight, first.bias, padding=1).relu(), 2)
    wanted = F.conv2d(wanted, second.weight, second.bias, padding=1).relu()
    wanted = F.max_pool2d(F.conv2d(wanted, third.weight, third.bias, padding=1).relu(), 2)
    torch.testing.assert_close(network(images), wanted)
    assert wanted.shape == (2, 5, 2, 3)


@pytest.mark.parametrize("kernels", [(4,), (4, 6), (4, 6, 5)])
@pytest.mark.parametrize("pools", [0, 1, 2, 3])
def test_decoder_mirrors_the_encoder(images, kernels, pools):
    """The decoder brings what the encoder made back to the shape of the pictures."""
    pooled = tuple(layer < pools for layer in range(len(kernels)))
    if sum(pooled) == 3:
        images = F.pad(images, (0, 4))  # a multiple of 8 is needed
    code = encoder(3, kernels, pooled)(images)
    mirror = decoder(3, kernels, pooled)
    assert mirror(code).shape == images.shape
    steps = [layer for layer in mirror if isinstance(layer, nn.ConvTranspose2d)]
    assert [step.in_channels for step in steps] == list(kernels[::-1])
    assert [step.stride[0] == 2 for step in steps] == list(pooled[::-1])


def test_decoder_ends_in_a_linear_layer():
    """No ReLU stands at the decoder's end, so that the model can choose the range."""
    network = decoder(1, (2, 3), (True, False))
    with torch.no_grad():
        network[-1].bias.fill_(-100.0)
        assert (network(torch.rand(1, 3, 4, 4)) < -50).all()


@pytest.mark.parametrize("kernels", [(), (0,), (4, -1), (4.5,), "ab"])
def test_layers_without_kernels_are_refused(kernels):
    """No layer, or one without kernels, raises an error that shows the kernels."""
    with pytest.raises(InputError, match=r"^kernels is .*; give a list of one or more"):
        encoder(1, kernels, [True] * len(kernels))


@pytest.mark.parametrize("build", [encoder, decoder])
def test_pooling_has_to_be_said_for_each_layer(build):
    """A list of poolings that is too short raises an error; no layer is dropped in silence."""
    with pytest.raises(ValueError, match=r"pooled|zip"):
        build(1, (4, 6), (True,))


@pytest.mark.parametrize(
    ("channels", "stride", "kernels"),
    [
        (128, 4, (32, 64, 128)),
        (64, 4, (16, 32, 64)),
        (128, 8, (16, 32, 64, 128)),
        (24, 2, (12, 24)),
        (64, 1, (64,)),
        (5, 4, (1, 2, 5)),
        (1, 8, (1, 1, 1, 1)),
    ],
)
def test_a_decoder_of_halved_channels_leads_from_features_to_pictures(channels, stride, kernels):
    """Channels are halved layer by layer, never below 1, and the size grows by the stride."""
    found, pooled = halved(channels, stride)
    assert found == kernels
    assert pooled == (True,) * (len(kernels) - 1) + (False,)
    made = decoder(3, found, pooled)(torch.zeros(1, channels, 2, 3))
    assert made.shape == (1, 3, 2 * stride, 3 * stride)


@settings(deadline=None)
@given(sides, sides, strides)
def test_padded_size_is_the_least_that_fits(height, width, stride):
    """Both sides are the first multiples of the stride, counting up from the picture's size."""
    multiples = range(stride, 1000, stride)
    wanted = tuple(next(m for m in multiples if m >= side) for side in (height, width))
    assert padded_size(height, width, stride) == wanted


@settings(deadline=None)
@given(sides, sides, strides, st.integers(1, 3))
def test_padding_repeats_the_last_row_and_column(height, width, stride, channels):
    """Padding is NumPy's edge mode at the bottom and the right, and nothing else."""
    images = torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(0))
    padded = pad_to_stride(images, stride)
    missing = [(0, -side % stride) for side in (height, width)]
    wanted = np.pad(images.numpy(), [(0, 0), (0, 0), *missing], mode="edge")
    np.testing.assert_array_equal(padded.numpy(), wanted)


def test_pictures_that_fit_are_not_copied(images):
    """Pictures whose sides are multiples already come back as they are."""
    assert pad_to_stride(images, 4) is images


ranges = st.tuples(st.floats(-20, 20), st.floats(0.5, 30)).map(lambda r: (r[0], r[0] + r[1]))


@settings(deadline=None)
@given(ranges, st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=9))
def test_bounded_values_keep_their_order_inside_the_range(bounds, values):
    """However far out, a value lands in the range, and a larger one never below a smaller one."""
    low, high = bounds
    found = bounded(torch.tensor(sorted(values), dtype=torch.float64), low, high)
    assert (found >= low).all()
    assert (found <= high).all()
    assert (found.diff() >= 0).all()


@settings(deadline=None)
@given(ranges, st.floats(-1e4, 1e4, width=32))
def test_a_bounded_value_has_a_gradient_everywhere(bounds, value):
    """In float32 too, and 10000 beyond the range, where that of a clamp or of tanh is exactly 0."""
    far = torch.tensor([-1e4, 1e4, value], requires_grad=True)
    bounded(far, *bounds).sum().backward()
    assert (far.grad > 0).all()
    other = torch.tensor([-1e4, 1e4], requires_grad=True)
    (other.clamp(*bounds) + other.tanh()).sum().backward()
    assert (other.grad == 0).all()


def test_bounded_values_are_those_of_the_formula():
    """The middle stays with a slope of 1; one half-width out lies half way to the bound."""
    values = torch.tensor([-4.0, 2.0, 8.0, -10.0], dtype=torch.float64, requires_grad=True)
    found = bounded(values, -10, 2)
    found.sum().backward()
    assert found.tolist() == [-4.0, -1.0, 0.0, -7.0]
    assert values.grad.tolist() == pytest.approx([1.0, 1 / 4, 1 / 9, 1 / 4])
    assert torch.autograd.gradcheck(lambda x: bounded(x, -10, 2), (values,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_precision_is_left_as_it_is(dtype):
    """No copy is made of what is float32 or better."""
    values = torch.zeros(3, dtype=dtype)
    assert at_least_float32(values) is values


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(dtype):
    """The numbers stay, the type grows."""
    values = torch.tensor([0.5, -3.0], dtype=dtype)
    raised = at_least_float32(values)
    assert raised.dtype == torch.float32
    assert raised.tolist() == [0.5, -3.0]
