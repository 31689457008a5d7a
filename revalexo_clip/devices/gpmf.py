"""The telemetry format of GoPro cameras, GPMF: nested records of a key, a type, a size and big-endian values.

Source: the published description of the format (https://gopro.github.io/gpmf-parser). A payload is about a second of
telemetry. It has a `DEVC` record for each device, that has a `STRM` record for each of its sensors; within a stream,
the last record holds the samples, and those before it describe them (scale, unit, orientation).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.devices.base import Floats

_HEADER = 8
"""Bytes of a key, a type, the size of a sample and the number of samples."""
_DEEPEST = 8
"""Records that lie deeper than this in one another are damage."""
_NUMBERS = {
    "b": ">i1",
    "B": ">u1",
    "s": ">i2",
    "S": ">u2",
    "l": ">i4",
    "L": ">u4",
    "j": ">i8",
    "J": ">u8",
    "f": ">f4",
    "d": ">f8",
}
"""Types of numbers, as numpy calls them; fixed-point numbers (q, Q) are not used by the sensors that are read."""
_FRAMES = ("SHUT", "CORI", "IORI", "ISOE")
"""Streams that have a sample for each video frame, the first one found is used."""
SENSORS = ("ACCL", "GYRO", "GRAV")
"""Streams whose samples are read: accelerations, angular rates, and the direction of gravity."""


class GpmfError(ValueError):
    """Bytes that are not GPMF, or not complete."""


class Record(NamedTuple):
    """One record."""

    key: str
    type: str
    """A letter; a null character if the record holds other records."""
    size: int
    """Bytes of a sample."""
    repeat: int
    """Number of samples."""
    data: bytes

    def children(self) -> dict[str, Record]:
        """Return the records in this one by key; of records with the same key, the last. Raises `GpmfError`."""
        return {record.key: record for record in records(self.data)}

    def text(self) -> str:
        """Return characters as text. Units have the Latin-1 characters for squares and degrees, or UTF-8's."""
        try:
            found = self.data.decode("utf-8")
        except UnicodeDecodeError:
            found = self.data.decode("latin-1")
        return found.rstrip("\0 ")

    def first(self) -> float:
        """Return the first number. Raises `GpmfError` if there is none."""
        numbers = self.numbers()
        if not numbers.size:
            raise GpmfError(f"{self.key} is empty")
        return float(numbers[0, 0])

    def numbers(self) -> Floats:
        """Return numbers, [samples, values in a sample] float64. Raises `GpmfError` if the type is another."""
        kind = _NUMBERS.get(self.type)
        width = np.dtype(kind).itemsize if kind else 0
        if not width or not self.size or self.size % width:
            raise GpmfError(f"{self.key} has samples of type {self.type!r} and {self.size} bytes, which are no numbers")
        return np.frombuffer(self.data, kind).reshape(self.repeat, self.size // width).astype(np.float64)


def records(data: bytes, depth: int = 0) -> Iterator[Record]:
    """Yield the records that follow one another. Raises `GpmfError` if the last one is not complete."""
    place = 0
    while place + _HEADER <= len(data):
        key = data[place : place + 4]
        if key == b"\0\0\0\0":  # padding
            return
        if not all(32 <= letter < 127 for letter in key) or depth > _DEEPEST:
            raise GpmfError(f"there is no record at byte {place}")
        size, count = data[place + 5], int.from_bytes(data[place + 6 : place + 8], "big")
        start = place + _HEADER
        if start + size * count > len(data):
            raise GpmfError(f"the record {key.decode()} ends after the data: the file is truncated")
        yield Record(key.decode(), chr(data[place + 4]), size, count, data[start : start + size * count])
        place = start + -(-size * count // 4) * 4


class Part(NamedTuple):
    """The samples of one sensor in one payload."""

    values_NC: Floats
    """[N, C], scaled to `unit`, in the order of the file."""
    total: int | None
    """Samples since the start of the recording, with these; None if the file does not say."""
    stamp: float | None
    """Camera's clock at the first sample [s]; None if the file does not say."""
    unit: str
    orientation: str
    """The axis of each value, such as `XzY`; a lower-case letter is an axis in the other direction. Empty if the file
    does not say."""


class Payload(NamedTuple):
    """The sensors of a camera in one payload."""

    device: str
    """Its name; `Camera` for the oldest models."""
    parts: dict[str, Part]
    """By the names in `SENSORS`."""
    frames: Part | None
    """A stream with a sample for each video frame (its values are not read); None if there is none with a clock."""
    tick: float | None
    """Clock of the payload [s], of models whose sensors have none."""


def read_payload(data: bytes) -> Payload:
    """Read the accelerometer, gyroscope and gravity of a payload.

    Several devices may be connected to a camera; that with an accelerometer or gyroscope counts. Raises `GpmfError` if
    the bytes are not GPMF.
    """
    found = Payload("", {}, None, None)
    seen = False
    for device in records(data):
        if device.key != "DEVC":
            continue
        seen = True
        payload = _device(device)
        if not found.parts:
            found = payload
    if not seen:
        raise GpmfError("it has no record of a device (DEVC)")
    return found


def _device(device: Record) -> Payload:
    name, tick, parts = "", None, dict[str, Part]()
    frames: dict[str, Part] = {}
    for record in records(device.data, 1):
        if record.key == "DVNM":
            name = record.text()
        elif record.key == "TICK":
            tick = record.first() / 1e3
        elif record.key == "STRM":
            inside = record.children()
            for key in SENSORS:
                if key in inside and inside[key].repeat:
                    parts[key] = _part(inside, inside[key])
            for key in _FRAMES:
                if key in inside and inside[key].repeat and "STMP" in inside:
                    frames[key] = _clock_of(inside, np.empty((inside[key].repeat, 0)))
    return Payload(name, parts, next((frames[key] for key in _FRAMES if key in frames), None), tick)


def _part(inside: dict[str, Record], samples: Record) -> Part:
    values_NC = samples.numbers()
    scale = inside["SCAL"].numbers().ravel() if "SCAL" in inside else np.ones(1)
    if len(scale) not in (1, values_NC.shape[1]) or not scale.all():
        raise GpmfError(f"the scale of {samples.key} has {len(scale)} values for {values_NC.shape[1]} axes")
    unit = inside["SIUN"].text() if "SIUN" in inside else inside["UNIT"].text() if "UNIT" in inside else ""
    return _clock_of(inside, values_NC / scale)._replace(
        unit=unit, orientation=inside["ORIN"].text() if "ORIN" in inside else ""
    )


def _clock_of(inside: dict[str, Record], values_NC: Floats) -> Part:
    total = int(inside["TSMP"].first()) if "TSMP" in inside else None
    stamp = inside["STMP"].first() / 1e6 if "STMP" in inside else None
    return Part(values_NC, total, stamp, "", "")


def split_payloads(data: bytes) -> Sequence[bytes]:
    """Cut a file of bare payloads that follow one another into payloads; each begins with a `DEVC` record.

    Devices that share a payload are not told apart from payloads: GPMF files without a container say nothing about it.
    """
    found = []
    place = 0
    for record in records(data):
        length = _HEADER + -(-record.size * record.repeat // 4) * 4
        if record.key == "DEVC":
            found.append(data[place : place + length])
        place += length
    if not found:
        raise GpmfError("it has no record of a device (DEVC)")
    return found
