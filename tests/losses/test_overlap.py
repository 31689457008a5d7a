from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.losses import Overlap

# Quarters of a second: their differences are exact.
windows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 48)), min_size=0, max_size=12)


@given(windows, st.integers(1, 12))
def test_two_windows_overlap_if_they_share_time_of_one_clip(drawn: list[tuple[int, int]], quarters: int) -> None:
    clip_N = torch.tensor([clip for clip, _ in drawn], dtype=torch.int64)
    start_N = torch.tensor([start / 4 for _, start in drawn], dtype=torch.float64)
    shared = [
        [
            i != j and clip == other_clip and min(start, other_start) + quarters > max(start, other_start)
            for j, (other_clip, other_start) in enumerate(drawn)
        ]
        for i, (clip, start) in enumerate(drawn)
    ]
    overlap = Overlap(clip_N, start_N, quarters / 4)
    assert overlap.rows(slice(None)).tolist() == shared
    assert overlap.rows(slice(2, 5)).tolist() == shared[2:5]
