"""Windows that share some time: they are not negatives of each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

MICROSECOND = 1e-6
"""Times are compared to a microsecond [s]: offsets are sums of decimal fractions."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Positions in absolute time of the N windows of a batch, which determine the windows that share some time.

    Windows of two clips overlap if the clips do. Windows that only touch do not overlap, and a window does not overlap
    itself. What is kept is computed once, in O(N log N) time and O(N) memory.
    """

    recording_N: Tensor
    """[N] int, index of each window's recording."""
    time_N: Tensor
    """[N] float64, start of each window in its recording [s]."""
    window: float
    """Length of a window [s]."""
    frame_times: tuple[float, ...] = ()
    """Moments of the frames of a window that have vectors of their own [s from the start of the window]."""

    def of_frames(self, gap: float) -> Overlap:
        """Return the overlap of the moments of all frames, N x K, those of a window after one another.

        Two moments of a recording overlap if they are less than `gap` [s] apart. The result is computed once.
        """
        if gap not in self._of_frames:
            time_M = torch.stack([self.time_N + time for time in self.frame_times], dim=1).flatten()
            self._of_frames[gap] = Overlap(self.recording_N.repeat_interleave(len(self.frame_times)), time_M, gap)
        return self._of_frames[gap]

    def rows(self, rows: slice) -> Tensor:
        """Return [b, N] bool: whether each of b consecutive windows shares some time with each of all N windows.

        `rows(slice(None))` is the whole matrix.
        """
        start, stop, _ = rows.indices(len(self.recording_N))
        shared_bN = self._ranges.rows(slice(start, max(start, stop)))
        shared_bN.diagonal(start).fill_(False)
        return shared_bN

    def candidates(self) -> Tensor:
        """Return [N] int32, the number of windows that do not overlap each window, itself included."""
        return len(self.recording_N) + 1 - (self._ranges.stop_M - self._ranges.first_M).clamp(min=1)

    @cached_property
    def _of_frames(self) -> dict[float, Overlap]:
        """The overlap of the moments of all frames, by gap [s]."""
        return {}

    @cached_property
    def _ranges(self) -> SharedTime:
        return sharing_time(self.recording_N, self.time_N, self.recording_N, self.time_N, self.window)


class SharedTime(NamedTuple):
    """Which of N windows share time with each of M windows, itself included.

    In the order of recording and time, they are consecutive. Their number is not known to the host, which therefore
    need not wait for a device that computes them.
    """

    place_N: Tensor
    """[N] int32, place of each of the N windows in that order."""
    first_M: Tensor
    """[M] int32, the first place of those that share time with a window."""
    stop_M: Tensor
    """[M] int32, the place after the last of them."""

    def rows(self, rows: slice) -> Tensor:
        """Return [m, N] bool, for m consecutive ones of the M windows."""
        return (self.place_N >= self.first_M[rows, None]) & (self.place_N < self.stop_M[rows, None])


def sharing_time(recording_M: Tensor, time_M: Tensor, recording_N: Tensor, time_N: Tensor, window: float) -> SharedTime:
    """Find which of N windows share time with each of M windows; `recording` and `time` are as in `Overlap`."""
    if not len(recording_M) or not len(recording_N):
        return SharedTime(*(x.new_zeros(len(x), dtype=torch.int32) for x in (recording_N, recording_M, recording_M)))
    recording, time = torch.cat([recording_M, recording_N]), torch.cat([time_M, time_N]).double()
    sorted_recording, order = recording.sort()
    number = (sorted_recording.diff(prepend=sorted_recording[:1]) != 0).cumsum(0)
    number = torch.empty_like(order).scatter_(0, order, number)  # of the recording, without those that are not there
    earliest = time.new_full((len(time),), torch.inf).scatter_reduce(0, number, time, "amin")
    time = time - earliest[number]
    reach = window - MICROSECOND
    key = time + number * (time.max() + 2 * window)
    key_M, key_N = key[: len(recording_M)], key[len(recording_M) :]
    sorted_N, order_N = key_N.sort()
    first_M = torch.searchsorted(sorted_N, key_M - reach, right=True)
    stop_M = torch.searchsorted(sorted_N, key_M + reach)
    return SharedTime(order_N.argsort().int(), first_M.int(), stop_M.int())  # half the memory to compare
