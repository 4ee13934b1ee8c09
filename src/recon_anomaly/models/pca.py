"""Principal components: the closed-form linear autoencoder."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from torch import Tensor, nn

from recon_anomaly.errors import InputError
from recon_anomaly.losses import squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["PrincipalComponents"]


class PrincipalComponents(nn.Module):
    """Reconstructs a picture from its first principal components, fitted incrementally.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    n_components : int
        How many components are kept. Fewer are used where the pictures have no more than that many
        pixels (with all components everything is reconstructed, and nothing would be abnormal) or
        where there are fewer training pictures.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, image_shape: ImageShape, n_components: int = 128) -> None:
        super().__init__()
        if n_components < 1:
            raise InputError(f"n_components={n_components}: at least one component is needed")
        pixels = int(np.prod(image_shape))
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(min(n_components, pixels - 1), pixels))

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Fit scikit-learn's IncrementalPCA on chunks of at least twice as many rows as components."""
        wanted = len(self.components)
        pca: IncrementalPCA | None = None
        for rows in _chunks(batches, max(2 * wanted, 256)):
            if pca is None:
                pca = IncrementalPCA(max(1, min(wanted, len(rows) - 1)))
            with np.errstate(invalid="ignore", divide="ignore"):  # shares of a variance of zero
                pca.partial_fit(rows)
        assert pca is not None
        self.mean.copy_(torch.as_tensor(pca.mean_))
        self.components.zero_()
        # Directions without variance are arbitrary: kept, they would hide whatever lies along them.
        least = np.finfo(np.float32).eps * max(rows.shape) * max(pca.singular_values_[0], 1)
        real = pca.components_[pca.singular_values_ > least]
        found = torch.as_tensor(real)[:wanted]
        self.components[: len(found)] = found

    def forward(self, images: Tensor) -> Reconstruction:
        """Project ``images`` onto the components and back."""
        centred = images.flatten(1) - self.mean
        rows = self.mean + (centred @ self.components.T) @ self.components
        return Reconstruction(rows.reshape(images.shape))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, summed over pixels, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}


def _chunks(batches: Iterable[Tensor], size: int) -> Iterable[np.ndarray]:
    """Join batches to chunks of ``size`` rows or more; the rest joins the last chunk.

    IncrementalPCA wants each chunk to have at least as many rows as components.
    """
    ready: np.ndarray | None = None
    waiting: list[np.ndarray] = []
    for images in batches:
        waiting.append(images.flatten(1).cpu().numpy())
        if sum(map(len, waiting)) >= size:
            if ready is not None:
                yield ready
            ready, waiting = np.concatenate(waiting), []
    rest = [part for part in (ready, *waiting) if part is not None]
    yield np.concatenate(rest)
