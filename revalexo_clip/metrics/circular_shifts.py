"""Retrieval within one recording, tested against circular shifts of its own IMU.

One short recording has too few independent moments for an interval. But if IMU and video had nothing to do with each
other, retrieval would be as good with any other alignment. Therefore the IMU is shifted against the video in a circle,
and the p-value is the share of alignments that retrieve at least as well as the true one (Good, 2005,
doi:10.1007/b138696).

There are two of them. Shifts of at least a window have other content. But they leave out those that are nearly the true
alignment and would have to be beaten as well, while each of them is only one of several alike. Therefore their p-value
is too small: it is 0.05 or less in about one of eight pairs of an IMU and a video of different people that last 11 s.
All shifts together form a group, under which the p-value of independent stationary series is exact. It is seldom as
small as it could be, because retrieval that is right is nearly as good with a small shift.

Shapes: G = window starts of the recording, evenly spaced; N = those that are queries; D = dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from revalexo_clip.metrics.retrieval import TIE


class ShiftTest(NamedTuple):
    """Retrieval within a recording, and by how many shifts it is reached."""

    moments: int
    """Windows in the gallery."""
    mrr: float
    """Mean reciprocal rank, the mean of both directions."""
    shifted_mrr: float
    """The mean of it over all shifts by at least a window; NaN without any."""
    shifts: int
    """Number of shifts by at least a window."""
    p: float
    """(1 + number of shifts with at least this reciprocal rank) / (1 + number of shifts); 1 without any shift."""
    p_all: float
    """The same over all shifts, those by less than a window as well."""
    lag: int
    """How much later the IMU windows start that are most similar to those of the video [starts]; 0 is the truth."""


def circular_shift_test(imu_GD: Tensor, video_GD: Tensor, *, every: int, apart: int) -> ShiftTest:
    """Test the retrieval of a recording's windows against circular shifts, all and those of at least `apart` starts.

    Row i of both are the unit vectors of the window at start i. Every `every`-th start is a query and a member of the
    gallery; shifts are by single starts. If a window is `apart` starts long, shifted windows do not overlap with their
    partner. The starts are a circle: a window that is shifted beyond the last start is the one at the first.

    Raises `ValueError` if the vectors do not pair up or are not finite, or a number is less than 1.
    """
    if imu_GD.shape != video_GD.shape or imu_GD.ndim != 2 or len(imu_GD) == 0:
        raise ValueError(f"no recording of pairs: {list(imu_GD.shape)} of IMU, {list(video_GD.shape)} of video")
    if min(every, apart) < 1:
        raise ValueError(f"every ({every}) and apart ({apart}) must be at least 1")
    if not (imu_GD.isfinite().all() and video_GD.isfinite().all()):
        raise ValueError("the vectors of the recording are not finite")
    similarity_GG = imu_GD.double() @ video_GD.double().T
    count = len(similarity_GG)
    observed = _mrr(similarity_GG, 0, every)
    by_shift = [_mrr(similarity_GG, shift, every) for shift in range(1, count)]
    shifted = by_shift[apart - 1 : max(count - apart, 0)]
    return ShiftTest(
        moments=len(range(0, count, every)),
        mrr=observed,
        shifted_mrr=float(np.mean(shifted)) if shifted else float("nan"),
        shifts=len(shifted),
        p=_p_value(observed, shifted),
        p_all=_p_value(observed, by_shift),
        lag=_best_lag(similarity_GG),
    )


def _p_value(observed: float, shifted: Sequence[float]) -> float:
    # Without the tolerance, alignments that are equal but for rounding would count or not by chance.
    return (1 + sum(value >= observed - TIE for value in shifted)) / (1 + len(shifted))


def _mrr(similarity_GG: Tensor, shift: int, every: int) -> float:
    """Return the mean reciprocal rank in both directions if IMU windows start `shift` starts later."""
    video_N = torch.arange(0, len(similarity_GG), every)
    imu_N = (video_N + shift) % len(similarity_GG)
    gallery_NN = similarity_GG[imu_N][:, video_N]
    least_N = gallery_NN.diagonal() - TIE
    # Ties count against the partner, as in `partner_ranks`; the partner itself makes the rank at least 1.
    ranks = ((gallery_NN >= least_N[:, None]).sum(dim=1), (gallery_NN >= least_N).sum(dim=0))
    return float(torch.cat(ranks).double().reciprocal().mean())


def _best_lag(similarity_GG: Tensor) -> int:
    """Return the lag of the IMU at which the windows are most similar, among those that share half of the recording."""
    most = max((len(similarity_GG) - 1) // 2, 0)
    lags = range(-most, most + 1)
    means = [similarity_GG.diagonal(-lag).mean().item() for lag in lags]
    return lags[int(np.argmax(means))]
