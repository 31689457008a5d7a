"""Labelled IMU recordings of any sensors, converted to the rate, units and channels of an encoder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec, Split, TimeUnit
from revalexo_clip.data import windows
from revalexo_clip.data.base import LabelledWindows, Windows
from revalexo_clip.data.clocks import MAX_GAP, BadTime
from revalexo_clip.data.csv_form import why_no_column
from revalexo_clip.data.dataset import LabelledClips
from revalexo_clip.data.imu import UNITS, Samples, agreed_channels
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.recording_time import ClipTimes, Placement, place_clips
from revalexo_clip.data.recordings.base import Recorded, RecordingSet
from revalexo_clip.data.recordings.file_format import FileFormat
from revalexo_clip.data.recordings.npz import NpzRecordings
from revalexo_clip.data.recordings.tables import TabledRecordings, Timing
from revalexo_clip.data.recordings.units import Unit, check_units, converted
from revalexo_clip.data.sensor_names import check_names
from revalexo_clip.data.source import InMemory
from revalexo_clip.data.subjects import SplitBySubject, select_subjects
from revalexo_clip.data.windows import Segments

log = logging.getLogger("revalexo_clip")

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
    columns are file, subject and label; or file, subject and label_column, the column of the file that has a label for
    each row; or file and subject, and then `segments.csv` with file, start, end [s] and label."""
    channels: dict[str, str] = Field(default={})
    """Channels of a window, in order, and the column of each. Default: all columns named `acc_...`, then all columns
    named `gyro_...`."""
    units: dict[str, Unit] = Field(default={})
    """Units of the recordings, `m/s^2`, `g`, `rad/s` or `deg/s`, by channel (`acc_Head_x`) or by prefix (`acc`).
    Default: m/s^2 and rad/s, which are also the units of windows; recordings that contradict this by the magnitude of
    three axes are refused."""
    rate: PositiveFloat | None = None
    """Sampling rate of the CSV files [Hz]."""
    time: str | None = None
    """Clock column of the CSV files, instead of `rate`. Rows are placed by it."""
    time_unit: TimeUnit = "s"
    """Unit of `time`: `s`, `ms`, `us` or `ns`, or `iso` for dates and times as text. `segments.csv` is in seconds by
    the same clock."""
    max_gap: PositiveFloat = MAX_GAP
    """Longest time between two rows that is interpolated over, if there is a clock [s]; four usual intervals if they
    are longer."""
    on_bad_time: BadTime = "error"
    """Longer gaps, and times that do not ascend: `error` stops, `split` makes several recordings of one file, `sort`
    orders rows by time and drops repeated times."""
    check_clock: bool = True
    """Refuse files with a column that looks like a clock and contradicts `rate`."""
    imu_offset: float | dict[str, float] = 0.0
    """How much later than its rows or clock say the IMU was taken, by the clock of the segments [s]: one number, or
    numbers by recording (`Anna/walk.csv`) or subject."""
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
            raise ValueError("for CSV files, set either rate [Hz] or time (the name of the time column)")
        if self.time is None and (self.time_unit != "s" or self.on_bad_time != "error"):
            raise ValueError("time_unit and on_bad_time need time, the name of the clock column")
        if self._is_npz and self.imu_offset:
            raise ValueError("an .npz file has one label for each recording: imu_offset would move nothing")
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
        tracks = list(self._tracks(recorded, chosen, columns, factor_C, imu_spec))
        if not tracks:
            raise DataError(
                f"{self.root}: no recording of {', '.join(sorted(subjects))} is as long as a window of "
                f"{self.window:g} s"
            )
        index = self._index(recorded, tracks, num_too_short=len(chosen) - len(tracks))
        placed, segment_N = self._place(split, index)
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

    def file_format(self) -> FileFormat | None:
        """Return `channels`, `units` and the clock; None without `channels`."""
        if not self.channels:
            return None
        return FileFormat(
            channels=self.channels, units=self.units, rate=self.rate, time=self.time, time_unit=self.time_unit
        )

    def _open(self) -> RecordingSet:
        root = self.root.expanduser()
        if self._is_npz:
            return NpzRecordings(root)
        timing = Timing(
            self.rate,
            self.time,
            self.time_unit,
            max_gap=self.max_gap,
            on_bad_time=self.on_bad_time,
            check_clock=self.check_clock,
            imu_offset=self.imu_offset,
        )
        recorded = TabledRecordings(root, timing)
        if isinstance(self.imu_offset, dict):
            known = {*recorded.subjects, *map("/".join, zip(recorded.subjects, recorded.names, strict=True))}
            for name in self.imu_offset:
                if name not in known:
                    raise ConfigError(f"data.imu_offset: no subject or recording {name}{nearest(name, known)}")
        return recorded

    def _channels(self, recorded: RecordingSet, chosen: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the channels, and of their columns."""
        if self.channels:
            return tuple(self.channels), tuple(self.channels.values())
        headers = [(recorded.path(recording), recorded.columns(recording)) for recording in chosen]
        path, columns = headers[0]
        check_names(headers)
        kinds = [kind for kind in UNITS if any(column.startswith(f"{kind}_") for column in columns)]
        if not kinds:
            raise DataError(
                f"{path}: no column is named acc_... or gyro_...: set data.channels to the columns to use; columns: "
                f"{', '.join(columns)}{'' if self._is_npz else why_no_column(path)}"
            )
        names = agreed_channels(headers, [f"{kind}_*" for kind in kinds])
        return names, names

    def _tracks(
        self,
        recorded: RecordingSet,
        chosen: Sequence[int],
        columns: Sequence[str],
        factor_C: npt.NDArray[np.float32],
        spec: ImuSpec,
    ) -> Iterator[_Track]:
        """Yield the recordings that are as long as a window, in the units and at the rate of windows."""
        held = recordings = 0
        for _, own in groupby(chosen, key=lambda number: recorded.subjects[number]):
            files = list(own)
            read = [self._read(recorded, recording, columns) for recording in files]
            for recording, found in zip(files, read, strict=True):
                check_units(str(recorded.path(recording)), spec.channels, found.rows_nC, self.units)
            placement = _placed([recorded.path(recording) for recording in files], read)
            for place, (recording, found) in enumerate(zip(files, read, strict=True)):
                for track in found.tracks:
                    samples_nC = track.samples_nC * factor_C
                    if len(samples_nC) < spec.samples:
                        continue
                    held += samples_nC.nbytes
                    if held > LARGEST:
                        raise DataError(
                            f"{self.root}: the recordings of this split take more than {LARGEST / 2**30:g} GiB of "
                            f"memory at {self.imu_rate:g} Hz; name fewer subjects or channels, or lower data.imu_rate"
                        )
                    duration = len(samples_nC) / self.imu_rate
                    inside = [
                        (start, min(end, duration), label)
                        for start, end, label in track.segments
                        if end > 0 and start < duration
                    ]
                    number = recordings + int(placement.recording_N[place])
                    offset = float(placement.offset_N[place]) + track.start
                    yield _Track(recording, samples_nC, duration, inside, number, offset)
            recordings += placement.recordings

    def _read(self, recorded: RecordingSet, recording: int, columns: Sequence[str]) -> Recorded:
        try:
            return recorded.read(recording, columns, self.imu_rate)
        except ValueError as error:
            raise DataError(f"{recorded.path(recording)}: {error}") from error

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
            times=replace(
                ClipTimes.separate(duration_N),
                recording_N=np.array([track.number for track in tracks], dtype=np.int64),
                offset_N=np.array([track.offset for track in tracks]),
            ).take(np.arange(len(tracks))),
            activity=Segments.gather(track.segments for track in tracks),
            transition=Segments.gather(() for _ in tracks),
            activities=recorded.activities,
            num_too_short=num_too_short,
        )

    def _place(self, split: Split, index: ClipIndex) -> tuple[Windows, windows.Floats | None]:
        """Return the windows of a split, and for training also the length of each recording's segments."""
        times, duration_N = index.times, index.duration_N
        if split != "train":
            placed = windows.evaluation_windows(times.begin_N, times.end_N, self.window, self.eval_stride)
            return windows.distinct_moments(placed, times.recording_N, times.offset_N, times.end_N), None
        count_N = windows.stretches(duration_N, self.window, self.train_stride)
        placed = windows.training_windows(times.begin_N, times.end_N, self.window, count_N)
        return placed, windows.segment_length(duration_N, self.window, count_N)


def _placed(paths: Sequence[Path], files: Sequence[Recorded]) -> Placement:
    """Find which files of a subject were cut from one recording, by the rows that they share."""
    rate = min(found.rate for found in files)
    times = [found.time_n for found in files if found.time_n is not None]
    try:
        rows = [found.rows_nC for found in files]
        return place_clips(rows, rate, list(map(str, paths)), times if len(times) == len(files) else None)[0]
    except DataError as error:
        log.warning("%s; every file is taken as a recording of its own", str(error).partition("; state")[0])
        return Placement(np.arange(len(files)), np.zeros(len(files)))


class _Track(NamedTuple):
    """A recording in the units and at the rate of windows."""

    recording: int
    samples_nC: Samples
    duration: float
    """Length [s]."""
    segments: list[tuple[float, float, int]]
    """Start, end [s] and label; no segment ends after the recording."""
    number: int
    """Recording that the track is a piece of."""
    offset: float
    """Start of the track in that recording [s]."""
