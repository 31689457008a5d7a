"""Exact bounds of a result that is the same in all units of time, for example 0% or 100%.

Resamples of such a result are all the same, so they say nothing about its error. But if it held in a share p of all
units there are, U independent units would all show it with probability p^U. The bound is the smallest p for which this
is not less than 2.5% (Clopper & Pearson, 1934, doi:10.1093/biomet/26.4.404), that is about 1 - 3.7 / U.

A unit that follows another one in a recording is more likely to show the same. Units are taken for a Markov chain whose
neighbours have the largest correlation that is believed, `MOST_CORRELATED`, because from units that are all alike no
correlation can be estimated.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

MOST_CORRELATED = 0.5
"""Largest correlation of neighbouring units that is believed: estimates from few units are inexact."""
_LEAST, _MOST = 1e-12, 1 - 1e-12

Range = tuple[float, float]
Interval = tuple[float, float]


def all_alike(share: float, units: int, followers: int = 0) -> float:
    """Return the probability that all units are alike if a share of all units there are is like these.

    `followers` of the units follow another one of them in the same recording.
    """
    return float(np.exp(_log_all_alike(share, units, followers)))


def least_share(units: int, followers: int, probability: float) -> float:
    """Return the smallest share of alike units with which `units` are all alike with at least that probability."""
    if units == 0 or probability >= 1:
        return 0.0 if units == 0 else 1.0
    wanted = np.log(probability)
    if _log_all_alike(_LEAST, units, followers) >= wanted:
        return 0.0
    return float(brentq(lambda share: _log_all_alike(share, units, followers) - wanted, _LEAST, _MOST))


def bounds(value: float, within: Range, share: float) -> Interval:
    """Return the bounds of a mean if at least a share of all units has this value, and the rest any in the range."""
    least, most = within
    return share * value + (1 - share) * least, share * value + (1 - share) * most


def _log_all_alike(share: float, units: int, followers: int) -> float:
    alike = share + MOST_CORRELATED * (1 - share)
    return float((units - followers) * np.log(share) + followers * np.log(alike))
