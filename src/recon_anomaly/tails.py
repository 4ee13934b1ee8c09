"""A threshold beyond the scores that were seen: the tail of good pictures' scores, extrapolated."""

from __future__ import annotations

import numpy as np

from .errors import InputError

__all__ = ["FEWEST", "peaks_over_threshold"]

FEWEST = 10
"""Scores that a tail must have, to be fitted."""


def peaks_over_threshold(
    scores: np.ndarray, *, false_alarm: float = 0.01, tail: float = 0.1
) -> float:
    """Return the threshold that an extrapolation of the scores' tail exceeds at the rate ``false_alarm``.

    A generalised Pareto distribution is fitted, by maximum likelihood, to the exceedances of the 1 - ``tail``
    quantile t (Pickands, Balkema and de Haan). With its shape c and scale s, and N of n scores above t,
    the threshold is t + s/c ((``false_alarm`` n / N)^(-c) - 1), Eq. 1 of Siffer, Fouque, Termier and
    Largouet, *Anomaly detection in streams with extreme value theory*, 2017.

    It gives thresholds for rates for which `recon_anomaly.conformal.conformal` has too few pictures, as far as
    the tail goes on as it began; nothing guarantees that.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Anomaly scores of good pictures that were not trained on.
    false_alarm : float
        More than 0 and less than the share of scores above t.
    tail : float
        Which share of the scores is the tail, in (0, 1).

    Raises
    ------
    InputError
        For shares outside these bounds; where the tail has fewer than `FEWEST` scores, or they are all equal.

    Examples
    --------
    >>> scores = np.random.default_rng(0).exponential(size=2000)
    >>> threshold = peaks_over_threshold(scores, false_alarm=0.001)
    >>> round(threshold, 1), round(float(-np.log(0.001)), 1)
    (7.2, 6.9)
    """
    # It takes a second to import, and other rules need none of it.
    from scipy.stats import genpareto

    if not 0 < false_alarm < tail < 1:
        raise InputError(
            f"false_alarm={false_alarm}, tail={tail}: 0 < false_alarm < tail < 1 is wanted"
        )
    start = np.quantile(scores, 1 - tail) if len(scores) else 0.0
    excesses = np.sort(scores[scores > start] - start)  # sums must not depend on the order
    if len(excesses) < FEWEST:
        raise InputError(
            f"{len(excesses)} of {len(scores)} good pictures' scores lie in the tail of {tail:g}, and to fit it at "
            f"least {FEWEST} are needed; give more good pictures or a larger tail"
        )
    above = len(excesses) / len(scores)
    if false_alarm >= above:
        raise InputError(
            f"{above:g} of the scores lie above their {1 - tail:g} quantile, since many are equal, and "
            f"false_alarm={false_alarm} is not in that tail; take a larger tail, or rule 'quantile'"
        )
    if np.ptp(excesses) == 0:
        raise InputError(
            f"the {len(excesses)} scores in the tail of {tail:g} are all the same, so that no distribution can be "
            "fitted to them; take rule 'quantile' or 'conformal'"
        )
    # In units of their mean: the search begins, and ends, by absolute numbers.
    unit = excesses.mean()
    shape, _, scale = genpareto.fit(excesses / unit, 0.1, floc=0, scale=1)
    return float(start + unit * genpareto.isf(false_alarm / above, shape, scale=scale))
