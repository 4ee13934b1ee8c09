"""The sparse autoencoder of Ng (2011), convolutional."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from recon_anomaly.blocks import at_least_float32, bounded, decoder, encoder
from recon_anomaly.checks import check_counts, check_number
from recon_anomaly.losses import root_mean_squared_error
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["SparseAENetwork"]

_LOGITS = (-10.0, 10.0)


class SparseAENetwork(nn.Module):
    r"""Convolutional autoencoder whose code is active in few places: Ng, CS294A lecture notes (2011).

    Layers and reconstruction loss are those of the CAE, but for a sigmoid at the bottleneck, as the notes
    have it. Each kernel there is wanted active at a share :math:`\rho` of the positions:

    .. math::

        \text{sparsity} = \lambda \frac1{nm} \sum_{k=1}^n \sum_{j=1}^m
        \left(\rho \log\frac\rho{\hat\rho_{kj}} + (1 - \rho) \log\frac{1 - \rho}{1 - \hat\rho_{kj}}\right)

    with :math:`\hat\rho_{kj}`, the mean activation of kernel :math:`j` over the positions of picture
    :math:`k`: the KL divergence of two Bernoulli distributions, in nats.

    The notes have a dense code and average a unit over the whole training set. Here a picture's own
    positions are averaged: the term is then a mean over pictures, which neither the batch size nor
    the number of processes that share a batch changes. It asks for more, since a kernel
    may not make up in one picture for what it is silent in another. The notes sum over the units, and this is
    a mean, so that ``penalty`` means the same for any number of kernels. They also decay the weights, which is
    left out, as in all models here.

    The code's logits lie in [-10, 10], smoothly (`recon_anomaly.blocks.bounded`), so that the divergence is
    finite and a kernel that was switched off can come back.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    kernels : sequence of int
        Convolution kernels of each layer; every layer but the last is pooled.
    sparsity : float
        :math:`\rho`, the wanted mean activation, between 0 and 1. The notes have 0.05.
    penalty : float
        :math:`\lambda`, from 0 on. It is part of the term, since a schedule weighs a term by 1 where
        nothing is said; a weight of 2 doubles it. The notes' 3 belongs to sums over pixels and units.

    Raises
    ------
    InputError
        When a parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> network = SparseAENetwork((16, 16, 1), kernels=(4, 8))
    >>> images = torch.zeros(2, 1, 16, 16)
    >>> made = network(images)
    >>> made.code.shape, list(network.losses(images, made))
    (torch.Size([2, 8, 8, 8]), ['reconstruction', 'sparsity'])
    """

    def __init__(
        self,
        image_shape: ImageShape,
        kernels: Sequence[int] = (16, 32, 64),
        sparsity: float = 0.05,
        penalty: float = 0.1,
    ) -> None:
        super().__init__()
        self.sparsity = check_number(
            "sparsity", sparsity, "a share between 0 and 1, such as 0.05", above=0, below=1
        )
        kernels = check_counts("kernels", kernels)
        self.penalty = check_number("penalty", penalty, "a finite number from 0 on", 0)
        channels = image_shape[-1]
        pooled = [True] * (len(kernels) - 1) + [False]
        self.stride = 2 ** sum(pooled)
        self.encoder = encoder(channels, kernels, pooled)[:-1]  # a sigmoid follows, and no ReLU
        self.decoder = decoder(channels, kernels, pooled)

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) with h and w multiples of ``stride``, and give their code."""
        code = bounded(at_least_float32(self.encoder(images)), *_LOGITS).sigmoid()
        return Reconstruction(at_least_float32(self.decoder(code)).sigmoid(), code=code)

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return ``reconstruction``, the CAE's RMSE, and ``sparsity``, each averaged over the batch."""
        assert reconstruction.code is not None
        wanted, found = self.sparsity, reconstruction.code.mean((2, 3))
        divergence = wanted * (wanted / found).log()
        divergence = divergence + (1 - wanted) * ((1 - wanted) / (1 - found)).log()
        return {
            "reconstruction": root_mean_squared_error(target, reconstruction.mean),
            "sparsity": self.penalty * divergence.mean(),
        }
