"""Rows of CSV recordings are placed by their clock, and files that share rows by what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from support.recorded import write_table

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import ImuRecordings
from revalexo_clip.data.base import LabelledWindows
from revalexo_clip.data.windows import Floats


def even(rate: float = 60.0, start: float = 0.0, end: float = 12.0) -> Floats:
    return start + np.arange(round((end - start) * rate)) / rate


def write_recording(root: Path, time_n: Floats, stamps: Iterable[object] | None, name: str = "a.csv") -> Path:
    """A recording whose rows hold their own time [s]; its clock is in the first column, if there is one."""
    root.mkdir(parents=True, exist_ok=True)
    rows, header = [f"{time:.6f}" for time in time_n], "acc_x"
    if stamps is not None:
        rows, header = [f"{stamp},{row}" for stamp, row in zip(stamps, rows, strict=True)], "time,acc_x"
    (root / name).write_text("\n".join([header, *rows]) + "\n")
    files = sorted(path.name for path in root.glob("*.csv") if path.name not in ("recordings.csv", "segments.csv"))
    write_table(root / "recordings.csv", "file,subject,label", *(f"{file},Anna,walking" for file in files))
    return root / name


def windows_of(root: Path, **fields: object) -> LabelledWindows:
    data = ImuRecordings.model_validate({"root": root, "train_subjects": (), "val_subjects": ("Anna",), **fields})
    return data.labelled("val", seed=0)


def assert_times(windows: LabelledWindows, starts: Sequence[float], within: float = 2e-3) -> None:
    """Assert that the inner windows hold the times from these starts on; ends of files feel that they end."""
    assert len(windows) == len(starts)
    for index in range(1, len(starts) - 1):
        expected_L = starts[index] + np.arange(120) / 60
        np.testing.assert_allclose(windows[0, index].imu_LC[:, 0], expected_L, atol=within)


WHOLE = (np.arange(21) / 2).tolist()


def test_a_file_at_another_rate_is_placed_by_its_clock(tmp_path: Path) -> None:
    write_recording(tmp_path, even(65), even(65))
    assert_times(windows_of(tmp_path, time="time"), WHOLE)


def test_a_clock_that_contradicts_the_rate_is_an_error(tmp_path: Path) -> None:
    path = write_recording(tmp_path, even(65), even(65))
    message = rf"^{path}: column time says 65\.00 Hz \[s\], not 60 Hz\. Name the column in data\.time"
    with pytest.raises(DataError, match=message):
        windows_of(tmp_path, rate=60.0)
    assert len(windows_of(tmp_path, rate=60.0, check_clock=False)) == 23
    assert_times(windows_of(tmp_path, rate=65.0), WHOLE)


@pytest.mark.parametrize(
    ("unit", "stamp"),
    [
        ("s", lambda time: f"{time:.6f}"),
        ("ms", lambda time: round(time * 1e3, 3)),
        ("us", lambda time: round(time * 1e6)),
        ("ns", lambda time: round(time * 1e9)),
        ("iso", lambda time: datetime.fromtimestamp(time, UTC).isoformat()),
    ],
)
def test_clocks_in_every_unit_give_the_same_windows(
    unit: str, stamp: Callable[[float], object], tmp_path: Path
) -> None:
    write_recording(tmp_path, even(65), [stamp(1_714_564_800 + time) for time in even(65).tolist()])
    assert_times(windows_of(tmp_path, time="time", time_unit=unit), WHOLE)


def test_a_clock_in_another_unit_is_told_which(tmp_path: Path) -> None:
    write_recording(tmp_path, even(), np.round(1e3 * even(), 3))
    with pytest.raises(DataError, match=r"line 2, column time: the clock gives 0\.06 Hz: are these milliseconds\?"):
        windows_of(tmp_path, time="time")


LOST = np.concatenate([even(end=5.0), even(start=5.7)])


def test_lost_rows_are_an_error_or_make_two_recordings_of_a_file(tmp_path: Path) -> None:
    write_recording(tmp_path, LOST, LOST)
    with pytest.raises(DataError, match=r"line 302, column time: no row between 4\.983 s and 5\.700 s .*=split"):
        windows_of(tmp_path, time="time")
    windows = windows_of(tmp_path, time="time", on_bad_time="split")
    assert windows.clip_names == ("Anna/a.csv", "Anna/a.csv")
    assert (windows.clip_recordings.tolist(), windows.clip_offsets.tolist()) == ([0, 0], [0.0, 5.7])
    starts = [*np.arange(7) / 2, *(5.7 + np.arange(9) / 2)]
    assert [float(windows[0, index].time) for index in range(len(windows))] == pytest.approx(starts)
    for index, start in enumerate(starts):
        np.testing.assert_allclose(windows[0, index].imu_LC[:, 0], start + np.arange(120) / 60, atol=1e-5)
    assert_times(windows_of(tmp_path, time="time", max_gap=0.8), WHOLE)


def test_labels_of_a_split_recording_are_those_of_their_time(tmp_path: Path) -> None:
    write_recording(tmp_path, LOST, 100 + LOST)
    write_table(tmp_path / "recordings.csv", "file,subject", "a.csv,Anna")
    write_table(tmp_path / "segments.csv", "file,start,end,label", "a.csv,103,108,a", "a.csv,108,111,b")
    windows = windows_of(tmp_path, time="time", on_bad_time="split")
    ends = [float(windows[0, index].time) + 2 for index in range(len(windows))]
    labels = [int(windows[0, index].label_K) for index in range(len(windows))]
    assert labels == [UNLABELLED if end < 3 or end >= 11 else int(end >= 8) for end in ends]
    moved = windows_of(tmp_path, time="time", on_bad_time="split", imu_offset={"Anna": -0.5})
    assert [int(moved[0, index].label_K) for index in range(len(moved))] == [
        UNLABELLED if end < 3.5 or end >= 11.5 else int(end >= 8.5) for end in ends
    ]


def test_stamps_out_of_order_are_an_error_or_sorted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    time_n = np.insert(even(), 400, even()[400])
    time_n[[300, 301]] = time_n[[301, 300]]
    path = write_recording(tmp_path, time_n, time_n)
    with pytest.raises(DataError, match=rf"^{path}: line 303, column time: the clock goes back from 5\.016667 s"):
        windows_of(tmp_path, time="time")
    windows = windows_of(tmp_path, time="time", on_bad_time="sort")
    assert_times(windows, WHOLE, within=1e-5)
    assert (
        f"{path}: rows are sorted by time: the clock went back 1 times, and 1 rows that repeat a time are dropped"
        in caplog.text
    )


@pytest.mark.parametrize("timed", [True, False])
def test_files_that_were_cut_with_overlap_list_each_moment_once(timed: bool, tmp_path: Path) -> None:
    rate = 65.0 if timed else 60.0
    recording = np.cumsum(np.random.default_rng(0).normal(size=round(28 * rate)))
    for number, name in enumerate(("b.csv", "c.csv", "a.csv")):
        first = round(8 * number * rate)
        rows = recording[first : first + round(12 * rate)]
        write_recording(tmp_path, rows, 1000.0 * number + np.arange(len(rows)) / rate if timed else None, name)
    windows = windows_of(tmp_path, time="time") if timed else windows_of(tmp_path, rate=rate)
    assert windows.clip_names == ("Anna/a.csv", "Anna/b.csv", "Anna/c.csv")
    assert (windows.clip_recordings.tolist(), windows.clip_offsets.tolist()) == ([0] * 3, [16.0, 0.0, 8.0])
    times = sorted(float(windows[0, index].time) for index in range(len(windows)))
    assert times == (np.arange(53) / 2).tolist()


def test_rows_that_contradict_each_other_place_nothing_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=720), rng.normal(size=720)
    other[:120], other[400:520] = one[600:], one[100:220]
    for name, rows in (("a.csv", one), ("b.csv", other)):
        write_recording(tmp_path, rows, None, name)
    assert windows_of(tmp_path, rate=60.0).clip_recordings.tolist() == [0, 1]
    assert "every file is taken as a recording of its own" in caplog.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 60.0, "time_unit": "ms"}, "time_unit and on_bad_time need time"),
        ({"rate": 60.0, "on_bad_time": "split"}, "time_unit and on_bad_time need time"),
        ({"root": "five.npz", "imu_offset": 0.1}, "imu_offset would move nothing"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, object], message: str) -> None:
    wanted = {"root": "walks", "train_subjects": ("Anna",), "val_subjects": ("Ben",)}
    with pytest.raises(ValidationError, match=message):
        ImuRecordings.model_validate(wanted | fields)


def test_an_offset_of_nobody_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path, even(), None)
    with pytest.raises(ConfigError, match=r"data\.imu_offset: no subject or recording Ana; did you mean 'Anna'"):
        windows_of(tmp_path, rate=60.0, imu_offset={"Ana": 0.5})
