"""The distance of two codes: the anomaly score of GANomaly, Akcay et al. (2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction

__all__ = ["LatentDistance"]


class LatentDistance:
    r"""Spread the distance between a picture's code and its reconstruction's over the pixels; the sum is the score.

    .. math:: \text{score} = \lVert G_E(x) - E(G(x)) \rVert_1

    Akcay, Atapour-Abarghouei and Breckon (2018, arXiv 1805.06725), Eq. (5): the sum over latents of the
    absolute differences, in the unit of the latents, which each training gives anew. The paper then brings the
    scores of a test set to [0, 1] by the least and the largest of them, which is not done: a picture's score
    would depend on what else is scored.

    A code has no place in the picture. The map is therefore the absolute error of the pixels, summed
    over channels, and scaled for each picture so that it adds up to the score: it shows by the pixels where
    the reconstruction differs, and by its sum how far the codes are apart. Where no pixel differs it is even.

    For models that give a ``code`` and a ``second_code``, as ``ganomaly`` does.

    Examples
    --------
    >>> import torch
    >>> image = torch.tensor([[[[0.0, 0.5]]]])
    >>> codes = {"code": torch.tensor([[1.0, 2.0]]), "second_code": torch.tensor([[0.0, 0.0]])}
    >>> LatentDistance()(image, Reconstruction(torch.full((1, 1, 1, 2), 0.25), **codes))
    tensor([[[1.5000, 1.5000]]])
    """

    reduction = "sum"

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> Tensor:
        """Return the map, (n, h, w).

        Raises
        ------
        InputError
            When the model gives no two codes.
        """
        code, second_code = reconstruction.code, reconstruction.second_code
        if code is None or second_code is None:
            raise InputError(
                "latent-distance compares the codes of a picture and of its reconstruction, and this model does "
                "not give both; take a model that encodes its reconstructions, such as 'ganomaly', or another "
                "scorer, such as 'mse'"
            )
        distance = (code - second_code).abs().flatten(1).sum(1)
        errors = (target - reconstruction.mean).abs().sum(1)
        total = errors.sum((1, 2), keepdim=True)
        shares = torch.where(total > 0, errors / total, 1 / errors[0].numel())
        return distance[:, None, None] * shares
