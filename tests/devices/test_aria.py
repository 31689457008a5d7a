"""Reading VRS files of Project Aria glasses. The files are made; projectaria-tools, which reads them, checks them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from support.made_aria import IMU_1, IMU_2, RGB, SLAM_LEFT, Aria, Floats
from support.made_gopro import acceleration, rotation
from support.tiny_dataset import steady

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.devices.base import DeviceRecording
from revalexo_clip.devices.describe import plan_lines
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.importing import import_recording
from revalexo_clip.devices.plan import ImportOptions, plan_import
from revalexo_clip.devices.tables_options import TableOptions

pytest.importorskip("projectaria_tools.core", reason="projectaria-tools has no wheels for Python 3.13 and newer")

from projectaria_tools.core import calibration
from projectaria_tools.core.sophus import SE3

START = 5000.0
"""Time of the first frame on the device's clock [s]."""
WIDTH, HEIGHT = 96, 64
"""Of the pictures as they are stored [px]."""
OFFSETS = (0.0031, 0.0041)
"""Calibrated delays of accelerometer and gyroscope [s]."""
BIAS = (np.array([0.3, -0.2, 0.1]), np.array([0.02, 0.01, -0.03]))
SCALE = (
    np.array([[1.02, 0.01, 0.0], [0.0, 0.98, 0.02], [0.0, 0.0, 1.01]]),
    np.array([[0.99, 0.0, 0.01], [0.02, 1.01, 0.0], [0.0, 0.01, 1.03]]),
)
TURNS = {"imu-left": SE3.rot_x(0.4) @ SE3.rot_z(1.2), "imu-right": SE3.rot_y(-2.0) @ SE3.rot_x(0.7)}
"""Of the IMUs in the frame of the device."""
CAMERA_TURN = SE3.rot_z(0.6) @ SE3.rot_y(0.3)
LABELS = {IMU_1: "imu-right", IMU_2: "imu-left"}


def calibrated(turns: Mapping[str, SE3] = TURNS, *, second: bool = False) -> str:
    """The calibration of made glasses, as the library writes it."""
    version = calibration.DeviceVersion.Gen2 if second else calibration.DeviceVersion.Gen1
    kind = calibration.CameraModelType.FISHEYE624
    size = (HEIGHT, WIDTH) if second else (WIDTH, HEIGHT)
    parameters = np.array([60.0, size[0] / 2, size[1] / 2] + [0.0] * 12)
    camera = calibration.CameraCalibration("camera-rgb", kind, parameters, CAMERA_TURN, *size, None, 1.5, "1")
    imus = {
        label: calibration.ImuCalibration(label, SCALE[0], BIAS[0], SCALE[1], BIAS[1], turn, *OFFSETS)
        for label, turn in turns.items()
    }
    origin = "slam-front-left" if second else "camera-slam-left"
    subtype = "DVT_SS" if second else "DVT-S"
    cad = calibration.DeviceCadExtrinsics(version, subtype, origin)
    device = calibration.DeviceCalibration({"camera-rgb": camera}, imus, {}, {}, {}, cad, subtype, origin, version)
    return str(calibration.device_calibration_to_json_string(device))


