"""Principal components: the closed-form linear autoencoder."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from recon_anomaly.checks import at_least
from recon_anomaly.components import incremental_components
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
        n_components = at_least("n_components", n_components, 1)
        pixels = int(np.prod(image_shape))
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(min(n_components, pixels - 1), pixels))

    def fit_batches(self, batches: Iterable[Tensor]) -> None:
        """Fit the components in one pass, see `recon_anomaly.components`."""
        rows = (images.flatten(1).cpu().numpy() for images in batches)
        found = incremental_components(rows, len(self.components))
        self.mean.copy_(torch.as_tensor(found.mean))
        self.components.zero_()
        self.components[: len(found.components)] = torch.as_tensor(found.components)

    def forward(self, images: Tensor) -> Reconstruction:
        """Project ``images`` onto the components and back."""
        centred = images.flatten(1) - self.mean
        rows = self.mean + (centred @ self.components.T) @ self.components
        return Reconstruction(rows.reshape(images.shape))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``: the squared error, summed over pixels, averaged over the batch."""
        return {"reconstruction": squared_error(target, reconstruction.mean)}
