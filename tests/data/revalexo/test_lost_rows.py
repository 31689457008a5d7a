"""Rows that a device lost: by its clock, or because values were repeated instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.recorded import write_csv, write_table
from support.tiny_dataset import real_dataset

from revalexo_clip.data.imu import header_of, read_timed_imu
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.check.lost_rows import clock_faults, held_rows, in_seconds
from revalexo_clip.data.revalexo.check.signals import check_signals

Rows = npt.NDArray[np.float64]
AXES = tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
RATE = 100.0


def rows(seed: int = 0, count: int = 1000) -> Rows:
    """Return [n, 6] of a head in motion [m/s^2, rad/s]."""
    rng = np.random.default_rng(seed)
    swing_n6 = np.sin(np.arange(count)[:, None] / 15 + rng.uniform(0, 6, 6)) + rng.normal(0, 0.05, (count, 6))
    return np.array([0, 0, 9.81, 0, 0, 0]) + swing_n6


def sensors(rows_n6: Rows) -> dict[str, Rows]:
    return dict(zip(AXES, rows_n6.T, strict=True))


def times(*lost: slice, count: int = 1000, jitter: float = 0.0) -> Rows:
    """Return times [s] without the rows that were lost."""
    time_n = np.arange(count) / RATE + np.random.default_rng(1).uniform(-jitter, jitter, count) / RATE
    return np.delete(time_n, np.concatenate([np.arange(count)[one] for one in lost]) if lost else [])


def faults(time_n: Rows, *, declared: bool = True) -> list[tuple[str, str]]:
    return list(clock_faults(time_n, "column time", declared=declared))


def test_dropped_packets_are_counted_and_jitter_is_none() -> None:
    ((kind, message),) = faults(times(slice(200, 205), slice(600, 603)))
    assert kind == "lost_rows"
    assert message == (
        "column time: 8 rows missing in 2 places, at most 5 in a row, before row 201: were packets dropped?"
    )
    ((_, message),) = faults(times(slice(100, 900, 90)), declared=False)
    assert "9 rows missing in 9 places" in message
    assert "rows after them are placed too early" in message
    assert faults(times(jitter=0.45)) == []
    assert faults(times(slice(500, 501))) == [], "one lost row of a thousand"
    assert faults(np.repeat(np.arange(100) / 10, 10) + np.tile(np.arange(10) * 1e-4, 100)) == [], "times of packets"
    late_n = times()
    late_n[50::100] += 0.9 / RATE
    assert faults(late_n) == [], "rows that come late, but none is lost"


def test_a_clock_that_runs_slower_for_a_while_loses_nothing() -> None:
    assert faults(np.cumsum(np.repeat([0.007, 0.0145, 0.0088], [300, 5, 300]))) == []
    path = real_dataset().parent / "neon_multipart1_imu.csv"
    columns = header_of(path)
    assert faults(read_timed_imu(path, columns[1:2], columns[0])[1]) == []


def test_jumps_are_looked_for_in_clocks_that_are_not_declared() -> None:
    time_n = times()
    time_n[400:] -= 1.5
    time_n[700:] += 30
    back, ahead = faults(time_n, declared=False)
    assert back[0] == ahead[0] == "clock_jump"
    assert back[1].startswith("column time jumps back from 3.990 s to 2.500 s in row 401: was the clock set")
    assert ahead[1].startswith("column time jumps ahead from 5.490 s to 35.500 s in row 701")
    assert faults(time_n) == []


def test_a_column_is_a_clock_in_the_unit_that_fits_the_rate() -> None:
    for scale in (1, 1e3, 1e6, 1e9):
        found = in_seconds(times() * scale, RATE)
        assert found is not None
        np.testing.assert_allclose(found, times(), atol=1e-9)
    assert in_seconds(np.arange(1000.0), 1.0) is None
    assert in_seconds(times() * 3, RATE) is None
    assert in_seconds(np.zeros(1000), RATE) is None


def test_values_that_are_held_in_motion_are_lost_packets_and_rest_in_coarse_steps_is_not() -> None:
    held = rows()
    held[300:306, :3] = held[300, :3]
    held[500:508] = held[500]
    (acc, gyro) = held_rows(sensors(held), RATE, 1.0)
    assert acc == (
        "held_rows",
        "acc_Head: the same values in 8 rows from 5.000 s on (2 such places): were packets dropped, or is this sensor "
        "slower than 100 Hz?",
    )
    assert gyro[1].startswith("gyro_Head: the same values in 8 rows from 5.000 s on (1 such place)")
    assert list(held_rows(sensors(rows()), RATE, 1.0)) == []
    padded = rows()
    padded[:5] = padded[5]
    padded[-5:] = padded[-6]
    assert list(held_rows(sensors(padded), RATE, 1.0)) == []
    coarse = 0.04 * np.round(
        (np.array([0, 0, 9.81, 0, 0, 0]) + np.random.default_rng(0).normal(0, 0.01, (1000, 6))) / 0.04
    )
    assert list(held_rows(sensors(coarse), RATE, 1.0)) == []


def test_short_impacts_that_are_cut_off_again_and_again_are_clipped() -> None:
    impacts = rows()
    impacts[::50, 0] += 60
    kinds = [kind for kind, _ in check_signals(impacts.astype(np.float32), AXES, RATE)]
    assert kinds == []
    impacts[:, 0] = np.minimum(impacts[:, 0], 39.2)
    ((kind, message),) = check_signals(impacts.astype(np.float32), AXES, RATE)
    assert (kind, message) == ("saturated_channel", "acc_Head_x is clipped at 39.2 (20 samples, 1 in a row)")


@pytest.mark.long
@pytest.mark.parametrize("fault", ["none", "lost", "back", "held", "gyro"])
def test_recordings_without_video_are_checked_too(fault: str, tmp_path: Path) -> None:
    for number in range(5):
        rows_n6, time_n = rows(number), times()
        rows_n6[:, 4] += 2 * np.sin(np.arange(1000) / 9 + number)
        if number == 0 and fault == "lost":
            time_n = np.concatenate([time_n[:500], time_n[500:] + 0.05])
        elif number == 0 and fault == "back":
            time_n[500:] -= 0.05
        elif number == 0 and fault == "held":
            rows_n6[500:506] = rows_n6[500]
        elif number == 0 and fault == "gyro":
            rows_n6 = rows_n6[:, [0, 1, 2, 4, 3, 5]]
        write_csv(tmp_path / f"{number}.csv", {"time": time_n} | sensors(rows_n6))
    write_table(tmp_path / "recordings.csv", "file,subject,label", *(f"{n}.csv,s{n},walking" for n in range(5)))
    found = {problem.kind for problem in check_data(tmp_path, imu_rate=RATE).problems}
    expected = {"lost": "lost_rows", "back": "clock_jump", "held": "held_rows", "gyro": "permuted_axes"}
    assert found == ({expected[fault]} if fault in expected else set())
