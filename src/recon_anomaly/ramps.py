"""How a weight goes from one value to another: along a piece of a sigmoid, or a straight line."""

from __future__ import annotations

import math

__all__ = ["fall"]


def fall(share: float, steepness: float) -> float:
    r"""Return what is left of a weight's way when ``share`` of its time is over.

    With the logistic function :math:`\sigma` and the steepness :math:`\kappa`,

    .. math:: s(t) = \frac{\sigma(\kappa(\tfrac12 - t)) - \sigma(-\kappa/2)}
                          {\sigma(\kappa/2) - \sigma(-\kappa/2)}

    so that :math:`s(0) = 1` and :math:`s(1) = 0`, both exactly, and the fall is steepest halfway.

    Parameters
    ----------
    share : float
        From 0 to 1.
    steepness : float
        From 0 on: 0 is a straight line, which small ones approach.

    Examples
    --------
    >>> [fall(share, 10.0) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [1.0, 0.93, 0.5, 0.07, 0.0]
    >>> fall(0.25, 0.0)
    0.75
    """
    if steepness < 1e-6:  # the straight line, to the last digit
        return 1.0 - share
    # The logistic function is (1 + tanh(x / 2)) / 2; without the ones, no digits cancel.
    edge = math.tanh(steepness / 4)
    return (math.tanh(steepness * (0.5 - share) / 2) + edge) / (2 * edge)
