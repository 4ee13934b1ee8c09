"""What is missing to a structural similarity of 1: Wang et al. (2004)."""

from __future__ import annotations

from torch import Tensor

from recon_anomaly.protocols import Reconstruction
from recon_anomaly.similarity import structural_dissimilarity

__all__ = ["structural_difference"]


def structural_difference(target: Tensor, reconstruction: Reconstruction) -> Tensor:
    r"""Map 1 - SSIM, averaged over channels; its mean is the score.

    .. math::

        \text{score} = 1 - \frac1N \sum_i
        \frac{(2 \mu_x \mu_{x'} + C_1)(2 \sigma_{xx'} + C_2)}
        {(\mu_x^2 + \mu_{x'}^2 + C_1)(\sigma_x^2 + \sigma_{x'}^2 + C_2)}

    with :math:`N` pixels times channels: Wang et al. (2004), *Image quality assessment: from error visibility to
    structural similarity*, Eq. 13. Means, variances and covariance are weighted around each pixel by
    an 11 x 11 Gaussian of deviation 1.5, :math:`C_1 = 0.01^2`, :math:`C_2 = 0.03^2` for pixels in [0, 1].
    Beyond the edges the outermost pixels are repeated, so that the map has full size. In [0, 2].

    What is a little wrong in a flat region counts much, the same error in a texture little. Bergmann et al.
    (2019) take it to find defects.

    Examples
    --------
    >>> import torch
    >>> image = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    >>> found = structural_difference(image, Reconstruction(image)).mean()
    >>> negative = structural_difference(image, Reconstruction(1 - image)).mean()
    >>> float(found), bool(negative > 1)
    (0.0, True)
    """
    return structural_dissimilarity(target, reconstruction.mean).contiguous().mean(1)
