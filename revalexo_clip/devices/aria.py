"""Recordings of Project Aria glasses: VRS files with an RGB camera and two IMUs.

Sources: https://facebookresearch.github.io/projectaria_tools, its pages on coordinate systems, on the calibration of
IMUs and on the temporal alignment of sensor data. Tried on made files only.

All times are those of the device's clock. With the calibration that the file has, samples are corrected for bias, scale
and misalignment, placed at the time at which they were measured, and turned into the axes of the upright picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.aria_files import CAMERA, AriaFile, looks_like_vrs, open_aria
from revalexo_clip.devices.base import DeviceRecording, Floats, ImuStream, VideoStream, channels_of
from revalexo_clip.devices.encode import encode_video

if TYPE_CHECKING:
    from projectaria_tools.core.calibration import LinearRectificationModel3d
    from projectaria_tools.core.stream_id import StreamId

AXES = "right, forward, up"
IMUS = ("left", "right", "both")
"""What `--imu` may be."""
_KINDS = {"acc": "accelerometer", "gyro": "gyroscope"}
_FROM_TURNED = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
"""Right, forward and up of the upright picture in the axes of a camera (x right, y down, z forward in the picture as it
is stored) whose pictures are stored turned by 90 degrees counter-clockwise."""
_FROM_UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""The same, if they are stored upright."""
_MOST_DISORDERED = 0.1
"""Share of records that may be out of order."""


class _Correction(NamedTuple):
    """What the calibration says of an accelerometer or gyroscope."""

    matrix_33: Floats
    """Turns values without their bias into true ones, in `AXES`."""
    bias_3: Floats
    delay: float
    """How much later than the measurement its time is [s]."""


def is_aria(source: Path) -> bool:
    """Whether a file looks like a VRS file."""
    return source.is_file() and (source.suffix.lower() == ".vrs" or looks_like_vrs(source))


def read_aria(source: Path, place: str = "Head", imu: str | None = None) -> DeviceRecording:
    """Read a VRS file of Project Aria glasses.

    `place` is the place on the body in the names of channels. `imu` is `left`, `right` or `both`; of both, the places
    are e.g. `Head_Left` and `Head_Right`. None is the right one, or the left one if the file has no other. Raises
    `DataError`, naming the file, if streams are missing or damaged.
    """
    if imu is not None and imu not in IMUS:
        raise ConfigError(f"--imu {imu}: choose from {', '.join(IMUS)}")
    if not source.is_file():
        raise DataError(f"{source}: is no VRS file")
    file = open_aria(source)
    labels = file.labels()
    notes: list[str] = []
    zero, video = _video(file, labels, notes)
    chosen = _chosen(source, labels, imu, notes)
    places = {label: f"{place}_{label[4:].capitalize()}" if imu == "both" else place for label in chosen}
    streams = [one for label in chosen for one in _imu(file, label, labels[label], places[label], zero, notes)]
    if left := [label for label in labels if label != CAMERA and not label.startswith("imu-")]:
        notes.append(f"also in the file, and not imported: {', '.join(sorted(left))}")
    device = "Project Aria Gen 2" if file.second else "Project Aria"
    return DeviceRecording(source, device, tuple(streams), video, notes=tuple(notes))


def _chosen(source: Path, labels: Iterable[str], imu: str | None, notes: list[str]) -> list[str]:
    """Return the labels of the IMUs that are read."""
    there = [label for label in ("imu-left", "imu-right") if label in labels]
    if not there:
        raise DataError(f"{source}: has no IMU; its streams are {', '.join(sorted(labels)) or 'none'}")
    if imu is None:
        found = there[-1:]
        if len(there) > 1:
            notes.append(f"{found[0]} is read; --imu left reads the other IMU, and --imu both reads both")
        return found
    wanted = ["imu-left", "imu-right"] if imu == "both" else [f"imu-{imu}"]
    if missing := [label for label in wanted if label not in there]:
        raise DataError(f"{source}: has no {missing[0]}, only {there[0]}")
    return wanted


def _video(file: AriaFile, labels: Mapping[str, StreamId], notes: list[str]) -> tuple[int, VideoStream]:
    """Return the time of the first frame [ns], and the video."""
    cameras = [label for label in labels if label == CAMERA or label.startswith("214-")]
    if not cameras:
        raise DataError(f"{file.path}: has no RGB camera; its streams are {', '.join(sorted(labels)) or 'none'}")
    if len(cameras) > 1:
        raise DataError(f"{file.path}: has {len(cameras)} streams of RGB cameras; one is expected")
    stream = labels[cameras[0]]
    time_T = file.times(stream)
    if not len(time_T):
        raise DataError(f"{file.path}: its RGB camera has no frames")
    numbers = np.flatnonzero(_in_order(file.path, time_T, "frames", notes))
    zero = int(time_T[numbers[0]])
    seconds_T = (time_T[numbers] - zero) / 1e9
    width, height = file.size(stream)
    if width % 2 or height % 2:
        raise DataError(f"{file.path}: has pictures of {width} x {height} px; width and height must be even")

    def write(first: int, last: int, target: Path) -> None:
        pictures = file.pictures(stream, numbers[first:last].tolist())
        encode_video(pictures, seconds_T[first:last] - seconds_T[first], (width, height), target)

    return zero, VideoStream((file.path,), seconds_T, width, height, write=write)


