"""The networks of the training benchmark in plain PyTorch, as one would write them by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HandNetwork(nn.Module):
    """CAE or CVAE with kernels 16-32-64 and their losses.

    Parameters
    ----------
    model : {"cae", "cvae"}
        The CAE does not pool its last convolution.
    size, channels : int
        Of the pictures.
    pool_first : bool
        ReLU in place after the pooling, the same function on a quarter of the elements; else in the order
        in which papers print the layers.
    """

    def __init__(self, model: str, size: int, channels: int, pool_first: bool) -> None:
        super().__init__()
        pooled = [True, True, model == "cvae"]
        kernels = [16, 32, 64]
        layers: list[nn.Module] = []
        for inputs, outputs, pool in zip([channels, 16, 32], kernels, pooled, strict=True):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            pooling = [nn.MaxPool2d(2)] if pool else []
            layers += [*pooling, nn.ReLU(inplace=True)] if pool_first else [nn.ReLU(), *pooling]
        self.encoder = nn.Sequential(*layers)
        self.variational = model == "cvae"
        if self.variational:
            self.bottleneck = (64, size // 8, size // 8)
            flat = 64 * (size // 8) ** 2
            self.latent_mean = nn.Linear(flat, 32)
            self.latent_log_variance = nn.Linear(flat, 32)
            self.from_latent = nn.Linear(32, flat)
        layers = []
        for inputs, outputs, pool in zip(
            [64, 32, 16], [32, 16, channels], pooled[::-1], strict=True
        ):
            stride = 2 if pool else 1
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 3, stride, 1, stride - 1),
                nn.ReLU(inplace=pool_first),
            ]
        self.decoder = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the output before its sigmoid, and the latent's mean and log-variance, if any."""
        features = self.encoder(images)
        if not self.variational:
            return self.decoder(features), None, None
        flat = features.flatten(1)
        mean, log_variance = self.latent_mean(flat), self.latent_log_variance(flat).clamp(-10, 10)
        latent = mean
        if self.training:
            latent = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        features = self.from_latent(latent).relu().unflatten(1, self.bottleneck)
        return self.decoder(features), mean, log_variance

    def loss(self, images: Tensor, made: tuple[Tensor, Tensor | None, Tensor | None]) -> Tensor:
        """Return the RMSE of each picture, or its squared error and KL, averaged over the batch."""
        outputs, mean, log_variance = made
        errors = F.mse_loss(outputs.float().sigmoid(), images, reduction="none")
        if mean is None or log_variance is None:
            return (errors.mean((1, 2, 3)) + 1e-8).sqrt().mean()
        mean, log_variance = mean.float(), log_variance.float()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return (errors.sum((1, 2, 3)) + kl).mean()

    def take(self, file: str) -> None:
        """Take weights from a file that has them layer by layer, as the layers stand here."""
        weights = np.load(file)
        with torch.no_grad():
            for parameter, name in zip(self.parameters(), weights.files, strict=True):
                parameter.copy_(torch.from_numpy(weights[name]))
