from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from revalexo_clip.losses import Overlap
from revalexo_clip.losses.overlap import MICROSECOND, sharing_time

# Quarters of a second: their differences are exact.
windows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 48)), min_size=0, max_size=12)
# Tenths of a second, off by less or more than a microsecond: sums of decimal fractions, and windows that only touch.
inexact = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.builds(
            lambda tenths, off: tenths * 0.1 + off, st.integers(0, 60), st.sampled_from([0, 4e-7, -4e-7, 2e-6, -2e-6])
        ),
    ),
    min_size=1,
    max_size=20,
)


@pytest.mark.long
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
    assert overlap.candidates().tolist() == [len(row) - sum(row) for row in shared]


def dense(overlap: Overlap) -> Tensor:
    """Return [N, N] bool, whether two windows overlap, from all differences."""
    same_NN = overlap.recording_N[:, None] == overlap.recording_N
    close_NN = (overlap.time_N[:, None] - overlap.time_N).abs() < overlap.window - MICROSECOND
    return same_NN & close_NN & ~torch.eye(len(overlap.time_N), dtype=torch.bool)


@pytest.mark.long
@given(inexact, st.sampled_from([0.0, 1.7e9]))
def test_times_are_compared_to_a_microsecond_also_far_from_zero(drawn: list[tuple[int, float]], origin: float) -> None:
    recording_N = torch.tensor([recording * 1000 for recording, _ in drawn])
    time_N = torch.tensor([origin * (recording % 2) + time for recording, time in drawn], dtype=torch.float64)
    overlap = Overlap(recording_N, time_N, 0.3)
    assert torch.equal(overlap.rows(slice(None)), dense(overlap))
    assert torch.equal(overlap.rows(slice(1, 4)), dense(overlap)[1:4])


def test_windows_that_touch_up_to_a_microsecond_do_not_overlap() -> None:
    time_N = torch.tensor([0.0, 2.0, 4 - 9e-7, 6 - 3e-6], dtype=torch.float64)
    overlap = Overlap(torch.zeros(4, dtype=torch.int64), time_N, 2.0)
    assert overlap.rows(slice(None)).nonzero().tolist() == [[2, 3], [3, 2]]
    assert overlap.candidates().tolist() == [4, 4, 3, 3]


@pytest.mark.parametrize("window", [0.5, 30.0])
def test_a_large_batch_overlaps_as_in_the_matrix_of_all_differences(window: float) -> None:
    generator = torch.Generator().manual_seed(0)
    recording_N = torch.randint(0, 7, (300,), generator=generator)
    overlap = Overlap(recording_N, 60 * torch.rand(300, generator=generator, dtype=torch.float64), window)
    assert torch.equal(overlap.rows(slice(None)), dense(overlap))


def test_windows_of_two_sets_share_time_as_in_one() -> None:
    generator = torch.Generator().manual_seed(0)
    recording_N, time_N = torch.randint(0, 3, (40,), generator=generator), 9 * torch.rand(40, generator=generator)
    matrix_NN = dense(Overlap(recording_N, time_N, 2.0))
    shared = sharing_time(recording_N[:15], time_N[:15], recording_N[15:], time_N[15:], 2.0)
    assert torch.equal(shared.rows(slice(None)), matrix_NN[:15, 15:])
    assert torch.equal(shared.rows(slice(3, 9)), matrix_NN[3:9, 15:])


def test_nothing_overlaps_without_windows() -> None:
    nothing = Overlap(torch.zeros(0, dtype=torch.int64), torch.zeros(0), 2.0)
    assert nothing.rows(slice(None)).shape == (0, 0)
    assert nothing.candidates().shape == (0,)
