import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from recon_anomaly.errors import InputError
from recon_anomaly.models.pca import PrincipalComponents


def pictures(count, shape=(6, 5, 2), rank=8, noise=0.05, seed=0):
    """Return pictures around a subspace of a low rank, (n, c, h, w) float32."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(rank, height * width * channels))
    rows = 0.5 + rng.normal(size=(count, rank)) * np.arange(rank, 0, -1) @ directions / 50
    rows += noise * rng.normal(size=rows.shape)
    return torch.tensor(rows, dtype=torch.float32).reshape(count, channels, height, width)


def fitted(images, n_components, batch=16):
    network = PrincipalComponents((6, 5, 2), n_components)
    network.fit_batches(images.split(batch))
    return network


@pytest.mark.parametrize("n_components", [1, 5, 20])
def test_one_chunk_is_scikit_learn_s_pca(n_components):
    """Where everything fits in one chunk, reconstructions are those of sklearn.decomposition.PCA."""
    images, others = pictures(60), pictures(10, seed=1)
    pca = PCA(n_components, svd_solver="full").fit(images.flatten(1).double().numpy())
    rows = others.flatten(1).double().numpy()
    wanted = pca.inverse_transform(pca.transform(rows))
    found = fitted(images, n_components)(others).mean
    np.testing.assert_allclose(found.flatten(1), wanted, atol=2e-5)  # float32 pixels around 1


def test_several_chunks_find_the_same_subspace():
    """Over three chunks, pictures of a subspace without noise are reconstructed exactly."""
    images, others = pictures(700, rank=4, noise=0), pictures(10, rank=4, noise=0, seed=1)
    network = fitted(images, 4, batch=64)
    np.testing.assert_allclose(network.mean, images.flatten(1).mean(0), atol=1e-5)
    np.testing.assert_allclose(network(others).mean, others, atol=1e-4)


def test_several_chunks_are_nearly_as_good_as_one():
    """With noise, the incremental fit's error on new pictures is within 2 % of the full fit's."""
    images, others = pictures(700), pictures(50, seed=1)
    rows = others.flatten(1).double().numpy()
    full = PCA(8, svd_solver="full").fit(images.flatten(1).double().numpy())
    best = np.square(full.inverse_transform(full.transform(rows)) - rows).mean()
    network = fitted(images, 8, batch=64)
    # The incremental fit forgets the smaller directions at each chunk: an approximation by design.
    assert (network(others).mean - others).square().mean().item() < 1.02 * best


def test_what_is_outside_the_subspace_stays_in_the_residual():
    """A change across the components is not reconstructed; one along them is."""
    images = pictures(100, rank=4, noise=0)
    network = fitted(images, 4)
    along = images[:1] + 0.3 * network.components[0].reshape(1, 2, 6, 5)
    np.testing.assert_allclose(network(along).mean, along, atol=1e-4)
    across = torch.randn(60, generator=torch.Generator().manual_seed(0))
    across -= network.components.T @ (network.components @ across)
    spoiled = images[:1] + across.reshape(1, 2, 6, 5)
    np.testing.assert_allclose(network(spoiled).mean, images[:1], atol=1e-4)


def test_components_are_orthonormal():
    """The kept components are unit vectors at right angles."""
    components = fitted(pictures(60), 10).components
    torch.testing.assert_close(components @ components.T, torch.eye(10), atol=1e-5, rtol=0)


def test_fewer_pictures_than_components_give_fewer_components():
    """Five pictures have four components; the tensors keep the shape that the parameters say."""
    images = pictures(5)
    network = fitted(images, 20)
    assert network.components.shape == (20, 60)
    assert int(network.components.any(1).sum()) == 4
    np.testing.assert_allclose(network(images).mean, images, atol=1e-5)


def test_never_all_components():
    """Of n pixels at most n - 1 components are kept, so that something is left to be abnormal."""
    network = fitted(pictures(200, rank=60), 128)
    assert network.components.shape == (59, 60)
    others = pictures(10, rank=60, seed=1)
    assert (network(others).mean - others).square().sum() > 1e-4


def test_a_single_pixel_is_reconstructed_as_the_mean():
    """One pixel leaves no component at all."""
    network = PrincipalComponents((1, 1, 1))
    network.fit_batches([torch.tensor([0.0, 1.0, 5.0]).reshape(3, 1, 1, 1)])
    assert network.components.shape == (0, 1)
    assert network(torch.full((1, 1, 1, 1), 9.0)).mean.item() == pytest.approx(2.0)


@pytest.mark.parametrize("count", [1, 6])
def test_equal_pictures_are_reconstructed_as_they_are(count):
    """Training pictures that do not differ, or a single one, are fitted without a warning."""
    network = fitted(torch.full((count, 2, 6, 5), 0.5), 20)
    assert torch.equal(network(torch.zeros(1, 2, 6, 5)).mean, torch.full((1, 2, 6, 5), 0.5))


def test_copies_of_a_picture_add_no_components():
    """Ten copies of two pictures have one direction, and any other change stays in the residual."""
    two = pictures(2)
    network = fitted(two.repeat(10, 1, 1, 1), 20)
    direction = (two[1] - two[0]).flatten().double()
    change = torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    change -= direction * (direction @ change) / (direction @ direction)
    spoiled = two[:1] + change.float().reshape(1, 2, 6, 5)
    np.testing.assert_allclose(network(spoiled).mean, two[:1], atol=1e-4)


def test_a_second_fit_starts_afresh():
    """A fit with fewer pictures leaves no component of the fit before."""
    images, others = pictures(60), pictures(4, seed=1)
    network = fitted(images, 20)
    network.fit_batches([others])
    assert torch.equal(network.components, fitted(others, 20).components)


def test_the_loss_is_the_summed_squared_error():
    """Pictures of 1 against a mean of 0 in 60 values give 60."""
    network = PrincipalComponents((6, 5, 2), 3)
    images = torch.ones(4, 2, 6, 5)
    assert network.losses(images, network(images)) == {"reconstruction": 60.0}


def test_no_components_are_refused():
    """The error names the parameter."""
    with pytest.raises(InputError, match="n_components is 0; give a whole number of at least 1"):
        PrincipalComponents((4, 4, 1), 0)
