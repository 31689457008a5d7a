"""Which windows show the same moments, and so are not each other's negatives."""

from __future__ import annotations

import torch
from torch import Tensor


def overlapping(clip_N: Tensor, start_N: Tensor, window: float) -> Tensor:
    """[N, N] bool: two different windows of one clip, `window` seconds long, that share some time.

    `clip_N` [N] int is the clip each was cut from, `start_N` [N] its start there [s]. Windows that only touch do not
    overlap. A window is not marked as overlapping itself.
    """
    same_clip_NN = clip_N[:, None] == clip_N[None, :]
    close_NN = (start_N[:, None] - start_N[None, :]).abs() < window
    itself_NN = torch.eye(len(clip_N), dtype=torch.bool, device=clip_N.device)
    return same_clip_NN & close_NN & ~itself_NN
