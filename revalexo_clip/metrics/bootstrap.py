"""Intervals from resampled clips. R resamples of J clips; windows of a clip overlap, so they are never told apart.

Each subject keeps its number of clips: an interval says how figures would vary with other clips of the same people, not
with other people. What is searched and what a probe was trained on stay as they are.
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
"""Clips of one subject that an interval needs: five lie on one side of the true median in one case of sixteen."""

Interval = tuple[float, float]


def interval_reason(clips: int, subjects: int) -> str | None:
    """Why figures of so many clips of so many subjects have no interval; None where they have one."""
    if clips - subjects + 1 >= LEAST_CLIPS:
        return None
    return f"{LEAST_CLIPS} clips of a subject are needed to tell how figures vary"


class ClipBootstrap:
    """The same resamples for every figure, so that differences are taken between paired ones."""

    def __init__(self, clip_subjects: Sequence[str], seed: int = 0, resamples: int = RESAMPLES) -> None:
        """`clip_subjects` names the subject of each of J clips."""
        rng = np.random.default_rng(seed)
        _, self.subject_J = np.unique(np.asarray(clip_subjects), return_inverse=True)
        self.weight_RJ = np.zeros((resamples, len(self.subject_J)))
        for subject in range(int(self.subject_J.max()) + 1):
            own = np.flatnonzero(self.subject_J == subject)
            self.weight_RJ[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)

    def totals(self, cell_N: Ints, cells: int, clip_N: Ints) -> Floats:
        """[R, cells] how many windows of each resample lie in each cell, e.g. of a confusion matrix."""
        clips = len(self.subject_J)
        count_JC = np.bincount(clip_N * cells + cell_N, minlength=clips * cells).reshape(clips, cells)
        return np.asarray(self.weight_RJ @ count_JC)

    def means(self, value_NM: Floats, clip_N: Ints) -> Floats:
        """[R, M] means over windows of M values of each; NaN where a resample has no window."""
        clips = len(self.subject_J)
        sum_JM = np.stack([np.bincount(clip_N, value_N, minlength=clips) for value_N in value_NM.T], axis=1)
        count_R1 = self.weight_RJ @ np.bincount(clip_N, minlength=clips)[:, None]
        with np.errstate(invalid="ignore"):
            return np.asarray(self.weight_RJ @ sum_JM / count_R1)

    def medians(self, value_N: Floats, clip_N: Ints) -> Floats:
        """[R] medians over windows, the mean of the two middle values where there are two; NaN where there are none."""
        order_N = np.argsort(value_N, kind="stable")
        value_N, clip_N = value_N[order_N], clip_N[order_N]
        size = math.isqrt(len(value_N) - 1) + 1  # of blocks: first the block is found, then the place in it
        block_N = np.arange(len(value_N)) // size
        upto_RB = np.cumsum(self.totals(block_N, int(block_N[-1]) + 1, clip_N), axis=1)
        count_R = upto_RB[:, -1]

        def reaching(wanted_R: Floats) -> Floats:
            """[R] the value up to which there are so many windows."""
            block_R = np.minimum((upto_RB < wanted_R[:, None]).sum(axis=1), upto_RB.shape[1] - 1)
            before_R = np.where(block_R > 0, upto_RB[np.arange(len(block_R)), block_R - 1], 0)
            place_RS = np.minimum(block_R[:, None] * size + np.arange(size), len(value_N) - 1)
            weight_RS = np.take_along_axis(self.weight_RJ, clip_N[place_RS], axis=1)
            step_R = (before_R[:, None] + np.cumsum(weight_RS, axis=1) >= wanted_R[:, None]).argmax(axis=1)
            return np.asarray(value_N[np.take_along_axis(place_RS, step_R[:, None], axis=1)[:, 0]])

        middle_R = (reaching(np.ceil(count_R / 2)) + reaching(np.floor(count_R / 2) + 1)) / 2
        return np.where(count_R > 0, middle_R, np.nan)

    def interval(self, figure_R: Floats, clip_N: Ints) -> Interval | None:
        """The interval of a figure from what it was in each resample; `clip_N` are the clips of the windows it is of.

        Percentiles, further out where there are few clips (Hesterberg, 2015, doi:10.1080/00031305.2015.1089789). None
        where there are too few, or where the figure is the same in all resamples: that says nothing of its error.
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
        """The object `interval` of `metrics.json`: the ends of each figure's, null where it has none."""
        found = (self.interval(figure_R, clip_N) for figure_R in figure_RF.T)
        return {name: ends and list(ends) for name, ends in zip(names, found, strict=True)}
