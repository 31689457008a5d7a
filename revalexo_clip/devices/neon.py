"""Recordings of Pupil Neon glasses, as folders in the app's own format.

Source of the format: pupil-labs-neon-recording (https://github.com/pupil-labs/pl-neon-recording). A folder has parts,
`ps1`, `ps2` and so on, of each sensor: `Neon Scene Camera v1 ps1.mp4`, `extimu ps1.raw` (older: packets of protocol
buffers) or `imu ps1.raw` (rows of the types in `imu.dtype`), and for each a `.time` file with a time in nanoseconds for
every frame or sample. Axes of the IMU point to the right, forward and up.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording, Floats, ImuStream, VideoStream, channels_of
from revalexo_clip.devices.video_files import read_video

AXES = "right, forward, up"
CAMERA = "Neon Scene Camera v1"
_SENSORS = ("imu", "extimu")
_TO_SI = np.array([9.80665] * 3 + [np.pi / 180] * 3)
"""From g and degrees/s."""
_COLUMNS = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
_TIME = "timestamp_ns"
_AGREE = 0.005
"""Times in the video file may differ by this from those in the `.time` file [s]."""
_VARINT, _LONG, _BYTES, _FLOAT = 0, 1, 2, 5
"""Types of fields in protocol buffers."""


def is_neon(source: Path) -> bool:
    """Whether a folder looks like a recording of a Neon."""
    return source.is_dir() and any(_parts(source, name, ".raw") for name in _SENSORS)


def read_neon(source: Path, place: str = "Head") -> DeviceRecording:
    """Read a folder of a Neon recording. `place` is the place on the body in the names of channels.

    Raises `DataError`, naming the file, if streams are missing or damaged.
    """
    if not is_neon(source):
        raise DataError(
            f"{source}: is no folder of a Neon recording (it has no file 'imu ps1.raw' or 'extimu ps1.raw')"
        )
    videos = _parts(source, CAMERA, ".mp4")
    if not videos:
        raise DataError(f"{source}: has no video of the scene camera ('{CAMERA} ps1.mp4')")
    notes: list[str] = []
    zero, video = _video(videos, notes)
    name = next(name for name in _SENSORS if _parts(source, name, ".raw"))
    times, values = [], []
    for path in _parts(source, name, ".raw"):
        if name == "imu":
            time_n, values_n6 = _rows(path)
        else:
            time_n = _nanoseconds(path)
            values_n6 = np.array(list(_packets(path)), dtype=np.float64).reshape(-1, 6)
        count = min(len(time_n), len(values_n6))
        if len(time_n) != len(values_n6):
            notes.append(
                f"{path.name} has {len(values_n6)} samples and {len(time_n)} times; the first {count} are used"
            )
        times.append(time_n[:count])
        values.append(values_n6[:count])
    time_N = (np.concatenate(times) - zero) / 1e9
    ahead_N = np.concatenate([[True], time_N[1:] > np.maximum.accumulate(time_N)[:-1]])
    if not ahead_N.all():
        notes.append(f"{int((~ahead_N).sum())} samples that go back in time or repeat it are left out")
    if ahead_N.sum() < 2:
        raise DataError(f"{source}: its IMU has no two samples")
    values_N6 = np.concatenate(values)[ahead_N] * _TO_SI
    stream = ImuStream(place, channels_of(place), time_N[ahead_N], values_N6, (), AXES)
    return DeviceRecording(source, "Pupil Neon", (stream,), video, notes=tuple(notes))


def _parts(folder: Path, name: str, suffix: str) -> list[Path]:
    """Return the parts of a sensor in order."""
    pattern = re.compile(rf"{re.escape(name)} ps(\d+){re.escape(suffix)}")
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _nanoseconds(path: Path) -> npt.NDArray[np.int64]:
    """Read the times that belong to a file. Raises `DataError`."""
    times = path.with_suffix(".time")
    if not times.is_file():
        raise DataError(f"{path}: has no times ('{times.name}')")
    data = times.read_bytes()
    if not data or len(data) % 8:
        raise DataError(f"{times}: is truncated or empty: {len(data)} bytes are no whole number of times")
    return np.frombuffer(data, "<i8").astype(np.int64)


def _video(files: Sequence[Path], notes: list[str]) -> tuple[int, VideoStream]:
    """Return the time of the first frame [ns], and the video, whose parts are placed by the `.time` files."""
    parts = [read_video([path]) for path in files]
    starts, differences = [], [0.0]
    for path, part in zip(files, parts, strict=True):
        stamp_T = _nanoseconds(path)
        count = min(len(stamp_T), len(part.time_T))
        if abs(len(stamp_T) - len(part.time_T)) > 1:
            notes.append(f"{path.name} has {len(part.time_T)} frames and {len(stamp_T)} times")
        own_T = np.round(part.time_T[:count] * 1e9).astype(np.int64)
        start = int(np.median(stamp_T[:count] - own_T))
        starts.append(start)
        differences.append(float(np.abs(stamp_T[:count] - own_T - start).max()) / 1e9)
    if max(differences) > _AGREE:
        notes.append(f"times of frames differ by up to {max(differences):.3f} s between the video and its .time file")
    time_T = np.concatenate(
        [part.time_T + (begin - starts[0]) / 1e9 for part, begin in zip(parts, starts, strict=True)]
    )
    if not (np.diff(time_T) > 0).all():
        raise DataError(f"{files[0]}: its parts overlap in time")
    counts = tuple(len(part.time_T) for part in parts)
    return starts[0], VideoStream(tuple(files), time_T, parts[0].width, parts[0].height, counts)


def _rows(path: Path) -> tuple[npt.NDArray[np.int64], Floats]:
    """Read rows of numbers, whose types another file lists: times [ns], and values [n, 6]."""
    listed = path.parent / "imu.dtype"
    try:
        kind = np.dtype(ast.literal_eval(listed.read_text(encoding="utf-8")))
        rows = np.frombuffer(path.read_bytes(), kind)
        values_n6 = np.stack([rows[name].astype(np.float64) for name in _COLUMNS], axis=1)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError) as error:
        raise DataError(f"{path}: cannot be read by the types in {listed.name}: {error}") from error
    has_times = kind.names is not None and _TIME in kind.names
    return rows[_TIME].astype(np.int64) if has_times else _nanoseconds(path), values_n6


def _packets(path: Path) -> Iterator[list[float]]:
    """Yield acceleration and angular rate of each packet; it follows its length in two bytes."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 2], "little")
        packet = data[place + 2 : place + 2 + size]
        place += 2 + size
        try:
            if len(packet) < size or not size:
                raise ValueError("truncated")
            fields = {number: content for number, content in _fields(packet) if isinstance(content, bytes)}
            yield [*_vector(fields.get(2, b"")), *_vector(fields.get(3, b""))]
        except (ValueError, IndexError, struct.error) as error:
            raise DataError(f"{path}: is damaged at byte {place - 2 - size}; copy it from the device again") from error


def _vector(content: bytes) -> list[float]:
    """Return x, y and z of a message; fields that are zero are not stored."""
    found = {number: value for number, value in _fields(content) if isinstance(value, float)}
    return [found.get(axis, 0.0) for axis in (1, 2, 3)]


def _fields(message: bytes) -> Iterator[tuple[int, bytes | float | int]]:
    """Yield number and content of each field of a protocol buffer (https://protobuf.dev/programming-guides/encoding)."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        content: bytes | float | int
        if kind == _VARINT:
            content, place = _varint(message, place)
        elif kind == _FLOAT:
            content, place = struct.unpack("<f", message[place : place + 4])[0], place + 4
        elif kind == _LONG:
            content, place = message[place : place + 8], place + 8
        elif kind == _BYTES:
            length, place = _varint(message, place)
            content, place = message[place : place + length], place + length
        else:
            raise ValueError(f"fields of type {kind} are not known")
        if place > len(message):
            raise ValueError("truncated")
        yield number, content


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte; return it and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
