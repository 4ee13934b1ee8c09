import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.standardised import StandardisedResidual
from recon_anomaly.scoring import reduce_map

GENERATOR = torch.Generator().manual_seed(0)
GOOD, MADE = torch.rand(2, 9, 3, 12, 16, generator=GENERATOR)
NEW, NEW_MADE = torch.rand(2, 4, 3, 12, 16, generator=GENERATOR)


def residuals(target, mean):
    return np.abs(target.double().numpy() - mean.double().numpy()).mean(1)


def fitted(good=GOOD, made=MADE, **params):
    scorer = StandardisedResidual(**params)
    scorer.fit((good[part], Reconstruction(made[part])) for part in (slice(5), slice(5, None)))
    return scorer


def smoothed(plane, share):
    return gaussian_filter(plane, share * min(plane.shape), mode="nearest", truncate=4)


def test_mean_and_deviation_are_those_of_the_residuals():
    """With neither smoothing nor floor at work they are NumPy's, over batches of unequal size."""
    scorer = fitted(neighbourhood=0, floor=1e-6)
    wanted = residuals(GOOD, MADE)
    np.testing.assert_allclose(scorer.mean, wanted.mean(0), rtol=1e-6)
    np.testing.assert_allclose(scorer.deviation, wanted.std(0), rtol=1e-5)


def test_variances_are_averaged_over_a_neighbourhood():
    """The deviation is the root of the variance blurred as SciPy would, in shares of the shorter side."""
    scorer = fitted(neighbourhood=1 / 8)
    wanted = np.sqrt(smoothed(residuals(GOOD, MADE).var(0), 1 / 8))
    np.testing.assert_allclose(scorer.deviation, wanted, rtol=1e-5)


def test_the_map_is_the_smoothed_standardised_residual():
    """Its maximum is the score; a residual smaller than usual lowers it."""
    scorer = fitted(sigma=1 / 6)
    found = scorer(NEW, Reconstruction(NEW_MADE))
    good = residuals(GOOD, MADE)
    deviation = np.sqrt(smoothed(good.var(0), 1 / 64))
    ratios = (residuals(NEW, NEW_MADE) - good.mean(0)) / deviation
    wanted = np.stack([smoothed(one, 1 / 6) for one in ratios])
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(reduce_map(scorer, found), wanted.max((1, 2)), rtol=1e-4)
    assert scorer(GOOD[:1], Reconstruction(GOOD[:1])).max() < 0


def test_the_deviation_has_a_floor():
    """Pixels that never varied get a share of the mean deviation over the picture."""
    made = MADE.clone()
    made[:, :, :6] = GOOD[:, :, :6]  # the upper half is always perfect
    scorer = fitted(made=made, neighbourhood=0, floor=0.25)
    wanted = residuals(GOOD, made).std(0)
    np.testing.assert_allclose(scorer.deviation[:6], 0.25 * wanted.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        scorer.deviation[6:], np.maximum(wanted[6:], 0.25 * wanted.mean()), rtol=1e-5
    )


def test_of_one_picture_the_deviation_is_the_floor():
    """It is a share of a tenth of the mean residual then, and the score stays finite."""
    scorer = StandardisedResidual(floor=0.5)
    scorer.fit([(GOOD[:1], Reconstruction(MADE[:1]))])
    wanted = 0.5 * 0.1 * residuals(GOOD[:1], MADE[:1]).mean()
    np.testing.assert_allclose(scorer.deviation, np.full((12, 16), wanted), rtol=1e-6)
    assert scorer(NEW, Reconstruction(NEW_MADE)).isfinite().all()


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
def test_the_map_has_no_unit(unit, count):
    """Features a million times as large or as small are mapped alike, with many validation pictures or one."""
    wanted = fitted(GOOD[:count], MADE[:count])(NEW, Reconstruction(NEW_MADE))
    scorer = fitted(GOOD[:count] * unit, MADE[:count] * unit)
    found = scorer(NEW * unit, Reconstruction(NEW_MADE * unit))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_where_nothing_ever_differed_the_map_is_finite():
    """Validation pictures that are their own reconstructions leave a floor, however low."""
    scorer = fitted(GOOD, GOOD)
    assert scorer(GOOD, Reconstruction(GOOD)).abs().max() == 0
    assert scorer(NEW, Reconstruction(NEW_MADE)).isfinite().all()


def test_a_usual_error_counts_less_than_an_unusual_one():
    """The same error scores lower where good parts vary, and lower where it is always made."""
    images = torch.zeros(40, 1, 8, 8)
    images[:, :, :, :4] += 0.1 * torch.rand(40, 1, 8, 4, generator=GENERATOR)
    images[:, :, 4:] += 0.2
    made = torch.zeros_like(images)
    scorer = fitted(images, made, neighbourhood=0, sigma=0)
    found = scorer(torch.full((1, 1, 8, 8), 0.3), Reconstruction(made[:1]))[0]
    assert found[:4, :4].max() < found[:4, 4:].min()
    assert found[4:, 4:].max() < found[:4, 4:].min()


def test_without_a_fit_there_is_an_error():
    """The error says what is missing and how to get it; a fit on no pictures leaves it missing."""
    scorer = StandardisedResidual()
    scorer.fit([])
    with pytest.raises(InputError, match=r"no mean and deviation.*call scorer\.fit"):
        scorer(NEW, Reconstruction(NEW_MADE))


def test_the_state_is_what_was_fitted():
    """A scorer that takes back the state of a fitted one gives the same maps; unfitted, it is empty."""
    scorer, other = fitted(), StandardisedResidual()
    assert other.state_dict() == {}
    other.load_state_dict(scorer.state_dict())
    made = Reconstruction(NEW_MADE)
    assert torch.equal(other(NEW, made), scorer(NEW, made))


def test_the_fit_follows_the_pictures_to_their_device():
    """The map of pictures on another device is made there."""
    target, mean = torch.empty(2, 1, 3, 12, 16, device="meta")
    assert fitted()(target, Reconstruction(mean)).device == target.device


def test_unless_told_otherwise():
    """Of 256 pixels the map is blurred by 4 and the variances by 2; the floor is a tenth."""
    scorer = StandardisedResidual()
    assert (scorer.floor, 256 * scorer.sigma, 256 * scorer.neighbourhood) == (0.1, 4, 2)


@pytest.mark.parametrize("value", [-0.5, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["sigma", "neighbourhood"])
def test_what_is_no_share_of_the_side_is_refused(name, value):
    """The error has the name and the value, and says what is wanted."""
    wanted = "a share of the shorter side, from 0 to 1"
    with pytest.raises(InputError, match=f"^{name} is {value}; give {wanted}$"):
        StandardisedResidual(**{name: value})


@pytest.mark.parametrize("floor", [0, -0.5, float("nan")])
def test_a_floor_of_nothing_is_refused(floor):
    """Deviations of zero would give infinite maps; the error says what is wanted."""
    with pytest.raises(InputError, match=f"^floor is {floor}; give a number above 0$"):
        StandardisedResidual(floor)
