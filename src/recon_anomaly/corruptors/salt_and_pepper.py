"""Salt-and-pepper noise, the second artificial anomaly of Klimkevičius, section 4.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon_anomaly.checks import check_number
from recon_anomaly.errors import InputError
from recon_anomaly.images import check_picture

__all__ = ["SaltAndPepper"]


@dataclass(frozen=True, kw_only=True)
class SaltAndPepper:
    """Paints a share of the pixels white and another share black, all channels together.

    Klimkevičius, *Systematic Comparison of Auto Encoders in Industrial application*, section 4.1,
    picks pixels at random for both colours. The paper gives no shares; 0.02 each was fixed here
    before any model was scored.

    Exactly ``round(salt · h · w)`` and ``round(pepper · h · w)`` different pixels are painted
    (Python's ``round``; if both were rounded up past the last pixel, pepper gives way). Where both
    come to zero, in a very small picture, one pixel is painted in the colour of the larger share.

    Parameters
    ----------
    salt : float, default 0.02
        Share of the pixels that become white (1.0), in [0, 1].
    pepper : float, default 0.02
        Share of the pixels that become black (0.0), in [0, 1].

    Raises
    ------
    InputError
        If a share lies outside [0, 1], both are zero, or they add up to more than 1.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.full((10, 10, 1), 0.5, dtype=np.float32)
    >>> spoiled, mask = SaltAndPepper(salt=0.03, pepper=0.05)(image, np.random.default_rng(0))
    >>> int((spoiled == 1).sum()), int((spoiled == 0).sum()), int(mask.sum())
    (3, 5, 8)
    """

    salt: float = 0.02
    pepper: float = 0.02

    def __post_init__(self) -> None:
        for name, share in (("salt", self.salt), ("pepper", self.pepper)):
            check_number(name, share, "a share, from 0 to 1", 0, 1)
        if not 0 < self.salt + self.pepper <= 1:
            raise InputError(
                f"salt + pepper is {self.salt + self.pepper}; "
                "make the sum of both shares more than 0 and at most 1."
            )

    def __call__(
        self, image: NDArray[np.float32], rng: np.random.Generator, /
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the spoiled picture and the mask of the pixels that changed, see `Corruptor`.

        A white pixel painted white again has not changed, so a picture that is white all over comes out of
        pure salt with an empty mask.
        """
        check_picture(image)
        h, w, c = image.shape
        n_salt = round(self.salt * h * w)
        n_pepper = min(round(self.pepper * h * w), h * w - n_salt)
        if n_salt + n_pepper == 0:
            n_salt, n_pepper = (1, 0) if self.salt >= self.pepper else (0, 1)
        chosen = rng.permutation(h * w)[: n_salt + n_pepper]
        pixels = image.reshape(h * w, c).copy()
        pixels[chosen[:n_salt]] = 1.0
        pixels[chosen[n_salt:]] = 0.0
        corrupted = pixels.reshape(h, w, c)
        return corrupted, (corrupted != image).any(axis=2)
