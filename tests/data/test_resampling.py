"""Resampling, compared with signals that are known at every time, and with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample_poly

from revalexo_clip.data.imu import Samples
from revalexo_clip.data.resampling import evenly_spaced, resampled
from revalexo_clip.data.windows import Floats

EDGE = 40
"""Number of samples at each end that are affected by it."""


def gait(time_n: Floats) -> Samples:
    """Return [n, 2]: gravity plus walking, and turns, all below 20 Hz."""
    turn = 2 * np.pi * time_n
    acc_n = 9.81 + 2 * np.sin(1.9 * turn) + 0.5 * np.sin(5.7 * turn + 1) + 0.2 * np.sin(19 * turn)
    return np.stack([acc_n, np.cos(0.95 * turn)], axis=1).astype(np.float32)


def at(rate: float, seconds: float) -> Floats:
    return np.arange(round(seconds * rate)) / rate


@pytest.mark.parametrize("rate", [198.45, 114.3, 100.0, 61.0, 60.002, 50.0, 1000.0])
def test_a_known_signal_is_reproduced_at_all_times_without_drift(rate: float) -> None:
    samples_mC = resampled(gait(at(rate, 60)), rate, 60.0)
    expected_mC = gait(np.arange(len(samples_mC)) / 60)
    assert len(samples_mC) == pytest.approx(3600, abs=1)
    np.testing.assert_allclose(samples_mC[EDGE:-EDGE], expected_mC[EDGE:-EDGE], rtol=0, atol=2e-3)


def test_frequencies_above_the_new_nyquist_frequency_are_filtered_out() -> None:
    tone_nC = np.sin(2 * np.pi * 41 * at(198.45, 10))[:, None].astype(np.float32)
    assert np.abs(resampled(tone_nC, 198.45, 60.0)[EDGE:-EDGE]).max() < 1e-3
    assert np.abs(tone_nC[::3]).max() > 0.9  # taking every third sample would show a tone of 19 Hz


@pytest.mark.parametrize("rate", [198.45, 45.0])
def test_gravity_is_unchanged_including_the_ends(rate: float) -> None:
    still_nC = np.full((500, 3), 9.81, dtype=np.float32)
    np.testing.assert_allclose(resampled(still_nC, rate, 60.0), 9.81, rtol=1e-6)


def test_it_agrees_with_scipy() -> None:
    noise_nC = np.random.default_rng(0).normal(size=(4000, 3))
    slow_nC = resample_poly(noise_nC, 8, 1, axis=0).astype(np.float32)  # nothing above a sixteenth of the rate
    ours_mC = resampled(slow_nC, 200.0, 60.0)
    scipys_mC = resample_poly(slow_nC, 3, 10, axis=0)
    assert ours_mC.shape == scipys_mC.shape
    np.testing.assert_allclose(ours_mC[EDGE:-EDGE], scipys_mC[EDGE:-EDGE], rtol=0, atol=0.01)


def test_at_the_same_rate_samples_are_unchanged() -> None:
    samples_nC = gait(at(60, 2))
    assert resampled(samples_nC, 60.0, 60.0) is samples_nC


@pytest.mark.long
@given(st.integers(1, 3000), st.floats(31, 2000))
def test_new_samples_cover_the_time_of_the_old_ones(samples: int, rate: float) -> None:
    count = len(resampled(np.zeros((samples, 1), dtype=np.float32), rate, 60.0))
    assert (count - 1) / 60 < samples / rate + 1e-6
    assert count / 60 >= samples / rate - 1e-6


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (20.0, "at 20 Hz has no signal above 10 Hz, .* signals up to 30 Hz: use recordings at 30 Hz or more"),
        (0.0, "positive"),
        (float("nan"), "positive"),
    ],
)
def test_an_invalid_rate_is_an_error(rate: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        resampled(gait(at(60, 2)), rate, 60.0)


def test_times_that_jitter_become_even() -> None:
    time_n = at(114.3, 20) + np.random.default_rng(0).uniform(-2e-3, 2e-3, round(20 * 114.3))
    even_nC, rate = evenly_spaced(gait(time_n), time_n)
    assert rate == pytest.approx(114.3, rel=1e-3)
    expected_nC = gait(np.linspace(time_n[0], time_n[-1], len(time_n)))
    taken_for_even = np.square(gait(time_n) - expected_nC).mean()
    assert np.square(even_nC - expected_nC).mean() < 0.2 * taken_for_even


def test_even_times_leave_samples_as_they_are() -> None:
    samples_nC = gait(at(198.45, 2))
    even_nC, rate = evenly_spaced(samples_nC, np.round(1.7e9 + at(198.45, 2), 6))
    assert even_nC is samples_nC
    assert rate == pytest.approx(198.45)


@pytest.mark.parametrize(
    ("row", "time", "says"),
    [
        (5, 0.04, "times must ascend: row 5 has 0.04 s, after 0.04 s"),
        (5, float("nan"), "the time in row 5 is not a finite number"),
        (9, 0.3, "no sample between 0.080 s and 0.300 s"),
    ],
)
def test_invalid_times_are_named_in_the_error(row: int, time: float, says: str) -> None:
    time_n = np.arange(10) / 100
    time_n[row] = time
    with pytest.raises(ValueError, match=says):
        evenly_spaced(np.zeros((10, 1), dtype=np.float32), time_n)
