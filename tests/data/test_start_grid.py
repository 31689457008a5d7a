from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.data.start_grid import StartGrid
from revalexo_clip.data.windows import segment_length, training_windows


def grid_of(step: float, begin: float, end: float, window: float, per_clip: int) -> StartGrid:
    ends = np.array([begin]), np.array([end])
    return StartGrid(
        step, training_windows(*ends, window, per_clip), segment_length(ends[1] - ends[0], window, per_clip)
    )


def test_starts_are_the_multiples_and_both_ends() -> None:
    grid = grid_of(0.25, 0.1, 3.3, 2.0, 4)
    np.testing.assert_allclose(grid.starts(0), [0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.3])
    assert [grid.nearest(0, start) for start in (0.1, 0.13, 0.6, 1.29)] == pytest.approx([0.1, 0.25, 0.5, 1.25])


@given(
    step=st.sampled_from([0.1, 0.25, 1 / 3, 2.0]),
    begin=st.floats(0, 50),
    length=st.floats(2, 20),
    per_clip=st.integers(1, 9),
    place=st.floats(0, 1),
)
def test_every_start_becomes_one_of_the_grid_and_is_moved_by_half_a_step_at_most(
    step: float, begin: float, length: float, per_clip: int, place: float
) -> None:
    grid = grid_of(step, begin, begin + length, 2.0, per_clip)
    start = begin + place * (length - 2.0)
    snapped, starts = grid.nearest(0, start), grid.starts(0)
    assert np.abs(starts - snapped).min() < 2e-6
    assert begin - 1e-6 <= snapped <= begin + length - 2.0 + 1e-6
    assert abs(snapped - start) <= step / 2 + 1e-6
    assert (np.diff(starts) > 0).all()


def test_a_clip_without_windows_has_no_starts() -> None:
    placed = training_windows(np.array([0.0]), np.array([4.0]), 2.0, 2)
    assert len(StartGrid(0.5, placed, np.array([1.0, 1.0])).starts(1)) == 0
