"""Gaussian noise, the first of the artificial anomalies of Klimkevičius, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon_anomaly.checks import check_number
from recon_anomaly.images import check_picture

__all__ = ["GaussianNoise"]


@dataclass(frozen=True, kw_only=True)
class GaussianNoise:
    """Adds normal noise to every pixel and channel, then clips to [0, 1].

    The defaults are those of Klimkevičius, *Systematic Comparison of Auto Encoders in Industrial
    application*, section 4.1. The paper does not say whether it clips; pictures here live in
    [0, 1], so this does, and with a standard deviation of 0.5 about a third of a mid-gray picture
    ends up black or white.

    Parameters
    ----------
    mean : float, default 0.005
        Mean of the noise, in units of the pixel range [0, 1].
    std : float, default 0.5
        Standard deviation of the noise, at least 0, in the same unit. Zero with a mean of zero
        leaves the picture as it is.

    Raises
    ------
    InputError
        If ``mean`` or ``std`` is not finite or ``std`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((4, 4, 1), 0.5, dtype=np.float32)
    >>> noisy, mask = GaussianNoise(std=0.1)(image, np.random.default_rng(0))
    >>> noisy.shape, noisy.dtype, int(mask.sum())
    ((4, 4, 1), dtype('float32'), 16)
    """

    mean: float = 0.005
    std: float = 0.5

    def __post_init__(self) -> None:
        check_number("mean", self.mean, "a finite number, such as 0.005")
        check_number("std", self.std, "a finite number of at least 0", 0)

    def __call__(
        self, image: NDArray[np.float32], rng: np.random.Generator, /
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the noisy picture and the mask of the pixels that changed, see `Corruptor`.

        h · w · c normal draws are taken of ``rng``. A black or white pixel that is pushed further out is clipped
        back to what it was, and is not in the mask.
        """
        check_picture(image)
        noise = rng.normal(self.mean, self.std, size=image.shape)
        corrupted = np.clip(image + noise, 0.0, 1.0).astype(np.float32)
        return corrupted, (corrupted != image).any(axis=2)
