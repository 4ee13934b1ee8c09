import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.models.nearest import NearestPicture
from recon_anomaly.scorers.mse import mean_squared_error
from recon_anomaly.scoring import anomaly_maps

PICTURES = torch.rand(9, 2, 6, 4, generator=torch.Generator().manual_seed(0))
OTHERS = torch.rand(5, 2, 6, 4, generator=torch.Generator().manual_seed(1))


def fitted(size=32, capacity=16):
    network = NearestPicture((6, 4, 2), size, capacity)
    network.fit_batches(PICTURES.split([4, 4, 1]))
    return network


def test_the_reconstruction_is_the_nearest_training_picture():
    """Of all training pictures, the one with the least squared distance is given."""
    found = fitted()(OTHERS).mean
    distances = (OTHERS[:, None] - PICTURES).square().sum((2, 3, 4))
    assert torch.equal(found, PICTURES[distances.argmin(1)])


def test_a_training_picture_is_reconstructed_as_itself():
    """Each training picture is its own nearest one, bit by bit."""
    assert torch.equal(fitted()(PICTURES).mean, PICTURES)


def test_small_distances_are_not_lost_to_rounding():
    """Bright pictures that differ by 1e-4 in one pixel are told apart."""
    pictures = torch.full((3, 1, 8, 8), 1.0)
    pictures[1, 0, 3, 3] += 1e-4
    pictures[2, 0, 3, 3] += 2e-4
    network = NearestPicture((8, 8, 1), capacity=3)
    network.fit_batches([pictures])
    assert torch.equal(network(pictures).mean, pictures)


def test_small_copies_are_means_of_blocks():
    """A picture of 6 x 4 in a size of 2 becomes the means of blocks of 3 x 2."""
    network = fitted(size=2)
    blocks = PICTURES.numpy().reshape(9, 2, 2, 3, 2, 2).mean((3, 5))
    np.testing.assert_allclose(network.target(PICTURES), blocks, rtol=1e-6)
    np.testing.assert_allclose(network(PICTURES).mean, blocks, rtol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_a_small_copy_is_never_larger_than_the_picture(height, width, size):
    """The copy's sides are the size, or the picture's where that is less."""
    network = NearestPicture((height, width, 1), size, capacity=1)
    wanted = (min(height, size), min(width, size))
    assert network.size == wanted
    assert network.target(torch.zeros(2, 1, height, width)).shape == (2, 1, *wanted)
    assert network.state_dict()["pictures"].shape == (1, 1, *wanted)


def test_the_map_of_a_small_copy_has_the_size_of_the_picture():
    """Two rows of a small copy are spread over six rows of the map, evenly from one to the other."""
    network = NearestPicture((6, 4, 1), size=2, capacity=1)
    network.fit_batches([torch.zeros(1, 1, 6, 4)])
    images = torch.zeros(1, 1, 6, 4)
    images[:, :, 3:] = 1.0
    # Row i lies at (i + 1/2) / 3 - 1/2 between the two rows, and the outer ones are the rows' own.
    wanted = np.array([0, 0, 1 / 3, 2 / 3, 1, 1])
    found = anomaly_maps(network, mean_squared_error, images)
    np.testing.assert_allclose(found[0], np.repeat(wanted[:, None], 4, axis=1), atol=1e-6)


@pytest.mark.parametrize("capacity", [3, 4, 6, 8])
def test_more_pictures_than_the_capacity_are_warned_of(capacity):
    """The first pictures are kept, across batches, and a warning says how many of how many."""
    network = NearestPicture((6, 4, 2), capacity=capacity)
    with pytest.warns(PictureWarning, match=f"keeps {capacity} of 9 .* capacity"):
        network.fit_batches(PICTURES.split([4, 4, 1]))
    assert int(network.count) == capacity
    assert torch.equal(network(PICTURES[:capacity]).mean, PICTURES[:capacity])
    assert not torch.equal(network(PICTURES[capacity:]).mean, PICTURES[capacity:])


def test_exactly_the_capacity_is_no_cause_for_a_warning():
    """As many pictures as the capacity are all kept (a warning would be an error here)."""
    assert int(fitted(capacity=9).count) == 9


def test_a_second_fit_forgets_the_first():
    """Pictures of an earlier, larger fit are never found again."""
    network = fitted()
    network.fit_batches([OTHERS[:2]])
    nearest = (OTHERS[:2] - PICTURES[0]).square().sum((1, 2, 3)).argmin()
    assert torch.equal(network(PICTURES[:1]).mean[0], OTHERS[nearest])


def test_the_kept_shapes_follow_from_the_parameters():
    """A fitted network's tensors fit into a fresh network, which then reconstructs the same."""
    network, fresh = fitted(), NearestPicture((6, 4, 2), 32, 16)
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(OTHERS).mean, network(OTHERS).mean)


@pytest.mark.parametrize("params", [{"size": 0}, {"capacity": 0}])
def test_nothing_to_keep_is_refused(params):
    """The error names the parameter and its value."""
    with pytest.raises(InputError, match=f"{next(iter(params))} is 0; give"):
        NearestPicture((6, 4, 2), **params)
