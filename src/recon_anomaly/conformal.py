"""Conformal thresholds and p-values: what the scores of good pictures promise about new ones.

A new good picture that is exchangeable with the n calibration pictures (drawn like them, in no
particular order) takes each of the n + 1 places among their scores with the same probability. So it is
among the m highest with probability m / (n + 1), whatever the distribution of the scores is; ties make
it less. The promise is about the mean over draws of the calibration pictures: of one draw, with scores
that do not tie, the probability of a false alarm follows a Beta(m, n + 1 - m) distribution.

References
----------
Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005. Laxhammar and Falkman,
*Conformal prediction for distribution-independent anomaly detection in streaming vessel data*, 2010. Bates,
Candès, Lei, Romano and Sesia, *Testing for outliers with conformal p-values*, 2023.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from .checks import check_number
from .errors import CalibrationWarning, InputError

__all__ = ["allowed_rank", "conformal", "discoveries", "p_values", "pictures_needed"]


def conformal(scores: np.ndarray, *, false_alarm: float = 0.05) -> float:
    """Return the threshold that a new good picture exceeds with a probability of at most ``false_alarm``.

    It is the ceil((n + 1) (1 - ``false_alarm``))-th smallest score. Where n is less than
    1 / ``false_alarm`` - 1, no finite threshold has that property.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Anomaly scores of good pictures that were not trained on.
    false_alarm : float
        In (0, 1).

    Returns
    -------
    float
        One of the scores; with too few of them the largest, which a new good picture exceeds with a
        probability of at most 1 / (n + 1).

    Raises
    ------
    InputError
        Without scores, and for a ``false_alarm`` outside (0, 1).

    Warns
    -----
    CalibrationWarning
        When there are too few; it says how many are needed.

    Examples
    --------
    >>> conformal(np.arange(1.0, 20.0), false_alarm=0.1)
    18.0
    """
    needed = pictures_needed(false_alarm)
    count = len(scores)
    if not count:
        raise InputError("rule 'conformal' needs at least one good picture; there is none")
    if count < needed:
        warnings.warn(
            f"{count} good pictures are too few to promise a false alarm rate of {false_alarm:g}: {needed} are "
            "needed. The threshold is the largest of their scores, which a new good picture exceeds with a "
            f"probability of at most 1/{count + 1} = {1 / (count + 1):.3g}",
            CalibrationWarning,
            stacklevel=2,
        )
        return float(np.max(scores))
    return float(np.sort(scores)[count - allowed_rank(count, false_alarm)])


def p_values(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Return the conformal p-value of each score: (1 + #{calibration scores >= it}) / (n + 1).

    That of a new good picture is at most t with a probability of at most t, for every t. A score exceeds
    the threshold that `conformal` takes from ``calibration`` exactly if its p-value is at most
    ``false_alarm``, provided that n suffices for it.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        Anomaly scores of new pictures.
    calibration : ndarray of shape (n,)
        Those of good pictures, in ascending order.

    Returns
    -------
    ndarray of shape (m,), float64
        In [1 / (n + 1), 1].

    Examples
    --------
    >>> p_values(np.array([0.5, 2.0, 9.0]), np.array([1.0, 2.0, 3.0]))
    array([1.  , 0.75, 0.25])
    """
    count = len(calibration)
    not_below = count - np.searchsorted(calibration, scores, side="left")
    found: np.ndarray = (1 + not_below) / (count + 1)
    return found


def discoveries(p_values: np.ndarray, false_discovery: float = 0.1) -> np.ndarray:
    """Return which pictures of a batch to call anomalous by the procedure of Benjamini and Hochberg (1995).

    Of m p-values in ascending order the first k are taken, for the largest k whose p-value is at most
    ``false_discovery`` k / m. The expected share of good pictures among those that are taken is then at
    most ``false_discovery``, for conformal p-values of one calibration too (Bates et al., 2023).

    Parameters
    ----------
    p_values : ndarray of shape (m,)
        In [0, 1].
    false_discovery : float
        In (0, 1).

    Returns
    -------
    ndarray of shape (m,), bool

    Raises
    ------
    InputError
        For p-values outside [0, 1] and a ``false_discovery`` outside (0, 1).

    Examples
    --------
    >>> discoveries(np.array([0.01, 0.5, 0.04, 0.03]), 0.1)
    array([ True, False,  True,  True])
    """
    # It takes a second to import, and a threshold needs none of it.
    from scipy.stats import false_discovery_control

    _check_share("false_discovery", false_discovery)
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"got p-values of shape {values.shape}; a row of numbers from 0 to 1 is wanted"
        )
    if not len(values):
        return np.zeros(0, bool)
    # Conformal p-values are ratios of whole numbers and often lie on the bound, where rounding must not decide.
    found: np.ndarray = false_discovery_control(values) <= false_discovery * (1 + 1e-12)
    return found


def pictures_needed(false_alarm: float) -> int:
    """Return how many good pictures a promise of ``false_alarm`` needs: ceil(1 / ``false_alarm`` - 1).

    Raises
    ------
    InputError
        For a ``false_alarm`` outside (0, 1).

    Examples
    --------
    >>> pictures_needed(0.05), pictures_needed(0.01)
    (19, 99)
    """
    _check_share("false_alarm", false_alarm)
    count = max(0, math.ceil(1 / false_alarm - 1) - 1)
    while not allowed_rank(count, false_alarm):
        count += 1
    return count


def allowed_rank(count: int, share: float) -> int:
    """Return the largest whole m with m / (``count`` + 1) <= ``share``, the division as floats do it.

    Examples
    --------
    >>> allowed_rank(99, 0.29), 0.29 * 100
    (29, 28.999999999999996)
    """
    rank = math.floor(share * (count + 1))
    while (rank + 1) / (count + 1) <= share:
        rank += 1
    while rank / (count + 1) > share:
        rank -= 1
    return rank


def _check_share(name: str, share: float) -> None:
    check_number(name, share, "a share between 0 and 1, neither of them", above=0, below=1)
