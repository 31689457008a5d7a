"""The formats of devices that recordings are read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.devices.base import DeviceRecording
from revalexo_clip.devices.gopro import read_gopro
from revalexo_clip.devices.gopro_files import is_gopro
from revalexo_clip.devices.neon import is_neon, read_neon


class Format(NamedTuple):
    """How the recordings of a kind of device are read."""

    summary: str
    """What is read, for messages."""
    recognises: Callable[[Path], bool]
    """Whether a file or folder looks like such a recording."""
    read: Callable[[Path, str], DeviceRecording]
    """Reads a recording; the second argument is the place of the sensor on the body."""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "neon": Format("folder of a Pupil Neon recording", is_neon, read_neon),
        "gopro": Format("GoPro .mp4 with telemetry, or bare telemetry (.raw)", is_gopro, read_gopro),
    }
)
"""All formats by name, in the order in which they are tried."""


def read_recording(source: Path, place: str = "Head", name: str | None = None) -> DeviceRecording:
    """Read a recording in the format `name`; without it, in the first format that recognises it.

    `place` is the place on the body of a camera's sensor, in the names of channels. Raises `DataError`, naming the
    file, if it cannot be read, and `ConfigError` if there is no such format.
    """
    if name is not None and name not in FORMATS:
        raise ConfigError(f"--format {name}: there is no such format; choose from {', '.join(FORMATS)}")
    if not place.replace("_", "").isalnum():
        raise ConfigError(f"--place {place!r} must be a word such as Head or Left_Foot")
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    names = [name] if name else [key for key, one in FORMATS.items() if one.recognises(source)]
    if not names:
        known = "; ".join(one.summary for one in FORMATS.values())
        raise DataError(f"{source}: is none of the recordings that can be imported ({known})")
    return FORMATS[names[0]].read(source, place)
