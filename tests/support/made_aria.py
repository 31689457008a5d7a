"""Made VRS files with the streams of Project Aria glasses.

Facts on the format: https://facebookresearch.github.io/vrs (file, record and index headers, description record, data
layouts) and the data layouts of https://github.com/facebookresearch/projectaria_tools. Written without code of theirs,
so that their library, which reads the files, checks them.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg

Floats = npt.NDArray[np.float64]
Value = int | float | str | bytes | Sequence[float]

RGB, SLAM_LEFT, IMU_1, IMU_2 = (214, 1), (1201, 1), (1202, 1), (1202, 2)
_CONFIGURATION, _DATA = 2, 3
_RECORD = struct.Struct("<IIiIdHBBI")
"""Size, size of the record before, type and format version of the stream, time, instance, kind, compression."""
_FILE = struct.Struct("<4s4sQIIqqqQQQ4s4s")
_TYPES = {"uint32_t": "I", "uint64_t": "Q", "int64_t": "q", "double": "d", "Bool": "B", "float": "f"}
_VERSION = 2
_RGB8 = 4
_VIDEO: Mapping[str, Value] = {"image_pixel_format": 5, "image_codec_name": "H.265"}
"""Pixels are YUV 4:2:0 in planes."""

_IMAGE_CONFIGURATION = {
    "device_type": "String",
    "device_version": "String",
    "device_serial": "String",
    "camera_id": "uint32_t",
    "sensor_model": "String",
    "sensor_serial": "String",
    "nominal_rate": "double",
    "image_width": "uint32_t",
    "image_height": "uint32_t",
    "image_stride": "uint32_t",
    "image_pixel_format": "uint32_t",
    "image_codec_name": "String",
    "factory_calibration": "String",
    "online_calibration": "String",
    "description": "String",
}
_IMAGE_DATA = {
    "group_id": "uint64_t",
    "group_mask": "uint64_t",
    "frame_number": "uint64_t",
    "exposure_duration_s": "double",
    "gain": "double",
    "capture_timestamp_ns": "int64_t",
    "arrival_timestamp_ns": "int64_t",
    "temperature_deg_c": "double",
    "image_key_frame_timestamp": "double",
    "image_key_frame_index": "uint32_t",
}
_MOTION_CONFIGURATION = {
    "stream_index": "uint32_t",
    "device_type": "String",
    "device_version": "String",
    "device_serial": "String",
    "device_id": "uint64_t",
    "sensor_model": "String",
    "nominal_rate": "double",
    "has_accelerometer": "Bool",
    "has_gyroscope": "Bool",
    "has_magnetometer": "Bool",
    "factory_calibration": "String",
    "online_calibration": "String",
    "description": "String",
}
_MOTION_DATA = {
    "accelerometer_valid": "Bool",
    "gyroscope_valid": "Bool",
    "magnetometer_valid": "Bool",
    "temperature_deg_c": "double",
    "capture_timestamp_ns": "int64_t",
    "arrival_timestamp_ns": "int64_t",
    "accelerometer": "float[3]",
    "gyroscope": "float[3]",
    "magnetometer": "float[3]",
}


def _layout(fields: Mapping[str, str]) -> tuple[str, int]:
    """The description of a data layout, and the size of its fixed part."""
    pieces: list[dict[str, object]] = []
    offset = texts = 0
    for name, kind in fields.items():
        if kind == "String":
            continue
        base, _, count = kind.rstrip("]").partition("[")
        if count:
            piece = {"name": name, "type": f"DataPieceArray<{base}>", "offset": offset, "size": int(count)}
        else:
            piece = {"name": name, "type": f"DataPieceValue<{base}>", "offset": offset}
        pieces.append(piece)
        offset += struct.calcsize("<" + _TYPES[base]) * int(count or 1)
    for name, kind in fields.items():
        if kind == "String":
            pieces.append({"name": name, "type": "DataPieceString", "index": texts})
            texts += 1
    return json.dumps({"data_layout": pieces}), offset + 8 * texts


def _packed(fields: Mapping[str, str], values: Mapping[str, Value]) -> bytes:
    """Fixed fields, then offset and length of each text, then the texts. What is not given is zero or empty."""
    fixed, index, texts = b"", b"", b""
    for name, kind in fields.items():
        base, _, count = kind.rstrip("]").partition("[")
        if kind == "String":
            text = str(values.get(name, "")).encode()
            index += struct.pack("<II", len(texts), len(text))
            texts += text
        elif count:
            fixed += struct.pack(f"<{count}{_TYPES[base]}", *values.get(name, [0.0] * int(count)))  # type: ignore[misc]
        else:
            fixed += struct.pack("<" + _TYPES[base], values.get(name, 0))
    return fixed + index + texts


@dataclass(frozen=True)
class Record:
    """A record that is to be written."""

    stream: tuple[int, int]
    time: float
    kind: int
    content: bytes


@dataclass(frozen=True)
class Aria:
    """What a made recording has. Times are seconds on the device's clock."""

    frames: Mapping[tuple[int, int], tuple[Floats, Sequence[npt.NDArray[np.uint8]]]] = field(default_factory=dict)
    """Times and pictures, as they are stored, of each camera."""
    imus: Mapping[tuple[int, int], tuple[Floats, Floats]] = field(default_factory=dict)
    """Times and [N, 6] accelerations [m/s^2] and angular rates [rad/s] of each IMU."""
    invalid: Mapping[tuple[int, int], Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """Numbers of the samples of an IMU whose `accelerometer` or `gyroscope` is flagged as invalid."""
    calibration: str | None = None
    """The content of the tag `calib_json`."""
    device: str = "Aria"
    order: str = "time"
    """`stream` writes one stream after the other."""
    index: str = "end"
    """Where the index of the file is: at the `end` or the `front`; `none` if the recording was interrupted."""
    encoded: Mapping[tuple[int, int], Sequence[bytes]] = field(default_factory=dict)
    """Pictures as bytes, instead of JPEGs of the frames."""
    keyframes: int = 0
    """Frames from one keyframe to the next if `encoded` is a video with the codec H.265; 0 if it has JPEGs."""

    def records(self) -> list[Record]:
        """All records, the configurations first."""
        found = []
        for stream, (time_T, pictures) in self.frames.items():
            found.append(self._camera(stream, time_T, pictures))
        for stream, (time_N, values_N6) in self.imus.items():
            found.append(self._motion(stream, time_N, values_N6))
        heads = [records[0] for records in found]
        rest = [record for records in found for record in records[1:]]
        if self.order == "time":
            rest.sort(key=lambda record: record.time)
        return heads + rest

    def _camera(
        self, stream: tuple[int, int], time_T: Floats, pictures: Sequence[npt.NDArray[np.uint8]]
    ) -> list[Record]:
        height, width = pictures[0].shape[:2]
        fields: dict[str, Value] = {"device_type": self.device, "nominal_rate": 30.0}
        fields |= {"image_pixel_format": _RGB8} if not self.keyframes else _VIDEO
        fields |= {"image_width": width, "image_height": height, "image_stride": 3 * width, "sensor_model": "made"}
        records = [Record(stream, float(time_T[0]) - 0.5, _CONFIGURATION, _packed(_IMAGE_CONFIGURATION, fields))]
        for number, (time, picture) in enumerate(zip(time_T, pictures, strict=True)):
            stamp = round(float(time) * 1e9)
            values: dict[str, Value] = {"frame_number": number, "capture_timestamp_ns": stamp, "gain": 1.0}
            if self.keyframes:
                since = number % self.keyframes
                values |= {"image_key_frame_timestamp": float(time_T[number - since]), "image_key_frame_index": since}
            data = _packed(_IMAGE_DATA, values)
            if stream in self.encoded:
                data += self.encoded[stream][number]
            else:
                data += simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=95, colorspace="RGB")
            records.append(Record(stream, float(time), _DATA, data))
        return records

    def _motion(self, stream: tuple[int, int], time_N: Floats, values_N6: Floats) -> list[Record]:
        fields: dict[str, Value] = {"device_type": self.device, "nominal_rate": 1000.0, "sensor_model": "made"}
        fields |= {"has_accelerometer": 1, "has_gyroscope": 1, "stream_index": stream[1] - 1}
        records = [Record(stream, float(time_N[0]) - 0.5, _CONFIGURATION, _packed(_MOTION_CONFIGURATION, fields))]
        wrong = {name: set(numbers) for name, numbers in self.invalid.get(stream, {}).items()}
        for number, (time, values_6) in enumerate(zip(time_N.tolist(), values_N6.tolist(), strict=True)):
            data: dict[str, Value] = {"capture_timestamp_ns": round(time * 1e9), "arrival_timestamp_ns": -1}
            for name, triad in (("accelerometer", values_6[:3]), ("gyroscope", values_6[3:])):
                valid = number not in wrong.get(name, ())
                data |= {f"{name}_valid": int(valid), name: triad if valid else [0.0, 0.0, 0.0]}
            records.append(Record(stream, time, _DATA, _packed(_MOTION_DATA, data)))
        return records

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_bytes(self.content())

    def content(self) -> bytes:
        """The bytes of the file."""
        streams = [*self.frames, *self.imus]
        tags = {"device_type": self.device, "device_serial": "1M0000", "metadata": json.dumps({"device_id": "1"})}
        if self.calibration is not None:
            tags["calib_json"] = self.calibration
        described = struct.pack("<I", len(streams))
        for stream in streams:
            described += _stream_id(stream) + _texts({}) + _texts(self._stream_tags(stream))
        described += _texts(tags)
        description = _header(2, described, 2, 0.0, (2, 0), _DATA) + described
        start = _FILE.size
        body = bytearray(description)
        entries, before = b"", len(description)
        records = self.records()
        for record in records:
            head = _header(record.stream[0], record.content, _VERSION, record.time, record.stream, record.kind, before)
            body += head + record.content
            before = len(head) + len(record.content)
            entries += struct.pack("<dIB", record.time, before, record.kind) + _stream_id(record.stream)
        content = struct.pack("<I", len(streams)) + b"".join(map(_stream_id, streams))
        content += struct.pack("<I", len(records)) + entries
        index = _header(1, content, 2, sys.float_info.max, (1, 0), _DATA, before) + content
        index_at, first, version = {
            "none": (0, 0, b"VRS1"),
            "end": (start + len(body), 0, b"VRS1"),
            "front": (start + len(description), start + len(description) + len(index), b"VRS2"),
        }[self.index]
        if self.index == "end":
            body += index
        elif self.index == "front":
            body[len(description) : len(description)] = index
        fields = (b"Visi", b"onRe", 1, _FILE.size, _RECORD.size, index_at, start, first, 0, 0, 0, b"cord", version)
        return _FILE.pack(*fields) + bytes(body)

    def _stream_tags(self, stream: tuple[int, int]) -> dict[str, str]:
        camera = stream in self.frames
        configuration, data = (_IMAGE_CONFIGURATION, _IMAGE_DATA) if camera else (_MOTION_CONFIGURATION, _MOTION_DATA)
        layout, size = _layout(data)
        picture = "" if not camera else "+image/video" if self.keyframes else "+image/jpg"
        return {
            "VRS_Original_Recordable_Name": {214: "RGB Camera Class", 1201: "Camera Data"}.get(stream[0], "IMU Data"),
            f"DL:Configuration:{_VERSION}:0": _layout(configuration)[0],
            f"RF:Configuration:{_VERSION}": "data_layout",
            f"DL:Data:{_VERSION}:0": layout,
            f"RF:Data:{_VERSION}": f"data_layout/size={size}{picture}",
        }


def _header(  # noqa: PLR0917 (fields of a header)
    kind: int,
    content: bytes,
    version: int,
    time: float,
    stream: tuple[int, int],
    record: int,
    before: int = 0,
) -> bytes:
    return _RECORD.pack(_RECORD.size + len(content), before, kind, version, time, stream[1], record, 0, 0)


def _stream_id(stream: tuple[int, int]) -> bytes:
    return struct.pack("<iH", *stream)


def _texts(tags: Mapping[str, str]) -> bytes:
    found = struct.pack("<I", len(tags))
    for name, value in tags.items():
        for text in (name.encode(), value.encode()):
            found += struct.pack("<I", len(text)) + text
    return found
