from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import windows

tenths = st.integers(20, 600).map(lambda n: Fraction(n, 10))


def test_a_clip_of_12_s_has_21_evaluation_windows() -> None:
    placed = windows.evaluation_windows(np.zeros(1), np.array([12.0]), window=2.0, stride=0.5)
    np.testing.assert_array_equal(placed.start_N, np.arange(21) * 0.5)


@pytest.mark.long
@given(
    st.lists(tenths, min_size=1, max_size=5),
    st.sampled_from(["1/10", "1/2", "3/10", "7/10", "1"]),
    st.sampled_from([1, 2]),
)
def test_evaluation_starts_are_those_of_exact_arithmetic(durations: list[Fraction], stride: str, window: int) -> None:
    step = Fraction(stride)
    placed = windows.evaluation_windows(
        np.zeros(len(durations)), np.array([float(d) for d in durations]), float(window), float(step)
    )
    expected = [
        (clip, float(number * step))
        for clip, duration in enumerate(durations)
        for number in range((duration - window) // step + 1)
    ]
    assert list(zip(placed.clip_N.tolist(), placed.start_N.tolist(), strict=True)) == expected


@given(st.lists(st.floats(2.0, 60.0), min_size=1, max_size=4), st.integers(1, 12), st.integers(0, 5))
def test_training_starts_fill_equal_segments_of_the_valid_range(
    durations: list[float], per_clip: int, epoch: int
) -> None:
    duration_N = np.array(durations)
    placed = windows.training_windows(np.zeros_like(duration_N), duration_N, 2.0, per_clip)
    segment_N = windows.segment_length(duration_N, 2.0, per_clip)
    assert len(placed) == per_clip * len(durations)
    for index, (clip, first) in enumerate(zip(placed.clip_N, placed.start_N, strict=True)):
        width = (durations[clip] - 2.0) / per_clip
        start = windows.draw_start(windows.sample_rng(7, epoch, index), first, segment_N[clip])
        assert first == pytest.approx(index % per_clip * width)
        assert first <= start <= first + width + 1e-9
        assert 0.0 <= start <= durations[clip] - 2.0 + 1e-9


@given(st.integers(0, 2**63), st.integers(0, 2**31), st.integers(0, 2**40))
def test_a_draw_depends_only_on_seed_epoch_and_index(seed: int, epoch: int, index: int) -> None:
    drawn = windows.sample_rng(seed, epoch, index).random(4)
    np.testing.assert_array_equal(drawn, windows.sample_rng(seed, epoch, index).random(4))
    for other in ((seed + 1, epoch, index), (seed, epoch + 1, index), (seed, epoch, index + 1)):
        assert not np.intersect1d(drawn, windows.sample_rng(*other).random(4)).size
    augmentation = windows.sample_rng(seed, epoch, index, windows.AUGMENTATION)
    assert not np.intersect1d(drawn, augmentation.random(4)).size


def test_draws_are_uniform_across_indices() -> None:
    drawn = np.array([windows.sample_rng(0, 0, index).random() for index in range(4000)])
    counts, _ = np.histogram(drawn, bins=10, range=(0, 1))
    assert counts.min() > 320
    assert counts.max() < 480
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.06


def test_four_frames_of_two_seconds_at_30_fps_are_0_20_40_60() -> None:
    nearest = windows.nearest_frames(np.arange(61) / 30, windows.frame_times(0.0, 2.0, 4))
    assert nearest.tolist() == [0, 20, 40, 60]


def test_a_single_frame_is_the_middle_of_the_window() -> None:
    assert windows.frame_times(3.0, 2.0, 1).tolist() == [4.0]


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=40),
    st.lists(st.floats(0, 10), min_size=1, max_size=6),
)
def test_the_nearest_frame_is_nearest(times: list[float], moments: list[float]) -> None:
    nearest = windows.nearest_frames(np.array(times), np.array(moments))
    for moment, place in zip(moments, nearest, strict=True):
        assert abs(times[place] - moment) <= min(abs(time - moment) for time in times) + 1e-6


def test_of_two_frames_equally_near_the_earlier_is_taken() -> None:
    assert windows.nearest_frames(np.array([0.3, 0.1, 0.2]), np.array([0.15, 0.25])).tolist() == [1, 2]


@given(st.floats(0, 10), st.sampled_from([30.0, 50.0, 60.0, 114.3]))
def test_imu_samples_start_at_the_rounded_start(start: float, rate: float) -> None:
    place = windows.imu_slice(start, rate, samples=round(2 * rate), available=round(13 * rate))
    assert place == slice(round(start * rate), round(start * rate) + round(2 * rate))


def test_a_window_rounded_one_sample_beyond_the_end_is_moved_back_by_it() -> None:
    assert windows.imu_slice(10.009, 60.0, samples=120, available=720) == slice(600, 720)


@pytest.mark.parametrize(("start", "available"), [(10.03, 720), (10.0, 718), (0.0, 118), (0.0, 0)])
def test_a_window_further_beyond_the_end_is_an_error(start: float, available: int) -> None:
    with pytest.raises(DataError, match=f"ends at .* \\({available} samples at 60 Hz\\)"):
        windows.imu_slice(start, 60.0, samples=120, available=available)


START = np.array([0.0, 2.4, 5.0])
END = np.array([2.4, 5.0, 7.4])
LABEL = np.array([2, 0, 1])


def labels(*times: float, clip_end: float = 7.4) -> list[int]:
    return [int(label) for label in windows.label_at(np.array(times), START, END, LABEL, clip_end)]


def test_a_segment_holds_its_start_and_not_its_end() -> None:
    assert labels(0.0, 2.3999, 2.4, 5.0) == [2, 2, 0, 1]


def test_the_last_segment_holds_the_clips_end() -> None:
    assert labels(7.4) == [1]
    assert labels(7.4, clip_end=9.0) == [UNLABELLED]


def test_times_outside_every_segment_are_unlabelled() -> None:
    assert labels(-0.1, 7.5, 100.0) == [UNLABELLED] * 3
    gap = windows.label_at(np.array([3.0]), np.array([0.0, 4.0]), np.array([2.0, 6.0]), np.array([0, 0]), 6.0)
    assert gap.tolist() == [UNLABELLED]
    empty = np.empty(0)
    assert windows.label_at(np.array([0.0]), empty, empty, empty.astype(int), 1.0).tolist() == [UNLABELLED]


@given(st.integers(0, 74))
def test_a_time_that_rounding_moved_is_still_on_its_side_of_a_boundary(tenth: int) -> None:
    exact, summed = tenth / 10, sum([0.1] * tenth)
    assert labels(summed) == labels(exact)


def test_the_later_of_two_overlapping_segments_is_used() -> None:
    found = windows.label_at(
        np.array([0.5, 1.5, 2.5]), np.array([0.0, 1.0]), np.array([3.0, 2.0]), np.array([0, 1]), 3.0
    )
    assert found.tolist() == [0, 1, 0]


def test_a_time_is_in_transition_only_inside_a_transition() -> None:
    flags = windows.in_any(
        np.array([1.9, 2.0, 2.5, 3.0, 9.0]), np.array([2.0, 8.0]), np.array([3.0, 9.0]), clip_end=9.0
    )
    assert flags.tolist() == [False, True, True, False, True]
    assert not windows.in_any(np.array([1.0]), np.empty(0), np.empty(0), clip_end=9.0).any()
