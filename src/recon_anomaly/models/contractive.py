"""The contractive autoencoder of Rifai et al. (2011), convolutional."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.blocks import at_least_float32, decoder, encoder, pad_to_stride
from recon_anomaly.checks import check_counts, check_number
from recon_anomaly.losses import root_mean_squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction
from recon_anomaly.randomness import latent_noise

__all__ = ["ContractiveAENetwork"]


class ContractiveAENetwork(nn.Module):
    r"""Convolutional autoencoder whose code moves little when the picture does: Rifai et al. (2011).

    Layers and reconstruction loss are those of the CAE, but for the decoder's weights, which are the
    encoder's: else the penalty is had for nothing, by a small code and a decoder that enlarges it. The
    paper ties them for the same reason. It penalises the squared Frobenius norm of the encoder's Jacobian
    at each training picture; here that is divided by the number :math:`N` of a picture's pixels
    times channels, so that ``penalty`` means the same at any size:

    .. math::

        \text{contraction} = \frac\lambda{nN} \sum_{k=1}^n \lVert J(x_k) \rVert_F^2,
        \qquad \lVert J \rVert_F^2 = \mathrm{E} \lVert J e \rVert^2, \quad e \sim N(0, 1)

    The paper has one dense layer of sigmoids, where the norm has a closed form. Of convolutions with
    ReLU it would cost a pass for each unit, so it is estimated by one random direction a
    picture, along which the exact derivative is taken (a Jacobian-vector product).
    While it trains the directions are new in every step. In evaluation all pictures have one fixed direction,
    so that the term depends on the picture and the weights alone.

    The term is taken at the clean pictures, in float32, and nothing of it is computed when pictures are scored.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    kernels : sequence of int
        Convolution kernels of each layer; every layer but the last is pooled.
    penalty : float
        :math:`\lambda`, from 0 on. It is part of the term, since a schedule weighs a term by 1 where
        nothing is said; a weight of 2 doubles it. The paper searched it.

    Raises
    ------
    InputError
        When the penalty is out of its range, or a layer has no kernels.

    Examples
    --------
    >>> import torch
    >>> network = ContractiveAENetwork((16, 16, 1), kernels=(4, 8)).eval()
    >>> images = torch.zeros(2, 1, 16, 16)
    >>> list(network.losses(images, network(images)))
    ['reconstruction', 'contraction']
    """

    direction: Tensor

    def __init__(
        self,
        image_shape: ImageShape,
        kernels: Sequence[int] = (16, 32, 64),
        penalty: float = 0.1,
    ) -> None:
        super().__init__()
        kernels = check_counts("kernels", kernels)
        self.penalty = check_number("penalty", penalty, "a finite number from 0 on", 0)
        height, width, channels = image_shape
        pooled = [True] * (len(kernels) - 1) + [False]
        self.stride = 2 ** sum(pooled)
        self.encoder = encoder(channels, kernels, pooled)
        self.decoder = decoder(channels, kernels, pooled)
        convolutions = [layer for layer in self.encoder if isinstance(layer, nn.Conv2d)]
        mirrored = [layer for layer in self.decoder if isinstance(layer, nn.ConvTranspose2d)]
        for convolution, transposed in zip(convolutions[::-1], mirrored, strict=True):
            transposed.weight = convolution.weight
        direction = torch.randn(
            (1, channels, height, width), generator=torch.Generator().manual_seed(0), device="cpu"
        )
        # Not saved: it follows from the shape.
        self.register_buffer("direction", direction, persistent=False)

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) with h and w multiples of ``stride``."""
        return Reconstruction(at_least_float32(self.decoder(self.encoder(images))).sigmoid())

    def code(self, images: Tensor) -> Tensor:
        """Return the code of ``images`` of any size, padded to the stride."""
        code: Tensor = self.encoder(pad_to_stride(images, self.stride))
        return code

    def moved(self, images: Tensor, directions: Tensor) -> Tensor:
        """Return how the code of ``images`` moves along ``directions``: each picture's Jacobian times its own.

        Parameters
        ----------
        images, directions : Tensor of shape (n, c, h, w)
            Pictures, and a direction of each.

        Returns
        -------
        Tensor
            Of the code's shape.
        """
        # Forward derivatives of torch do not work in inference mode, where validation runs. Here none is needed:
        # between the switches of ReLU and of pooling the encoder is linear, and so is padding.
        values, changes = (pad_to_stride(part, self.stride) for part in (images, directions))
        for layer in self.encoder:
            if isinstance(layer, nn.Conv2d):
                values, changes = layer(values), F.conv2d(changes, layer.weight, padding=1)
            elif isinstance(layer, nn.MaxPool2d):
                values, places = F.max_pool2d(values, 2, return_indices=True)
                changes = changes.flatten(2).gather(2, places.flatten(2)).view(places.shape)
            else:
                changes = changes * (values > 0)
                values = values.relu()
        return changes

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``, the CAE's RMSE, and ``contraction``, each averaged over the batch."""
        directions = latent_noise(target) if self.training else self.direction.expand_as(target)
        squares = self.moved(target, directions).square().sum((1, 2, 3))
        return {
            "reconstruction": root_mean_squared_error(target, reconstruction.mean),
            "contraction": self.penalty * squares.mean() / target[0].numel(),
        }
