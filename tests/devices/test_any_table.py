from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.made_tables import G, even, imu_table, nodding, video_of, write_table

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.devices.base import Floats
from revalexo_clip.devices.tables import read
from revalexo_clip.devices.tables_options import TableOptions, parse_columns, parse_units

HEAD = TableOptions(place="Head")
AXES = ("x", "y", "z")
EPOCH = 1_714_564_800.0
"""2024-05-01T12:00:00Z [s]."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_of(tmp_path_factory.mktemp("video") / "camera.mp4")


def failing(source: Path, options: TableOptions = HEAD) -> str:
    """Return the message of the error, which is one line."""
    with pytest.raises(DataError) as raised:
        read(source, options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_names_clock_and_units_are_found_and_said(tmp_path: Path, video: Path) -> None:
    time_N = even()
    values_N6 = nodding(time_N)
    header = ("Zeit (ms)", *(f"a{axis} [g]" for axis in AXES), *(f"Gyro {axis.upper()} (deg/s)" for axis in AXES))
    columns = [time_N * 1e3, *(values_N6[:, :3] / G).T, *np.degrees(values_N6[:, 3:]).T]
    path = write_table(tmp_path / "imu.csv", header, columns, ";", ",", ("sep=;", "# made"))
    recording = read(path, TableOptions(place="Head", videos=(video,), times=("Zeit (ms)",)))
    (stream,) = recording.imu
    assert stream.channels == tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in AXES)
    np.testing.assert_allclose(stream.time_N, time_N, atol=1e-9)
    np.testing.assert_allclose(stream.values_NC, values_N6, atol=1e-9)
    assert recording.notes == (
        "imu.csv: ';' between cells, decimal commas, header in line 3; clock: column 'Zeit (ms)' [ms]",
        "acc_Head: columns 'ax [g]', 'ay [g]', 'az [g]' of imu.csv [g]",
        "gyro_Head: columns 'Gyro X (deg/s)', 'Gyro Y (deg/s)', 'Gyro Z (deg/s)' of imu.csv [deg/s]",
        "imu.csv: time zero of its clock is taken as the first video frame",
    )


@pytest.mark.parametrize(("per_second", "unit"), [(1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns")])
def test_the_unit_of_a_clock_shows_in_its_rate(tmp_path: Path, per_second: float, unit: str) -> None:
    recording = read(imu_table(tmp_path / "imu.csv", t=even() * per_second), HEAD)
    np.testing.assert_allclose(recording.imu[0].time_N, even(), atol=1e-9)
    assert f"clock: column 't' [{unit}], by its 100 rows per second" in recording.notes[0]


def test_an_unclear_unit_of_the_clock_is_asked_for(tmp_path: Path) -> None:
    path = imu_table(tmp_path / "imu.csv", t=even() * 20)
    assert "the unit of its clock, column 't', cannot be told" in failing(path)
    recording = read(path, TableOptions(place="Head", units={"time": "ms", "gyro": "rad/s"}))
    assert recording.imu[0].rate == pytest.approx(5000)


@pytest.mark.parametrize(("gyro", "unit"), [(1.0, "rad/s"), (180 / np.pi, "deg/s")])
@pytest.mark.parametrize(("acc", "acc_unit"), [(1.0, "m/s^2"), (1 / G, "g")])
def test_units_show_in_gravity_and_how_it_turns(
    tmp_path: Path, gyro: float, unit: str, acc: float, acc_unit: str
) -> None:
    values_N6 = nodding(even(), angle=0.05)  # 7 deg/s at most: the magnitude alone fits both units
    names = ("ax", "ay", "az", "gx", "gy", "gz")
    path = write_table(tmp_path / "imu.csv", ("t", *names), [even(), *(values_N6 * ([acc] * 3 + [gyro] * 3)).T])
    recording = read(path, HEAD)
    assert f"[{acc_unit}] (by gravity, " in recording.notes[1]
    assert recording.notes[2].endswith(f"[{unit}] (by how gravity turns in the accelerometer)")
    np.testing.assert_allclose(recording.imu[0].values_NC, values_N6, atol=1e-9)


def test_units_that_do_not_show_are_asked_for_in_one_error(tmp_path: Path) -> None:
    still = np.zeros_like(even())
    path = imu_table(tmp_path / "imu.csv", gx=still, gy=still, gz=still, ax=still + 3.0, ay=still, az=still)
    message = failing(path)
    assert "acc_Head from 'ax', 'ay', 'az'; gyro_Head from 'gx', 'gy', 'gz'" in message
    assert "--unit acc=g|m/s^2 --unit gyro=deg/s|rad/s" in message
    recording = read(path, replace(HEAD, units={"acc": "m/s^2", "gyro": "deg/s"}))
    assert "the acceleration is without gravity" in recording.imu[0].notes[0]


def test_a_unit_that_the_values_contradict_is_an_error(tmp_path: Path) -> None:
    time_N = even()
    values_N6 = nodding(time_N)
    header = ("t", "ax (m/s^2)", "ay (m/s^2)", "az (m/s^2)")
    path = write_table(tmp_path / "imu.csv", header, [time_N, *(values_N6[:, :3] / G).T])
    assert "are said to be in m/s^2, but gravity is 1.00, as in g; say the unit with --unit acc=" in failing(path)


def test_columns_are_mapped_and_turned_around(tmp_path: Path) -> None:
    path = imu_table(tmp_path / "imu.csv")
    columns = parse_columns(["acc_Left_Foot_x=-az", "acc_Left_Foot_y=ay", "acc_Left_Foot_z=ax"])
    (stream,) = read(path, TableOptions(columns=columns)).imu
    expected_N6 = nodding(even())
    np.testing.assert_allclose(stream.values_NC[:, 0], -expected_N6[:, 2])
    np.testing.assert_allclose(stream.values_NC[:, 2], expected_N6[:, 0])
    assert stream.channels[0] == "acc_Left_Foot_x"


@pytest.mark.parametrize(
    ("changed", "options", "parts"),
    [
        ({}, TableOptions(), ("where on the body", "'ax'", "--place", "'t', 'ax', 'ay'")),
        ({"az": ""}, HEAD, ("no column for acc_Head_z", "--map acc_Head_z=COLUMN", "'gx'")),
        ({"t": ""}, HEAD, ("which column is its clock?", "--time COLUMN", "--table-rate HZ", "'ax'")),
        ({"time": even()}, HEAD, ("'t' and 'time' look like its clock", "--time COLUMN")),
        ({"raw_ax": even()}, HEAD, ("'imu.csv:ax' and 'imu.csv:raw_ax' are both the x axis of acc_Head",)),
        ({}, TableOptions(place="Head", times=("when",)), ("has no column 'when'", "'t', 'ax'")),
        ({}, TableOptions(columns={"acc_Head_x": "bx"}), ("acc_Head_x is mapped to a column 'bx'", "'t', 'ax'")),
        ({"t": np.zeros(600)}, replace(HEAD, times=("t",)), ("column 't' stands still",)),
    ],
)
def test_what_is_not_in_the_table_is_asked_for_with_its_columns(
    tmp_path: Path, changed: dict[str, Floats | str], options: TableOptions, parts: tuple[str, ...]
) -> None:
    message = failing(imu_table(tmp_path / "imu.csv", **changed), options)
    assert message.startswith(f"{tmp_path / 'imu.csv'}: ")
    assert [part for part in parts if part not in message] == []


def test_a_table_without_sensors_says_what_it_has(tmp_path: Path) -> None:
    path = write_table(tmp_path / "gps.csv", ("time", "lat", "lon"), [even(), even(), even()])
    assert "gps.csv: no column is named like an accelerometer or gyroscope" in failing(path)
    assert "has no table with an accelerometer or gyroscope (gps.csv" in failing(tmp_path)


def test_faults_are_counted_and_rows_left_out(tmp_path: Path) -> None:
    time_N = even()
    ax_N = nodding(time_N)[:, 0] + 0.0
    ax_N[[5, 6]] = np.nan
    time_N[50] = np.nan
    time_N[100] = time_N[99]
    time_N[200] = time_N[150]
    time_N[300:] += 1.25
    acc, gyro = read(imu_table(tmp_path / "imu.csv", t=time_N, ax=ax_N), HEAD).imu
    assert acc.notes == (
        "imu.csv: 1 row without a time left out",
        "imu.csv: 1 row with the time of the row before left out",
        "imu.csv: 1 row that went back in time left out",
        "imu.csv: 2 of 600 rows have no value of acc_Head and were left out",
        "imu.csv: 1 gap, about 125 rows missing; the longest is 1.26 s at 2.99 s",
    )
    assert (len(acc.time_N), len(gyro.time_N)) == (595, 597)
    assert not (acc.values_NC == 0).all(axis=1).any()


def test_a_slower_gyroscope_in_the_same_table_is_a_stream_of_its_own(tmp_path: Path) -> None:
    values_N6 = nodding(even())
    values_N6[1::2, 3:] = np.nan
    names = ("ax", "ay", "az", "gx", "gy", "gz")
    path = write_table(tmp_path / "imu.csv", ("t", *names), [even(), *values_N6.T])
    acc, gyro = read(path, HEAD).imu
    assert (round(acc.rate), round(gyro.rate)) == (100, 50)
    np.testing.assert_allclose(gyro.values_NC, nodding(gyro.time_N)[:, 3:])


def test_times_of_packets_need_a_rate(tmp_path: Path) -> None:
    path = imu_table(tmp_path / "imu.csv", t=np.floor(even() * 10) / 10 + 3.0)
    assert (
        "540 of 600 rows repeat the time of the row before (column 't'), as if it were the time of packets"
        in failing(path, replace(HEAD, units={"time": "s"}))
    )
    recording = read(path, replace(HEAD, rate=100.0, units={"time": "s"}))
    np.testing.assert_allclose(recording.imu[0].time_N, even(), atol=1e-9)


@pytest.mark.long
def test_several_tables_keep_their_own_rates(tmp_path: Path) -> None:
    fast, slow = even(200), even(50) + 0.013
    write_table(
        tmp_path / "Accelerometer.csv", ("Time (s)", *(f"{a} (m/s^2)" for a in AXES)), [fast, *nodding(fast)[:, :3].T]
    )
    write_table(
        tmp_path / "Gyroscope.csv", ("Time (s)", *(f"{a} (rad/s)" for a in AXES)), [slow, *nodding(slow)[:, 3:].T]
    )
    write_table(tmp_path / "Location.csv", ("Time (s)", "lat", "lon"), [fast, fast, fast])
    video_of(tmp_path / "camera.mp4")
    recording = read(tmp_path, HEAD)
    assert [(stream.channels[0], round(stream.rate)) for stream in recording.imu] == [
        ("acc_Head_x", 200),
        ("gyro_Head_x", 50),
    ]
    assert recording.imu[1].time_N[0] == pytest.approx(0.013)
    assert "not used: Location.csv" in recording.notes
    assert "video: camera.mp4, found beside the table" in recording.notes


def test_an_absolute_clock_needs_the_start_of_the_video(tmp_path: Path, video: Path) -> None:
    path = imu_table(tmp_path / "imu.csv", t=EPOCH + even())
    options = replace(HEAD, videos=(video,))
    message = failing(path, options)
    assert "counts from 1970 (its first row is at 2024-05-01T12:00:00.000+00:00)" in message
    assert "--video-starts 2024-05-01T12:00:00.250Z" in message
    for said in ("2024-05-01T12:00:00.250Z", "imu.csv=2024-05-01T14:00:00.250+02:00", str(EPOCH + 0.25)):
        (stream,) = read(path, replace(options, video_starts=(said,))).imu
        assert stream.time_N[0] == pytest.approx(-0.25, abs=1e-6)
    (stream,) = read(path, replace(options, video_starts=("first-row",), offset=0.1)).imu
    assert stream.time_N[0] == pytest.approx(0.1, abs=1e-6)
    assert "creation-time cannot be used, as camera.mp4 does not say when" in failing(
        path, replace(options, video_starts=("creation-time",))
    )


def test_dates_and_times_of_day_are_clocks(tmp_path: Path, video: Path) -> None:
    dates = [f"2024-05-01 12:00:{second:06.3f}" for second in even()]
    recording = read(imu_table(tmp_path / "dates.csv", t=dates), HEAD)
    np.testing.assert_allclose(recording.imu[0].time_N, even(), atol=1e-6)
    assert "date and time (UTC, as no time zone is given)" in recording.notes[0]
    midnight = [f"23:59:{57 + second:06.3f}" if second < 3 else f"00:00:{second - 3:06.3f}" for second in even()]
    path = imu_table(tmp_path / "day.csv", t=midnight)
    (stream,) = read(path, replace(HEAD, videos=(video,), video_starts=("23:59:57.5",))).imu
    np.testing.assert_allclose(stream.time_N, even() - 0.5, atol=1e-6)


def test_no_time_in_common_is_said_with_both_spans(tmp_path: Path, video: Path) -> None:
    path = imu_table(tmp_path / "imu.csv", t=even() + 3500)
    message = failing(path, replace(HEAD, videos=(video,)))
    assert "no time in common with the video: it goes from 3500.00 s to 3505.99 s" in message
    assert "--video-starts" in message


def test_tables_with_clocks_of_different_kinds_are_refused(tmp_path: Path) -> None:
    header = ("t", "ax", "ay", "az")
    write_table(tmp_path / "a.csv", header, [even(), *nodding(even())[:, :3].T])
    write_table(tmp_path / "b.csv", ("t", "gx", "gy", "gz"), [EPOCH + even(), *nodding(even())[:, 3:].T])
    assert "b.csv: its clock counts from 1970, and that of a.csv does not" in failing(
        tmp_path, replace(HEAD, units={"gyro": "rad/s"})
    )


def test_sensors_with_and_without_gravity_are_not_mixed(tmp_path: Path) -> None:
    values = nodding(even())[:, :3].T
    header = ("t", *(f"Head acc {axis}" for axis in AXES), *(f"Foot linear acc {axis} [m/s^2]" for axis in AXES))
    path = write_table(tmp_path / "imu.csv", header, [even(), *values, *(values * 0.1)])
    assert "the acceleration of Foot is without gravity, and that of Head (imu.csv) has it" in failing(path)


def test_several_videos_and_missing_ones_are_refused(tmp_path: Path) -> None:
    imu_table(tmp_path / "imu.csv")
    for name in ("one.mp4", "two.mp4"):
        (tmp_path / name).touch()
    assert "has several videos (one.mp4, two.mp4); choose with --video" in failing(tmp_path)
    assert "three.mp4: there is no such video" in failing(tmp_path, replace(HEAD, videos=(tmp_path / "three.mp4",)))


def test_a_video_that_is_not_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "other.mp4").touch()
    recording = read(imu_table(tmp_path / "imu.csv"), HEAD)
    assert recording.video is None
    assert "no video: none has the name of the table; choose one with --video (other.mp4 beside it)" in recording.notes


def test_options_say_what_is_wrong_with_them() -> None:
    assert parse_units(["time=ms", "acc=g", "gyro_Head=dps"]) == {"time": "ms", "acc": "g", "gyro_Head": "deg/s"}
    for text in ("acc", "acc=parsec", "mag=g", "time=g"):
        with pytest.raises(ConfigError, match=f"--unit {text}: "):
            parse_units([text])
    for texts in (["ax=acc_Head_x"], ["acc_Head_x="], ["acc_Head_x=a", "acc_Head_x=b"]):
        with pytest.raises(ConfigError, match=f"--map {texts[-1]}: "):
            parse_columns(texts)
