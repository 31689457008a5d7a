"""One clip to look at: its video or frames, its IMU, its labels, and whether they are in time."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
import simplejpeg

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.core.types import AXES, TimeUnit, whole_triads
from revalexo_clip.data.imu import header_of, unit_of
from revalexo_clip.data.packets import Video, opened_video
from revalexo_clip.data.revalexo import layout
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.layout import IMU_RATE
from revalexo_clip.data.video import read_frames
from revalexo_clip.sync.recordings import (
    Clip,
    Recording,
    choose_sensor,
    frame_times,
    gyroscope_of,
    read_recordings,
    rotations_of,
    tracks_of,
)
from revalexo_clip.sync.result import Sync
from revalexo_clip.sync.rotation import lag_from_rotation
from revalexo_clip.sync.series import Floats

LARGEST = 30.0
"""Videos of up to this size are embedded as they are [MB]; of others, frames are."""
PLAYABLE = {"h264": "mp4", "av1": "mp4", "vp9": "webm", "vp8": "webm"}
"""Codecs that every current browser plays, and the container that it plays them in."""
FRAME_RATE = 10.0
_LATE = 0.05
"""A video that starts later than its file [s] becomes frames: browsers count from its first frame."""
_MOST_FRAMES = 1200
_MOST_ROWS = 12_000
_SIDE = 270
_QUALITY = 70
_AT_A_TIME = 32


class Track(NamedTuple):
    """One sensor: the three axes of its accelerometer or gyroscope."""

    title: str
    unit: str
    values_3n: Floats


class Labels(NamedTuple):
    """Segments of a kind: start and end [s], name, and the number of its colour."""

    title: str
    segments: tuple[tuple[float, float, str, int], ...]


@dataclass(frozen=True)
class View:
    """What the page shows of a clip."""

    clip: Clip
    end: float
    """[s]"""
    time_n: Floats
    """Times of the rows of all tracks [s in the clip]."""
    tracks: tuple[Track, ...]
    labels: tuple[Labels, ...]
    frame: float
    """Time between two frames [s]."""
    video: bytes | None
    """The video file, if it is embedded."""
    kind: str
    """Its container: mp4 or webm."""
    frames: tuple[bytes, ...]
    """JPEGs, `frame_rate` of them per second from `first_frame` on, if the video is not embedded."""
    frame_rate: float
    first_frame: float
    sync: Sync | None
    imu_offset: float
    """How much the dataset moves the IMU [s]."""


def read_view(
    root: Path,
    clip: str | None = None,
    *,
    sensor: str | None = None,
    imu_rate: float = IMU_RATE,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    time_zero: Literal["clip", "first_row"] = "clip",
    largest: float = LARGEST,
    on_progress: OnProgress = no_progress,
) -> View:
    """Read a clip of a dataset in RevalExo's layout; by default its first one.

    The sensors' times are those that the dataset gives them, with its `imu_offset`; see `check_sync` for the other
    arguments. Videos larger than `largest` [MB], or of a codec that browsers do not play, become frames. Raises
    `ConfigError` if there is no such clip, and `DataError` if its files cannot be read.
    """
    if time is None and (time_unit != "s" or time_zero != "clip"):
        raise ConfigError("--time-unit and --time-zero require --time, the name of the clock column")
    if not 0 < imu_rate < math.inf:
        raise ConfigError("--imu-rate must be positive")
    clock = Clock(imu_rate, time, time_unit, from_first_row=time_zero == "first_row")
    recordings, clock = read_recordings(root, clock, search=False)
    chosen = _chosen(recordings, clip)
    pair, mapping = _described(root, chosen)
    time_n, tracks = _tracks(chosen, clock)
    shown_F = frame_times(chosen.video)
    begin, last = float(shown_F[0]), float(shown_F[-1])
    frame = (last - begin) / max(len(shown_F) - 1, 1) or 1 / 30
    video, kind = _embeddable(chosen.video, largest) if begin < _LATE else (None, "")
    frames, rate = ((), 1.0) if video is not None else _frames(chosen.video, begin, last, on_progress)
    end = max(last + frame, max((segment.end for segment in pair.activity_segments), default=0.0))
    return View(
        chosen,
        end,
        time_n,
        tracks,
        _labels(pair, mapping),
        frame,
        video,
        kind,
        frames,
        rate,
        begin,
        _sync(root, chosen, sensor, clock),
        clock.offsets.get(chosen.imu, 0.0),
    )


def _chosen(recordings: Sequence[Recording], wanted: str | None) -> Clip:
    known = {clip.name: clip for recording in recordings for clip in recording.clips}
    if wanted is None:
        return known[min(known)]
    if wanted not in known:
        raise ConfigError(f"there is no clip {wanted} with a video{nearest(wanted, known)}")
    return known[wanted]


def _described(root: Path, clip: Clip) -> tuple[layout.Pair, Mapping[str, int]]:
    subject, _, _ = clip.name.partition("/")
    files = layout.subject_files(root)[subject]
    for path in files:
        prefix = layout.clip_prefix(subject, path, files)
        pair_id = clip.name.removeprefix(prefix)
        if clip.name.startswith(prefix) and pair_id in (pairs := layout.read_subject(path).pairs):
            return pairs[pair_id], layout.read_label_mapping(root).label_to_idx
    raise DataError(f"{files[0]}: {clip.name} was removed while it was read")


def _labels(pair: layout.Pair, number: Mapping[str, int]) -> tuple[Labels, ...]:
    activities = tuple(
        (one.start, one.end, one.activity.replace("_", " "), number.get(one.activity, 0))
        for one in pair.activity_segments
    )
    transitions = tuple(
        (one.start, one.end, one.transition.replace("_", " "), 7)
        for one in pair.transition_segments
        if one.transition != "no_transition"
    )
    rows = (("activity", activities), ("transition", transitions))
    return tuple(Labels(title, spans) for title, spans in rows if spans)


def _tracks(clip: Clip, clock: Clock) -> tuple[Floats, tuple[Track, ...]]:
    """Read the accelerometers and gyroscopes of a clip; between pieces without rows there are NaN."""
    columns = header_of(clip.imu)
    triads = {
        f"{kind}_{sensor}": tuple(f"{kind}_{sensor}_{axis}" for axis in AXES)
        for kind in ("acc", "gyro")
        for sensor in whole_triads(columns, kind)
    }
    if not triads:
        raise DataError(f"{clip.imu}: has no accelerometer or gyroscope (columns acc_<sensor>_x to gyro_<sensor>_z)")
    channels = tuple(channel for triad in triads.values() for channel in triad)
    times, values = list[Floats](), list[Floats]()
    for piece in clock.pieces(clip.imu, channels):
        step = max(len(piece.time_n) // _MOST_ROWS, 1)
        rows = len(piece.time_n) // step * step
        times += [piece.time_n[:rows].reshape(-1, step).mean(axis=1), piece.time_n[-1:]]
        thinned = piece.samples_nC[:rows].astype(np.float64).reshape(-1, step, len(channels)).mean(axis=1)
        values += [thinned, np.full((1, len(channels)), np.nan)]
    time_n, value_nC = np.concatenate(times), np.concatenate(values)
    names = {"acc": "acceleration", "gyro": "angular velocity"}
    tracks = tuple(
        Track(
            f"{name.partition('_')[2].replace('_', ' ')}, {names[name.partition('_')[0]]}",
            unit_of(name).replace("^2", "²"),
            value_nC[:, 3 * place : 3 * place + 3].T,
        )
        for place, name in enumerate(triads)
    )
    return time_n, tracks


def _embeddable(path: Path, largest: float) -> tuple[bytes | None, str]:
    """Return the video file if a browser plays it and it is not too large, and its container."""
    try:
        with opened_video(path) as container:
            stream = Video(path, container).stream
            kind = PLAYABLE.get(stream.codec_context.codec.canonical_name, "")
            shape = next(container.decode(stream)).format.name
    except (av.error.FFmpegError, StopIteration):
        return None, ""
    suffixes = {"mp4": {".mp4", ".m4v", ".mov"}, "webm": {".webm"}}
    fits = path.suffix.lower() in suffixes.get(kind, set()) and shape in ("yuv420p", "yuvj420p")
    return (path.read_bytes() if fits and path.stat().st_size <= largest * 1e6 else None), kind


def _frames(path: Path, first: float, last: float, on_progress: OnProgress) -> tuple[tuple[bytes, ...], float]:
    """Return frames as JPEGs, and their number per second."""
    rate = min(FRAME_RATE, _MOST_FRAMES / max(last - first, 1e-3))
    time_T = first + np.arange(max(int((last - first) * rate), 1)) / rate
    found: list[bytes] = []
    for place in range(0, len(time_T), _AT_A_TIME):
        on_progress(place, len(time_T))
        video_THWC = read_frames(path, time_T[place : place + _AT_A_TIME], _SIDE, None)
        found += [simplejpeg.encode_jpeg(np.ascontiguousarray(frame_HWC), _QUALITY) for frame_HWC in video_THWC]
    on_progress(len(time_T), len(time_T))
    return tuple(found), rate


def _sync(root: Path, clip: Clip, sensor: str | None, clock: Clock) -> Sync | None:
    """Return the lag of the clip, if it has a sensor that turns with the camera."""
    alone = Recording((Clip(clip.name, clip.video, clip.imu, 0.0, clip.duration),))
    try:
        chosen = choose_sensor([alone], sensor)
    except ConfigError:
        if sensor is not None:
            raise
        return None
    try:
        rotations = rotations_of(alone, tracks_of(root, [alone], no_progress))
    except DataError:  # the video is shown although its motion cannot be measured
        return None
    return lag_from_rotation(clip.name, alone.middles, rotations, gyroscope_of(alone, chosen, clock))


def encoded(values: Floats) -> str:
    """Return numbers as base64 of float32, little-endian."""
    return b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")
