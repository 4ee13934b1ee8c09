"""One gradient step: the same as a plain loop's, in float32 and, within what 8 bits hold, in bfloat16."""

from __future__ import annotations

import copy

import pytest
import torch

from recon_anomaly import InputError, Reconstruction, TrainingWarning, devices
from recon_anomaly.batches import Batch
from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.models.cvae import CVAENetwork
from recon_anomaly.steps import TrainingStep, gradient_step, settled_precision

WEIGHTS = {"reconstruction": 1.0, "kl": 0.25}


@pytest.fixture
def network():
    """A small CVAE whose weights a seed decides."""
    torch.manual_seed(0)
    return CVAENetwork((16, 16, 1), kernels=(3, 4), latent_size=2)


@pytest.fixture
def images():
    """Six pictures of noise."""
    return torch.rand((6, 1, 16, 16), generator=torch.Generator().manual_seed(1))


def adam(network):
    return torch.optim.Adam(network.parameters(), lr=0.01)


def test_a_step_is_that_of_a_plain_loop(network, images):
    """Terms and new weights are those of forward, weighted sum, backward and Adam, written out."""
    other = copy.deepcopy(network)
    torch.manual_seed(2)
    terms = gradient_step(TrainingStep(network), adam(network), Batch(images, images), WEIGHTS)
    torch.manual_seed(2)
    optimizer = adam(other)
    expected = other.losses(images, other(images))
    (expected["reconstruction"] + 0.25 * expected["kl"]).backward()
    optimizer.step()
    assert terms == {name: term.detach() for name, term in expected.items()}
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_loss_is_taken_against_the_clean_pictures(images):
    """Input and target differ where a corruptor trains."""
    network = CAENetwork((16, 16, 1), kernels=(3, 4))
    clean = 1 - images
    with torch.no_grad():
        expected = network.losses(clean, network(images))
    terms = gradient_step(
        TrainingStep(network), adam(network), Batch(images, clean), {"reconstruction": 1.0}
    )
    assert terms["reconstruction"] == expected["reconstruction"]


def test_a_share_scales_the_gradient_and_not_the_terms(network, images):
    """Half the share is half the gradient; what is reported stays."""
    step, other = TrainingStep(network), TrainingStep(copy.deepcopy(network))
    gradients = []
    for module, share in ((step, 1.0), (other, 0.5)):
        torch.manual_seed(2)
        terms = gradient_step(
            module,
            torch.optim.SGD(module.parameters(), lr=0.0),
            Batch(images, images),
            WEIGHTS,
            share,
        )
        gradients.append((terms, [parameter.grad for parameter in module.parameters()]))
    (whole, full), (half, halves) = gradients
    assert whole == half
    for one, other_one in zip(full, halves, strict=True):
        torch.testing.assert_close(one / 2, other_one)


def test_bfloat16_runs_the_network_alone_in_half_precision(images):
    """Losses see float32, and weights and gradients are float32, too."""
    seen = {}

    class Watched(CAENetwork):
        def losses(self, target, reconstruction):
            seen["loss"] = target.dtype, reconstruction.mean.dtype
            return super().losses(target, reconstruction)

    network = Watched((16, 16, 1), kernels=(3, 4))
    network.encoder.register_forward_hook(lambda *args: seen.update(inside=args[-1].dtype))
    step = TrainingStep(network, torch.bfloat16)
    terms = gradient_step(step, adam(network), Batch(images, images), {"reconstruction": 1.0})
    assert seen == {"inside": torch.bfloat16, "loss": (torch.float32, torch.float32)}
    assert terms["reconstruction"].dtype == torch.float32
    assert all(
        parameter.dtype == parameter.grad.dtype == torch.float32
        for parameter in network.parameters()
    )


@pytest.mark.parametrize("kind", [CAENetwork, CVAENetwork])
def test_bfloat16_gives_the_terms_and_the_gradient_of_float32_nearly(kind, images):
    """Terms agree within 1 %, and the gradients point the same way (cosine above 0.99)."""
    torch.manual_seed(0)
    network = kind((16, 16, 1), kernels=(4, 8)).to(memory_format=torch.channels_last)
    found = []
    for precision in (torch.float32, torch.bfloat16):
        module = TrainingStep(copy.deepcopy(network), precision)
        torch.manual_seed(2)
        terms = gradient_step(
            module, torch.optim.SGD(module.parameters(), lr=0.0), Batch(images, images), WEIGHTS
        )
        gradient = torch.cat([parameter.grad.flatten() for parameter in module.parameters()])
        found.append((terms, gradient))
    (exact, gradient), (rough, other) = found
    for name, term in exact.items():
        assert float(rough[name]) == pytest.approx(float(term), rel=0.01)
    assert not torch.equal(gradient, other)
    assert float(torch.cosine_similarity(gradient, other, dim=0)) > 0.99


def test_half_precision_of_a_network_of_its_own_is_raised_before_the_loss(images):
    """What a network returns in bfloat16 by itself comes to its losses in float32; float64 stays."""

    class Fixed(torch.nn.Module):
        def __init__(self, dtype):
            super().__init__()
            self.level = torch.nn.Parameter(torch.tensor(0.5))
            self.dtype = dtype

        def forward(self, images):
            return Reconstruction((images * 0 + self.level).to(self.dtype))

        def losses(self, target, reconstruction):
            self.seen = reconstruction.mean.dtype
            return {"reconstruction": (target - reconstruction.mean).square().mean()}

    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        network = Fixed(dtype)
        TrainingStep(network)(images, images)
        assert network.seen == expected


class Indexed(torch.nn.Module):
    """Assigns what a layer makes to an index, which autocast leaves in float32."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        out = torch.zeros_like(images)
        bright = images > 0.5
        out[bright] = self.layer(images)[bright]
        return Reconstruction(out)

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


@pytest.fixture
def fast(monkeypatch):
    """A processor that is fast in bfloat16, as large as the batch may be."""
    monkeypatch.setattr(devices, "_has_matrix_extensions", lambda: True)


def test_a_network_that_cannot_is_trained_in_float32_with_a_warning(images, fast):
    """Where nobody asked for bfloat16 an operation that cannot do it is no error."""
    network = Indexed()
    with pytest.warns(
        TrainingWarning, match=r"Indexed cannot train in bfloat16 \(.*precision='float32'"
    ):
        assert settled_precision(network, images, "auto", 2**18) is torch.float32
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_network_that_cannot_is_refused_where_bfloat16_was_asked_for(images):
    """Who names the precision does not silently get another one."""
    network = Indexed()
    with pytest.raises(InputError, match=r"Indexed cannot .*; take precision='float32'"):
        settled_precision(network, images, "bfloat16", 1)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "pixels"), [("float32", 2**18), ("auto", 2**18 - 1)], ids=["named", "small"]
)
def test_float32_needs_no_trial(name, pixels, images, fast):
    """Where float32 trains anyway the network is not asked."""
    network = Indexed()
    assert settled_precision(network, images, name, pixels) is torch.float32
    assert network.passes == 0


@pytest.mark.parametrize(("name", "pixels"), [("bfloat16", 1), ("auto", 2**18)])
def test_a_trial_leaves_the_network_as_it_is(name, pixels, network, images, fast):
    """Weights, gradients and the process's random numbers know nothing of it."""

    def draw(*_):
        torch.rand(3)

    network.register_forward_hook(draw)
    before = copy.deepcopy(network.state_dict())
    generator = torch.get_rng_state()
    assert settled_precision(network, images, name, pixels) is torch.bfloat16
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
