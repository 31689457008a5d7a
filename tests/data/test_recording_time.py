"""Clips are placed in recordings by the rows that their files share."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.recording_time import place_clips, row_digests, shared_between, shared_runs

RATE = 60.0


def walk(rows: int, seed: int, channels: int = 6) -> Samples:
    return np.cumsum(np.random.default_rng(seed).normal(size=(rows, channels)), axis=0).astype(np.float32)


def cut(recording: Samples, starts: list[int], rows: int = 720) -> list[Samples]:
    return [recording[start : start + rows].copy() for start in starts]


@pytest.mark.long
@given(st.permutations(range(9)), st.integers(1, 660))
def test_clips_are_placed_whatever_their_order_and_step(order: list[int], step: int) -> None:
    starts = [number * step for number in range(9)]
    clips = cut(walk(starts[-1] + 720, 0), starts)
    placement, _ = place_clips([clips[place] for place in order], RATE, [str(place) for place in order])
    assert placement.recordings == 1
    assert placement.offset_N.tolist() == [starts[place] / RATE for place in order]


def test_clips_that_share_less_than_a_second_are_recordings_of_their_own() -> None:
    recording = walk(3000, 0)
    apart, together = cut(recording, [0, 720 - 59]), cut(recording, [0, 720 - 60])
    assert place_clips(apart, RATE, ["a", "b"])[0].recordings == 2
    placement, (link,) = place_clips(together, RATE, ["a", "b"])
    assert (placement.recordings, placement.offset_N.tolist(), link.rows) == (1, [0.0, 11.0], 60)


def test_constant_rows_never_match() -> None:
    still = np.full((720, 6), 9.81, dtype=np.float32)
    assert shared_runs([still, still.copy()], 60) == []
    walks = [np.concatenate([walk(600, seed), still[:600]]) for seed in (0, 1)]
    assert shared_runs(walks, 60) == []


def test_a_recording_with_a_still_stretch_is_placed_by_what_moves() -> None:
    recording = walk(2000, 0)
    recording[600:640] = recording[600]
    placement, _ = place_clips(cut(recording, [0, 480]), RATE, ["a", "b"])
    assert placement.offset_N.tolist() == [0.0, 8.0]


def test_recordings_are_told_apart_and_numbered_by_their_first_clip() -> None:
    one, other = (cut(walk(2000, seed), [0, 480, 960]) for seed in (0, 1))
    placement, _ = place_clips([other[2], one[1], other[0], one[0], other[1], one[2]], RATE, list("abcdef"))
    assert placement.recording_N.tolist() == [0, 1, 0, 1, 0, 1]
    assert placement.offset_N.tolist() == [16.0, 8.0, 0.0, 0.0, 8.0, 16.0]


def test_a_stretch_that_was_copied_to_two_places_is_an_error_that_names_the_clips() -> None:
    recording = walk(3000, 0)
    recording[2000:2200] = recording[100:300]
    chain = [0, 480, 960, 1440, 1920]
    with pytest.raises(DataError, match=r"a and e share 3\.3 s of IMU rows .* \"recording\" and \"offset\""):
        place_clips(cut(recording, chain), RATE, list("abcde"))


def test_a_row_of_a_hundred_clips_says_nothing() -> None:
    clips = [walk(300, seed) for seed in range(100)]
    for samples in clips:
        samples[100:110] = walk(10, 1000)
    assert shared_runs(clips, 5) == []


def test_the_time_it_takes_is_linear_in_the_number_of_rows() -> None:
    def duration(recordings: int) -> float:
        clips = [clip for seed in range(recordings) for clip in cut(walk(2640, seed), [0, 480, 960, 1440, 1920])]
        begun = time.perf_counter()
        assert place_clips(clips, RATE, [str(n) for n in range(len(clips))])[0].recordings == recordings
        return time.perf_counter() - begun

    assert duration(80) < 12 * min(duration(20), duration(20))  # four times as many, and a busy machine


def test_rows_that_groups_share_are_found_across_them_only() -> None:
    recording, other = walk(2000, 0), walk(720, 1)
    one, two = cut(recording, [0, 480])
    other[200:300] = recording[700:800]
    links = shared_between(row_digests([one, two, other]), np.array([0, 0, 1]), 60)
    assert sorted((link.first, link.second, link.shift, link.rows) for link in links) == [(1, 2, 20, 100)]
    apart = shared_between(row_digests([one, two, other]), np.array([0, 0, 0]), 60)
    assert apart == []


def test_clips_are_placed_by_their_clocks_if_they_have_some() -> None:
    recording = walk(3000, 0)
    clips = [recording[65:780], recording[520:1300]]
    times = [1.0 + np.arange(715) / 65, np.arange(780) / 65]
    placement, _ = place_clips(clips, 65.0, ["a", "b"], times)
    assert placement.offset_N.tolist() == [0.0, 8.0]


def test_no_clips_and_one_clip_have_their_place() -> None:
    assert place_clips([], RATE, [])[0].recordings == 0
    placement, links = place_clips([walk(10, 0)], RATE, ["a"])
    assert (placement.recording_N.tolist(), placement.offset_N.tolist(), links) == ([0], [0.0], [])
    assert all(one <= other for one, other in pairwise(placement.offset_N.tolist()))
