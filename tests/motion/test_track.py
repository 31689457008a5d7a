"""Motion is measured between frames and resampled to moments, whatever the frame rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.moving_texture import frames, jittered, swaying

from revalexo_clip.core.types import MotionSpec
from revalexo_clip.motion import MotionTrack, PhaseCorrelation, measure, resample

SPEC = MotionSpec(rate=30.0, window=2.0, rows=1, columns=1)


def track_of(
    edges: list[float], velocity: list[tuple[float, float]], confidence: list[float] | None = None
) -> MotionTrack:
    value_P3 = [(*pair, sure) for pair, sure in zip(velocity, confidence or [1.0] * len(velocity), strict=True)]
    return MotionTrack(np.array(edges), np.array(value_P3, dtype=np.float32).reshape(-1, 1, 1, 3))


def plainly(track: MotionTrack, start: float, spec: MotionSpec) -> np.ndarray:
    """Resample moment by moment and pair by pair."""
    result = np.zeros((spec.moments, *track.value_PYX3.shape[1:]))
    for moment in range(spec.moments):
        begin, end = start + moment / spec.rate, start + (moment + 1) / spec.rate
        for pair, value_YX3 in enumerate(track.value_PYX3.astype(np.float64)):
            overlap = min(end, track.edge_E[pair + 1]) - max(begin, track.edge_E[pair])
            if overlap > 0:
                weight_YX1 = value_YX3[..., 2:] * overlap * spec.rate
                result[moment, ..., :2] += weight_YX1 * value_YX3[..., :2]
                result[moment, ..., 2:] += weight_YX1
        sure = result[moment, ..., 2:]
        result[moment, ..., :2] = np.where(sure > 1e-6, result[moment, ..., :2] / np.maximum(sure, 1e-6), 0.0)
    return result


@pytest.mark.long
@given(st.integers(0, 2**32 - 1), st.floats(-0.1, 2.6), st.sampled_from([24.0, 30.0, 60.0, 7.0]))
def test_resampling_equals_a_plain_loop(seed: int, start: float, rate: float) -> None:
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(0.01, 0.1, 70))
    values = rng.normal(size=(69, 2, 3, 3)).astype(np.float32)
    values[..., 2] = rng.uniform(0, 1, values.shape[:-1]) * (rng.random(values.shape[:-1]) > 0.2)
    track, spec = MotionTrack(edges, values), MotionSpec(rate, 2.0, 2, 3)
    np.testing.assert_allclose(resample(track, start, spec), plainly(track, start, spec), atol=1e-4)


def test_a_moment_at_the_rate_of_the_video_is_the_pair_itself() -> None:
    track = track_of([frame / 30 for frame in range(91)], [(frame / 10, -frame) for frame in range(90)])
    found = resample(track, 0.5, SPEC)[:, 0, 0]
    np.testing.assert_allclose(found[:, 0], np.arange(15, 75) / 10, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], -np.arange(15.0, 75.0), atol=1e-4)
    np.testing.assert_allclose(found[:, 2], 1, atol=1e-6)


def test_displacement_is_kept() -> None:
    """The velocities of a window add up to the path between its begin and end."""
    edges = jittered(3.0, 24.0, seed=3)
    place = [swaying(time) for time in edges]
    steps = np.diff(edges)
    velocity = [tuple(row) for row in np.diff(np.array(place), axis=0) / steps[:, None]]
    found = resample(track_of(edges, velocity), 0.4, SPEC)[:, 0, 0, :2].sum(axis=0) / 30
    at = [np.interp(time, edges, [one[axis] for one in place]) for axis in (0, 1) for time in (0.4, 2.4)]
    np.testing.assert_allclose(found, [at[1] - at[0], at[3] - at[2]], atol=1e-6)


def test_time_without_frames_has_no_confidence() -> None:
    track = track_of([0.5, 1.0, 1.5], [(2.0, 0.0), (4.0, 0.0)])
    found = resample(track, 0.0, MotionSpec(2.0, 3.0, 1, 1))[:, 0, 0]
    np.testing.assert_allclose(found, [[0, 0, 0], [2, 0, 1], [4, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    half = resample(track, 0.25, MotionSpec(2.0, 0.5, 1, 1))[0, 0, 0]
    np.testing.assert_allclose(half, [2, 0, 0.5])


def test_uncertain_pairs_count_for_less() -> None:
    track = track_of([0.0, 0.5, 1.0], [(1.0, 0.0), (9.0, 0.0)], [0.9, 0.1])
    np.testing.assert_allclose(resample(track, 0.0, MotionSpec(1.0, 1.0, 1, 1))[0, 0, 0], [1.8, 0, 0.5], rtol=1e-6)


def test_motion_belongs_to_the_middle_of_two_frames() -> None:
    track = track_of([0.0, 0.2, 1.0], [(0, 0), (0, 0)])
    np.testing.assert_allclose(track.midpoints, [0.1, 0.6])


def test_chunks_of_frames_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    times = jittered(0.5, 30.0)
    pictures, front = frames(swaying, times), PhaseCorrelation(120, 160, 3, 4)
    whole = measure(front, zip(times, pictures, strict=True))
    monkeypatch.setattr("revalexo_clip.motion.track.AT_A_TIME", 3)
    pieces = measure(front, zip(times, pictures, strict=True))
    np.testing.assert_array_equal(whole.edge_E, pieces.edge_E)
    np.testing.assert_allclose(whole.value_PYX3, pieces.value_PYX3, atol=1e-5)
    assert len(whole.value_PYX3) == len(times) - 1


RATES = {
    "24 fps": [frame / 24 for frame in range(51)],
    "30 fps": [frame / 30 for frame in range(64)],
    "60 fps": [frame / 60 for frame in range(127)],
    "jitter": jittered(2.1, 30.0),
}
AGREE = 0.04
"""Largest difference from the true mean velocity of a moment [picture widths / s], of up to 0.69 to the right."""


@pytest.mark.parametrize("name", RATES)
def test_frame_rates_and_jitter_of_one_motion_give_equal_values(name: str) -> None:
    """A moment of 1/10 s: at 24 fps nothing finer can be known. The medians of the cells are compared."""
    spec = MotionSpec(10.0, 2.0, 3, 4)
    times = RATES[name]
    track = measure(PhaseCorrelation(120, 160, 3, 4), zip(times, frames(swaying, times), strict=True))
    found = resample(track, 0.0, spec)
    truth = np.diff([swaying(moment / 10) for moment in range(21)], axis=0) * 10
    assert np.abs(truth[:, 0]).max() > 0.6
    errors = np.abs(np.median(found[..., :2], axis=(1, 2)) - truth)
    assert errors.max() < AGREE
    assert found[..., 2].min() > 0.5
