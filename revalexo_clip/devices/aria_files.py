"""VRS files of Project Aria glasses, read with projectaria-tools: streams, their times, samples and pictures."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import Floats

if TYPE_CHECKING:
    from projectaria_tools.core.data_provider import VrsDataProvider
    from projectaria_tools.core.stream_id import StreamId

CAMERA = "camera-rgb"
"""Label of the camera's stream."""
_MAGIC = b"VisionRe"
_INDEX = struct.Struct("<q")
_INDEX_AT = 24
"""Place of the offset of the index in the header of a file."""
_INCOMPLETE = ("has no index", "Index incomplete", "beyond the end of the file")
"""What the library logs of files that end early; it reads them all the same."""
_LIBRARY_ERRORS = (RuntimeError, ValueError, IndexError)
"""What exceptions of the library's C++ code become in Python."""


class Motion(NamedTuple):
    """The samples of an IMU, as they are stored."""

    time_N: npt.NDArray[np.int64]
    """Times on the clock of the device [ns]."""
    valid_N2: npt.NDArray[np.bool_]
    """Whether acceleration and angular rate are valid by their flags."""
    values_N6: Floats
    """Accelerations [m/s^2] and angular rates [rad/s]."""


@dataclass(frozen=True)
class AriaFile:
    """An open file."""

    path: Path
    provider: VrsDataProvider
    second: bool
    """Whether the glasses are Aria Gen 2."""

    def labels(self) -> dict[str, StreamId]:
        """Return the streams by their labels such as `imu-right`; those without a label by their numbers."""
        with _captured():
            named = [(self.provider.get_label_from_stream_id(one), one) for one in self.provider.get_all_streams()]
        return {label or str(one): one for label, one in named}

    def times(self, stream: StreamId) -> npt.NDArray[np.int64]:
        """Return the time of each record of a stream on the clock of the device [ns]."""
        from projectaria_tools.core.sensor_data import TimeDomain  # noqa: PLC0415

        try:
            with _captured():
                found = self.provider.get_timestamps_ns(stream, TimeDomain.DEVICE_TIME)
        except _LIBRARY_ERRORS as error:
            raise self._damaged(f"stream {stream}", error) from error
        return np.array(found, dtype=np.int64)

    def motion(self, stream: StreamId) -> Motion:
        """Read all samples of an IMU."""
        read, count = self.provider.get_imu_data_by_index, self.provider.get_num_data(stream)
        time_N = np.zeros(count, dtype=np.int64)
        valid_N2 = np.zeros((count, 2), dtype=np.bool_)
        values_N6 = np.zeros((count, 6))
        try:
            with _captured():
                for number in range(count):
                    one = read(stream, number)
                    time_N[number] = one.capture_timestamp_ns
                    valid_N2[number] = one.accel_valid, one.gyro_valid
                    values_N6[number, :3], values_N6[number, 3:] = one.accel_msec2, one.gyro_radsec
        except _LIBRARY_ERRORS as error:
            raise self._damaged(f"a sample of stream {stream}", error) from error
        return Motion(time_N, valid_N2, values_N6)

    def pictures(self, stream: StreamId, numbers: Sequence[int]) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield some pictures of a camera, turned upright: [H, W, 3], RGB. They have the size that `size` returns."""
        width, height = self.size(stream)
        for number in numbers:
            try:
                with _captured():
                    data, _ = self.provider.get_image_data_by_index(stream, number)
                    picture = np.asarray(data.to_numpy_array())
            except _LIBRARY_ERRORS as error:
                raise DataError(f"{self.path}: frame {number} cannot be decoded; is the file complete?") from error
            turned = picture if self.second else np.rot90(picture, -1)
            if turned.dtype != np.uint8 or turned.shape != (height, width, 3):
                raise DataError(
                    f"{self.path}: frame {number} is {turned.dtype} of shape {turned.shape} and no colour picture of "
                    f"{width} x {height} px"
                )
            yield turned

    def size(self, stream: StreamId) -> tuple[int, int]:
        """Return width and height of a camera's pictures, upright [px]."""
        with _captured():
            found = self.provider.get_image_configuration(stream)
        width, height = int(found.image_width), int(found.image_height)
        return (width, height) if self.second else (height, width)

    def _damaged(self, what: str, error: Exception) -> DataError:
        return DataError(f"{self.path}: {what} cannot be read: {_first_line(error)}; is the file complete?")


def looks_like_vrs(path: Path) -> bool:
    """Whether a file begins as VRS files do."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def open_aria(path: Path) -> AriaFile:
    """Open a file of Project Aria glasses.

    Raises `DataError` if it is none, is truncated, or projectaria-tools is not installed.
    """
    if not looks_like_vrs(path):
        raise DataError(f"{path}: is not a VRS file")
    try:
        from projectaria_tools.core.calibration import DeviceVersion, from_device_class_name  # noqa: PLC0415
        from projectaria_tools.core.data_provider import create_vrs_data_provider  # noqa: PLC0415
    except ImportError as error:
        raise DataError(
            f"{path}: reading VRS files of Project Aria needs projectaria-tools, which has wheels for Python 3.11 and "
            "3.12: pip install 'revalexo-clip[aria]'"
        ) from error
    _check_index(path)
    lines: list[str] = []
    try:
        with _captured(lines):
            provider = create_vrs_data_provider(str(path))
    except _LIBRARY_ERRORS as error:
        raise DataError(f"{path}: cannot be read as a recording of Project Aria: {_first_line(error)}") from error
    if any(sign in line for line in lines for sign in _INCOMPLETE):
        raise _incomplete(path)
    if provider is None:
        raise DataError(f"{path}: cannot be read as a VRS file; is it complete?")
    kind = provider.get_file_tags().get("device_type", "")
    version = from_device_class_name(kind)
    if version == DeviceVersion.NotValid:
        raise DataError(f"{path}: is no recording of Project Aria glasses: its device_type is '{kind}'")
    return AriaFile(path, provider, version == DeviceVersion.Gen2)


def _check_index(path: Path) -> None:
    """Raise `DataError` if the index of a file is missing or lies beyond its end."""
    with path.open("rb") as file:
        head = file.read(_INDEX_AT + _INDEX.size)
    (offset,) = _INDEX.unpack(head[_INDEX_AT:]) if len(head) == _INDEX_AT + _INDEX.size else (0,)
    if not 0 < offset < path.stat().st_size:
        raise _incomplete(path)


def _incomplete(path: Path) -> DataError:
    return DataError(
        f"{path}: is truncated, or its recording was interrupted: its index is not complete. Copy it from the device "
        "again, or repair it with 'vrs fix-index'"
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def _captured(lines: list[str] | None = None) -> Iterator[None]:
    """Keep what the library's native code prints off the terminal, and append it to `lines`.

    Standard output and error of the whole process are redirected meanwhile.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.NamedTemporaryFile() as file:
        kept = [os.dup(number) for number in (1, 2)]
        try:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
            yield
        finally:
            ctypes.CDLL(None).fflush(None)
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            if lines is not None:
                file.seek(0)
                lines += file.read().decode("utf-8", errors="replace").splitlines()
