"""IMU rows are placed by their clock, and a clock that cannot be used is told with its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.clocks import (
    ClockError,
    Piece,
    contradiction,
    on_grid,
    seconds,
    split_at_gaps,
)
from revalexo_clip.data.imu import Samples, clock_like
from revalexo_clip.data.windows import Floats


def tone(time_n: Floats) -> Samples:
    """Two channels below 4 Hz."""
    return np.stack([np.sin(2 * np.pi * 3 * time_n), np.cos(2 * np.pi * time_n)], axis=1).astype(np.float32)


def clock(rate: float, start: float = 0.0, duration: float = 12.0) -> Floats:
    return start + np.arange(round(duration * rate)) / rate


def placed(time_n: Floats, rate: float = 60.0) -> tuple[Samples, int]:
    (piece,) = split_at_gaps(tone(time_n), time_n)
    return on_grid(piece, rate)


@pytest.mark.parametrize("rate", [60.0, 65.0, 100.0, 198.45, 59.94, 31.0])
@pytest.mark.parametrize("start", [0.0, 1.0, 0.0123, 37.5])
def test_each_sample_is_what_the_signal_was_at_its_time(rate: float, start: float) -> None:
    samples_mC, first = placed(clock(rate, start))
    expected_mC = tone((first + np.arange(len(samples_mC))) / 60)
    edge = 40
    assert first == np.ceil(round(start * 60, 3))
    assert np.abs(samples_mC - expected_mC)[edge:-edge].max() < 2e-3


def test_a_clock_at_the_wanted_rate_copies_the_rows() -> None:
    samples_mC, first = placed(clock(60, start=1.0))
    assert first == 60
    assert (samples_mC == tone(clock(60, start=1.0))).all()


@pytest.mark.long
@given(st.integers(0, 2**32 - 1))
def test_times_that_jitter_shift_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time_n = clock(100) + rng.uniform(-0.002, 0.002, size=1200)
    samples_mC, first = placed(time_n)
    expected_mC = tone((first + np.arange(len(samples_mC))) / 60)
    assert np.abs(samples_mC - expected_mC)[40:-40].max() < 0.03


@pytest.mark.parametrize(
    ("unit", "cells"),
    [
        ("s", ["1.5", "1.516667"]),
        ("ms", ["1500", "1516.667"]),
        ("us", ["1500000", "1516667"]),
        ("ns", ["1500000000", "1516667000"]),
        ("iso", ["1970-01-01T00:00:01.5", "1970-01-01T00:00:01.516667+00:00"]),
    ],
)
def test_every_unit_reads_as_the_same_seconds(unit: TimeUnit, cells: list[str]) -> None:
    assert seconds(cells, unit).tolist() == [1.5, 1.516667]


def test_nanoseconds_since_1970_keep_their_microseconds() -> None:
    read = seconds(["1700000000123456000", "1700000000140123000"], "ns")
    assert read[1] - read[0] == pytest.approx(0.016667, abs=1e-6)


@pytest.mark.parametrize(
    ("unit", "cell", "message"),
    [
        ("s", "", "'' is not a number"),
        ("ms", "nan", "'nan' is not a finite number"),
        ("ns", "12:30", "'12:30' is not a number"),
        ("iso", "yesterday", "'yesterday' is not a date and time"),
    ],
)
def test_a_cell_that_is_no_time_is_named_with_its_row(unit: TimeUnit, cell: str, message: str) -> None:
    good = "2024-01-01T00:00:00" if unit == "iso" else "0"
    with pytest.raises(ClockError, match=message) as caught:
        seconds([good, cell], unit)
    assert caught.value.row == 1


@pytest.mark.long
def test_lost_rows_are_an_error_with_their_place_or_two_pieces() -> None:
    time_n = np.concatenate([clock(60, 0, 5), clock(60, 5.5, 6)])
    with pytest.raises(ClockError, match=r"no row between 4\.983 s and 5\.500 s .*on_bad_time=split") as caught:
        split_at_gaps(tone(time_n), time_n)
    assert caught.value.row == 300
    before, after = split_at_gaps(tone(time_n), time_n, on_bad_time="split")
    assert (len(before.time_n), len(after.time_n)) == (300, 360)
    assert on_grid(after, 60.0)[1] == 330
    (whole,) = split_at_gaps(tone(time_n), time_n, max_gap=0.6)
    assert len(whole.time_n) == 660


def test_one_stamp_backwards_is_an_error_and_sorting_is_offered() -> None:
    time_n = clock(60)
    time_n[[300, 301]] = time_n[[301, 300]]
    with pytest.raises(ClockError, match=r"goes back from 5\.016667 s to 5\.000000 s .*on_bad_time=sort") as caught:
        split_at_gaps(tone(time_n), time_n)
    assert caught.value.row == 301
    (piece,) = split_at_gaps(tone(time_n), time_n, on_bad_time="sort")
    assert (piece.time_n == clock(60)).all()


def test_repeated_stamps_are_an_error_and_dropped_only_if_asked() -> None:
    time_n = np.repeat(clock(60), [2, *[1] * 719])
    with pytest.raises(ClockError, match=r"the clock repeats 0\.000000 s"):
        split_at_gaps(tone(time_n), time_n)
    (piece,) = split_at_gaps(tone(time_n), time_n, on_bad_time="sort")
    assert len(piece.time_n) == 720


def test_a_clock_that_stands_still_is_an_error() -> None:
    time_n = np.repeat(clock(1), 60)
    with pytest.raises(ClockError, match="stands still"):
        split_at_gaps(tone(time_n), time_n)


@pytest.mark.parametrize(
    ("factor", "hint"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds"), (1e-3, "seconds")]
)
def test_a_clock_in_another_unit_is_told_which(factor: float, hint: str) -> None:
    time_n = clock(60) * factor
    with pytest.raises(ClockError, match=hint):
        split_at_gaps(tone(time_n), time_n)


def test_too_slow_a_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="has no signal above 10 Hz"):
        placed(clock(20))


def test_clocks_are_known_by_their_names() -> None:
    columns = ("time", "acc_Head_x", "Timestamp (ns)", "frame", "t", "gyro_t_x", "time_index", "utc", "length", "ts")
    assert clock_like(columns) == ("time", "Timestamp (ns)", "t", "utc", "ts")


@pytest.mark.parametrize("scale", [1, 1e3, 1e6, 1e9])
def test_a_clock_contradicts_a_rate_beyond_half_a_percent(scale: float) -> None:
    assert contradiction(clock(60) * scale, 60.0) is None
    assert contradiction(clock(60.25) * scale, 60.0) is None
    assert "says 60.40 Hz" in str(contradiction(clock(60.4) * scale, 60.0))
    assert "says 65.00 Hz" in str(contradiction(clock(65) * scale, 60.0))


def test_a_clock_tells_lost_rows() -> None:
    time_n = np.concatenate([clock(60, 0, 5), clock(60, 5.5, 6)])
    assert "rows are missing: 0.517 s between rows 300 and 301" in str(contradiction(time_n, 60.0))


def test_counters_and_columns_that_do_not_ascend_are_no_clocks() -> None:
    assert contradiction(np.arange(720, dtype=np.float64), 60.0) is None
    assert contradiction(clock(65)[::-1], 60.0) is None
    assert contradiction(np.full(720, 3.0), 60.0) is None


def test_a_piece_of_one_row_gives_no_samples() -> None:
    samples_mC, _ = on_grid(Piece(np.zeros((1, 2), np.float32), np.array([1.0])), 60.0)
    assert samples_mC.shape == (0, 2)
