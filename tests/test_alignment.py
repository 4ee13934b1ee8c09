import numpy as np
import pytest
from scipy import ndimage

from recon_anomaly.alignment import MOST_MOVED, Aligner


def _scene(seed=0, size=(96, 96)):
    """A smooth random picture in about [0, 1], which can be resampled without much loss."""
    rough = np.random.default_rng(seed).normal(size=size)
    smooth = ndimage.gaussian_filter(rough, 2.5, mode="wrap")
    return 0.5 + 0.2 * smooth / smooth.std()


def _moved(picture, matrix, shift):
    """The picture seen through an affine move about its middle, in pixels."""
    middle = (np.array(picture.shape) - 1) / 2
    offset = middle + shift - matrix @ middle
    return ndimage.affine_transform(picture, matrix, offset, order=3, mode="nearest")


def test_gain_and_offset_are_those_of_least_squares():
    """Of pictures too small to be moved, the fit is NumPy's polyfit of all pixels."""
    rng = np.random.default_rng(1)
    picture, other = rng.random((2, 9, 12))
    fit = Aligner(picture).fit(other)
    gain, offset = np.polyfit(other.ravel(), picture.ravel(), 1)
    residual = picture - gain * other - offset
    assert fit.gain == pytest.approx(gain)
    assert fit.offset == pytest.approx(offset)
    assert fit.distance == pytest.approx(np.sqrt(np.mean(residual**2)))
    r = np.corrcoef(other.ravel(), picture.ravel())[0, 1]
    assert fit.unexplained == pytest.approx(np.sqrt(1 - r**2))
    assert fit.moved == 0


@pytest.mark.parametrize(
    ("matrix", "shift", "furthest"),
    [
        (np.eye(2), (3.0, -2.0), 3 / 96),
        (np.diag([1.08, 0.95]), (0.0, 0.0), 0.04),
        (np.array([[np.cos(0.06), -np.sin(0.06)], [np.sin(0.06), np.cos(0.06)]]), (1.0, 1.0), None),
        (np.array([[1.03, 0.02], [-0.03, 0.98]]), (-2.0, 1.5), None),
    ],
    ids=["shift", "zoom", "turn", "all"],
)
def test_a_small_move_and_other_light_are_found(matrix, shift, furthest):
    """A shifted, zoomed, turned and relit copy is explained all but for the resampling."""
    scene = _scene()
    copy = 0.7 * _moved(scene, matrix, np.array(shift)) + 0.1
    fit = Aligner(copy).fit(scene)
    assert fit.unexplained < 0.04
    assert fit.gain == pytest.approx(0.7, abs=0.01)
    assert fit.offset == pytest.approx(0.1, abs=0.01)
    still = np.sqrt(1 - np.corrcoef(copy.ravel(), scene.ravel())[0, 1] ** 2)
    assert still > 0.3
    if furthest is not None:
        assert fit.moved == pytest.approx(furthest, abs=0.002)


def test_sides_of_different_length_are_moved_alike():
    """The move is found in a picture that is no square."""
    scene = _scene(2, (64, 120))
    fit = Aligner(_moved(scene, np.eye(2), np.array([0.0, 4.0]))).fit(scene)
    assert fit.unexplained < 0.04
    assert fit.moved == pytest.approx(4 / 120, abs=0.002)


def test_moving_never_explains_less():
    """Whatever the other picture, the fit is at least as close as the one of the pictures as they lie."""
    aligner = Aligner(_scene(0, (48, 48)))
    for seed in range(1, 6):
        other = _scene(seed, (48, 48))
        r = np.corrcoef(aligner.picture.ravel(), other.ravel())[0, 1]
        still = aligner.picture.std() * np.sqrt(1 - r**2)
        fit = aligner.fit(other)
        assert fit.distance <= still * (1 + 1e-9)
        assert fit.moved <= MOST_MOVED / 2


def test_a_large_move_is_given_up():
    """A picture shifted by a third of its side is another picture."""
    scene = _scene()
    assert Aligner(np.roll(scene, 32, axis=0)).fit(scene).unexplained > 0.5


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (40, 40)])
def test_without_contrast_nothing_is_explained(size):
    """A constant picture neither explains nor is explained, and nothing is divided by zero."""
    flat, noise = np.full(size, 0.4), np.random.default_rng(0).random(size)
    assert Aligner(flat).fit(noise).unexplained == 1
    assert Aligner(flat).fit(flat).unexplained == 1
    fit = Aligner(noise).fit(flat)
    assert fit.gain == 0
    assert fit.unexplained == pytest.approx(1)
