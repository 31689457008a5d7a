"""IMU files placed by their clock, or moved against the video: samples on the grid of windows."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.clocks import MAX_GAP, BadTime, ClockError, Piece, on_grid, seconds, split_at_gaps
from revalexo_clip.data.imu import ImuCache, Samples, header_of, read_column, read_imu
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.revalexo.survey import Span, Survey
from revalexo_clip.data.source import ClipSource, FrameTimes
from revalexo_clip.data.video import Pixels
from revalexo_clip.data.windows import Floats

log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class Clock:
    """How the rows of IMU files are placed in time."""

    rate: float
    """Rate of windows; of rows, too, if there is no clock [Hz]."""
    time: str | None = None
    """Clock column; without one, rows are 1 / rate apart."""
    unit: TimeUnit = "s"
    from_first_row: bool = False
    """Whether the first row of each file is the start of the clip, whatever its clock says."""
    max_gap: float = MAX_GAP
    """Longest time without a row [s]."""
    on_bad_time: BadTime = "error"
    offsets: Mapping[Path, float] = field(default_factory=dict)
    """How much later the IMU of some files was taken [s]."""

    def spans(self, index: ClipIndex, clip: int, channels: tuple[str, ...], survey: Survey) -> list[Span]:
        """Return the spans of a clip's IMU [s in the clip]. Raises `DataError` if the clock cannot be used."""
        path = index.imu(clip)
        stamp = index.imu_stamp(clip)
        found = survey.clock(path, self.settings(path), lambda: self.read(path, channels, tell=True)[2], stamp)
        self.check_inside(path, found, float(index.duration_N[clip]))
        return found

    def settings(self, path: Path) -> str:
        """Return what the times of a file depend on, apart from its content."""
        offset = self.offsets.get(path, 0.0)
        return json.dumps(
            [self.rate, self.time, self.unit, self.from_first_row, self.max_gap, self.on_bad_time, offset]
        )

    def check_inside(self, path: Path, spans: Sequence[Span], duration: float) -> None:
        """Raise `DataError` if a file has no samples within its clip of `duration` [s]."""
        if spans[0].begin < duration and spans[-1].end > 0:
            return
        runs = f"runs from {spans[0].begin:.3f} s to {spans[-1].end:.3f} s, and the clip lasts {duration:g} s"
        if self.time is None:
            raise DataError(f"{path}: moved by data.imu_offset, it {runs}")
        raise DataError(
            f"{path}: column {self.time} {runs}. Is {self.unit} its unit (data.time_unit)? If it does not count from "
            "the first frame of the video, set data.time_zero=first_row"
        )

    def row_times(self, path: Path) -> Floats:
        """Return the time of each row of a file [s in the clip], in file order. Raises `DataError`."""
        offset = self.offsets.get(path, 0.0)
        if self.time is None:
            return np.arange(len(read_column(path, header_of(path)[0])[0])) / self.rate + offset
        time_n, _ = self._stamps(path, self.time)
        return time_n + (offset - float(time_n.min()) if self.from_first_row else offset)

    def _stamps(self, path: Path, column: str) -> tuple[Floats, list[int]]:
        """Read the clock of a file [s], and the line of each row."""
        cells, lines = read_column(path, column)
        try:
            return seconds(cells, self.unit), lines
        except ClockError as error:
            raise DataError(f"{path}: line {lines[error.row]}, column {column}: {error}") from error

    def pieces(self, path: Path, channels: tuple[str, ...], *, tell: bool = False) -> list[Piece]:
        """Read a file as pieces without gaps. Raises `DataError`, naming line and column.

        With `tell`, the log says which rows are sorted and dropped.
        """
        samples_nC, offset = read_imu(path, channels), self.offsets.get(path, 0.0)
        if self.time is None:
            return [Piece(samples_nC, np.arange(len(samples_nC)) / self.rate + offset)]
        time_n, lines = self._stamps(path, self.time)
        try:
            found = split_at_gaps(samples_nC, time_n, max_gap=self.max_gap, on_bad_time=self.on_bad_time)
        except ClockError as error:
            raise DataError(f"{path}: line {lines[error.row]}, column {self.time}: {error}") from error
        if tell and self.on_bad_time == "sort":
            _tell_sorting(path, time_n)
        if self.from_first_row:
            offset -= float(found[0].time_n[0])
        return [Piece(piece.samples_nC, piece.time_n + offset) for piece in found]

    def read(self, path: Path, channels: tuple[str, ...], *, tell: bool = False) -> tuple[Samples, int, list[Span]]:
        """Return samples at `rate`, the number of the first one, and the spans that have samples [s in the clip].

        Between two pieces there are NaN. Raises `DataError`.
        """
        try:
            grids = [on_grid(piece, self.rate) for piece in self.pieces(path, channels, tell=tell)]
        except ValueError as error:
            raise DataError(f"{path}: {error}") from error
        grids = [(samples_mC, first) for samples_mC, first in grids if len(samples_mC)]
        if not grids:
            raise DataError(f"{path}: has no two rows that follow one another")
        begin, end = grids[0][1], max(first + len(samples_mC) for samples_mC, first in grids)
        whole_mC = np.full((end - begin, len(channels)), np.nan, dtype=np.float32)
        for samples_mC, first in grids:
            whole_mC[first - begin : first - begin + len(samples_mC)] = samples_mC
        spans = [Span(first / self.rate, (first + len(samples_mC)) / self.rate) for samples_mC, first in grids]
        return whole_mC, begin, spans