def _imu(file: AriaFile, label: str, stream: StreamId, place: str, zero: int, notes: list[str]) -> list[ImuStream]:  # noqa: PLR0917
    """Read an IMU: one stream, or two if accelerations and angular rates have different times."""
    found = file.motion(stream)
    ordered_N = _in_order(file.path, found.time_N, f"samples of {label}", notes)
    if ordered_N.sum() < 2:
        raise DataError(f"{file.path}: {label} has no two samples")
    seconds_N = (found.time_N - zero) / 1e9
    interval = float(np.median(np.diff(seconds_N[ordered_N])))
    corrections = _corrections(file, label, interval)
    if corrections is None:
        notes.append(
            f"{label}: the file has no calibration of it and the RGB camera, so its values are not corrected, its axes "
            "are those of the chip, and its times may be some ms too late"
        )
    streams: list[ImuStream] = []
    for number, (kind, sensor) in enumerate(_KINDS.items()):
        values_N3 = found.values_N6[:, 3 * number : 3 * number + 3]
        valid_N = found.valid_N2[:, number] & np.isfinite(values_N3).all(axis=1)
        if invalid := int((ordered_N & ~valid_N).sum()):
            notes.append(f"{label}: {counted(invalid, 'sample')} of its {sensor} are not valid, and are left out")
        kept_N = ordered_N & valid_N
        if kept_N.sum() < 2:
            raise DataError(f"{file.path}: {label} has no two valid samples of its {sensor}")
        time_n, values_n3 = seconds_N[kept_N], values_N3[kept_N]
        if corrections is not None:
            correction = corrections[number]
            time_n = time_n - correction.delay
            values_n3 = (values_n3 - correction.bias_3) @ correction.matrix_33.T
        streams.append(
            ImuStream(place, channels_of(place, (kind,)), time_n, values_n3, axes="" if corrections is None else AXES)
        )
    if corrections is not None:
        delays = " and ".join(
            f"{1000 * one.delay:.2f} ms ({kind})" for kind, one in zip(_KINDS.values(), corrections, strict=True)
        )
        notes.append(f"{label}: bias, scale and axes are corrected by the file's calibration, and times by {delays}")
    return _merged(streams)


def _merged(streams: list[ImuStream]) -> list[ImuStream]:
    """Put accelerations and angular rates into one stream if their times are equal."""
    acc, gyro = streams
    if not np.array_equal(acc.time_N, gyro.time_N):
        return streams
    values_N6 = np.concatenate([acc.values_NC, gyro.values_NC], axis=1)
    return [replace(acc, channels=acc.channels + gyro.channels, units=acc.units + gyro.units, values_NC=values_N6)]


def _corrections(file: AriaFile, label: str, interval: float) -> tuple[_Correction, _Correction] | None:
    """Return what the calibration says of an IMU's accelerometer and gyroscope; None if it says nothing.

    By its page on temporal alignment, a sample of Aria is late by its calibrated offset and by half an `interval` [s].
    That page is on the first generation; of the second, the offset is taken alone.
    """
    calibration = file.provider.get_device_calibration()
    if calibration is None:
        return None
    imu, camera = calibration.get_imu_calib(label), calibration.get_camera_calib(CAMERA)
    if imu is None or camera is None:
        return None
    device_imu_33 = np.asarray(imu.get_transform_device_imu().rotation().to_matrix(), dtype=np.float64)
    device_camera_33 = np.asarray(camera.get_transform_device_camera().rotation().to_matrix(), dtype=np.float64)
    turn_33 = (_FROM_UPRIGHT if file.second else _FROM_TURNED) @ device_camera_33.T @ device_imu_33
    half = 0.0 if file.second else interval / 2
    acc, gyro = imu.get_accel_model(), imu.get_gyro_model()
    return (
        _correction(turn_33, acc, float(imu.get_time_offset_sec_device_accel()) + half),
        _correction(turn_33, gyro, float(imu.get_time_offset_sec_device_gyro()) + half),
    )


def _correction(turn_33: Floats, model: LinearRectificationModel3d, delay: float) -> _Correction:
    """Values as they are stored are `rectification @ true + bias`."""
    rectification_33 = np.asarray(model.get_rectification(), dtype=np.float64)
    bias_3 = np.asarray(model.get_bias(), dtype=np.float64).reshape(3)
    return _Correction(turn_33 @ np.linalg.inv(rectification_33), bias_3, delay)


def _in_order(path: Path, time_N: npt.NDArray[np.int64], what: str, notes: list[str]) -> npt.NDArray[np.bool_]:
    """Whether each record is later than all before it. Raises `DataError` if too many are not."""
    if not len(time_N):
        return np.zeros(0, dtype=np.bool_)
    ahead_N = np.concatenate([[True], time_N[1:] > np.maximum.accumulate(time_N)[:-1]])
    if late := int((~ahead_N).sum()):
        if late > _MOST_DISORDERED * len(time_N):
            raise DataError(f"{path}: {late} of {len(time_N)} {what} go back in time or repeat it; is it damaged?")
        notes.append(f"{late} {what} that go back in time or repeat it are left out")
    return np.asarray(ahead_N)
