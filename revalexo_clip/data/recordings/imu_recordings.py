"""Labelled IMU recordings of any sensors, converted to the rate, units and channels of an encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import ImuSpec, Split
from revalexo_clip.data import windows
from revalexo_clip.data.base import LabelledWindows, Windows
from revalexo_clip.data.dataset import LabelledClips
from revalexo_clip.data.imu import UNITS, Samples, agreed_channels
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.recordings.base import RecordingSet
from revalexo_clip.data.recordings.npz import NpzRecordings
from revalexo_clip.data.recordings.tables import TabledRecordings
from revalexo_clip.data.recordings.units import Unit, converted
from revalexo_clip.data.resampling import resampled
from revalexo_clip.data.source import InMemory
from revalexo_clip.data.subjects import SplitBySubject, select_subjects
from revalexo_clip.data.windows import Segments

LARGEST = 4 * 2**30
"""Maximum size of the samples of a split, which are kept in memory [bytes]: 800 h of six channels at 60 Hz."""


class ImuRecordings(SplitBySubject):
    """Labelled IMU recordings of any length and rate, split by subject: one .npz file, or CSV files with a table.

    The classes are all activities in the data, of all splits: in file order for an .npz file, in alphabetical order for
    tables. Samples are read, converted and resampled once, and kept in memory (at most 4 GiB per split). Recordings
    shorter than a window are left out and counted.
    """

    root: Path
    """An .npz file with the arrays `data` [N, C], `offsets` [R + 1] (recording i is data[offsets[i]:offsets[i + 1]]),
    `label` [R], `subject` [R], `activities` [A], `channels` [C] and `fs` [Hz]. Or a folder with `recordings.csv`, whose
    columns are file, subject and label; or file and subject, and then `segments.csv` with file, start, end [s] and
    label."""
    channels: dict[str, str] = Field(default={})
    """Channels of a window, in order, and the column of each. Default: all columns named `acc_...`, then all columns
    named `gyro_...`."""
    units: dict[str, Unit] = Field(default={})
    """Units of the recordings, `m/s^2`, `g`, `rad/s` or `deg/s`, by channel (`acc_Head_x`) or by prefix (`acc`).
    Default: m/s^2 and rad/s, which are also the units of windows."""
    rate: PositiveFloat | None = None
    """Sampling rate of the CSV files [Hz]."""
    time: str | None = None
    """Column of the CSV files with the time of each row [s], instead of `rate`."""
    imu_rate: PositiveFloat = 60.0
    """Sampling rate of windows [Hz]. Recordings are resampled to it; their rate must be at least half of it."""
    window: PositiveFloat = 2.0
    """Window length [s]."""
    train_stride: PositiveFloat = 1.0
    """Maximum segment length for training windows [s]: one window is drawn from each segment in every epoch."""
    eval_stride: PositiveFloat = 0.5
    """Stride of evaluation windows [s]."""
    horizons: tuple[NonNegativeFloat, ...] = Field(default=(0.0,), min_length=1)
    """Label times, relative to the end of the window [s]."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if round(self.imu_rate * self.window) < 1:
            raise ValueError(f"a window of {self.window:g} s at {self.imu_rate:g} Hz has no IMU samples")
        columns = list(self.channels.values())
        twice = [column for column in columns if columns.count(column) > 1]
        if twice:
            raise ValueError(f"channels: column {twice[0]} is used for more than one channel")
        return self

    @model_validator(mode="after")
    def _rate_is_known(self) -> Self:
        if self._is_npz and (self.rate is not None or self.time is not None):
            raise ValueError("an .npz file contains its sampling rate: do not set rate or time")
        if not self._is_npz and (self.rate is None) is (self.time is None):
            raise ValueError("for CSV files, set either rate [Hz] or time (the name of the time column [s])")
        return self

    @property
    def _is_npz(self) -> bool:
        return self.root.suffix == ".npz"

    def labelled(self, split: Split, seed: int) -> LabelledWindows:
        """Read the recordings of a split."""
        wanted, recorded = self._some_subjects(split), self._open()
        subjects = set(select_subjects(wanted, tuple(dict.fromkeys(recorded.subjects)), self.root))
        chosen = [number for number, subject in enumerate(recorded.subjects) if subject in subjects]
        chosen.sort(key=lambda number: (recorded.subjects[number], recorded.names[number]))
        channels, columns = self._channels(recorded, chosen)
        units, factor_C = converted(channels, self.units)
        imu_spec = ImuSpec(channels, units, self.imu_rate, self.window)
        tracks = list(self._tracks(recorded, chosen, columns, factor_C, imu_spec.samples))
        if not tracks:
            raise DataError(
                f"{self.root}: no recording of {', '.join(sorted(subjects))} is as long as a window of "
                f"{self.window:g} s"
            )
        index = self._index(recorded, tracks, num_too_short=len(chosen) - len(tracks))
        placed, segment_N = self._place(split, index.duration_N)
        return LabelledClips(
            index,
            placed,
            InMemory(
                [track.samples_nC for track in tracks], recorded.fingerprint([track.recording for track in tracks])
            ),
            imu_spec=imu_spec,
            horizons=self.horizons,
            seed=seed,
            segment_N=segment_N,
        )

    def _open(self) -> RecordingSet:
        root = self.root.expanduser()
        return NpzRecordings(root) if self._is_npz else TabledRecordings(root, rate=self.rate, time=self.time)

    def _channels(self, recorded: RecordingSet, chosen: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the channels, and of their columns."""
        if self.channels:
            return tuple(self.channels), tuple(self.channels.values())
        headers = [(recorded.path(recording), recorded.columns(recording)) for recording in chosen]
        path, columns = headers[0]
        kinds = [kind for kind in UNITS if any(column.startswith(f"{kind}_") for column in columns)]
        if not kinds:
            raise DataError(
                f"{path}: no column is named acc_... or gyro_...: set data.channels to the columns to use; columns: "
                f"{', '.join(columns)}"
            )
        names = agreed_channels(headers, [f"{kind}_*" for kind in kinds])
        return names, names

    def _tracks(
        self,
        recorded: RecordingSet,
        chosen: Sequence[int],
        columns: Sequence[str],
        factor_C: npt.NDArray[np.float32],
        least: int,
    ) -> Iterator[_Track]:
        """Yield the recordings of at least `least` samples, in the units and at the rate of windows."""
        held = 0
        for recording in chosen:
            track = recorded.read(recording, columns)
            try:
                samples_nC = resampled(track.samples_nC * factor_C, track.rate, self.imu_rate)
            except ValueError as error:
                raise DataError(f"{recorded.path(recording)}: {error}") from error
            if len(samples_nC) < least:
                continue
            held += samples_nC.nbytes
            if held > LARGEST:
                raise DataError(
                    f"{self.root}: the recordings of this split take more than {LARGEST / 2**30:g} GiB of memory at "
                    f"{self.imu_rate:g} Hz; name fewer subjects or channels, or lower data.imu_rate"
                )
            duration = len(samples_nC) / self.imu_rate
            inside = [(start, min(end, duration), label) for start, end, label in track.segments]
            yield _Track(recording, samples_nC, duration, inside)

    def _index(self, recorded: RecordingSet, tracks: Sequence[_Track], num_too_short: int) -> ClipIndex:
        numbers = [track.recording for track in tracks]
        duration_N = np.array([track.duration for track in tracks])
        return ClipIndex(
            root=recorded.root,
            subjects=tuple(recorded.subjects[number] for number in numbers),
            names=tuple(f"{recorded.subjects[number]}/{recorded.names[number]}" for number in numbers),
            video_N=np.full(len(tracks), ""),
            imu_N=np.array([recorded.files[number] for number in numbers], dtype=np.str_),
            duration_N=duration_N,
            times=ClipTimes.separate(duration_N),
            activity=Segments.gather(track.segments for track in tracks),
            transition=Segments.gather(() for _ in tracks),
            activities=recorded.activities,
            num_too_short=num_too_short,
        )

    def _place(self, split: Split, duration_N: windows.Floats) -> tuple[Windows, windows.Floats | None]:
        """Return the windows of a split, and for training also the length of each recording's segments."""
        if split != "train":
            return windows.evaluation_windows(
                np.zeros_like(duration_N), duration_N, self.window, self.eval_stride
            ), None
        count_N = windows.stretches(duration_N, self.window, self.train_stride)
        placed = windows.training_windows(np.zeros_like(duration_N), duration_N, self.window, count_N)
        return placed, windows.segment_length(duration_N, self.window, count_N)


class _Track(NamedTuple):
    """A recording in the units and at the rate of windows."""

    recording: int
    samples_nC: Samples
    duration: float
    """Length [s]."""
    segments: list[tuple[float, float, int]]
    """Start, end [s] and label; no segment ends after the recording."""
