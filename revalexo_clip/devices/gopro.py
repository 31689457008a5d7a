"""GoPro recordings: mp4 files with telemetry, chapters of one recording, and bare telemetry (`.raw`).

Axes are those that GoPro labels on its cameras: x to the left of the picture, y backwards (out of the picture, towards
the person who films), z up. Files of newer cameras say which of their values is which axis (`ORIN`); the table `MODELS`
says it for those that do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.packet import Packet
from av.stream import Stream

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.axes import AxesError, permutation
from revalexo_clip.devices.base import DeviceRecording, Floats, ImuStream, VideoStream, channels_of
from revalexo_clip.devices.gopro_files import chapters_of
from revalexo_clip.devices.gpmf import GpmfError, Part, Payload, read_payload, split_payloads
from revalexo_clip.devices.sample_times import line_through, times_of_samples
from revalexo_clip.devices.video_files import frame_times, joined, length_of, open_video

NAME = "gopro"
AXES = "left, back, up"
"""Directions of x, y and z, see `axes`."""
MODELS = {"Hero6": "ZXY", "Camera": "ZXY", "Fusion": "yXZ"}
"""Orientation of the values of models whose files do not say it, by the beginning of the device's name. The HERO5 calls
itself `Camera`; its stream names say `up/down, right/left, forward/back` and `z,x,y`, as the HERO6's do."""
_DEFAULT_ORIENTATION = "ZXY"
_PAYLOAD = 1.001
"""Length of a payload [s] if nothing says it."""
_UNITS = {"ACCL": {"m/s²": 1.0, "m/s2": 1.0, "m/s^2": 1.0, "g": 9.80665}, "GYRO": {"rad/s": 1.0, "deg/s": np.pi / 180}}
_KINDS = {"ACCL": "acc", "GYRO": "gyro", "GRAV": "grav"}
_UPSIDE_DOWN = -5.0
"""Mean acceleration along z of a camera that is worn upside down, or less [m/s^2]."""
_MOST_LOST = 10
"""More lost payloads in a row are a counter that was reset."""


def read_gopro(source: Path, place: str = "Head") -> DeviceRecording:
    """Read a GoPro's mp4 file with the other chapters of its recording, a folder with one recording, or a `.raw` file.

    `place` is the place on the body in the names of channels. Raises `DataError` if there is no telemetry, or if a file
    is damaged.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder")
    if source.is_file() and source.suffix.lower() == ".raw":
        return _read_bare(source, place)
    files = chapters_of(source)
    chapters = [_read_chapter(path) for path in files]
    video = joined(files, [chapter.time_T for chapter in chapters], [chapter.size for chapter in chapters])
    starts = accumulate((length_of(chapter.time_T) for chapter in chapters[:-1]), initial=0.0)
    blocks = [
        _Block(*block) for chapter, start in zip(chapters, starts, strict=True) for block in _placed(chapter, start)
    ]
    return _recording(source, place, blocks, video)


class _Chapter(NamedTuple):
    """One mp4 file."""

    path: Path
    time_T: Floats
    size: tuple[int, int]
    payloads: list[tuple[float, Payload]]
    """Time in its track [s], and content."""


class _Block(NamedTuple):
    """The samples of one payload, on the recording's clock."""

    time: float
    """Of the payload [s]."""
    stamped: dict[str, float]
    """Time of the first sample of each sensor [s], where the camera's clock says it."""
    payload: Payload


def _read_chapter(path: Path) -> _Chapter:
    opened = open_video(path)
    payloads: list[tuple[float, Payload]] = []
    with opened.container:
        data = [stream for stream in opened.container.streams if stream.type == "data"]

        def packets() -> Iterator[Packet[Stream]]:
            for packet in opened.container.demux(opened.stream, *data):
                if packet.stream is opened.stream or packet.stream_index == opened.stream.index:
                    yield packet
                elif packet.size and packet.pts is not None and (content := bytes(packet))[:4] == b"DEVC":
                    time = float(packet.pts * packet.time_base)
                    payloads.append((time, _parsed(path, content)))

        time_T = frame_times(opened, packets())
        size = opened.stream.width, opened.stream.height
    if not payloads:
        raise DataError(
            f"{path}: has a video but no GoPro telemetry; files that were edited or sent have lost it, so take the "
            "file from the camera"
        )
    return _Chapter(path, time_T, size, payloads)


def _parsed(path: Path, content: bytes) -> Payload:
    try:
        return read_payload(content)
    except GpmfError as error:
        raise DataError(f"{path}: its telemetry is damaged: {error}") from error


def _placed(chapter: _Chapter, start: float) -> Iterator[tuple[float, dict[str, float], Payload]]:
    """Yield time, time by the camera's clock, and content of each payload of a chapter that begins at `start` [s].

    The camera's clock is placed by the stamps of the streams that have a sample for each video frame.
    """
    frame, stamps, times = 0, [], []
    for _, payload in chapter.payloads:
        part = payload.frames
        if part is not None and part.stamp is not None and frame < len(chapter.time_T):
            stamps.append(part.stamp)
            times.append(chapter.time_T[frame])
        frame += len(part.values_NC) if part is not None else 0
    clock = _clock(np.array(stamps), np.array(times))
    for time, payload in chapter.payloads:
        stamped = {
            key: start + clock[0] + clock[1] * part.stamp
            for key, part in payload.parts.items()
            if part.stamp is not None and clock is not None
        }
        yield start + time, stamped, payload


