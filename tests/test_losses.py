import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl_divergence

from recon_anomaly.losses import kl_divergence, root_mean_squared_error, squared_error


@pytest.fixture
def pair():
    """Two pictures of 2 x 3 with 2 channels, and reconstructions of them, in float64."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 2, 2, 3, generator=generator, dtype=torch.float64).unbind(0)


def test_root_mean_squared_error_is_a_mean_of_roots():
    """Errors of 0.3 and 0.5 in two pictures give 0.4, where a root over the batch gives 0.412."""
    target = torch.zeros(2, 3, 4, 4)
    reconstruction = torch.stack([torch.full((3, 4, 4), 0.3), torch.full((3, 4, 4), -0.5)])
    assert root_mean_squared_error(target, reconstruction).item() == pytest.approx(0.4, rel=1e-6)
    assert math.sqrt((0.09 + 0.25) / 2) > 0.41


def test_root_mean_squared_error_of_uneven_pixels():
    """One error of 1 in 4 pixels has the root mean square 0.5."""
    target = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
    assert root_mean_squared_error(target, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(0.5)


def test_root_mean_squared_error_has_a_gradient_at_zero():
    """A perfect reconstruction gives the gradient zero, not NaN, and the root of epsilon."""
    picture = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    reconstruction = picture.clone().requires_grad_()
    loss = root_mean_squared_error(picture, reconstruction)
    loss.backward()
    assert loss.item() == pytest.approx(1e-4)
    assert torch.equal(reconstruction.grad, torch.zeros_like(picture))


def test_squared_error_is_a_sum_over_the_picture_and_a_mean_over_the_batch():
    """Errors of 1 and 3 in all 8 pixels of two pictures give (8 + 72) / 2."""
    target = torch.zeros(2, 2, 2, 2)
    reconstruction = torch.stack([torch.ones(2, 2, 2), torch.full((2, 2, 2), 3.0)])
    assert squared_error(target, reconstruction).item() == 40


@pytest.mark.parametrize("loss", [root_mean_squared_error, squared_error])
def test_gradients_are_those_of_finite_differences(loss, pair):
    """The gradient of each reconstruction loss agrees with finite differences in both arguments."""
    assert torch.autograd.gradcheck(loss, [part.requires_grad_() for part in pair])


@pytest.mark.parametrize("loss", [root_mean_squared_error, squared_error])
def test_a_doubled_batch_has_the_same_loss(loss, pair):
    """The batch size leaves a reconstruction loss as it is."""
    target, reconstruction = pair
    doubled = loss(target.repeat(2, 1, 1, 1), reconstruction.repeat(2, 1, 1, 1))
    torch.testing.assert_close(doubled, loss(target, reconstruction))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.floats(-10, 10)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 3),
)
def test_kl_divergence_is_that_of_torch_distributions(latents, batch):
    """The KL divergence is torch.distributions', summed over latents and averaged over the batch."""
    mean, log_variance = torch.tensor(latents, dtype=torch.float64).repeat(batch, 1, 1).unbind(-1)
    mean = mean * torch.arange(1, batch + 1)[:, None]
    posterior = Normal(mean, (0.5 * log_variance).exp())
    wanted = torch_kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    found = kl_divergence(mean, log_variance)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert found > -1e-9


def test_kl_divergence_of_the_prior_is_zero():
    """A standard-normal posterior diverges by nothing, and the gradient there is zero."""
    mean, log_variance = (
        torch.zeros(2, 3, requires_grad=True),
        torch.zeros(2, 3, requires_grad=True),
    )
    found = kl_divergence(mean, log_variance)
    found.backward()
    assert found.item() == 0
    assert not mean.grad.any()
    assert not log_variance.grad.any()


def test_kl_divergence_has_its_analytic_gradient():
    """The derivatives are mu / n and (sigma squared - 1) / 2n for n pictures."""
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(4, 3, generator=generator, requires_grad=True)
    log_variance = torch.randn(4, 3, generator=generator, requires_grad=True)
    kl_divergence(mean, log_variance).backward()
    torch.testing.assert_close(mean.grad, mean.detach() / 4)
    torch.testing.assert_close(log_variance.grad, (log_variance.detach().exp() - 1) / 8)
