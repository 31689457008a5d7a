"""Which windows show the same moments, and so are not each other's negatives."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """Where the N windows of a batch lie in their clips, and so which of them share some time."""

    clip_N: Tensor
    """[N] int, the clip that each was cut from."""
    start_N: Tensor
    """[N], where each starts in its clip [s]."""
    window: float
    """Length of a window [s]."""

    def rows(self, rows: slice) -> Tensor:
        """[b, N] bool: whether each of b consecutive windows and each of all N are two that share some time.

        Windows that only touch do not overlap, and none overlaps itself. The whole matrix is `rows(slice(None))`; for
        large batches it is only made row by row.
        """
        place_N = torch.arange(len(self.clip_N), device=self.clip_N.device)
        same_clip_bN = self.clip_N[rows, None] == self.clip_N
        close_bN = (self.start_N[rows, None] - self.start_N).abs() < self.window
        return same_clip_bN & close_bN & (place_N[rows, None] != place_N)
