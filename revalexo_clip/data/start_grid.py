"""A grid of the times at which training windows may start, so that what depends on a whole window can be kept."""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.base import Windows
from revalexo_clip.data.windows import TIME_DECIMALS, Floats


class StartGrid:
    """The multiples of `step` [s] at which windows of each clip may start.

    Its first and its last possible start belong to the grid, too. So every clip has one, and every second of a clip can
    be seen.
    """

    def __init__(self, step: float, placed: Windows, segment_N: Floats) -> None:
        """`placed` has the start of the segment of each window, `segment_N` [s] the segment length of each clip."""
        self.step = step
        self.begin_N, self.last_N = np.full(len(segment_N), np.inf), np.full(len(segment_N), -np.inf)
        np.minimum.at(self.begin_N, placed.clip_N, placed.start_N)
        np.maximum.at(self.last_N, placed.clip_N, placed.start_N + segment_N[placed.clip_N])

    def nearest(self, clip: int, start: float) -> float:
        """Return the start of the grid that is nearest to a possible start [s] of a window."""
        snapped = round(round(start / self.step) * self.step, TIME_DECIMALS)
        return min(max(snapped, float(self.begin_N[clip])), float(self.last_N[clip]))

    def starts(self, clip: int) -> Floats:
        """Return all ascending starts of a clip [s]; none if it has no windows."""
        begin, last = float(self.begin_N[clip]), float(self.last_N[clip])
        if begin > last:
            return np.empty(0)
        first, end = np.ceil(begin / self.step), np.floor(last / self.step)
        inside_K = np.round(np.arange(first, end + 1) * self.step, TIME_DECIMALS).clip(begin, last)
        starts_S = np.concatenate([[begin], inside_K, [last]])
        _, first_S = np.unique(np.round(starts_S, TIME_DECIMALS), return_index=True)
        return np.asarray(starts_S[first_S])