def _clock(stamp_K: Floats, time_K: Floats) -> tuple[float, float] | None:
    """Return the video's time at stamp 0, and its seconds per second of the camera's clock."""
    if not len(stamp_K):
        return None
    if len(stamp_K) < 2:
        return float(time_K[0] - stamp_K[0]), 1.0
    start, rate = line_through(stamp_K, time_K)
    return (start, rate) if 0.99 < rate < 1.01 else None


def _read_bare(source: Path, place: str) -> DeviceRecording:
    try:
        payloads = [_parsed(source, content) for content in split_payloads(source.read_bytes())]
    except GpmfError as error:
        raise DataError(f"{source}: is no GPMF telemetry: {error}") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error
    ticks = [payload.tick for payload in payloads]
    times = [float(number) * _PAYLOAD for number in range(len(payloads))]
    notes = [f"bare telemetry has no times; each of its {len(payloads)} payloads is taken to last {_PAYLOAD:g} s"]
    if len(payloads) > 1 and all(tick is not None for tick in ticks):
        times = [tick - (ticks[0] or 0.0) for tick in ticks if tick is not None]
        notes = ["bare telemetry has no times; payloads are placed by the camera's counter of milliseconds"]
    blocks = [_Block(time, {}, payload) for time, payload in zip(times, payloads, strict=True)]
    found = _recording(source, place, blocks, None)
    return replace(found, notes=(*notes, *found.notes))


def _recording(source: Path, place: str, blocks: Sequence[_Block], video: VideoStream | None) -> DeviceRecording:
    device = next((block.payload.device for block in blocks if block.payload.device), "Camera")
    streams = [
        stream
        for key in ("ACCL", "GYRO", "GRAV")
        if (stream := _stream(source, place, key, blocks, device)) is not None
    ]
    if not any(stream.channels[0].startswith(("acc", "gyro")) for stream in streams):
        raise DataError(f"{source}: its telemetry has neither accelerations (ACCL) nor angular rates (GYRO)")
    up = next((float(one.values_NC[:, 2].mean()) for one in streams if one.channels[0].startswith("acc")), 9.81)
    notes = () if up > _UPSIDE_DOWN else ("the camera was upside down: its axes are not those of the upright picture",)
    named = "GoPro" if device == "Camera" else device if "gopro" in device.lower() else f"GoPro {device}"
    return DeviceRecording(source, named, tuple(_merged(streams)), video, notes=notes)


def _stream(source: Path, place: str, key: str, blocks: Sequence[_Block], device: str) -> ImuStream | None:
    found = [(block, block.payload.parts[key]) for block in blocks if key in block.payload.parts]
    if not found:
        return None
    parts = [part for _, part in found]
    counts = [len(part.values_NC) for part in parts]
    lost = _lost(parts)
    first_K = np.cumsum([0, *(count + gap for count, gap in zip(counts[:-1], lost[1:], strict=True))]).astype(
        np.float64
    )
    place_N = np.concatenate([first + np.arange(count) for first, count in zip(first_K, counts, strict=True)])
    exact = all(key in block.stamped for block, _ in found)
    time_K = np.array([block.stamped[key] if exact else block.time for block, _ in found])
    if len(found) > 1:
        time_N = times_of_samples(first_K, time_K, place_N, exact=exact)
    else:
        time_N = time_K[0] + place_N * (_PAYLOAD / counts[0])
    notes = [f"{sum(lost)} samples of {key} were lost by the camera"] if any(lost) else []
    factor = _UNITS[key].get(parts[0].unit) if key in _UNITS else 1.0
    if factor is None:
        raise DataError(f"{source}: {key} is in {parts[0].unit or 'an unknown unit'}, which cannot be converted")
    raw_NC = np.concatenate([part.values_NC for part in parts])
    if raw_NC.shape[1] != 3:
        raise DataError(f"{source}: {key} has {raw_NC.shape[1]} axes instead of 3")
    orientation = parts[0].orientation or next(
        (known for name, known in MODELS.items() if device.lower().startswith(name.lower())), _DEFAULT_ORIENTATION
    )
    if key == "GRAV":
        orientation = "XZY"  # in all models; it points up, as the acceleration of a camera at rest
    try:
        values_N3 = raw_NC @ permutation(orientation).T * factor
    except AxesError as error:
        raise DataError(f"{source}: the orientation of {key}, {orientation!r}, names no axes") from error
    kind = _KINDS[key]
    units = ("1",) * 3 if key == "GRAV" else ()
    return ImuStream(place, channels_of(place, (kind,)), time_N, values_N3, units, AXES, tuple(notes))


def _lost(parts: Sequence[Part]) -> list[int]:
    """Return how many samples are missing before each part, by the camera's count of all samples."""
    found = [0]
    for before, part in pairwise(parts):
        missing = 0
        if before.total is not None and part.total is not None:
            missing = part.total - before.total - len(part.values_NC)
        found.append(missing if 0 < missing <= _MOST_LOST * len(part.values_NC) else 0)
    return found


def _merged(streams: Sequence[ImuStream]) -> list[ImuStream]:
    """Put streams with the same times into one."""
    found: list[ImuStream] = []
    for stream in streams:
        same = next((place for place, other in enumerate(found) if _same_times(other, stream)), None)
        if same is None:
            found.append(stream)
            continue
        other = found[same]
        found[same] = replace(
            other,
            channels=other.channels + stream.channels,
            units=other.units + stream.units,
            values_NC=np.concatenate([other.values_NC, stream.values_NC], axis=1),
            notes=other.notes + stream.notes,
        )
    return found


def _same_times(one: ImuStream, other: ImuStream) -> bool:
    """Whether two streams have the same times, within a hundredth of a sample."""
    return len(one.time_N) == len(other.time_N) and bool(np.abs(one.time_N - other.time_N).max() * one.rate < 0.01)