def _tell_sorting(path: Path, time_n: Floats) -> None:
    """Say in the log which rows of a file are sorted and dropped, if any are."""
    backwards, repeated = int((np.diff(time_n) < 0).sum()), len(time_n) - len(np.unique(time_n))
    if backwards or repeated:
        log.warning(
            "%s: rows are sorted by time: the clock went back %d times, and %d rows that repeat a time are dropped",
            path,
            backwards,
            repeated,
        )


class _Cache(ImuCache):
    """Keeps samples and the number of the first one. A pickled copy is empty."""

    def __init__(self, channels: tuple[str, ...], clock: Clock) -> None:
        super().__init__(channels)
        self.clock = clock
        self.first: dict[Path, int] = {}

    def __reduce__(self) -> tuple[type[ImuCache], tuple[object, ...]]:
        return _Cache, (self.channels, self.clock)

    def _load(self, path: Path) -> Samples:
        samples_mC, self.first[path], _ = self.clock.read(path, self.channels)
        return samples_mC


class ClockedFiles(ClipSource):
    """Reads IMU from the CSV files by their clock, and frames from another source."""

    def __init__(self, index: ClipIndex, channels: tuple[str, ...], clock: Clock, frames: ClipSource) -> None:
        self.index, self.video = index, frames
        self.recordings = _Cache(channels, clock)

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        return len(self.recordings.read(self.index.imu(clip)))

    def first(self, clip: int) -> int:
        """See `ImuSource.first`."""
        path = self.index.imu(clip)
        if path not in self.recordings.first:
            self.recordings.read(path)
        return self.recordings.first[path]

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        return self.recordings.read(self.index.imu(clip))[place].copy()

    def frames(self, clip: int, time_T: Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """See `ClipSource.frames`."""
        return self.video.frames(clip, time_T, short_side, crop, burst)

    def frame_times(self, clip: int) -> FrameTimes:
        """See `ClipSource.frame_times`."""
        return self.video.frame_times(clip)

    def pixel_source(self, clip: int) -> str:
        """See `ClipSource.pixel_source`."""
        return self.video.pixel_source(clip)

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return self.video.fingerprint()


def offsets_of(index: ClipIndex, imu_offset: float | Mapping[str, float]) -> dict[Path, float]:
    """Return by IMU file how much later its IMU was taken than it says [s]; see `offset_of`.

    Raises `DataError` if clips of one IMU file are moved by different times.
    """
    found: dict[Path, tuple[float, str]] = {}
    for clip, (name, subject) in enumerate(zip(index.names, index.subjects, strict=True)):
        number = offset_of(name, subject, imu_offset, index.imu_offset(clip))
        other, first = found.setdefault(index.imu(clip), (number, name))
        if other != number:
            raise DataError(
                f"{index.imu(clip)}: its imu_offset is {other:g} s for {first} and {number:g} s for {name}; give each "
                "clip a copy of the file"
            )
    return {path: number for path, (number, _) in found.items() if number}


def offset_of(name: str, subject: str, imu_offset: float | Mapping[str, float], declared: float = 0.0) -> float:
    """Return how much later the IMU of a clip was taken than it says [s].

    A mapping names clips (`Subject01/0001`) or subjects (`Subject01`); the name of a clip takes precedence. What is set
    replaces what the dataset's files have `declared`; a number of 0 sets nothing.
    """
    if isinstance(imu_offset, float | int):
        return float(imu_offset) or declared
    return imu_offset.get(name, imu_offset.get(subject, declared))
