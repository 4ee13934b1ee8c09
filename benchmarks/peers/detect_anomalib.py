"""PaDiM, PatchCore, FRE and GANomaly of anomalib, as contenders of `detection.py`.

Runs in an environment of its own, with anomalib. Its networks are used as the modules that they are, in plain loops that
do what its Lightning modules do, so that scores are raw: before normalisation over the set and clamping. The
parameters of a row are those of anomalib's classes; GANomaly has "as_it_is", and the "size" that pictures are brought to.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1"}

import detect_backbones
import numpy as np
import torch
from anomalib.models.image.fre.torch_model import FREModel, TiedAE
from anomalib.models.image.ganomaly.loss import DiscriminatorLoss, GeneratorLoss
from anomalib.models.image.ganomaly.torch_model import GanomalyModel
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from detecting import Contender, compete, in_colour
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 32
"""Pictures a batch, anomalib's default."""

KNOWN = ("resnet18", "wide_resnet50_2")
"""Backbones for which anomalib's PaDiM knows how many features to keep."""

FEATURES = 100
"""How many of them are kept of all others, as of a ResNet-18."""


class Anomalib(Contender):
    """One of the models."""

    mean: tuple[float, ...] = (0.5,) * 3
    deviation: tuple[float, ...] = (0.5,) * 3
    size: int | None = None

    def fit(self, train: np.ndarray, validation: np.ndarray) -> None:
        torch.manual_seed(self.settings["seed"])
        np.random.seed(self.settings["seed"])  # noqa: NPY002  # PatchCore's projections draw from it
        method = self.settings["row"].removeprefix("anomalib-")
        fits: dict[str, Callable[..., nn.Module]] = {
            "padim": self._padim,
            "patchcore": self._patchcore,
            "fre": self._fre,
            "ganomaly": self._ganomaly,
        }
        if method in detect_backbones.STRIDES:
            name, weights = self.settings["backbone"], self.settings["weights"]
            self.backbone = detect_backbones.build(method, name, weights)
            self.mean, self.deviation = self.backbone.mean, self.backbone.deviation
            if self.backbone.note:
                self.notes.append(self.backbone.note)
        self.model = fits[method](train, **self.settings["params"]).eval()

    def score(self, pictures: np.ndarray) -> np.ndarray:
        return np.concatenate([scores for scores, _ in self._answers(pictures)])

    def maps(self, pictures: np.ndarray) -> np.ndarray | None:
        maps = [maps for _, maps in self._answers(pictures)]
        return None if maps[0] is None else np.concatenate(maps)

    def _answers(self, pictures: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        with torch.inference_mode():
            for batch in self._batches(pictures):
                found = self.model(batch)
                maps = None if found.anomaly_map is None else found.anomaly_map[:, 0].numpy()
                yield found.pred_score.reshape(-1).numpy(), maps

    def _batches(self, pictures: np.ndarray, order: Any = None) -> Iterator[Tensor]:
        """Give batches as the network wants them, in an order."""
        mean, deviation = (
            torch.tensor(values).reshape(1, 3, 1, 1) for values in (self.mean, self.deviation)
        )
        order = np.arange(len(pictures)) if order is None else np.asarray(order)
        for start in range(0, len(pictures), BATCH):
            pixels = torch.from_numpy(in_colour(pictures[order[start : start + BATCH]]))
            # In the layout that its own loaders give, since FRE asks for a view of it.
            images = ((pixels.permute(0, 3, 1, 2) / 255 - mean) / deviation).contiguous()
            if self.size is not None:
                images = F.interpolate(images, (self.size,) * 2, mode="bilinear", antialias=True)
            yield images

    def _filled(self, model: Any) -> Any:
        """Return the model with the file's weights in its backbone."""
        if self.backbone.state is not None:
            detect_backbones.fill(model.feature_extractor.feature_extractor, self.backbone.state)
        return model

    def _padim(self, train: np.ndarray, n_features: int | None = None) -> nn.Module:
        if n_features is None and self.settings["backbone"] not in KNOWN:
            n_features = FEATURES
        model = PadimModel(
            backbone=self.backbone.network,
            layers=self.backbone.layers,
            pre_trained=False,
            n_features=n_features,
        )
        self._filled(model).train()
        for batch in self._batches(train):
            model(batch)
        model.fit()
        return model

    def _patchcore(
        self, train: np.ndarray, coreset_sampling_ratio: float = 0.1, num_neighbors: int = 9
    ) -> nn.Module:
        model = PatchcoreModel(
            backbone=self.backbone.network,
            layers=self.backbone.layers,
            pre_trained=False,
            num_neighbors=num_neighbors,
        )
        self._filled(model).train()
        for batch in self._batches(train):
            model(batch)
        model.subsample_embedding(coreset_sampling_ratio)
        return model

    def _fre(
        self, train: np.ndarray, latent_dim: int = 220, pooling_kernel_size: int = 2
    ) -> nn.Module:
        """Train the tied autoencoder on features that are computed once, where anomalib computes them each epoch."""
        model = FREModel(
            backbone=self.backbone.network,
            layer=self.backbone.layers[0],
            input_dim=1,
            latent_dim=1,
            pre_trained=False,
            pooling_kernel_size=pooling_kernel_size,
        )
        self._filled(model).eval()
        with torch.no_grad():
            maps = [model.feature_extractor(batch)[model.layer] for batch in self._batches(train)]
        features = F.avg_pool2d(torch.cat(maps), pooling_kernel_size).flatten(1)
        model.fre_model = TiedAE(features.shape[1], latent_dim)
        optimiser = torch.optim.Adam(model.fre_model.parameters(), lr=1e-3)
        for order in self._epochs(len(features)):
            for chosen in order.split(BATCH):
                loss = F.mse_loss(model.fre_model(features[chosen]), features[chosen])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return model

    def _ganomaly(
        self, train: np.ndarray, *, as_it_is: bool = False, size: int | None = None, **params: Any
    ) -> nn.Module:
        """Train both players, by default with what anomalib gets wrong put right; "as_it_is" leaves it."""
        self.size = size
        # It pads to a power of two.
        side = 2 ** math.ceil(math.log2(max(train.shape[1:3]) if size is None else size))
        chosen = {"n_features": 64, "latent_vec_size": 100} | params
        model = GanomalyModel((side, side), num_input_channels=3, **chosen).train()
        if as_it_is:
            self.mean, self.deviation = detect_backbones.IMAGENET
        else:
            # anomalib asks the whole player for its class name, which is none of a layer's.
            model.apply(GanomalyModel.weights_init)
            self.notes.append("repaired")
        generator_loss, discriminator_loss = GeneratorLoss(), DiscriminatorLoss()
        players = (model.discriminator, model.generator)
        discriminating, generating = (
            torch.optim.Adam(player.parameters(), lr=2e-4, betas=(0.5, 0.999)) for player in players
        )
        for order in self._epochs(len(train)):
            for batch in self._batches(train, order):
                padded, made, latent, again = model(batch)
                real, real_features = model.discriminator(padded)
                fake, fake_features = model.discriminator(made)
                # The paper compares features, Eq. 1; anomalib the two probabilities.
                compared = (real, fake) if as_it_is else (real_features, fake_features)
                generating.zero_grad()
                loss = generator_loss(latent, again, padded, made, *compared)
                loss.backward(retain_graph=True)
                generating.step()
                fake, _ = model.discriminator(made.detach())
                discriminating.zero_grad()
                discriminator_loss(real, fake).backward()
                discriminating.step()
        return model

    def _epochs(self, count: int) -> Iterator[Tensor]:
        """Give the order of the pictures of each epoch."""
        for _ in self.epochs_in_time():
            yield torch.randperm(count)


def make(settings: dict[str, Any]) -> Contender:
    """Return the row's contender."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    return Anomalib(settings)


if __name__ == "__main__":
    compete(make)
