"""Windows of files with a clock, late starts and offsets are those of their time, or there is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_dataset import number_of, revalexo, steady, write_json, write_video

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import RevalExo
from revalexo_clip.data.base import LabelledWindows, WindowDataset
from revalexo_clip.data.revalexo.check import check_dataset
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.data.windows import Floats

DURATION = 12.0
COLUMNS = ("acc_Pelvis_x", "acc_Pelvis_y", "gyro_Pelvis_x")


def even(rate: float = 60.0, start: float = 0.0, end: float = DURATION) -> Floats:
    return start + np.arange(round((end - start) * rate)) / rate


def write_clip(
    root: Path,
    time_n: Floats,
    stamps: Iterable[object] | None = None,
    *,
    subject: str = "Subject01",
    clip: str = "0000",
    video: Sequence[float] | None = None,
) -> Path:
    """A clip of 12 s whose IMU rows hold their own time [s]; `stamps` are the cells of the clock, if there is one."""
    path = root / "imu" / subject / f"{clip}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{time:.6f},{-time:.6f},{2 * time:.6f}" for time in time_n]
    header = ",".join(COLUMNS)
    if stamps is not None:
        header, rows = f"time,{header}", [f"{stamp},{row}" for stamp, row in zip(stamps, rows, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    described: JsonObject = {
        "imu": path.name,
        "activity_segments": [{"start": 0.0, "end": DURATION, "activity": "walking"}],
    }
    if video is not None:
        write_video(root / "videos" / subject / f"{clip}.mp4", video, codec={"g": "30"})
        described["video"] = f"{clip}.mp4"
    write_json(root / "label_mapping.json", {"label_to_idx": {"walking": 0}})
    file = root / "data_pairs" / f"{subject}.json"
    subject_file: dict[str, Any] = (
        json.loads(file.read_text())
        if file.exists()
        else {"subject": subject, "imu_folder": f"imu/{subject}", "video_folder": f"videos/{subject}", "pairs": {}}
    )
    subject_file["pairs"][clip] = described
    write_json(file, subject_file)
    return path


def data(root: Path, **fields: object) -> RevalExo:
    wanted: dict[str, object] = {
        "train_subjects": (),
        "val_subjects": ("01",),
        "channels": ("acc_*", "gyro_*"),
        "min_duration": 4.0,
    }
    return revalexo(root, **(wanted | fields))


def times_of(windows: LabelledWindows) -> dict[float, Floats]:
    """The times that the rows of each window hold, by the window's start."""
    samples = [windows[0, index] for index in range(len(windows))]
    return {float(sample.start): sample.imu_LC[:, 0].numpy().astype(np.float64) for sample in samples}


def assert_right(windows: LabelledWindows, starts: Floats, within: float = 2e-3) -> None:
    """Assert that windows start there, and hold the rows of their time; edges of files feel that they end."""
    found = times_of(windows)
    assert list(found) == starts.tolist()
    edges = (min(found), max(found))
    for start, time_L in found.items():
        slack = 0.2 if start in edges else within
        np.testing.assert_allclose(time_L, start + np.arange(120) / 60, atol=slack)


WHOLE = np.arange(21) / 2
"""Starts of the windows of a whole clip [s]."""


def test_a_file_at_another_rate_is_placed_by_its_clock(tmp_path: Path) -> None:
    write_clip(tmp_path, even(65), even(65))
    windows = data(tmp_path, time="time").labelled("val", seed=0)
    assert_right(windows, WHOLE)
    np.testing.assert_allclose(times_of(windows)[9.5][:100], 9.5 + np.arange(100) / 60, atol=2e-3)


def test_a_file_at_another_rate_without_its_clock_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path, even(65), even(65))
    message = r"column time says 65\.00 Hz \[s\], not 60 Hz\. Name the column in data\.time"
    with pytest.raises(DataError, match=f"^{path}: {message}"):
        data(tmp_path).labelled("val", seed=0)
    with pytest.raises(DataError, match=message):
        data(tmp_path, imu_offset=0.1).labelled("val", seed=0)
    assert len(data(tmp_path, check_clock=False).labelled("val", seed=0)) == 21


