"""Windows that share some time: they are not negatives of each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

MICROSECOND = 1e-6
"""Times are compared to a microsecond [s]: offsets are sums of decimal fractions."""

_SLACK = 1e-3
"""Windows that are closer than this to sharing time [s] are compared one by one: sums of times are rounded."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Positions in absolute time of the N windows of a batch, which determine the windows that share some time.

    Windows of two clips overlap if the clips do. Windows that only touch do not overlap, and a window does not overlap
    itself. The pairs are computed once, in O(N log N + P) time and O(N + P) memory for P pairs.
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
            time_K = self.time_N.new_tensor(self.frame_times)
            time_M = (self.time_N[:, None] + time_K).flatten()
            self._of_frames[gap] = Overlap(self.recording_N.repeat_interleave(len(time_K)), time_M, gap)
        return self._of_frames[gap]

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the pairs (i, j) of windows that share some time, [P] int64 each, ascending in i.

        Each pair occurs in both orders.
        """
        return self._pairs

    def of_rows(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Return the pairs whose first window is one of b consecutive windows, counted from the first of them."""
        i_P, j_P = self._pairs
        start, stop, _ = rows.indices(len(self.recording_N))
        own = slice(self._starts[start], self._starts[max(start, stop)])
        return i_P[own] - start, j_P[own]

    def rows(self, rows: slice) -> Tensor:
        """Return [b, N] bool: whether each of b consecutive windows shares some time with each of all N windows.

        `rows(slice(None))` is the whole matrix.
        """
        count = len(self.recording_N)
        start, stop, _ = rows.indices(count)
        shared_bN = torch.zeros(max(stop - start, 0), count, dtype=torch.bool, device=self.recording_N.device)
        shared_bN[self.of_rows(rows)] = True
        return shared_bN

    def candidates(self) -> Tensor:
        """Return [N] int64, the number of windows that do not overlap each window, itself included."""
        count = len(self.recording_N)
        return count - torch.bincount(self._pairs[0], minlength=count)

    @cached_property
    def _of_frames(self) -> dict[float, Overlap]:
        """The overlap of the moments of all frames, by gap [s]."""
        return {}

    @cached_property
    def _pairs(self) -> tuple[Tensor, Tensor]:
        i_P, j_P = sharing_time(self.recording_N, self.time_N, self.recording_N, self.time_N, self.window)
        different_P = i_P != j_P
        return i_P[different_P], j_P[different_P]

    @cached_property
    def _starts(self) -> list[int]:
        """[N + 1], the place of the first pair of each window."""
        counts_N = torch.bincount(self._pairs[0], minlength=len(self.recording_N))
        return [0, *counts_N.cumsum(0).tolist()]


def sharing_time(
    recording_M: Tensor, time_M: Tensor, recording_N: Tensor, time_N: Tensor, window: float
) -> tuple[Tensor, Tensor]:
    """Find the pairs of M and N windows that share some time; return their indices, [P] each, ascending in the first.

    `recording` and `time` are as in `Overlap`. Windows are sorted by recording and time, so that those near a window
    are consecutive.
    """
    if not len(recording_M) or not len(recording_N):
        nothing = recording_M.new_zeros(0, dtype=torch.int64)
        return nothing, nothing
    names, place = torch.unique(torch.cat([recording_M, recording_N]), return_inverse=True)
    time = torch.cat([time_M, time_N]).double()
    earliest = time.new_full((len(names),), torch.inf).scatter_reduce(0, place, time, "amin")
    time = time - earliest[place]
    reach = window + _SLACK
    key_M, key_N = (time + place * (time.max() + 2 * reach)).split([len(recording_M), len(recording_N)])
    order_N = key_N.argsort()
    sorted_N = key_N[order_N]
    first_M = torch.searchsorted(sorted_N, key_M - reach)
    count_M = torch.searchsorted(sorted_N, key_M + reach) - first_M
    m_P = torch.arange(len(key_M), device=key_M.device).repeat_interleave(count_M)
    within_P = torch.arange(len(m_P), device=key_M.device) - (count_M.cumsum(0) - count_M)[m_P]
    n_P = order_N[first_M[m_P] + within_P]
    shared_P = (recording_M[m_P] == recording_N[n_P]) & ((time_M[m_P] - time_N[n_P]).abs() < window - MICROSECOND)
    return m_P[shared_P], n_P[shared_P]
