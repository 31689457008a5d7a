"""Miniatures of what apps, suits and public datasets write, made after their published formats."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from support.made_tables import G, even, nodding, video_of, write_table

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import Floats, Label
from revalexo_clip.devices.lerobot import is_lerobot, read_lerobot
from revalexo_clip.devices.movella import is_movella, read_movella
from revalexo_clip.devices.phones import is_phyphox, is_sensor_logger, read_phyphox, read_sensor_logger
from revalexo_clip.devices.public import is_epic, is_wear, read_epic, read_wear
from revalexo_clip.devices.tables import read
from revalexo_clip.devices.tables_options import TableOptions, parse_columns
from revalexo_clip.devices.tables_units import NO_GRAVITY
from revalexo_clip.devices.xsens import is_mvn, read_mvn

HEAD = TableOptions(place="Head")
EPOCH = 1_714_564_800
NAMES = ("time", "seconds_elapsed", "z", "y", "x")


def sensor_logger(folder: Path, platform: str = "android") -> Path:
    """Write a recording of Sensor Logger that starts a second before the video in Camera."""
    ticks = [str(EPOCH * 10**9 + round(time * 1e9)) for time in even()]
    acc_N3, gyro_N3 = nodding(even())[:, :3], nodding(even())[:, 3:]
    sign = -1 if platform == "ios" else 1
    files = {"Accelerometer": 0 * acc_N3, "Gravity": sign * acc_N3, "Gyroscope": gyro_N3}
    if platform == "android":
        files["TotalAcceleration"] = acc_N3
    for name, values_N3 in files.items():
        write_table(folder / f"{name}.csv", NAMES, [ticks, even(), *values_N3.T[::-1]])
    write_table(folder / "Metadata.csv", ("version", "platform", "standardisation"), [["3"], [platform], ["false"]])
    video_of(folder / "Camera" / f"{EPOCH + 1}000.mp4")
    return folder


@pytest.mark.parametrize("platform", ["android", "ios"])
def test_sensor_logger_is_read_with_gravity_and_the_start_of_its_video(tmp_path: Path, platform: str) -> None:
    folder = sensor_logger(tmp_path, platform)
    assert is_sensor_logger(folder)
    recording = read_sensor_logger(folder, HEAD)
    (stream,) = recording.imu
    np.testing.assert_allclose(stream.time_N, even() - 1, atol=1e-6)
    np.testing.assert_allclose(stream.values_NC, nodding(even()), atol=1e-9)
    assert recording.video is not None
    said = " ".join(recording.notes)
    assert "its name is taken as the time of its first frame" in said
    assert ("gravity is added, from Gravity.csv" in said) is (platform == "ios")
    assert ("multiplied by -1" in said) is (platform == "ios")


def test_sensor_logger_without_gravity_says_so(tmp_path: Path) -> None:
    folder = sensor_logger(tmp_path)
    (folder / "TotalAcceleration.csv").unlink()
    (folder / "Gravity.csv").unlink()
    assert NO_GRAVITY in read_sensor_logger(folder, HEAD).imu[0].notes[0]


def test_phyphox_is_placed_by_the_clock_of_the_phone(tmp_path: Path) -> None:
    axes = ("x", "y", "z")
    names = ("Time (s)", *(f"Acceleration {axis} (m/s^2)" for axis in axes))
    write_table(tmp_path / "Accelerometer.csv", names, [even(), *nodding(even())[:, :3].T])
    names = ("Time (s)", *(f"Gyroscope {axis} (rad/s)" for axis in axes))
    write_table(tmp_path / "Gyroscope.csv", names, [even(), *nodding(even())[:, 3:].T])
    own_E, phone_E = np.array([0.0, 3.0, 3.0]), np.array([0.0, 3.0, 13.0]) + EPOCH
    names = ("event", "experiment time", "system time")
    write_table(tmp_path / "meta" / "time.csv", names, [["START", "PAUSE", "START"], own_E, phone_E])
    video = video_of(tmp_path / "camera.mp4")
    assert is_phyphox(tmp_path)
    with pytest.raises(DataError, match=r"counts from 1970 \(its first row is at 2024-05-01T12:00:00"):
        read_phyphox(tmp_path, HEAD)
    (stream,) = read_phyphox(tmp_path, replace(HEAD, videos=(video,), video_starts=("2024-05-01T12:00:01Z",))).imu
    assert stream.time_N[0] == pytest.approx(-1, abs=1e-6)
    assert stream.time_N[-1] == pytest.approx(5.99 + 10 - 1, abs=1e-6)
    assert "1 gap" in " ".join(stream.notes)


def test_physics_toolbox_is_a_table_like_any(tmp_path: Path) -> None:
    names = ("time", "gFx", "gFy", "gFz", "wx", "wy", "wz", "TgF")
    values_N6 = nodding(even())
    path = write_table(
        tmp_path / "toolbox.csv", names, [even(), *(values_N6[:, :3] / G).T, *values_N6[:, 3:].T, even()]
    )
    (stream,) = read(path, HEAD).imu
    np.testing.assert_allclose(stream.values_NC, values_N6, atol=1e-9)


MVNX = """<?xml version="1.0" encoding="UTF-8"?>
<mvnx xmlns="http://www.xsens.com/mvn/mvnx" version="4"><mvn version="2023"/>
<subject label="A" frameRate="60" segmentCount="2">
<segments><segment label="Pelvis" id="1"/><segment label="RightUpperLeg" id="2"/></segments>
<sensors><sensor label="Pelvis"/><sensor label="RightUpperLeg"/></sensors>
<frames segmentCount="2" sensorCount="2" jointCount="0">
<frame time="0" index="" type="tpose"><orientation>1 0 0 0 1 0 0 0</orientation></frame>
FRAMES
</frames></subject></mvnx>
"""


def mvnx(  # noqa: PLR0917 (what a file is made of)
    path: Path, acc: str, gyro: str, numbers: list[int], ms: bool = False, scale: float = 1.0
) -> Path:
    frames = []
    for number in numbers:
        stamp = f' ms="{EPOCH * 1000 + round(number * 1000 / 60)}"' if ms else ""
        rows = (
            f"<{acc}>{scale} 0 {number} 0 {2 * scale} {number}</{acc}><{gyro}>0.1 0.2 0.3 {number / 100} 1 2</{gyro}>"
        )
        frames.append(f'<frame time="{number * 1000 // 60}" index="{number}"{stamp} type="normal">{rows}</frame>')
    path.write_text(MVNX.replace("FRAMES", "\n".join(frames)), encoding="utf-8")
    return path


def test_mvnx_gives_free_acceleration_and_says_that_it_is_without_gravity(tmp_path: Path) -> None:
    numbers = [*range(30), *range(60, 120)]
    path = mvnx(tmp_path / "suit.mvnx", "sensorFreeAcceleration", "angularVelocity", numbers)
    assert is_mvn(path)
    recording = read_mvn(path, TableOptions())
    pelvis, leg = recording.imu
    assert (pelvis.segment, leg.segment) == ("Pelvis", "Right_Upper_Leg")
    assert leg.channels[0] == "acc_Right_Upper_Leg_x"
    np.testing.assert_allclose(pelvis.time_N, np.array(numbers) / 60)
    np.testing.assert_array_equal(leg.values_NC[5], [0, 2, 5, 0.05, 1, 2])
    said = " ".join((*recording.notes, *pelvis.notes))
    assert NO_GRAVITY in said
    assert "the axes are those of the world" in said
    assert "30 frames missing, by their numbers" in said


def test_mvnx_of_old_versions_gives_the_sensors_own_data(tmp_path: Path) -> None:
    path = mvnx(tmp_path / "suit.mvnx", "sensorAcceleration", "sensorAngularVelocity", list(range(60)), scale=9.8)
    recording = read_mvn(path, TableOptions())
    assert "sensorAcceleration and sensorAngularVelocity" in recording.notes[-1]
    assert NO_GRAVITY not in " ".join((*recording.notes, *recording.imu[0].notes))


def test_mvnx_with_a_timecode_is_placed_by_it(tmp_path: Path) -> None:
    path = mvnx(tmp_path / "suit.mvnx", "sensorFreeAcceleration", "angularVelocity", list(range(240)), ms=True)
    options = TableOptions(videos=(video_of(tmp_path / "camera.mp4"),))
    with pytest.raises(DataError, match=r"when the video camera\.mp4 starts is not known"):
        read_mvn(path, options)
    recording = read_mvn(path, replace(options, video_starts=("2024-05-01T12:00:00.5Z",)))
    assert recording.imu[0].time_N[0] == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<mvnx><subject frameRate='60'></subject></mvnx>", "has no frames"),
        ("<mvnx></mvnx>", "has no frame rate"),
        (MVNX[:300], "cannot be read as MVNX"),
        (
            MVNX.replace(
                "FRAMES", '<frame type="normal" index="0"><angularVelocity>1 2 3 4 5 6</angularVelocity></frame>'
            ),
            "it has angularVelocity; export the file again",
        ),
    ],
)
def test_a_wrong_mvnx_is_one_sentence(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "suit.mvnx"
    path.write_text(text)
    with pytest.raises(DataError, match=r"suit\.mvnx: ") as raised:
        read_mvn(path, TableOptions())
    assert problem in str(raised.value)


def mvn_columns(values_N6: Floats, part: slice) -> list[Floats]:
    return [np.arange(len(values_N6), dtype=float), *values_N6[:, part].T]


@pytest.mark.parametrize("said", ["// Frame Rate: 60,0", ""])
def test_csv_files_of_mvn_are_read_with_their_rate(tmp_path: Path, said: str) -> None:
    values_N6 = nodding(even(60))
    values_N6[:, :3] *= 0.1
    names = ("Frame", "Pelvis x", "Pelvis y", "Pelvis z")
    for quantity, part in (("Sensor Free Acceleration", slice(0, 3)), ("Segment Angular Velocity", slice(3, 6))):
        before = ("// MVN", said) if said else ("// MVN",)
        write_table(tmp_path / f"walk-{quantity}.csv", names, mvn_columns(values_N6, part), ";", ",", before)
    assert is_mvn(tmp_path)
    options = TableOptions(units={"gyro": "rad/s"})
    if not said:
        with pytest.raises(DataError, match="does not say its frame rate; give it with --table-rate HZ"):
            read_mvn(tmp_path, options)
        options = replace(options, rate=60.0)
    (stream,) = read_mvn(tmp_path, options).imu
    np.testing.assert_allclose(stream.time_N, even(60), atol=1e-9)
    np.testing.assert_allclose(stream.values_NC, values_N6)
    assert NO_GRAVITY in stream.notes[0]


@pytest.mark.skipif(find_spec("openpyxl") is None, reason="openpyxl is not installed (extra `devices`)")
def test_xlsx_files_of_mvn_are_read_with_their_rate(tmp_path: Path) -> None:
    import openpyxl

    values_N6 = nodding(even(60, 1.0))
    book = openpyxl.Workbook()
    book.active.title = "General Information"
    for fact in (["MVN version", "2023.2"], ["Suit Label", "A"], ["Frame Rate", 60]):
        book.active.append(fact)
    for quantity, part in (
        ("Segment Acceleration", slice(0, 3)),
        ("Sensor Free Acceleration", slice(0, 3)),
        ("Segment Angular Velocity", slice(3, 6)),
    ):
        sheet = book.create_sheet(quantity)
        sheet.append(["Frame", "Pelvis x", "Pelvis y", "Pelvis z"])
        for row in zip(*mvn_columns(values_N6, part), strict=True):
            sheet.append([float(cell) for cell in row])
    book.save(tmp_path / "walk.xlsx")
    assert is_mvn(tmp_path / "walk.xlsx")
    (stream,) = read_mvn(tmp_path / "walk.xlsx", TableOptions(units={"gyro": "rad/s"})).imu
    np.testing.assert_allclose(stream.values_NC, values_N6, atol=1e-9)
    assert stream.rate == pytest.approx(60)


DOT = ("sep=,", "DeviceTag:,{tag}", "FirmwareVersion:,3.0.0", "OutputRate:,100Hz", "")
DOT_NAMES = ("PacketCounter", "SampleTimeFine", "Acc_X", "Acc_Y", "Acc_Z", "Gyr_X", "Gyr_Y", "Gyr_Z")


def dot(path: Path, tag: str = "Pelvis") -> Path:
    """Write an export of a DOT whose clock passes 2^32 us after 3 s."""
    ticks = [str(round(2**32 - 3e6 + time * 1e6) % 2**32) for time in even()]
    values_N6 = nodding(even())
    columns = [[str(row) for row in range(len(ticks))], ticks, *values_N6[:, :3].T, *np.degrees(values_N6[:, 3:]).T]
    return write_table(path, DOT_NAMES, columns, before=[line.format(tag=tag) for line in DOT])


def test_dot_is_read_in_its_units_past_the_end_of_its_counter(tmp_path: Path) -> None:
    path = dot(tmp_path / "dot.csv")
    assert is_movella(path)
    recording = read_movella(path, HEAD)
    (stream,) = recording.imu
    np.testing.assert_allclose(stream.time_N, even(), atol=1e-6)
    np.testing.assert_allclose(stream.values_NC, nodding(even()), atol=1e-9)
    assert "dot.csv: SampleTimeFine starts again from zero 1 time" in recording.notes


def test_several_dots_are_placed_by_their_tags_and_need_the_start_of_the_video(tmp_path: Path) -> None:
    for tag in ("Pelvis", "Left Foot"):
        dot(tmp_path / f"{tag}.csv", tag)
    recording = read_movella(tmp_path, TableOptions())
    assert sorted(stream.segment for stream in recording.imu) == ["Left_Foot", "Pelvis"]
    options = TableOptions(videos=(video_of(tmp_path / "camera.mp4"),))
    with pytest.raises(DataError, match="counts from when they were switched on; say what it reads"):
        read_movella(tmp_path, options)
    recording = read_movella(tmp_path, replace(options, video_starts=("first-row",)))
    assert recording.imu[0].time_N[0] == 0


def test_mtw_without_times_is_placed_by_its_packets(tmp_path: Path) -> None:
    counters = [str((65_500 + row + (row > 100)) % 65_536) for row in range(600)]
    columns = [counters, [""] * 600, *nodding(even()).T]
    path = write_table(
        tmp_path / "MT_0001.txt", DOT_NAMES, columns, "\t", before=("// Start Time: Unknown", "// Update Rate: 100.0Hz")
    )
    recording = read_movella(path, HEAD)
    (stream,) = recording.imu
    assert stream.time_N[-1] == pytest.approx(6.0)
    np.testing.assert_allclose(stream.values_NC[:, 3:], nodding(even())[:, 3:], atol=1e-9)
    assert "MT_0001.txt: 1 packet missing, by PacketCounter" in recording.notes


def test_wear_is_read_with_its_labels_and_the_video_of_its_name(tmp_path: Path) -> None:
    limbs = ("right_arm", "right_leg", "left_leg", "left_arm")
    values = nodding(even(50))[:, :3] / G
    values[40:45] = np.nan
    names = ("sbj_id", *(f"{limb}_acc_{axis}" for limb in limbs for axis in "xyz"), "label")
    labels = ["null"] * 100 + ["jogging"] * 100 + [""] * 100
    path = write_table(tmp_path / "inertial_50hz" / "sbj_0.csv", names, [["0"] * 300, *[*values.T] * 4, labels])
    video_of(tmp_path / "camera" / "sbj_0.mp4")
    assert is_wear(path)
    recording = read_wear(path, TableOptions())
    assert [stream.segment for stream in recording.imu] == ["Right_Arm", "Right_Leg", "Left_Leg", "Left_Arm"]
    np.testing.assert_allclose(recording.imu[0].values_NC[0], nodding(np.zeros(1))[0, :3])
    assert recording.imu[0].rate == pytest.approx(50, rel=0.02)
    assert "5 of 300 rows have no value of acc_Right_Arm" in " ".join(recording.imu[0].notes)
    assert recording.labels.labels == (Label(2.0, 4.0, "jogging"),)
    assert recording.video is not None


def test_epic_kitchens_is_read_from_both_tables_with_the_labels_of_its_video(tmp_path: Path) -> None:
    for kind, name, part in (("accl", "Accl", slice(0, 3)), ("gyro", "Gyro", slice(3, 6))):
        columns = [even(200) * 1000, *nodding(even(200))[:, part].T]
        names = ("Milliseconds", *(f"{name}{axis}" for axis in "XYZ"))
        path = write_table(tmp_path / "P01" / "meta_data" / f"P01_101-{kind}.csv", names, columns)
    video_of(tmp_path / "P01" / "videos" / "P01_101.mp4")
    columns = [["P01_101", "P01_102"], ["00:00:01.50", "00:00:00.00"], ["00:00:02.00", "00:00:01.00"], ["open", "cut"]]
    labels = write_table(
        tmp_path / "EPIC_100_train.csv", ("video_id", "start_timestamp", "stop_timestamp", "verb"), columns
    )
    assert is_epic(path)
    recording = read_epic(path, TableOptions(labels=labels))
    (stream,) = recording.imu
    np.testing.assert_allclose(stream.values_NC, nodding(even(200)), atol=1e-9)
    np.testing.assert_allclose(stream.time_N, even(200), atol=1e-9)
    assert recording.labels.labels == (Label(1.5, 2.0, "open"),)
    assert recording.video is not None
    assert "not turned to one convention" in " ".join(recording.notes)


needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed (extra `devices`)")


def lerobot(root: Path, version: str) -> Path:
    """Write a LeRobotDataset of two episodes of 3 s, at 50 frames per second; version 3 has both in one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    third = version == "v3.0"
    names = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]
    place = "chunk-{chunk_index:03d}/file-{file_index:03d}" if third else "chunk-{episode_chunk:03d}/"
    info = {
        "codebase_version": version,
        "total_episodes": 2,
        "fps": 50,
        "data_path": f"data/{place}.parquet" if third else f"data/{place}episode_{{episode_index:06d}}.parquet",
        "video_path": f"videos/{{video_key}}/{place}.mp4"
        if third
        else f"videos/{place}{{video_key}}/episode_{{episode_index:06d}}.mp4",
        "features": {
            "observation.state": {"dtype": "float32", "shape": [6], "names": names},
            "observation.image": {"dtype": "video", "shape": [48, 64, 3], "names": None},
        },
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))
    time_N = even(50, 3.0)
    state = nodding(time_N).tolist()

    def table(episodes: list[int]) -> pa.Table:
        content = {
            "observation.state": state * len(episodes),
            "timestamp": time_N.tolist() * len(episodes),
            "episode_index": [number for number in episodes for _ in time_N],
        }
        return pa.table(content)

    def path(template: str, **numbers: object) -> Path:
        found = root / template.format(video_key="observation.image", **numbers)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    if third:
        pq.write_table(table([0, 1]), path(str(info["data_path"]), chunk_index=0, file_index=0))
        video_of(path(str(info["video_path"]), chunk_index=0, file_index=0), 6.0)
        camera = "videos/observation.image"
        rows = {
            "episode_index": [0, 1],
            "tasks": [["walk"], ["sit"]],
            "data/chunk_index": [0, 0],
            "data/file_index": [0, 0],
            f"{camera}/chunk_index": [0, 0],
            f"{camera}/file_index": [0, 0],
            f"{camera}/from_timestamp": [0.0, 3.0],
        }
        pq.write_table(pa.table(rows), path("meta/episodes/chunk-000/file-000.parquet"))
        return root
    for number in (0, 1):
        pq.write_table(table([number]), path(str(info["data_path"]), episode_chunk=0, episode_index=number))
        video_of(path(str(info["video_path"]), episode_chunk=0, episode_index=number), 3.0)
    lines = [json.dumps({"episode_index": number, "tasks": [task]}) for number, task in enumerate(("walk", "sit"))]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    return root


@needs_pyarrow
@pytest.mark.parametrize(("version", "begins"), [("v2.1", 0.0), ("v3.0", 3.0)])
def test_an_episode_of_a_lerobot_dataset_is_a_recording(tmp_path: Path, version: str, begins: float) -> None:
    root = lerobot(tmp_path / "robot", version)
    assert is_lerobot(root)
    with pytest.raises(DataError, match="has 2 episodes; choose one with --episode, from 0"):
        read_lerobot(root, HEAD)
    recording = read_lerobot(root, replace(HEAD, episode=1, units={"gyro": "rad/s"}))
    (stream,) = recording.imu
    np.testing.assert_allclose(stream.time_N, even(50, 3.0) + begins, atol=1e-6)
    np.testing.assert_allclose(stream.values_NC, nodding(even(50, 3.0)), atol=1e-6)
    assert recording.labels.labels == (Label(begins, begins + 2.98, "sit"),)
    assert recording.video is not None
    columns = parse_columns([f"acc_Arm_{axis}=acc_{axis}" for axis in "xyz"])
    assert read_lerobot(root, TableOptions(columns=columns, episode=0)).imu[0].segment == "Arm"