@pytest.mark.parametrize(
    ("unit", "stamp"),
    [
        ("ms", lambda time: round(time * 1e3, 3)),
        ("us", lambda time: round(time * 1e6)),
        ("ns", lambda time: round(time * 1e9)),
        ("iso", lambda time: datetime.fromtimestamp(time, UTC).isoformat()),
    ],
)
@pytest.mark.parametrize("zero", [0.0, 1_714_564_800.0])
def test_clocks_in_every_unit_give_the_same_windows(
    unit: str, stamp: Callable[[float], object], zero: float, tmp_path: Path
) -> None:
    time_n = even(65)
    write_clip(tmp_path / "s", time_n, time_n)
    write_clip(tmp_path / unit, time_n, [stamp(zero + time) for time in time_n.tolist()])
    expected = times_of(data(tmp_path / "s", time="time").labelled("val", seed=0))
    how = {"time": "time", "time_unit": unit, "time_zero": "first_row" if zero else "clip"}
    found = times_of(data(tmp_path / unit, **how).labelled("val", seed=0))
    assert list(found) == list(expected)
    for start, time_L in found.items():
        np.testing.assert_allclose(time_L, expected[start], atol=1e-3)


def test_a_clock_in_another_unit_is_told_which(tmp_path: Path) -> None:
    path = write_clip(tmp_path, even(), np.round(1e3 * even(), 3))
    with pytest.raises(DataError, match=r"line 2, column time: the clock gives 0\.06 Hz: are these milliseconds\?"):
        data(tmp_path, time="time").labelled("val", seed=0)
    (problem,) = (p for p in check_data(tmp_path, channels=("acc_*",), time="time").problems if p.kind == "bad_clock")
    assert (problem.file, problem.severity) == (path, "error")
    assert "are these milliseconds? set time_unit" in problem.message


def test_a_clock_that_counts_from_1970_must_be_told_so(tmp_path: Path) -> None:
    write_clip(tmp_path, even(), 1.7e9 + even())
    message = r"column time runs from 1700000000\.000 s .*Is s its unit .* data\.time_zero=first_row"
    with pytest.raises(DataError, match=message):
        data(tmp_path, time="time").labelled("val", seed=0)
    assert any(
        problem.kind == "bad_clock" for problem in check_data(tmp_path, channels=("acc_*",), time="time").problems
    )
    assert check_data(tmp_path, channels=("acc_Pelvis_x",), time="time", time_zero="first_row").count("error") == 0


LOST = np.concatenate([even(end=5.0), even(start=5.5)])


def test_lost_rows_are_an_error_that_names_the_gap(tmp_path: Path) -> None:
    path = write_clip(tmp_path, LOST, LOST)
    message = r"line 302, column time: no row between 4\.983 s and 5\.500 s .*on_bad_time=split"
    with pytest.raises(DataError, match=f"^{path}: {message}"):
        data(tmp_path, time="time").labelled("val", seed=0)
    with pytest.raises(DataError, match=r"rows are missing: 0\.517 s between rows 300 and 301"):
        data(tmp_path).labelled("val", seed=0)
    found = check_data(tmp_path, channels=("acc_*",), time="time")
    assert [problem.kind for problem in found.problems if problem.severity == "error"] == ["bad_clock"]


def test_a_clip_is_split_at_lost_rows_if_asked(tmp_path: Path) -> None:
    write_clip(tmp_path, LOST, LOST)
    windows = data(tmp_path, time="time", on_bad_time="split").labelled("val", seed=0)
    assert windows.clip_names == ("Subject01/0000", "Subject01/0000")
    assert windows.clip_recordings.tolist() == [0, 0]
    found = times_of(windows)
    assert list(found) == [*np.arange(7) / 2, *(5.5 + np.arange(10) / 2)]
    for start, time_L in found.items():
        np.testing.assert_allclose(time_L, start + np.arange(120) / 60, atol=1e-4)


def test_an_imu_that_starts_late_has_windows_from_then_on(tmp_path: Path) -> None:
    time_n = even(start=1.0)
    write_clip(tmp_path, time_n, time_n)
    windows = data(tmp_path, time="time").labelled("val", seed=0)
    assert_right(windows, 1.0 + np.arange(19) / 2)
    with pytest.raises(DataError, match=r"its clock starts at 1\.000 s\. If it counts from the first frame"):
        data(tmp_path).labelled("val", seed=0)
    problems = check_data(tmp_path, channels=("acc_*",), time="time").problems
    late = [problem.message for problem in problems if problem.kind == "late_imu"]
    assert late == ["starts at 1.000 s: the first 1.000 s of the clip are cut"]
    unplaced = check_data(tmp_path, channels=("acc_*",)).problems
    assert [problem.kind for problem in unplaced if problem.severity == "error"] == ["late_clock"]


