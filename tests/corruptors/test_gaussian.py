from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from recon_anomaly.corruptors.gaussian import GaussianNoise
from recon_anomaly.errors import InputError

images = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3])).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


@given(
    image=images,
    mean=st.floats(-1, 1),
    std=st.floats(0, 2),
    seed=st.integers(0, 2**32),
)
def test_keeps_the_contract_of_a_corruptor(image, mean, std, seed):
    """Shape, type, range, mask, repeatability and an untouched input hold for any picture."""
    before = image.copy()
    image.setflags(write=False)
    corruptor = GaussianNoise(mean=mean, std=std)
    corrupted, mask = corruptor(image, np.random.default_rng(seed))
    assert corrupted.shape == image.shape
    assert corrupted.dtype == np.float32
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, (corrupted != image).any(axis=2))
    np.testing.assert_array_equal(image, before)
    again, mask_again = corruptor(image, np.random.default_rng(seed))
    assert again.tobytes() == corrupted.tobytes()
    assert mask_again.tobytes() == mask.tobytes()


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("mean", "std"), [(0.005, 0.5), (-0.1, 0.2)])
def test_moments_are_those_of_a_clipped_normal(level, mean, std):
    """Mean, variance and shares of black and white agree with the censored normal distribution."""
    image = np.full((400, 400, 1), level, dtype=np.float32)
    corrupted, _ = GaussianNoise(mean=mean, std=std)(image, np.random.default_rng(0))
    law = norm(level + mean, std)
    white = law.sf(1)
    first = law.expect(lambda x: x, lb=0, ub=1) + white
    second = law.expect(lambda x: x**2, lb=0, ub=1) + white
    n = corrupted.size
    values = corrupted.astype(np.float64)
    assert abs(values.mean() - first) < 5 * np.sqrt((second - first**2) / n)
    assert values.var() == pytest.approx(second - first**2, rel=0.02)
    assert abs((values == 1).mean() - white) < 5 * np.sqrt(white / n) + 1e-9
    assert abs((values == 0).mean() - law.cdf(0)) < 5 * np.sqrt(law.cdf(0) / n) + 1e-9


def test_channels_get_noise_of_their_own():
    """The noise of two channels is uncorrelated."""
    image = np.full((200, 200, 3), 0.5, dtype=np.float32)
    corrupted, _ = GaussianNoise(std=0.1)(image, np.random.default_rng(0))
    correlation = np.corrcoef(corrupted.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(correlation).max() < 0.03


def test_defaults_are_those_of_the_paper():
    """Klimkevičius, section 4.1: mean 0.005, standard deviation 0.5."""
    assert GaussianNoise() == GaussianNoise(mean=0.005, std=0.5)


@pytest.mark.parametrize(
    "params", [{"std": -0.1}, {"std": np.nan}, {"std": np.inf}, {"mean": np.nan}, {"mean": np.inf}]
)
def test_bad_parameters_are_refused(params):
    """A negative or non-finite parameter raises an error that names it."""
    with pytest.raises(InputError, match=next(iter(params))):
        GaussianNoise(**params)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1)), np.zeros((4, 4, 1), np.uint8)]
)
def test_what_is_no_picture_is_refused(image):
    """Two axes, float64 or uint8 raise an error that says what is wanted."""
    with pytest.raises(InputError, match="float32"):
        GaussianNoise()(image, np.random.default_rng(0))
