"""The lag from events that a user marks in both: claps, jumps, knocks on the camera."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.sync.recordings import Recording, frame_time
from revalexo_clip.sync.result import Curve, Drift, Estimate, Sync
from revalexo_clip.sync.series import Floats

FRAME = 1 / 30
"""How exactly a single event is taken to be marked [s]: one frame of most videos."""
_DRIFT_FROM = 3
"""Events that a drift needs."""
_DRIFT_SPAN = 30.0
"""Time between the first and the last event that a drift needs [s]."""


class Event(NamedTuple):
    """An event, by its times in the video and by the IMU's rows or clock, with the offsets of the dataset [s]."""

    clip: str
    video: float
    imu: float


def parse_event(text: str) -> Event:
    """Read `CLIP:video_s:imu_s`. Raises `ConfigError`."""
    clip, *times = text.rsplit(":", 2)
    try:
        video, imu = map(float, times)
    except ValueError:
        raise ConfigError(f"--event {text}: write it as CLIP:VIDEO_S:IMU_S, e.g. Subject01/0001:3.20:3.35") from None
    return Event(clip, video, imu)


def read_events(path: Path) -> list[Event]:
    """Read a CSV with the columns clip, video and imu (times in seconds). Raises `DataError`, naming the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"clip", "video", "imu"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path}: no column {', '.join(sorted(missing))}; it needs clip, video and imu")
            found = []
            for row in reader:
                try:
                    found.append(Event(row["clip"], float(row["video"]), float(row["imu"])))
                except (TypeError, ValueError):
                    raise DataError(f"{path}: line {reader.line_num}: video and imu must be times in seconds") from None
            return found
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def lags_from_events(recordings: Sequence[Recording], events: Sequence[Event]) -> list[Sync]:
    """Return the lag of each recording that has events. Raises `ConfigError` if an event names an unknown clip."""
    known = {clip.name: recording for recording in recordings for clip in recording.clips}
    for event in events:
        if event.clip not in known:
            raise ConfigError(f"--event: no clip {event.clip}{nearest(event.clip, known)}")
    marked = dict.fromkeys(known[event.clip].name for event in events)
    by_name = {recording.name: recording for recording in recordings}
    return [_lag(by_name[name], [event for event in events if known[event.clip].name == name]) for name in marked]


def _lag(recording: Recording, events: Sequence[Event]) -> Sync:
    """Return the mean lag of events, or a straight line through them if there are enough for a drift."""
    offset = {clip.name: clip.offset for clip in recording.clips}
    time_N = np.array([offset[event.clip] + event.video for event in events])
    lag_N = np.array([event.video - event.imu for event in events])
    at, span = float(time_N.mean()), float(np.ptp(time_N))
    with_drift = len(events) >= _DRIFT_FROM and span >= _DRIFT_SPAN
    design_NK = np.stack([np.ones(len(events)), time_N - at][: 2 if with_drift else 1], axis=1)
    value_K, within_K = _line(design_NK, lag_N)
    drift = Drift(Estimate(float(value_K[1]), float(within_K[1])), span) if with_drift else None
    notes = () if len(events) > 1 else ("There is a single event: its times are taken to be marked to the frame.",)
    return Sync(
        recording.name,
        recording.middles,
        "events",
        frame_time(recording.clips[0].video),
        Estimate(float(value_K[0]), float(within_K[0])),
        at=at,
        drift=drift,
        curve=Curve(time_N, lag_N, "lag of each event [s], by its time [s]"),
        facts={"events": len(events)},
        notes=notes,
    )


def _line(design_NK: Floats, lag_N: Floats) -> tuple[Floats, Floats]:
    """Return coefficients and half widths of their 95% intervals; each event is exact to a frame at best."""
    inverse_KK = np.linalg.inv(design_NK.T @ design_NK)
    value_K = inverse_KK @ design_NK.T @ lag_N
    free = len(lag_N) - design_NK.shape[1]
    left_N = lag_N - design_NK @ value_K
    marked = FRAME / np.sqrt(12)  # standard deviation of times that are rounded to a frame
    if free < 1:
        return value_K, 2 * marked * np.sqrt(np.diag(inverse_KK)) * np.sqrt(3)
    spread = max(float(np.sqrt((left_N**2).sum() / free)), marked)
    return value_K, student.ppf(0.975, free) * spread * np.sqrt(np.diag(inverse_KK))