@pytest.mark.long
def test_a_clock_of_a_longer_recording_is_not_late(tmp_path: Path) -> None:
    """The clocks of clips that were cut from one recording go on from clip to clip."""
    for number in range(3):
        time_n = even(start=8.0 * number, end=8.0 * number + DURATION)
        write_clip(tmp_path, time_n, time_n, clip=f"{number:04d}")
    windows = data(tmp_path).labelled("val", seed=0)
    assert windows.clip_offsets.tolist() == [0.0, 8.0, 16.0]
    assert not any(problem.kind == "late_clock" for problem in check_data(tmp_path, channels=("acc_*",)).problems)


def test_one_stamp_backwards_is_an_error_and_can_be_sorted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    time_n = even()
    time_n[[300, 301]] = time_n[[301, 300]]
    write_clip(tmp_path, time_n, time_n)
    with pytest.raises(DataError, match=r"line 303, column time: the clock goes back from 5\.0166\d+ s to 5\.000000 s"):
        data(tmp_path, time="time").labelled("val", seed=0)
    windows = data(tmp_path, time="time", on_bad_time="sort").labelled("val", seed=0)
    assert "0000.csv: rows are sorted by time: the clock went back 1 times" in caplog.text
    for start, time_L in times_of(windows).items():
        np.testing.assert_allclose(time_L, start + np.arange(120) / 60, atol=1e-5)


def test_repeated_stamps_are_an_error_and_dropped_if_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    time_n = np.repeat(even(), np.where(np.arange(720) % 100 == 7, 2, 1))
    write_clip(tmp_path, time_n, time_n)
    with pytest.raises(DataError, match=r"line 10, column time: the clock repeats 0\.116667 s \(8 such rows\)"):
        data(tmp_path, time="time").labelled("val", seed=0)
    windows = data(tmp_path, time="time", on_bad_time="sort").labelled("val", seed=0)
    assert "8 rows that repeat a time are dropped" in caplog.text
    for start, time_L in times_of(windows).items():
        np.testing.assert_allclose(time_L, start + np.arange(120) / 60, atol=1e-5)


@pytest.mark.parametrize("imu_offset", [0.5, {"Subject01": 0.5}, {"Subject01": 9.0, "Subject01/0000": 0.5}])
@pytest.mark.parametrize("time", [None, "time"])
def test_an_offset_moves_windows_by_its_samples(
    imu_offset: float | dict[str, float], time: str | None, tmp_path: Path
) -> None:
    write_clip(tmp_path, even(), even())
    windows = data(tmp_path, imu_offset=imu_offset, time=time).labelled("val", seed=0)
    found = times_of(windows)
    assert list(found) == (0.5 + np.arange(20) / 2).tolist(), "the first 0.5 s have no IMU"
    for start, time_L in found.items():
        np.testing.assert_allclose(time_L, start - 0.5 + np.arange(120) / 60, atol=1e-5)


@pytest.mark.parametrize("time", [None, "time"])
def test_an_offset_in_the_datasets_file_moves_windows_unless_another_is_set(time: str | None, tmp_path: Path) -> None:
    write_clip(tmp_path, even(), even())
    file = tmp_path / "data_pairs" / "Subject01.json"
    described = json.loads(file.read_text())
    described["pairs"]["0000"]["imu_offset"] = 0.5
    write_json(file, described)
    for setting, moved in ((0.0, 0.5), (0.25, 0.25), ({"Subject01": 1.0}, 1.0), ({}, 0.5)):
        windows = data(tmp_path, imu_offset=setting, time=time).labelled("val", seed=0)
        found = times_of(windows)
        assert found
        for start, time_L in found.items():
            np.testing.assert_allclose(time_L, start - moved + np.arange(120) / 60, atol=1e-5)
    late = check_dataset(tmp_path, channels=COLUMNS, imu_rate=60.0, min_duration=11.8, video=False, processes=1)
    assert any("moved" in one.message or "11.5" in one.message for one in late.problems), "check-data knows it, too"


