"""Moments and principal components, batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from recon_anomaly.components import ChannelMoments, _chunks, incremental_components


def rows(count, rank=4, values=30, noise=0.05, seed=0):
    directions = np.random.default_rng(99).normal(size=(rank, values))
    rng = np.random.default_rng(seed)
    made = 2 + rng.normal(size=(count, rank)) * np.arange(rank, 0, -1) @ directions
    return (made + noise * rng.normal(size=made.shape)).astype(np.float32)


def test_one_chunk_gives_scikit_learns_pca():
    """Mean, directions, variances and the total of some rows are those of sklearn.decomposition.PCA."""
    given = rows(100)
    found = incremental_components(np.split(given, 4), 6)
    whole = PCA(6, svd_solver="full").fit(given.astype(np.float64))
    np.testing.assert_allclose(found.mean, given.mean(0), rtol=1e-5)
    turned = np.abs((found.components * whole.components_).sum(1))
    np.testing.assert_allclose(turned[:4], 1, atol=1e-4)
    np.testing.assert_allclose(found.variances, whole.explained_variance_ * 99 / 100, rtol=1e-3)
    assert found.total_variance == pytest.approx(given.astype(np.float64).var(0).sum(), rel=1e-5)


def test_several_chunks_find_the_same_subspace():
    """Of 700 rows, which make two chunks, of rank 4 without noise, all four directions are found."""
    given = rows(700, noise=0)
    found = incremental_components(np.split(given, 7), 10)
    assert len(found.components) == 4
    centred = given - found.mean
    kept = centred @ found.components.T @ found.components
    np.testing.assert_allclose(kept, centred, atol=1e-3)
    assert found.variances.sum() == pytest.approx(found.total_variance, rel=1e-4)


def test_what_is_left_of_unseen_rows_is_given_once_for_each():
    """Of a first chunk its halves judge each other, of a second one what the first has learned."""
    given = rows(700, noise=0.5)
    parts = []
    incremental_components(np.split(given, 7), 3, parts.append)
    chunk = 300  # three batches of 100 are the first that have 256 rows

    def left(known, new):
        pca = PCA(3, svd_solver="full").fit(known.astype(np.float64))
        return new - pca.inverse_transform(pca.transform(new))

    wanted = [
        left(given[:chunk:2], given[1:chunk:2]),
        left(given[1:chunk:2], given[:chunk:2]),
        left(given[:chunk], given[chunk:]),
    ]
    assert [len(part) for part in parts] == [150, 150, 400]
    np.testing.assert_allclose(np.concatenate(parts), np.concatenate(wanted), atol=1e-3)


def test_of_a_single_row_nothing_is_left():
    """It cannot be held out, and no residual is given."""
    parts = []
    incremental_components([np.ones((1, 4), np.float32)], 2, parts.append)
    assert parts == []


def test_rows_without_variance_have_no_component():
    """Identical rows: nothing is kept, and the mean is the row."""
    given = np.full((20, 5), 3.0, np.float32)
    found = incremental_components([given], 3)
    assert found.components.shape == (0, 5)
    assert found.mean.tolist() == [3.0] * 5


def test_moments_are_those_of_all_vectors_at_once():
    """Over batches of several sizes, mean and covariance equal NumPy's of all positions together."""
    maps = torch.randn(10, 3, 4, 5, generator=torch.Generator().manual_seed(0)) + 7
    moments = ChannelMoments(3)
    for batch in maps.split(4):
        moments.add(batch)
    vectors = maps.double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    assert moments.count == len(vectors)
    np.testing.assert_allclose(moments.mean(), vectors.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.covariance(), np.cov(vectors.T, bias=True), atol=1e-4)
    np.testing.assert_allclose(moments.second(), vectors.T @ vectors / len(vectors), rtol=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 20))
def test_chunks_hold_every_row_once(sizes, least):
    """Chunks keep all rows in order, and none but a lone one is smaller than asked for."""
    given = np.arange(sum(sizes), dtype=np.float32)[:, None]
    chunks = list(_chunks(np.split(given, np.cumsum(sizes)[:-1]), least))
    np.testing.assert_array_equal(np.concatenate(chunks), given)
    assert len(chunks) == 1 or min(map(len, chunks)) >= least
