"""Means, covariances and principal components of more than memory holds, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import IncrementalPCA
from torch import Tensor

__all__ = ["ChannelMoments", "Components", "incremental_components"]


class Components(NamedTuple):
    """Principal components of rows.

    Attributes
    ----------
    mean : ndarray of shape (d,)
        Of the rows.
    components : ndarray of shape (k, d)
        Directions, orthonormal, of the largest variance first; those without any are left out.
    variances : ndarray of shape (k,)
        The rows' variance along each, over n rows.
    total_variance : float
        Summed over all d values.
    """

    mean: NDArray[Any]
    components: NDArray[Any]
    variances: NDArray[Any]
    total_variance: float


def incremental_components(
    batches: Iterable[NDArray[Any]],
    wanted: int,
    unseen: Callable[[NDArray[Any]], None] | None = None,
) -> Components:
    """Fit scikit-learn's IncrementalPCA on chunks of at least twice as many rows as components.

    Parameters
    ----------
    batches : iterable of ndarray of shape (n, d)
        Rows, iterated once.
    wanted : int
        The most components; fewer come back where the first chunk has no more rows than that, or the rows
        no variance in so many directions.
    unseen : callable, optional
        Is given what components leave of rows that they were not fitted on, (n, d), once for each row: of a chunk
        what those of the chunks before it leave, of the first chunk what those of its other half do. Of a
        single row nothing.

    Examples
    --------
    >>> rows = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> found = incremental_components([rows], 1)
    >>> np.abs(found.components).round(6).tolist(), found.variances.round(6).tolist()
    ([[1.0, 0.0]], [2.666667])
    """
    pca: IncrementalPCA | None = None
    for rows in _chunks(batches, max(2 * wanted, 256)):
        if unseen is not None and pca is not None:
            unseen(_left(_components(pca), rows))
        elif unseen is not None and len(rows) > 1:
            for half, other in ((rows[::2], rows[1::2]), (rows[1::2], rows[::2])):
                unseen(_left(_components(_learned(None, half, wanted)), other))
        pca = _learned(pca, rows, wanted)
    assert pca is not None
    return _components(pca)


def _learned(pca: IncrementalPCA | None, rows: NDArray[Any], wanted: int) -> IncrementalPCA:
    if pca is None:
        pca = IncrementalPCA(max(1, min(wanted, len(rows) - 1)))
    with np.errstate(invalid="ignore", divide="ignore"):  # shares of a variance of zero
        pca.partial_fit(rows)
    return pca


def _components(pca: IncrementalPCA) -> Components:
    # Directions without variance are arbitrary: kept, they would hide whatever lies along them.
    shape = max(pca.n_samples_seen_, len(pca.mean_))
    least = np.finfo(np.float32).eps * shape * max(pca.singular_values_[0], 1)
    real = pca.singular_values_ > least
    variances = pca.singular_values_[real] ** 2 / pca.n_samples_seen_
    return Components(pca.mean_, pca.components_[real], variances, float(np.sum(pca.var_)))


def _left(found: Components, rows: NDArray[Any]) -> NDArray[Any]:
    """Return what the components leave of rows."""
    centred: NDArray[Any] = rows - found.mean.astype(rows.dtype)
    basis = found.components.astype(rows.dtype)
    centred -= (centred @ basis.T) @ basis
    return centred


class ChannelMoments:
    """Mean and covariance of the vectors that maps (n, c, h, w) have at their positions, in float64.

    Examples
    --------
    >>> moments = ChannelMoments(1)
    >>> moments.add(torch.tensor([[[[1.0, 3.0]]]]))
    >>> float(moments.mean()), float(moments.covariance())
    (2.0, 1.0)
    """

    def __init__(self, channels: int) -> None:
        self.count = 0
        self._first = torch.zeros(channels, dtype=torch.float64)
        self._second = torch.zeros(channels, channels, dtype=torch.float64)

    def add(self, maps: Tensor) -> None:
        """Take in a batch; products are summed in float32 over one batch, then in float64."""
        rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
        self.count += len(rows)
        self._first += rows.sum(0).cpu().double()
        self._second += (rows.T @ rows).cpu().double()

    def mean(self) -> Tensor:
        """Return the mean vector, (c,)."""
        return self._first / self.count

    def second(self) -> Tensor:
        """Return the mean outer product, (c, c), about zero; of no vectors zeros."""
        return self._second / max(self.count, 1)

    def covariance(self) -> Tensor:
        """Return the covariance, (c, c), over ``count`` vectors."""
        return self.second() - torch.outer(self.mean(), self.mean())


def _chunks(batches: Iterable[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
    """Join batches to chunks of ``size`` rows or more; the rest joins the last chunk.

    IncrementalPCA wants each chunk to have at least as many rows as components.
    """
    ready: NDArray[Any] | None = None
    waiting: list[NDArray[Any]] = []
    for rows in batches:
        waiting.append(rows)
        if sum(map(len, waiting)) >= size:
            if ready is not None:
                yield ready
            ready, waiting = np.concatenate(waiting), []
    yield np.concatenate([part for part in (ready, *waiting) if part is not None])