def test_clips_of_one_imu_file_cannot_be_moved_apart(tmp_path: Path) -> None:
    write_clip(tmp_path, even())
    file = tmp_path / "data_pairs" / "Subject01.json"
    described = json.loads(file.read_text())
    described["pairs"]["0001"] = described["pairs"]["0000"] | {"imu_offset": 0.5}
    write_json(file, described)
    with pytest.raises(DataError, match=r"imu_offset is 0 s for Subject01/0000 and 0\.5 s for Subject01/0001"):
        data(tmp_path).labelled("val", seed=0)


def test_an_offset_of_nobody_is_refused(tmp_path: Path) -> None:
    write_clip(tmp_path, even())
    with pytest.raises(ConfigError, match=r"data\.imu_offset: no subject or clip Subject1; did you mean 'Subject01'"):
        data(tmp_path, imu_offset={"Subject1": 0.5}).labelled("val", seed=0)


def numbers(windows: WindowDataset, index: int) -> list[int]:
    return [number_of(frame) for frame in windows[0, index].video_THWC.numpy()]


@pytest.mark.parametrize("packed", [False, True])
def test_a_video_that_starts_late_has_windows_from_then_on(packed: bool, tmp_path: Path) -> None:
    """Its frames keep the time that the container gives them: frame 0 is that of 0.4 s."""
    write_clip(tmp_path, even(), video=[0.4 + time for time in steady(11.6)])
    if packed:
        pack(tmp_path)
    windows = data(tmp_path, pack="auto" if packed else "off").build("val", seed=0)
    starts = [float(windows[0, index].start) for index in range(len(windows))]
    assert starts == (0.5 + np.arange(20) / 2).tolist(), "0.3 s of the clip are cut: 0.1 s is no lateness"
    assert numbers(windows, 0) == [3, 23, 43, 63]
    assert numbers(windows, 1) == [18, 38, 58, 78]
    problems = check_dataset(tmp_path, channels=("acc_*",), imu_rate=60.0, processes=1).problems
    late = [problem.message for problem in problems if problem.kind == "late_video"]
    assert late == ["starts at 0.400 s: the first 0.300 s of the clip are cut"]
    assert not any(problem.kind == "frame_gap" for problem in problems)


