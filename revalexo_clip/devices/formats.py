"""The formats of devices that recordings are read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.devices.aria import is_aria, read_aria
from revalexo_clip.devices.base import DeviceRecording
from revalexo_clip.devices.gopro import read_gopro
from revalexo_clip.devices.gopro_files import is_gopro
from revalexo_clip.devices.labels import read_labels
from revalexo_clip.devices.lerobot import is_lerobot, read_lerobot
from revalexo_clip.devices.movella import is_movella, read_movella
from revalexo_clip.devices.neon import is_neon, read_neon
from revalexo_clip.devices.phones import is_phyphox, is_sensor_logger, read_phyphox, read_sensor_logger
from revalexo_clip.devices.public import is_epic, is_wear, read_epic, read_wear
from revalexo_clip.devices.tables import is_table
from revalexo_clip.devices.tables import read as read_table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.xsens import is_mvn, read_mvn


class Format(NamedTuple):
    """How the recordings of a kind of device are read."""

    summary: str
    """What is read, for messages."""
    matches: Callable[[Path], bool]
    """Whether a file or folder looks like such a recording."""
    read: Callable[[Path, TableOptions], DeviceRecording]
    """Reads a recording."""


def _camera(read: Callable[[Path, str], DeviceRecording]) -> Callable[[Path, TableOptions], DeviceRecording]:
    """Return a reader of a camera, which takes the place of its sensor and knows all else itself."""

    def reader(source: Path, options: TableOptions) -> DeviceRecording:
        if used := options.said_of_tables():
            raise ConfigError(f"{used} is for tables; {source} is read with the clock and the units of its device")
        recording = read(source, options.place or "Head")
        if options.labels is None:
            return recording
        labels = read_labels(options.labels, options.label_track)
        return replace(recording, labels=labels.track, notes=(*recording.notes, *labels.notes))

    return reader


def _aria(source: Path, options: TableOptions) -> DeviceRecording:
    return _camera(partial(read_aria, imu=options.imu))(source, options)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "aria": Format("Project Aria .vrs", is_aria, _aria),
        "neon": Format("folder of a Pupil Neon recording", is_neon, _camera(read_neon)),
        "gopro": Format("GoPro .mp4 with telemetry, or bare telemetry (.raw)", is_gopro, _camera(read_gopro)),
        "lerobot": Format("folder of a LeRobotDataset", is_lerobot, read_lerobot),
        "sensor-logger": Format("folder of Sensor Logger", is_sensor_logger, read_sensor_logger),
        "phyphox": Format("folder of phyphox", is_phyphox, read_phyphox),
        "mvn": Format("Xsens MVN .mvnx, .xlsx, or folder of CSV files", is_mvn, read_mvn),
        "movella": Format("table of a Movella DOT or MTw, or folder of them", is_movella, read_movella),
        "wear": Format("table of WEAR", is_wear, read_wear),
        "epic-kitchens": Format("accl or gyro table of EPIC-KITCHENS-100", is_epic, read_epic),
        "table": Format("table (.csv, .tsv, .txt, .parquet, .xlsx), or folder of tables", is_table, read_table),
    }
)
"""All formats by name, in the order in which they are tried."""


def read_recording(
    source: Path, place: str | None = None, name: str | None = None, options: TableOptions | None = None
) -> DeviceRecording:
    """Read a recording in the format `name`; without it, in the first format that it looks like.

    `place` is the place on the body of the sensor, in the names of channels; None is the head for cameras and glasses.
    `options` say what tables do not. Raises `DataError`, naming the file, if it cannot be read, and `ConfigError` if
    there is no such format.
    """
    if name is not None and name not in FORMATS:
        raise ConfigError(f"--format {name}: there is no such format; choose from {', '.join(FORMATS)}")
    if place is not None and not place.replace("_", "").isalnum():
        raise ConfigError(f"--place {place!r} must be a word such as Head or Left_Foot")
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    names = [name] if name else [key for key, one in FORMATS.items() if one.matches(source)]
    if not names:
        known = "; ".join(one.summary for one in FORMATS.values())
        raise DataError(f"{source}: is none of the recordings that can be imported ({known})")
    options = options or TableOptions()
    if options.imu is not None and names[0] != "aria":
        raise ConfigError(f"--imu is for Project Aria, and {source} is a {FORMATS[names[0]].summary}")
    return FORMATS[names[0]].read(source, options if place is None else replace(options, place=place))
