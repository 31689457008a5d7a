"""Bootstrap intervals from R resamples of J clips. Windows of a clip overlap, so whole clips are resampled.

Each subject keeps its number of clips: an interval says how results would vary with other clips of the same subjects,
not with other subjects. Galleries and the training windows of probes are not resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.evaluated import Floats, Ints

RESAMPLES = 1000
COVERAGE = 0.95
LEAST_CLIPS = 6
"""Clips of one subject needed for an interval: five clips lie on one side of the true median with probability 1/16."""

Interval = tuple[float, float]


def interval_reason(clips: int, subjects: int) -> str | None:
    """Return why results of so many clips of so many subjects have no interval; None if they have one."""
    if clips - subjects + 1 >= LEAST_CLIPS:
        return None
    return f"{LEAST_CLIPS} clips of a subject are needed to estimate them"


class ClipBootstrap:
    """Resamples of clips, the same for all results, so that differences are paired."""

    def __init__(self, clip_subjects: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> None:
        """Draw resamples of J clips; `clip_subjects` has the subject of each."""
        rng = np.random.default_rng(seed)
        _, self.subject_J = np.unique(np.asarray(clip_subjects), return_inverse=True)
        self.weight_RJ = np.zeros((resamples, len(self.subject_J)))
        for subject in range(int(self.subject_J.max()) + 1):
            own = np.flatnonzero(self.subject_J == subject)
            self.weight_RJ[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)

    def totals(self, cell_N: Ints, cells: int, clip_N: Ints) -> Floats:
        """Count the windows of each resample in each cell, for example of a confusion matrix, [R, cells]."""
        clips = len(self.subject_J)
        count_JC = np.bincount(clip_N * cells + cell_N, minlength=clips * cells).reshape(clips, cells)
        return np.asarray(self.weight_RJ @ count_JC)

    def means(self, value_NM: Floats, clip_N: Ints) -> Floats:
        """Compute means of M values over the windows of each resample, [R, M]; NaN if a resample has no window."""
        clips = len(self.subject_J)
        sum_JM = np.stack([np.bincount(clip_N, value_N, minlength=clips) for value_N in value_NM.T], axis=1)
        count_R1 = self.weight_RJ @ np.bincount(clip_N, minlength=clips)[:, None]
        with np.errstate(invalid="ignore"):
            return np.asarray(self.weight_RJ @ sum_JM / count_R1)

    def medians(self, value_N: Floats, clip_N: Ints) -> Floats:
        """Compute the median over the windows of each resample, [R]; NaN if a resample has no window.

        With an even number of windows it is the mean of the two middle values.
        """
        order_N = np.argsort(value_N, kind="stable")
        value_N, clip_N = value_N[order_N], clip_N[order_N]
        size = math.isqrt(len(value_N) - 1) + 1  # first the block is found, then the place in it
        block_N = np.arange(len(value_N)) // size
        upto_RB = np.cumsum(self.totals(block_N, int(block_N[-1]) + 1, clip_N), axis=1)
        count_R = upto_RB[:, -1]

        def reaching(wanted_R: Floats) -> Floats:
            """Return the value up to which there are so many windows, [R]."""
            block_R = np.minimum((upto_RB < wanted_R[:, None]).sum(axis=1), upto_RB.shape[1] - 1)
            before_R = np.where(block_R > 0, upto_RB[np.arange(len(block_R)), block_R - 1], 0)
            place_RS = np.minimum(block_R[:, None] * size + np.arange(size), len(value_N) - 1)
            weight_RS = np.take_along_axis(self.weight_RJ, clip_N[place_RS], axis=1)
            step_R = (before_R[:, None] + np.cumsum(weight_RS, axis=1) >= wanted_R[:, None]).argmax(axis=1)
            return np.asarray(value_N[np.take_along_axis(place_RS, step_R[:, None], axis=1)[:, 0]])

        middle_R = (reaching(np.ceil(count_R / 2)) + reaching(np.floor(count_R / 2) + 1)) / 2
        return np.where(count_R > 0, middle_R, np.nan)

    def interval(self, figure_R: Floats, clip_N: Ints) -> Interval | None:
        """Return the interval of a result from its value in each resample; `clip_N` are the clips of its windows.

        The ends are percentiles, further out if there are few clips (Hesterberg, 2015,
        doi:10.1080/00031305.2015.1089789). None if there are too few clips, or if the result is the same in all
        resamples, which says nothing about its error.
        """
        clips = np.unique(clip_N)
        free = len(clips) - len(np.unique(self.subject_J[clips]))
        figure_R = figure_R[np.isfinite(figure_R)]
        if free + 1 < LEAST_CLIPS or len(figure_R) == 0 or np.ptp(figure_R) == 0:
            return None
        widened = np.sqrt(len(clips) / free) * stats.t.ppf((1 - COVERAGE) / 2, free)
        tail = float(stats.norm.cdf(widened))
        low, high = np.quantile(figure_R, [tail, 1 - tail])
        return float(low), float(high)

    def intervals(self, names: Sequence[str], figure_RF: Floats, clip_N: Ints) -> JsonObject:
        """Return the object `interval` of `metrics.json`: the ends of each interval, or null."""
        found = (self.interval(figure_R, clip_N) for figure_R in figure_RF.T)
        return {name: ends and list(ends) for name, ends in zip(names, found, strict=True)}