@pytest.fixture(scope="module", params=["declared", "found"])
def overlapping(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One subject with two recordings, of three clips and of one."""
    kind = str(request.param)
    root = tmp_path_factory.mktemp("overlapping") / kind
    synthesize(root, subjects=1, clips=4, overlap=4.0, declare=kind == "declared", processes=1)
    pack(root)
    return root


@pytest.mark.long
@pytest.mark.parametrize("packed", ["auto", "off"])
def test_declared_and_found_offsets_agree_with_the_pack_and_without(packed: str, overlapping: Path) -> None:
    windows = revalexo(
        overlapping, train_subjects=(), val_subjects=("01",), channels=("acc_*",), min_duration=10.0, pack=packed
    ).build("val", seed=0)
    assert windows.clip_recordings.tolist() == [0, 0, 0, 1]
    assert windows.clip_offsets.tolist() == [0.0, 8.0, 16.0, 0.0]
    moments = [(int(sample.recording), float(sample.time)) for sample in (windows[0, i] for i in range(len(windows)))]
    expected = [(0, time) for time in np.arange(53) / 2] + [(1, time) for time in np.arange(21) / 2]
    assert sorted(moments) == expected


@pytest.mark.long
def test_check_data_finds_what_is_declared(overlapping: Path) -> None:
    found = check_dataset(overlapping, channels=("acc_*",), imu_rate=60.0, processes=1)
    assert found.problems == ()
    three, one = found.recordings.recordings
    assert [(clip.offset, clip.shared) for clip in three] == [(0.0, 0.0), (8.0, 4.0), (16.0, 4.0)]
    assert len(one) == 1
    assert {clip.declared for clip in three} == {overlapping.name == "declared"}
    how = "declared" if overlapping.name == "declared" else "found by equal IMU rows"
    assert found.recordings.summary() == f"2 recordings; 2 of 4 clips share 8.0 s with an earlier clip ({how})"


def test_the_order_of_files_says_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recording = np.cumsum(rng.normal(size=2640))
    names = ["0003", "0000", "0004", "0001", "0002"]
    for number, name in enumerate(names):
        write_clip(tmp_path, recording[480 * number : 480 * number + 720], clip=name)
    windows = data(tmp_path).labelled("val", seed=0)
    offsets = dict(zip(windows.clip_names, windows.clip_offsets.tolist(), strict=True))
    assert offsets == {f"Subject01/{name}": 8.0 * number for number, name in enumerate(names)}
    times = sorted(float(windows[0, index].time) for index in range(len(windows)))
    assert times == (np.arange(85) / 2).tolist()
    assert all(one < other for one, other in pairwise(times))


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_clips_with_a_clock_are_placed_by_it(late: float, tmp_path: Path) -> None:
    """Shared rows of 65 Hz, and of a clip whose IMU starts late, give the offset of the clips and not of the files."""
    rng = np.random.default_rng(0)
    recording = np.cumsum(rng.normal(size=65 * 28))
    for number in range(3):
        first = 65 * 8 * number + (round(65 * late) if number == 0 else 0)
        rows = recording[first : 65 * (8 * number + 12)]
        stamps = (first + np.arange(len(rows))) / 65 - 8 * number
        write_clip(tmp_path, rows, stamps, clip=f"{number:04d}")
    windows = data(tmp_path, time="time").labelled("val", seed=0)
    assert windows.clip_offsets.tolist() == [0.0, 8.0, 16.0]
    found = check_dataset(
        tmp_path, channels=("acc_*",), imu_rate=60.0, processes=1, clock=data(tmp_path, time="time")._template()
    )
    assert [clip.offset for clip in found.recordings.recordings[0]] == [0.0, 8.0, 16.0]


def test_bad_clocks_are_excluded_with_the_settings_of_the_experiment(tmp_path: Path) -> None:
    write_clip(tmp_path, LOST, LOST)
    write_clip(tmp_path, even(65) + 100, even(65), clip="0001")
    fields = {"time": "time", "on_bad_clip": "exclude", "workers": 0}
    windows = data(tmp_path, **fields).labelled("val", seed=0)
    assert windows.clip_names == ("Subject01/0001",)
    assert "no row between 4.983 s and 5.500 s" in windows.excluded["Subject01/0000"]
    split = data(tmp_path, **fields, on_bad_time="split").labelled("val", seed=0)
    assert dict(split.excluded) == {}
    assert len(split.clip_names) == 3
    plain = data(tmp_path, on_bad_clip="exclude", workers=0, check_clock=False).labelled("val", seed=0)
    assert dict(plain.excluded) == {}


@pytest.mark.parametrize("source", ["off", "pack"])
def test_an_imu_that_starts_late_and_ends_early_has_windows_only_where_it_is(source: str, tmp_path: Path) -> None:
    """The video and the labels last 12 s, the IMU from 1.3 s to 9.6 s; its rows hold their own time."""
    time_n = even(65, 1.3, 9.6)
    write_clip(tmp_path, time_n, time_n, video=steady(DURATION))
    if source == "pack":
        pack(tmp_path)
    fields: dict[str, object] = {"time": "time", "pack": "auto" if source == "pack" else "off"}
    val = data(tmp_path, **fields).build("val", seed=0)
    train = data(tmp_path, **fields, train_subjects=("01",), val_subjects=("02",)).build("train", seed=0)
    for windows, count in ((val, 13), (train, 10)):
        assert len(windows) == count
        for epoch, index in ((0, 0), (1, 0), (0, count - 1), (3, count - 1)):
            sample = windows[epoch, index]
            start = sample.start.item()
            assert 1.3 - 1 / 60 <= start <= 9.6 - 2 + 1 / 60
            np.testing.assert_allclose(sample.imu_LC[5:-5, 0], start + np.arange(5, 115) / 60, atol=0.02)
            assert sample.imu_LC.isfinite().all()
            assert number_of(sample.video_THWC[0].numpy()) == pytest.approx(30 * start, abs=1)
    problems = check_data(tmp_path, channels=("acc_*",), time="time", min_duration=4.0, processes=1).problems
    assert {"late_imu", "imu_short"} <= {problem.kind for problem in problems}
