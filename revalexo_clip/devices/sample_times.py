"""Times of samples that a device delivers in blocks, of which only the first sample's time is known, inexactly."""

from __future__ import annotations

import numpy as np

from revalexo_clip.devices.base import Floats

_OUTLIER = 5.0
"""Blocks that are farther from the line than so many typical deviations do not count."""
_SMALLEST = 1e-4
"""Deviations from the line that never make an outlier [s]."""
_SMOOTHED = 60
"""Blocks over which the deviation of an inexact clock from a straight line is averaged."""


def line_through(place_K: Floats, time_K: Floats) -> tuple[float, float]:
    """Fit time = start + interval x place to K >= 2 points by least squares without outliers; return both numbers.

    Outliers lie farther from the line than five times the median deviation. The first line is that of the median of the
    slopes between points half the recording apart (a repeated-median estimate after Siegel, 1982), so that it follows
    the majority.
    """
    half = len(place_K) // 2
    step_H = (time_K[-half:] - time_K[:half]) / (place_K[-half:] - place_K[:half])
    interval = float(np.median(step_H))
    start = float(np.median(time_K - interval * place_K))
    for _ in range(3):
        off_K = np.abs(time_K - start - interval * place_K)
        kept_K = off_K <= max(_OUTLIER * float(np.median(off_K)), _SMALLEST)
        if kept_K.sum() < 2:
            break
        centre = float(place_K[kept_K].mean())
        apart_K = place_K[kept_K] - centre
        interval = float(apart_K @ time_K[kept_K] / (apart_K @ apart_K))
        start = float(time_K[kept_K].mean()) - interval * centre
    return start, interval


def times_of_samples(place_K: Floats, time_K: Floats, place_N: Floats, *, exact: bool) -> Floats:
    """Return the times of samples from those of the first sample of each block, [N] ascending.

    `place_K` are the numbers of the first samples of K >= 2 blocks, `time_K` their times [s], `place_N` the numbers of
    all samples. A straight line is fitted, because the rate of a sensor hardly changes. If the clock is `exact`, what
    deviates from it is interpolated between the blocks (except outliers); otherwise it is averaged over a minute and
    ignored in shorter recordings.
    """
    start, interval = line_through(place_K, time_K)
    off_K = time_K - start - interval * place_K
    line_N = start + interval * place_N
    limit = max(_OUTLIER * float(np.median(np.abs(off_K))), interval if exact else 0.0)
    kept_K = np.abs(off_K) <= limit
    if exact and kept_K.sum() >= 2:
        curve_N = np.interp(place_N, place_K[kept_K], off_K[kept_K])
    elif not exact and len(place_K) > 2 * _SMOOTHED:
        curve_N = np.interp(place_N, place_K, _smoothed(np.clip(off_K, -limit, limit)))
    else:
        return line_N
    found_N = line_N + curve_N
    return found_N if (np.diff(found_N) > 0).all() else line_N


def _smoothed(off_K: Floats) -> Floats:
    """Average over `_SMOOTHED` blocks; near the ends, over as many as there are on both sides."""
    half = _SMOOTHED // 2
    sum_K = np.concatenate([[0.0], np.cumsum(off_K)])
    place_K = np.arange(len(off_K))
    reach_K = np.minimum(np.minimum(place_K, place_K[::-1]), half)
    averaged: Floats = (sum_K[place_K + reach_K + 1] - sum_K[place_K - reach_K]) / (2 * reach_K + 1)
    return averaged
