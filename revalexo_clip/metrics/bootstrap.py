"""Bootstrap intervals from R resamples of U units of time (see `blocks`), because neighbouring windows overlap.

Each subject keeps its number of units: an interval says how results would vary with other moments of the same subjects,
not with other subjects (see `between_subjects`). Galleries and the training windows of probes are not resampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.blocks import LEAST_BLOCKS, TimeUnits
from revalexo_clip.metrics.evaluated import Floats, Ints
from revalexo_clip.metrics.exact_bounds import MOST_CORRELATED, Interval, Range, all_alike, bounds, least_share

RESAMPLES = 1000
COVERAGE = 0.95

SHARE: Range = (0.0, 1.0)
"""Range of a result that is a share."""
DIFFERENCE: Range = (-1.0, 1.0)
"""Range of a difference of shares."""
UNLIMITED: Range = (-math.inf, math.inf)
_FAR = 0.025
"""Quantiles further out than this are extrapolated for p-values."""
_ROUNDING = 1e-12
"""Results that differ by less are the same."""


class TimeBootstrap:
    """Resamples of units of time, the same for all results, so that differences are paired."""

    def __init__(self, units: TimeUnits, seed: int = 0, resamples: int = RESAMPLES) -> None:
        """Draw resamples of units of each subject."""
        rng = np.random.default_rng(seed)
        self.units = units
        self.unit_N = units.unit_N
        """Unit of each of the N windows."""
        _, self.subject_U = np.unique(np.asarray(units.unit_subjects), return_inverse=True)
        """Number of the subject of each unit."""
        self.weight_RU = np.zeros((resamples, len(self.subject_U)))
        """How often each unit is in each resample."""
        for subject in range(int(self.subject_U.max()) + 1):
            own = np.flatnonzero(self.subject_U == subject)
            self.weight_RU[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)

    def totals(self, cell_N: Ints, cells: int, unit_N: Ints) -> Floats:
        """Count the windows of each resample in each cell, for example of a confusion matrix, [R, cells]."""
        units = len(self.subject_U)
        count_UC = np.bincount(unit_N * cells + cell_N, minlength=units * cells).reshape(units, cells)
        return np.asarray(self.weight_RU @ count_UC)

    def means(self, value_NM: Floats, unit_N: Ints) -> Floats:
        """Compute means of M values over the windows of each resample, [R, M]; NaN if a resample has no window."""
        units = len(self.subject_U)
        sum_UM = np.stack([np.bincount(unit_N, value_N, minlength=units) for value_N in value_NM.T], axis=1)
        count_R1 = self.weight_RU @ np.bincount(unit_N, minlength=units)[:, None]
        with np.errstate(invalid="ignore"):
            return np.asarray(self.weight_RU @ sum_UM / count_R1)

    def medians(self, value_N: Floats, unit_N: Ints) -> Floats:
        """Compute the median over the windows of each resample, [R]; NaN if a resample has no window.

        With an even number of windows it is the mean of the two middle values.
        """
        order_N = np.argsort(value_N, kind="stable")
        value_N, unit_N = value_N[order_N], unit_N[order_N]
        size = math.isqrt(len(value_N) - 1) + 1  # first the chunk is found, then the place in it
        chunk_N = np.arange(len(value_N)) // size
        upto_RC = np.cumsum(self.totals(chunk_N, int(chunk_N[-1]) + 1, unit_N), axis=1)
        count_R = upto_RC[:, -1]

        def reaching(wanted_R: Floats) -> Floats:
            """Return the value up to which there are so many windows, [R]."""
            chunk_R = np.minimum((upto_RC < wanted_R[:, None]).sum(axis=1), upto_RC.shape[1] - 1)
            before_R = np.where(chunk_R > 0, upto_RC[np.arange(len(chunk_R)), chunk_R - 1], 0)
            place_RS = np.minimum(chunk_R[:, None] * size + np.arange(size), len(value_N) - 1)
            weight_RS = np.take_along_axis(self.weight_RU, unit_N[place_RS], axis=1)
            step_R = (before_R[:, None] + np.cumsum(weight_RS, axis=1) >= wanted_R[:, None]).argmax(axis=1)
            return np.asarray(value_N[np.take_along_axis(place_RS, step_R[:, None], axis=1)[:, 0]])

        middle_R = (reaching(np.ceil(count_R / 2)) + reaching(np.floor(count_R / 2) + 1)) / 2
        return np.where(count_R > 0, middle_R, np.nan)

    def interval(self, figure_R: Floats, unit_N: Ints, within: Range = UNLIMITED) -> Interval | None:
        """Return the interval of a result from its value in each resample; `unit_N` are the units of its windows.

        The ends are percentiles, further out if there are few units (Hesterberg, 2015,
        doi:10.1080/00031305.2015.1089789), and further from the median if neighbouring units depend on each other: the
        variance is multiplied by (1 + r) / (1 - r), see `_correlation`. They are cut to `within`, the range of the
        result. None if there are too few units.

        A result that is the same in all resamples has exact bounds (see `exact_bounds`) if it is a `SHARE` (from few
        units only if it is 0 or 1), or a `DIFFERENCE` other than zero. Otherwise it has no interval.

        That r is an estimate costs degrees of freedom of the t distribution. With n pairs of neighbours among U units
        the variance of r is about n / U^2, of which half remains because r is never below zero; that of the logarithm
        of the factor is four times as much. Adding it to the variance of the logarithm of the estimated variance,
        2 / f with f = U - subjects, gives f / (1 + n / U) degrees of freedom (after Satterthwaite, 1946,
        doi:10.2307/3002019).
        """
        found = self._resampled(figure_R, unit_N)
        if found.is_constant:
            if not found.has_bounds(within):
                return None
            return bounds(float(found.known[0]), within, self.least_share(unit_N))
        if not found.has_enough_units:
            return None
        tail = float(special.ndtr(found.widening * special.stdtrit(found.degrees, (1 - COVERAGE) / 2)))
        low, median, high = np.quantile(found.known, [tail, 0.5, 1 - tail])
        least, most = within
        stretch = found.stretch
        ends = max(median - stretch * (median - low), least), min(median + stretch * (high - median), most)
        return float(ends[0]), float(ends[1])

    def p_value(self, figure_R: Floats, unit_N: Ints, within: Range = UNLIMITED) -> float | None:
        """Return the two-sided p-value of a difference from its value in each resample; None without an interval.

        It is the smallest error probability at which the interval does not contain zero. Quantiles beyond those of 2.5%
        are extrapolated as those of a normal distribution: of 1000 resamples too few are that far out.
        """
        found = self._resampled(figure_R, unit_N)
        if found.is_constant:
            if not found.has_bounds(within):
                return None
            excluding = 1 / (1 + abs(float(found.known[0])))  # with this share, a bound is zero
            return min(2 * all_alike(excluding, *self._chain(unit_N)), 1.0)
        if not found.has_enough_units:
            return None
        low, median, high = np.quantile(found.known, [_FAR, 0.5, 1 - _FAR])
        end = median * (1 - 1 / found.stretch)  # at which an end of the interval is zero
        beyond = np.count_nonzero(found.known <= end if median > 0 else found.known >= end)
        z = float(special.ndtri((beyond + 1) / (len(found.known) + 1)))
        half = median - low if median > 0 else high - median
        if half > 0 and abs(median - end) > half:
            z = float(special.ndtri(_FAR)) * abs(median - end) / half
        return min(2 * float(special.stdtr(found.degrees, z / found.widening)), 1.0)

    def least_share(self, unit_N: Ints, probability: float = (1 - COVERAGE) / 2) -> float:
        """Return the least share of all units that are like those of the windows, if these are all alike."""
        return least_share(*self._chain(unit_N), probability)

    def _chain(self, unit_N: Ints) -> tuple[int, int]:
        """Count units, and those that follow another one of them in their recording."""
        units = np.unique(unit_N)
        return len(units), len(self._followers(units))

    def _followers(self, units: Ints) -> Ints:
        """Return the places of units that follow another one of them in their recording."""
        return np.flatnonzero(self.units.follows_U[units] & np.append(False, np.diff(units) == 1)[: len(units)])

    def _resampled(self, figure_R: Floats, unit_N: Ints) -> _Resampled:
        units = np.unique(unit_N)
        subjects = len(np.unique(self.subject_U[units]))
        known_R = np.isfinite(figure_R)
        followers = self._followers(units)
        return _Resampled(figure_R[known_R], self.weight_RU[np.ix_(known_R, units)], followers, subjects)

    def intervals(
        self, names: Sequence[str], figure_RF: Floats, unit_N: Ints, ranges: Mapping[str, Range] | None = None
    ) -> JsonObject:
        """Return the object `interval` of `metrics.json`: the ends of each interval, or null.

        Intervals are cut to the range of the result if `ranges` has it.
        """
        within = ((ranges or {}).get(name, UNLIMITED) for name in names)
        found = (self.interval(figure_R, unit_N, of) for figure_R, of in zip(figure_RF.T, within, strict=True))
        return {name: ends and list(ends) for name, ends in zip(names, found, strict=True)}

    def p_values(
        self, names: Sequence[str], figure_RF: Floats, unit_N: Ints, ranges: Mapping[str, Range] | None = None
    ) -> JsonObject:
        """Return the object `p_value` of a difference in `metrics.json`, see `p_value`."""
        within = ((ranges or {}).get(name, UNLIMITED) for name in names)
        found = (self.p_value(figure_R, unit_N, of) for figure_R, of in zip(figure_RF.T, within, strict=True))
        return dict(zip(names, found, strict=True))


@dataclass(frozen=True)
class _Resampled:
    """A result in those of R resamples in which it is known, and the units of its windows."""

    known: Floats
    weight_RU: Floats
    followers: Ints
    """Places of the units that follow another one."""
    subjects: int

    @property
    def is_constant(self) -> bool:
        """Whether the result is the same in all resamples, or known in none."""
        return len(self.known) == 0 or bool(np.ptp(self.known) < _ROUNDING)

    def has_bounds(self, within: Range) -> bool:
        """Return whether a constant result has exact bounds: any share, but no difference of zero.

        From few units only 0% and 100% have them: anything else is the same in all resamples of a single unit.
        """
        if len(self.known) == 0 or within not in (SHARE, DIFFERENCE):
            return False
        value = float(self.known[0])
        if within == DIFFERENCE:
            return self.has_enough_units and abs(value) > _ROUNDING
        return self.has_enough_units or value in SHARE

    @property
    def has_enough_units(self) -> bool:
        """Whether there are enough units for percentiles."""
        return self._free + 1 >= LEAST_BLOCKS

    @property
    def _free(self) -> int:
        return int(self.weight_RU.shape[1]) - self.subjects

    @property
    def degrees(self) -> float:
        """Degrees of freedom."""
        return self._free / (1 + len(self.followers) / int(self.weight_RU.shape[1]))

    @property
    def widening(self) -> float:
        """Factor by which quantiles of a standard deviation from so few units are too small."""
        return math.sqrt(self.weight_RU.shape[1] / self._free)

    @property
    def stretch(self) -> float:
        """Factor by which the result varies more than if neighbouring units were independent."""
        if not len(self.followers):
            return 1.0
        r = _correlation(self.known, self.weight_RU, self.followers, self.subjects)
        return math.sqrt((1 + r) / (1 - r))


def _correlation(figure_R: Floats, weight_RU: Floats, second: Ints, subjects: int) -> float:
    """Estimate the correlation of neighbouring units' influences on the figure, between 0 and 0.5.

    The influence of a unit is the covariance of the figure with the weight of the unit; `second` are the units that
    follow another. Correlations in short series are estimated too low, by (1 + 4 r) / n for n units (Kendall, 1954,
    doi:10.1093/biomet/41.3-4.403), because influences of a subject add up to zero. This is corrected.
    """
    units = weight_RU.shape[1]
    deviation_R = figure_R - figure_R.mean()
    influence_U = deviation_R @ weight_RU / len(figure_R)
    products = (influence_U[second - 1] * influence_U[second]).sum() / deviation_R.var()
    uncorrelated = -len(second) * subjects / (units * (units - subjects))  # expected if units are independent
    return float(np.clip((products - uncorrelated) * (1 + 4 * subjects / units), 0.0, MOST_CORRELATED))
