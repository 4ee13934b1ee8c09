"""GANomaly of Akcay, Atapour-Abarghouei and Breckon (2018): an autoencoder, its critic, and a second encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recon_anomaly.blocks import at_least_float32, pad_to_stride, padded_size
from recon_anomaly.checks import at_least, check_counts
from recon_anomaly.protocols import ImageShape, Reconstruction

__all__ = ["GANomalyNetwork"]

_CONTEXTUAL = 50.0


class GANomalyNetwork(nn.Module):
    r"""Encoder, decoder and second encoder, trained against a discriminator: GANomaly (arXiv 1805.06725).

    The generator :math:`G` makes of a picture :math:`x` a code :math:`z = G_E(x)` and of that a
    picture :math:`G(x)`; the second encoder :math:`E` makes a code :math:`\hat z = E(G(x))` of that.
    A discriminator of the first encoder's layers, whose last convolution's map is the features :math:`f`, tells
    pictures from reconstructions. The terms, with :math:`p` for the discriminator's probability that a
    picture is one:

    ================= ============================================================= ==============
    term                                                                            the paper
    ================= ============================================================= ==============
    ``adversarial``   mean of :math:`(f(x) - f(G(x)))^2`                            Eq. (1)
    ``contextual``    50 times the mean of :math:`|x - G(x)|`, pixels in [-1, 1]    Eq. (2)
    ``encoder``       mean of :math:`(z - \hat z)^2`                                Eq. (3)
    ``discriminator`` mean of :math:`-\tfrac12(\log p(x) + \log(1 - p(G(x))))`      in words
    ================= ============================================================= ==============

    The means are over features, pixels or latents and over the batch. The paper prints norms, whose balance would
    change with the size of the picture; its weights 1, 50 and 1 are those of the authors' code, which takes means,
    of squares where the paper prints a Euclidean norm. The 50 is part of the term, since a schedule
    weighs a term by 1 where nothing is said.

    The adversarial term matches features, not the discriminator's answers, and moves the generator alone:
    it sees the discriminator with its weights held fixed. The discriminator's own term sees finished pictures, and
    moves the discriminator alone. So one optimiser serves both: Adam scales each weight's step by that
    weight's own gradients. Both move at once, after one look at the batch, as in the authors' code.

    The layers are DCGAN's (Radford et al., 2016), as the paper says: 4x4 convolutions of stride 2 without biases,
    batch normalisation but at the first and the last, leaky ReLU in the encoders and ReLU in the
    decoder, weights drawn from N(0, 0.02²), pixels in [-1, 1] inside. What the paper leaves open is
    chosen here: layers until the longer side is below 8 pixels (4 of 32, 64, 128 and 256), the next convolution
    covering all that is left; 64 kernels that double from layer to layer, up to 512 (the paper's sizes, 32
    and 64, do not reach more).

    In training the normalisation takes the statistics of a batch, so that a picture's terms depend on the others of
    its batch, and where several processes share one, on the process's part of it. Scores take the running
    statistics, and depend on the picture alone. The authors draw the discriminator's weights anew where its loss
    is all but zero, and Adam's betas are 0.5 and 0.999 there; here they stay, and the betas are 0.9 and 0.999.

    An epoch's validation loss, the sum of the four terms, says little of a game of two, so the recipe has neither
    plateau rule nor early stopping. The epoch of the lowest sum is still the one that is kept: the contextual term,
    which outweighs the others, so decides. ``schedule_params={"keeps": "last"}`` keeps the last epoch.

    The paper's anomaly score compares the two codes: the scorer ``latent-distance``.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels.
    latent_size : int
        Dimensions of the two codes.
    kernels : sequence of int, optional
        Convolution kernels of each layer of stride 2, in all four parts. By default as above.

    Raises
    ------
    InputError
        When a size is not a whole number of at least 1.

    Examples
    --------
    >>> import torch
    >>> network = GANomalyNetwork((32, 32, 1), latent_size=10, kernels=(4, 8, 16)).eval()
    >>> images = torch.zeros(2, 1, 32, 32)
    >>> made = network(images)
    >>> made.mean.shape, made.code.shape, made.second_code.shape
    (torch.Size([2, 1, 32, 32]), torch.Size([2, 10]), torch.Size([2, 10]))
    >>> list(network.losses(images, made))
    ['adversarial', 'contextual', 'encoder', 'discriminator']
    """

    recipe: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "epochs": 15,
            "batch_size": 64,
            "learning_rate": 2e-4,
            "reduce_learning_rate": False,
            "early_stopping": False,
        }
    )

    def __init__(
        self,
        image_shape: ImageShape,
        latent_size: int = 100,
        kernels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        height, width, channels = image_shape
        kernels = _kernels(max(height, width)) if kernels is None else kernels
        kernels = check_counts("kernels", kernels)
        latent_size = at_least("latent_size", latent_size, 1)
        self.size = height, width
        halved = 2 ** len(kernels)
        # More than one position is left, so that even a batch of one picture has a variance.
        self.stride = halved if max(height, width) > halved else 2 * halved
        height, width = padded_size(height, width, self.stride)
        rest = height // halved, width // halved
        self.encoder = _encoder(channels, kernels, rest, latent_size)
        self.decoder = _decoder(channels, kernels, rest, latent_size)
        self.second_encoder = _encoder(channels, kernels, rest, latent_size)
        self.discriminator = _Discriminator(channels, kernels, rest)
        self.apply(_draw_weights)

    def forward(self, images: Tensor) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) with h and w multiples of ``stride``, and give both codes."""
        code = self.encoder(2 * images - 1)
        mean = (at_least_float32(self.decoder(code)).tanh() + 1) / 2
        height, width = self.size
        second_code = self.second_encoder(self._inside(mean[..., :height, :width]))
        return Reconstruction(mean, code=code.flatten(1), second_code=second_code.flatten(1))

    def losses(self, target: Tensor, reconstruction: Reconstruction) -> dict[str, Tensor]:
        """Return the generator's three terms, and the discriminator's."""
        assert reconstruction.code is not None
        assert reconstruction.second_code is not None
        real, made = self._inside(target), self._inside(reconstruction.mean)
        wanted, real_logits = self.discriminator(real)
        _, made_logits = self.discriminator(made.detach())
        reached, _ = self._fixed_discriminator(made)
        # Minus the logarithms of the logistic function and of its complement.
        mistakes = F.softplus(-real_logits).mean() + F.softplus(made_logits).mean()
        return {
            "adversarial": F.mse_loss(reached, wanted.detach()),
            "contextual": _CONTEXTUAL * 2 * F.l1_loss(reconstruction.mean, target),
            "encoder": F.mse_loss(reconstruction.second_code, reconstruction.code),
            "discriminator": mistakes / 2,
        }

    def _inside(self, images: Tensor) -> Tensor:
        """Return pictures of [0, 1] in [-1, 1] and padded, as the convolutions see them."""
        return 2 * pad_to_stride(images, self.stride) - 1

    def _fixed_discriminator(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the discriminator says, with no gradient to it and no trace in its statistics."""
        parts = {name: part.detach() for name, part in self.discriminator.named_parameters()}
        parts |= {name: part.clone() for name, part in self.discriminator.named_buffers()}
        found: tuple[Tensor, Tensor] = torch.func.functional_call(
            self.discriminator, parts, (images,)
        )
        return found


class _Discriminator(nn.Module):
    """Tells pictures from reconstructions of them: features, and the logit of being a picture."""

    def __init__(self, channels: int, kernels: Sequence[int], rest: tuple[int, int]) -> None:
        super().__init__()
        self.features = nn.Sequential(*_halving(channels, kernels))
        self.classifier = nn.Conv2d(kernels[-1], 1, rest, bias=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(images)
        return features, self.classifier(features).flatten()


def _encoder(
    channels: int, kernels: Sequence[int], rest: tuple[int, int], latent_size: int
) -> nn.Sequential:
    """Build layers from pictures to (n, latent_size, 1, 1); ``rest`` is the last map's height and width."""
    last = nn.Conv2d(kernels[-1], latent_size, rest, bias=False)
    return nn.Sequential(*_halving(channels, kernels), last)


def _halving(channels: int, kernels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in zip((channels, *kernels[:-1]), kernels, strict=True):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        if len(layers) > 1:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return layers


def _decoder(
    channels: int, kernels: Sequence[int], rest: tuple[int, int], latent_size: int
) -> nn.Sequential:
    """Build the mirror of `_encoder`, before the hyperbolic tangent."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size, kernels[-1], rest, bias=False)]
    for inputs, outputs in zip(kernels[::-1], (*kernels[-2::-1], channels), strict=True):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))
    return nn.Sequential(*layers)


def _kernels(side: int) -> tuple[int, ...]:
    """Return kernels for as many halvings as bring ``side`` below 8, at least one."""
    layers = 1
    while -(-side // 2**layers) >= 8:
        layers += 1
    return tuple(min(64 * 2**layer, 512) for layer in range(layers))


def _draw_weights(layer: nn.Module) -> None:
    """Draw the weights of a convolution or a normalisation as DCGAN does."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
