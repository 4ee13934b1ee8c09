import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as torch_kl_divergence
from torch.nn import functional as F

from recon_anomaly.losses import (
    binary_cross_entropy,
    kl_divergence,
    log_normalisation,
    root_mean_squared_error,
    scaled_error,
    squared_error,
)


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


def test_binary_cross_entropy_of_a_hand_worked_case():
    """Minus the logarithms of what was given to each pixel: log 2 + log 4 and 0.5 log 5 + 0.5 log 1.25."""
    target = torch.tensor([[[[1.0, 0.0]]], [[[0.5, 1.0]]]])
    mean = torch.tensor([[[[0.5, 0.75]]], [[[0.2, 1.0]]]])
    first, second = math.log(2) + math.log(4), 0.5 * math.log(5) + 0.5 * math.log(1.25)
    found = binary_cross_entropy(target, mean)
    assert found.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_binary_cross_entropy_is_minus_the_log_likelihood(pair):
    """Of black and white pixels it is that of torch's Bernoulli; gray ones mix the two linearly."""
    target, mean = pair
    decoder = Bernoulli(probs=mean)
    white = -decoder.log_prob(torch.ones_like(mean))
    black = -decoder.log_prob(torch.zeros_like(mean))
    hard = target.round()
    wanted = -decoder.log_prob(hard).sum((1, 2, 3)).mean()
    torch.testing.assert_close(binary_cross_entropy(hard, mean), wanted)
    wanted = (target * white + (1 - target) * black).sum((1, 2, 3)).mean()
    torch.testing.assert_close(binary_cross_entropy(target, mean), wanted)
    wanted = F.binary_cross_entropy(mean, target, reduction="none").sum((1, 2, 3)).mean()
    torch.testing.assert_close(binary_cross_entropy(target, mean), wanted)
    beyond = 2 * target - 1  # pixels darker than any of the training pictures
    assert beyond.min() < 0
    wanted = (beyond * white + (1 - beyond) * black).sum((1, 2, 3)).mean()
    torch.testing.assert_close(binary_cross_entropy(beyond, mean), wanted)


def test_binary_cross_entropy_at_the_ends():
    """A certain and right pixel costs nothing, a certain and wrong one infinitely much."""
    ends = torch.tensor([[[[0.0, 1.0]]]])
    assert binary_cross_entropy(ends, ends).item() == 0
    assert binary_cross_entropy(ends, ends.flip(-1)).item() == math.inf


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 0.999)), min_size=1, max_size=9))
def test_binary_cross_entropy_is_least_at_the_target(pixels):
    """No reconstruction beats the picture itself, whose cross-entropy is its entropy and at least 0."""
    target, mean = torch.tensor(pixels, dtype=torch.float64).T[:, None]
    least = binary_cross_entropy(target, target)
    assert 0 <= least <= binary_cross_entropy(target, mean) + 1e-12


def test_the_gaussian_terms_of_a_hand_worked_case():
    """Errors of 1 and 2 at variances of 1 and 4 cost a half each; two normalisations of log 2 pi and one log 4."""
    target, mean = torch.zeros(1, 2, 1, 1), torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1)
    log_variance = torch.tensor([0.0, math.log(4)]).reshape(1, 2, 1, 1)
    assert scaled_error(target, mean, log_variance).item() == pytest.approx(1.0)
    wanted = math.log(2 * math.pi) + 0.5 * math.log(4)
    assert log_normalisation(log_variance).item() == pytest.approx(wanted)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1, 2), st.floats(0, 1), st.floats(-10, 2)), min_size=1, max_size=12
    ),
    st.integers(1, 3),
)
def test_the_gaussian_terms_add_up_to_minus_the_log_likelihood(pixels, batch):
    """Together they are torch's Normal.log_prob, summed over the picture, averaged over the batch."""
    values = torch.tensor(pixels, dtype=torch.float64).repeat(batch, 1, 1)
    target, mean, log_variance = values.unbind(-1)
    target = target * torch.arange(1, batch + 1)[:, None]
    wanted = -Normal(mean, (0.5 * log_variance).exp()).log_prob(target).sum(1).mean()
    found = scaled_error(target, mean, log_variance) + log_normalisation(log_variance)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(st.floats(0.01, 2), st.floats(-3, 3))
def test_the_gaussian_terms_are_least_where_the_variance_is_the_squared_error(error, distance):
    """The best variance of a pixel is its squared error, and each term alone would drive it away."""
    target, mean = torch.zeros(1, 1), torch.full((1, 1), error)
    best = torch.full((1, 1), 2 * math.log(error))
    other = best + distance
    least = scaled_error(target, mean, best) + log_normalisation(best)
    assert least <= scaled_error(target, mean, other) + log_normalisation(other) + 1e-5
    assert scaled_error(target, mean, best + 1) < scaled_error(target, mean, best)
    assert log_normalisation(best + 1) > log_normalisation(best)


def test_likelihood_terms_have_the_gradients_of_finite_differences(pair):
    """In the target, the mean and the log-variance."""
    target, mean = (part.requires_grad_() for part in pair)
    log_variance = (mean.detach() - 2).requires_grad_()
    assert torch.autograd.gradcheck(binary_cross_entropy, (target, mean))
    assert torch.autograd.gradcheck(scaled_error, (target, mean, log_variance))
    assert torch.autograd.gradcheck(log_normalisation, (log_variance,))


def test_a_doubled_batch_has_the_same_likelihood(pair):
    """The batch size leaves the likelihood's terms as they are; a picture twice as large doubles them."""
    for terms in (
        binary_cross_entropy,
        lambda x, y: scaled_error(x, y, y),
        lambda _, y: log_normalisation(y),
    ):
        once = terms(*pair)
        torch.testing.assert_close(terms(*(part.repeat(2, 1, 1, 1) for part in pair)), once)
        torch.testing.assert_close(terms(*(part.repeat(1, 1, 2, 1) for part in pair)), 2 * once)
