"""What `rxclip check-sync` does: the lag of every recording, by one of three methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.layout import IMU_RATE
from revalexo_clip.sync.apply import write_offsets
from revalexo_clip.sync.events import Event, lags_from_events
from revalexo_clip.sync.recordings import (
    Recording,
    choose_sensor,
    gyroscope_of,
    read_recordings,
    rotations_of,
    tracks_of,
)
from revalexo_clip.sync.result import Line, Sync
from revalexo_clip.sync.rotation import MOST_LAG, lag_from_rotation


@dataclass(frozen=True)
class SyncCheck:
    """Result of comparing IMU and video of a dataset."""

    root: Path
    results: tuple[Sync, ...]
    sensor: str | None
    """The sensor that was compared with the picture; None for other methods."""
    applied: Mapping[str, float]
    """New `imu_offset` of each clip that was changed [s]."""

    def count(self, verdict: str) -> int:
        """Return the number of recordings with a verdict."""
        return sum(found.verdict == verdict for found in self.results)

    def summary(self) -> str:
        """Return the number of recordings by verdict."""
        parts = [f"{self.count(verdict)} {verdict}" for verdict in ("in time", "off", "cannot tell")]
        return f"{self.root}: {counted(len(self.results), 'recording')}: {', '.join(parts)}"

    def to_json(self) -> JsonObject:
        """Return the output of `--json`, with times in seconds. Existing names must not change."""
        return {
            "root": str(self.root),
            "sensor": self.sensor,
            "in_time": self.count("in time"),
            "off": self.count("off"),
            "cannot_tell": self.count("cannot tell"),
            "recordings": [found.to_json() for found in self.results],
            "applied": dict(self.applied),
        }


def check_sync(
    root: str | Path,
    *,
    sensor: str | None = None,
    ckpt: Path | None = None,
    experiment_file: Path | None = None,
    events: Sequence[Event] = (),
    imu_rate: float = IMU_RATE,
    time: str | None = None,
    time_unit: TimeUnit = "s",
    time_zero: Literal["clip", "first_row"] = "clip",
    max_lag: float = MOST_LAG,
    line: Line = "last",
    apply: bool = False,
    on_progress: OnProgress = no_progress,
) -> SyncCheck:
    """Measure the lag between IMU and video of each recording of a dataset in RevalExo's layout.

    By default, the rotation of the picture is compared with the gyroscope of `sensor`, which turns with the camera (if
    not given: the one whose name says so). With `ckpt`, the windows of a trained pair of encoders are compared; with
    `events`, events that a user has marked. `imu_rate` [Hz], `time`, `time_unit` and `time_zero` are those of the
    experiment, see `RevalExo`. Lags up to `max_lag` [s] are searched for; `line` is the line of the picture that is
    taken at the times of frames. With `apply`, the lags that are known are added to the dataset's `imu_offset`.

    Raises `ConfigError` if the arguments do not fit, and `DataError` if the dataset is invalid.
    """
    root = Path(root)
    if ckpt is not None and events:
        raise ConfigError("--ckpt and --event exclude each other")
    if not (0 < imu_rate < math.inf and 0 < max_lag < math.inf):
        raise ConfigError("--imu-rate and --max-lag must be positive")
    if time is None and (time_unit != "s" or time_zero != "clip"):
        raise ConfigError("--time-unit and --time-zero require --time, the name of the clock column")
    clock = Clock(imu_rate, time, time_unit, from_first_row=time_zero == "first_row")
    recordings, clock = read_recordings(root, clock)
    if events:
        found, sensor = lags_from_events(recordings, events), None
    elif ckpt is not None:
        from revalexo_clip.sync.embeddings import lags_from_encoders  # noqa: PLC0415 (loads what training needs)

        sensor = None
        found = lags_from_encoders(root, recordings, ckpt, experiment_file, max_lag, on_progress)
    else:
        sensor = choose_sensor(recordings, sensor)
        track_of = tracks_of(root, recordings, on_progress)
        found, unread = [], []
        for recording in recordings:
            try:
                rotations = rotations_of(recording, track_of)
                gyroscope = gyroscope_of(recording, sensor, clock)
                middles = recording.middles
            except DataError as error:
                unread.append(error)
                found.append(_unread(recording, error))
                continue
            found.append(lag_from_rotation(recording.name, middles, rotations, gyroscope, most_lag=max_lag, line=line))
        if time is not None and len(unread) == len(recordings) > 0:  # as if --time is wrong
            raise DataError(
                f"none of the {counted(len(recordings), 'recording')} can be read: {unread[0]}"
            ) from unread[0]
    return SyncCheck(root, tuple(found), sensor, write_offsets(root, found) if apply else {})


def _unread(recording: Recording, error: DataError) -> Sync:
    """Return the result for a recording that cannot be read."""
    clips = {clip.name: clip.offset for clip in recording.clips}
    return Sync(recording.name, clips, "rotation", frame=0.0, why=str(error))