def pictures(count: int) -> list[npt.NDArray[np.uint8]]:
    """As they are stored: white where the upper left corner of the upright picture is; brighter with time."""
    found = []
    for number in range(count):
        upright_HWC = np.full((WIDTH, HEIGHT, 3), 20 + number % 100, dtype=np.uint8)
        upright_HWC[: WIDTH // 3, : HEIGHT // 3] = (255, 255, 255)
        found.append(np.rot90(upright_HWC, 1))
    return found


def stored(time_N: Floats, label: str, *, delays: Sequence[float], raw: bool, second: bool = False) -> Floats:
    """What an IMU of glasses stores at its times, [N, 6]; the true motion is in the axes of the upright picture."""
    from_picture_33 = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    if second:
        from_picture_33 = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    turn_33 = (TURNS[label].inverse() @ CAMERA_TURN).rotation().to_matrix() @ from_picture_33
    true = (acceleration(time_N - delays[0] - START), rotation(time_N - delays[1] - START))
    if not raw:
        return np.concatenate(true, axis=1)
    parts = zip(true, SCALE, BIAS, strict=True)
    return np.concatenate(
        [values_N3 @ turn_33.T @ scale_33.T + bias_3 for values_N3, scale_33, bias_3 in parts], axis=1
    )


def made(*, with_calibration: bool = True, seconds: float = 3.0, early: float = 0.2) -> Aria:
    """A recording with both IMUs, which start `early` before the camera."""
    frames = steady(seconds)
    imus = {}
    for stream, rate in ((IMU_1, 1000.0), (IMU_2, 800.0)):
        time_N = START - early + np.arange(round((seconds + 2 * early) * rate)) / rate
        delays = [offset + 0.5 / rate for offset in OFFSETS] if with_calibration else [0.0, 0.0]
        imus[stream] = (time_N, stored(time_N, LABELS[stream], delays=delays, raw=with_calibration))
    return Aria(
        frames={RGB: (START + np.array(frames), pictures(len(frames)))},
        imus=imus,
        calibration=calibrated() if with_calibration else None,
    )


def written(tmp_path: Path, aria: Aria) -> Path:
    path = tmp_path / "walk.vrs"
    aria.write(path)
    return path


def read(tmp_path: Path, aria: Aria, imu: str | None = None) -> DeviceRecording:
    return read_recording(written(tmp_path, aria), options=TableOptions(imu=imu))


@pytest.mark.parametrize("imu", ["left", "right", "both"])
def test_the_true_motion_is_found_in_the_axes_of_the_picture(imu: str, tmp_path: Path) -> None:
    found = read(tmp_path, made(), imu)
    places = ["Head_Left", "Head_Right"] if imu == "both" else ["Head"]
    assert [stream.segment for stream in found.imu] == [place for place in places for _ in range(2)]
    assert found.device == "Project Aria"
    for stream in found.imu:
        kind = stream.channels[0].partition("_")[0]
        assert stream.channels == tuple(f"{kind}_{stream.segment}_{axis}" for axis in "xyz")
        true = {"acc": acceleration, "gyro": rotation}[kind](stream.time_N)
        np.testing.assert_allclose(stream.values_NC, true, atol=2e-5)
        assert stream.axes == "right, forward, up"
        assert round(stream.rate) == (800 if imu == "left" or stream.segment == "Head_Left" else 1000)
        assert stream.time_N[0] == pytest.approx(-0.2 - OFFSETS[kind == "gyro"] - 0.5 / round(stream.rate), abs=1e-6)


def test_frames_are_upright_at_their_own_times(tmp_path: Path) -> None:
    aria = made()
    time_T, stored_T = aria.frames[RGB]
    time_T = time_T + np.random.default_rng(1).uniform(0, 0.01, len(time_T)) - np.eye(len(time_T))[40] * 0.01
    path = written(tmp_path, replace(aria, frames={RGB: (time_T, stored_T)}))
    plan = import_recording(path, "Anna", tmp_path / "new", ImportOptions(clip=1.5))
    assert plan.recording.video is not None
    assert (plan.recording.video.width, plan.recording.video.height) == (HEIGHT, WIDTH)
    assert len(plan.clips) == 2
    for clip in plan.clips:
        assert clip.frames is not None
        with av.open(str(tmp_path / "new" / "videos" / "Anna" / f"{clip.name}.mp4")) as container:
            frames = list(container.decode(video=0))
        own_T = time_T[slice(*clip.frames)]
        found_T = [frame.time for frame in frames]
        np.testing.assert_allclose(found_T, own_T - own_T[0], atol=1e-6)
        for number, frame in zip(range(*clip.frames), frames, strict=True):
            picture = frame.to_ndarray(format="rgb24").astype(int)
            assert picture.shape == (WIDTH, HEIGHT, 3)
            assert picture[8, 8].min() > 235
            assert picture[8, -8].max() < 140
            assert picture[-8, 8].max() < 140
            assert abs(int(picture[-8, -8].mean()) - 20 - number) < 4


def test_axes_and_picture_agree_with_the_camera_model_of_the_library(tmp_path: Path) -> None:
    """A point in space is marked in the picture where the library projects it, and is the acceleration, too."""
    turns = dict.fromkeys(TURNS, CAMERA_TURN)
    text = calibrated(turns)
    camera = calibration.device_calibration_from_json_string(text).get_camera_calib("camera-rgb")
    for point_3 in (np.array([0.3, 0.1, 1.0]), np.array([-0.1, 0.3, 1.0]), np.array([-0.4, -0.2, 1.0])):
        column, row = camera.project(point_3)
        picture = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        picture[round(row) - 3 : round(row) + 4, round(column) - 3 : round(column) + 4] = 255
        frames = START + np.array(steady(2.0))
        time_N = START + np.arange(2000) / 1000
        values_N6 = np.tile(np.concatenate([SCALE[0] @ point_3 + BIAS[0], BIAS[1]]), (2000, 1))
        aria = Aria({RGB: (frames, [picture] * len(frames))}, {IMU_1: (time_N, values_N6)}, calibration=text)
        found = read(tmp_path, aria)
        right, forward, up = found.imu[0].values_NC[0]
        assert found.video is not None
        assert found.video.write is not None
        found.video.write(0, 1, tmp_path / "one.mp4")
        with av.open(str(tmp_path / "one.mp4")) as container:
            grey_HW = next(container.decode(video=0)).to_ndarray(format="rgb24").mean(axis=2)
        place = np.argwhere(grey_HW > 128).mean(axis=0) + 0.5
        angle = np.arctan2(np.hypot(right, up), forward)
        seen = 60 * angle / np.hypot(right, up)
        np.testing.assert_allclose(place, [WIDTH / 2 - seen * up, HEIGHT / 2 + seen * right], atol=1.5)


def test_samples_are_corrected_as_the_library_corrects_them(tmp_path: Path) -> None:
    aria = made(seconds=2.0)
    found = read(tmp_path, aria, "left")
    imu = calibration.device_calibration_from_json_string(aria.calibration).get_imu_calib("imu-left")
    raw_N6 = aria.imus[IMU_2][1].astype(np.float32).astype(np.float64)
    turn_33 = (CAMERA_TURN.inverse() @ TURNS["imu-left"]).rotation().to_matrix()
    for stream, rectified, first in zip(
        found.imu, (imu.raw_to_rectified_accel, imu.raw_to_rectified_gyro), (0, 3), strict=True
    ):
        camera_3 = turn_33 @ np.asarray(rectified(raw_N6[7, first : first + 3])).reshape(3)
        np.testing.assert_allclose(stream.values_NC[7], [-camera_3[1], camera_3[2], -camera_3[0]], atol=1e-9)


def test_a_file_without_calibration_is_read_with_a_note(tmp_path: Path) -> None:
    aria = made(with_calibration=False)
    found = read(tmp_path, aria)
    (stream,) = found.imu
    assert stream.axes == ""
    assert len(stream.channels) == 6
    np.testing.assert_allclose(stream.values_NC, aria.imus[IMU_1][1], atol=1e-5)
    np.testing.assert_allclose(stream.time_N, aria.imus[IMU_1][0] - START, atol=1e-8)
    assert any("has no calibration" in note for note in found.notes)


def test_the_plan_says_what_is_read_and_what_is_cut(tmp_path: Path) -> None:
    aria = made(early=-0.1)
    aria = replace(aria, frames={**aria.frames, SLAM_LEFT: aria.frames[RGB]})
    lines = "\n".join(plan_lines(plan_import(read(tmp_path, aria), tmp_path / "new", "Anna")))
    for text in (
        "Project Aria, walk.vrs\n  video      64 x 96 px, 30.00 fps, 90 frames, 0.000 to 3.000 s",
        "Head: acc [m/s^2], 1000.00 Hz, 2800 samples, 0.096 to 2.895 s",
        "axes: x right, y forward, z up",
        "imu-right is read; --imu left reads the other IMU, and --imu both reads both",
        "times by 3.60 ms (accelerometer) and 4.60 ms (gyroscope)",
        "also in the file, and not imported: camera-slam-left",
        "in common  0.096 to 2.895 s",
        "at its end is not in the other streams, and is cut",
    ):
        assert text in lines


def test_invalid_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    aria = made()
    values_N6 = aria.imus[IMU_1][1].copy()
    values_N6[100:103, 4] = np.nan
    aria = replace(
        aria,
        imus={IMU_1: (aria.imus[IMU_1][0], values_N6)},
        invalid={IMU_1: {"accelerometer": [5, 7], "gyroscope": range(1000, 1300)}},
    )
    found = read(tmp_path, aria)
    acc, gyro = found.imu
    assert (len(acc.time_N), len(gyro.time_N)) == (3400 - 2, 3400 - 303)
    np.testing.assert_allclose(acc.values_NC, acceleration(acc.time_N), atol=2e-5)
    np.testing.assert_allclose(gyro.values_NC, rotation(gyro.time_N), atol=2e-5)
    assert "imu-right: 2 samples of its accelerometer are not valid, and are left out" in found.notes
    assert "imu-right: 303 samples of its gyroscope are not valid, and are left out" in found.notes
    plan = plan_import(found, tmp_path / "new", "Anna")
    assert len(plan.clips) == 1  # the piece before the gap is shorter than a second
    assert any("in gaps without samples" in note or "is cut" in note for note in plan.notes)


def h265(frames: Sequence[npt.NDArray[np.uint8]], keyframes: int) -> list[bytes]:
    """A packet for each frame; every so many frames begin anew."""
    coder = av.CodecContext.create("libx265", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.height, coder.width = frames[0].shape[:2]
    coder.pix_fmt, coder.time_base, coder.framerate = "yuv420p", Fraction(1, 30), Fraction(30)
    often = f"keyint={keyframes}:min-keyint={keyframes}:scenecut=0:bframes=0:repeat-headers=1:log-level=none"
    coder.options = {"x265-params": often, "preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
    packets = []
    for number, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number
        packets += coder.encode(frame)
    return [bytes(packet) for packet in (*packets, *coder.encode(None))]


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="this FFmpeg cannot encode H.265")
def test_the_second_generation_stores_upright_video_and_other_streams(tmp_path: Path) -> None:
    times = START + np.array(steady(2.0))
    upright = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures(60)]
    time_N = START - 0.2 + np.arange(1920) / 800
    aria = Aria(
        frames={RGB: (times, upright)},
        imus={IMU_1: (time_N, stored(time_N, "imu-left", delays=OFFSETS, raw=True, second=True))},
        calibration=calibrated(second=True),
        device="Oatmeal",
        encoded={RGB: h265(upright, 10)},
        keyframes=10,
    )
    path = written(tmp_path, aria)
    plan = import_recording(path, "Anna", tmp_path / "new", ImportOptions(clip=1.2), tables=TableOptions(imu="left"))
    assert plan.recording.device == "Project Aria Gen 2"
    for stream, true in zip(plan.recording.imu, (acceleration, rotation), strict=True):
        np.testing.assert_allclose(stream.values_NC, true(stream.time_N), atol=2e-5)
    numbers = []
    for clip in plan.clips:
        with av.open(str(tmp_path / "new" / "videos" / "Anna" / f"{clip.name}.mp4")) as container:
            for frame in container.decode(video=0):
                picture = frame.to_ndarray(format="rgb24").astype(int)
                assert picture.shape == (WIDTH, HEIGHT, 3)
                assert picture[8, 8].min() > 235
                numbers.append(picture[-8, -8].mean() - 20)
    np.testing.assert_allclose(numbers, np.arange(len(numbers)), atol=4)


@pytest.mark.long
def test_records_out_of_order_are_sorted_or_left_out(tmp_path: Path) -> None:
    aria = made()
    time_N, values_N6 = aria.imus[IMU_1]
    shuffled = np.random.default_rng(0).permutation(len(time_N))
    by_stream = replace(aria, imus={IMU_1: (time_N[shuffled], values_N6[shuffled])}, order="stream")
    found = read(tmp_path, by_stream)
    np.testing.assert_allclose(found.imu[0].values_NC, acceleration(found.imu[0].time_N), atol=2e-5)
    assert len(found.imu[0].time_N) == len(time_N)
    repeated_N = np.concatenate([time_N[:50], time_N[40:50], time_N[50:]])
    again = replace(aria, imus={IMU_1: (repeated_N, np.repeat(values_N6[:1], len(repeated_N), axis=0))})
    assert "10 samples of imu-right that go back in time or repeat it are left out" in read(tmp_path, again).notes
    twice = replace(aria, imus={IMU_1: (np.repeat(time_N, 2), np.repeat(values_N6, 2, axis=0))})
    with pytest.raises(DataError, match=r"walk.vrs: 3400 of 6800 samples of imu-right go back in time"):
        read(tmp_path, twice)


def _without(aria: Aria, what: str) -> Aria:
    return replace(aria, frames={}) if what == "frames" else replace(aria, imus={})


FAULTS: Mapping[str, tuple[Callable[[Aria], bytes], str]] = {
    "other file": (lambda aria: b"hello", "is not a VRS file"),
    "empty": (lambda aria: b"", "is not a VRS file"),
    "header only": (lambda aria: aria.content()[:60], "truncated, or its recording was interrupted"),
    "half": (lambda aria: aria.content()[: len(aria.content()) // 2], "truncated, or its recording was interrupted"),
    "end cut": (lambda aria: aria.content()[:-10], "truncated, or its recording was interrupted"),
    "interrupted": (lambda aria: replace(aria, index="none").content(), "truncated, or its recording was interrupted"),
    "half, index in front": (
        lambda aria: replace(aria, index="front").content()[: len(aria.content()) // 2],
        "truncated, or its recording was interrupted",
    ),
    "no camera": (lambda aria: _without(aria, "frames").content(), "has no RGB camera; its streams are imu-left, imu-"),
    "no IMU": (lambda aria: _without(aria, "imus").content(), "has no IMU; its streams are camera-rgb"),
    "two cameras": (
        lambda aria: replace(aria, frames={RGB: aria.frames[RGB], (214, 2): aria.frames[RGB]}).content(),
        "has 2 streams of RGB cameras",
    ),
    "one frame": (
        lambda aria: replace(aria, frames={RGB: (aria.frames[RGB][0][:1], aria.frames[RGB][1][:1])}).content(),
        "its streams have no second in common: video 0.000 to 0.000 s",
    ),
    "one sample": (
        lambda aria: replace(aria, imus={IMU_1: (aria.imus[IMU_1][0][:1], aria.imus[IMU_1][1][:1])}).content(),
        "imu-right has no two samples",
    ),
    "no valid gyroscope": (
        lambda aria: replace(aria, invalid={IMU_1: {"gyroscope": range(10**4)}}).content(),
        "imu-right has no two valid samples of its gyroscope",
    ),
    "other device": (
        lambda aria: replace(aria, device="Quest").content(),
        "cannot be read as a recording of Project Aria",
    ),
    "damaged calibration": (
        lambda aria: replace(aria, calibration="{").content(),
        "cannot be read as a recording of Project Aria",
    ),
    "damaged picture": (
        lambda aria: replace(aria, encoded={RGB: [b"\xff\xd8 no picture"] * len(aria.frames[RGB][0])}).content(),
        "frame 0 cannot be decoded",
    ),
    "picture of another size": (
        lambda aria: replace(
            aria, frames={RGB: (aria.frames[RGB][0], [*aria.frames[RGB][1][:-1], np.zeros((32, 32, 3), np.uint8)])}
        ).content(),
        "frame 44 is uint8 of shape .* no colour picture of 64 x 96 px",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_one_sentence_and_nothing_is_written(fault: str, tmp_path: Path) -> None:
    damage, message = FAULTS[fault]
    path = tmp_path / "walk.vrs"
    path.write_bytes(damage(made(seconds=1.5)))
    with pytest.raises(DataError, match=message) as raised:
        import_recording(path, "Anna", tmp_path / "new")
    assert "\n" not in str(raised.value)
    assert "walk.vrs" in str(raised.value)
    assert not (tmp_path / "new").exists()


def test_an_index_in_front_is_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, replace(made(), index="front")).imu[0].time_N) == 3400


def test_an_imu_that_ends_early_cuts_the_video(tmp_path: Path) -> None:
    aria = made()
    time_N, values_N6 = aria.imus[IMU_1]
    short = replace(aria, imus={IMU_1: (time_N[:2000], values_N6[:2000])})
    plan = plan_import(read(tmp_path, short), tmp_path / "new", "Anna")
    assert [clip.frames for clip in plan.clips] == [(0, 54)]
    assert "video: 1.205 s at its end is not in the other streams, and is cut" in plan.notes


def test_the_choice_of_an_imu_is_checked(tmp_path: Path) -> None:
    aria = made(seconds=1.5)
    with pytest.raises(ConfigError, match="--imu up: choose from left, right, both"):
        read(tmp_path, aria, "up")
    only = replace(aria, imus={IMU_2: aria.imus[IMU_2]})
    with pytest.raises(DataError, match="has no imu-right, only imu-left"):
        read(tmp_path, only, "both")
    assert round(read(tmp_path, only).imu[0].rate) == 800
    table = tmp_path / "walk.csv"
    table.write_text("time,ax,ay,az\n0,1,2,3\n1,1,2,3\n")
    with pytest.raises(ConfigError, match="--imu is for Project Aria"):
        read_recording(table, options=TableOptions(imu="left"))


@pytest.mark.long
def test_the_command_prints_only_the_plan(tmp_path: Path) -> None:
    """The library prints, too, from native code."""
    path = written(tmp_path, made(seconds=1.5, with_calibration=False))
    options = ["--subject", "Anna", "--into", str(tmp_path / "new"), "--imu", "both"]
    command = [sys.executable, "-m", "revalexo_clip", "import-recording", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "400"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Project Aria, walk.vrs\n")
    assert "Head_Left: acc [m/s^2], gyro [rad/s], 800.00 Hz" in done.stdout
    assert "VrsDataProvider" not in done.stdout + done.stderr
    assert "calibration is not found" not in done.stdout
    header = (tmp_path / "new" / "imu" / "Anna" / "0001.csv").read_text().partition("\n")[0]
    assert header.startswith("time,acc_Head_Left_x,")
    assert header.endswith(",gyro_Head_Right_z")
