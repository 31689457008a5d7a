"""Recordings in CSV files, listed in a table; labels are in the same table, in a table of segments, or in the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.text import spelled_twice
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.clocks import MAX_GAP, BadTime, Piece, on_grid
from revalexo_clip.data.csv_form import why_no_column, why_uneven
from revalexo_clip.data.imu import clock_like, header_of, read_imu, read_rows
from revalexo_clip.data.index import check_file, fingerprint
from revalexo_clip.data.recordings.base import WHOLE, Recorded, RecordingSet, Track, positions
from revalexo_clip.data.recordings.row_labels import numbered, read_row_labels, segments_of
from revalexo_clip.data.resampling import resampled
from revalexo_clip.data.revalexo.clocked import Clock, offset_of
from revalexo_clip.data.revalexo.layout import relative_file
from revalexo_clip.data.revalexo.survey import imu_facts
from revalexo_clip.data.windows import Floats, Ints

RECORDINGS, SEGMENTS = "recordings.csv", "segments.csv"
LABEL, LABEL_COLUMN = "label", "label_column"

SLACK = 0.5
"""Largest allowed time between the end of a recording and the end of a segment [s]. Labels are often made from video,
which does not show where the samples end."""


class TabledRecordings(RecordingSet):
    """The recordings in `recordings.csv`.

    recordings.csv   file, subject, label: one label per recording
    or
    recordings.csv   file, subject, label_column: the column of the file that has a label for each row, or a blank
    or
    recordings.csv   file, subject
    segments.csv     file, start, end, label: any number of lines per recording

    Files are relative to the folder of the tables. Times are in seconds from a recording's first row or, if there is a
    clock column, by that clock. Times outside all segments have no label.
    """

    def __init__(self, root: Path, timing: Timing) -> None:
        """Read the tables. `timing` has either the rate of all recordings or the name of their clock column."""
        if not root.is_dir():
            problem = "is neither a folder nor an .npz file" if root.exists() else "there is no such folder"
            raise DataError(f"{root}: {problem}; set `data.root` to a folder with {RECORDINGS}, or to an .npz file")
        assert (timing.rate is None) is not (timing.time is None)
        self.root, self.timing = root, timing
        self.table, segments = root / RECORDINGS, root / SEGMENTS
        if not self.table.exists():
            raise DataError(f"{root}: has no {RECORDINGS}, a table with the columns file, subject and label")
        wanted = self._wanted(segments)
        rows = _table(self.table, wanted)
        self.files = tuple(_inside(row, self.table) for row in rows)
        _each_once(rows, self.files, self.table)
        self.names = self.files
        self.subjects = tuple(row.cells["subject"] for row in rows)
        whole, of_rows = LABEL in wanted, LABEL_COLUMN in wanted
        self.tables = (self.table,) if whole or of_rows else (self.table, segments)
        if of_rows:
            labels = [self._read_row_labels(number, row) for number, row in enumerate(rows)]
            self.activities = self._sorted(
                f"{self.table}, column {LABEL_COLUMN}", {name for own in labels for name in own}
            )
            self.row_labels: list[Ints] | None = [numbered(own, self.activities) for own in labels]
            self.labels = self.segments = None
            return
        labelled = rows if whole else _table(segments, ("file", "start", "end", LABEL))
        self.activities = self._sorted(self.table if whole else segments, {row.cells[LABEL] for row in labelled})
        self.row_labels = None
        self.labels = tuple(self._label(row) for row in rows) if whole else None
        self.segments = None if whole else self._segments(labelled, segments)

    def _wanted(self, segments: Path) -> tuple[str, ...]:
        """Return the columns of the table of recordings, which say where the labels are. Raises `DataError`."""
        header = header_of(self.table)
        positions(header, ("file", "subject"), self.table)
        found = [name for name in (LABEL, LABEL_COLUMN) if name in header]
        if len(found) > 1:
            raise DataError(f"{self.table}: has the columns {LABEL} and {LABEL_COLUMN}; keep one of them")
        if bool(found) is segments.exists():
            if found:
                raise DataError(f"{self.table}: has a column {found[0]}, but {SEGMENTS} exists too; keep one of them")
            raise DataError(
                f"{self.table}: has no column {LABEL}, and {SEGMENTS} does not exist. If the recordings have a column "
                f"of labels, add a column {LABEL_COLUMN} with its name"
            )
        return ("file", "subject", *found)

    def _read_row_labels(self, recording: int, row: Row) -> list[str]:
        column, path = row.cells[LABEL_COLUMN], self.path(recording)
        columns = self.columns(recording)
        if column not in columns:
            raise DataError(
                f"{path}: no column {column}, which {self.table} names in line {row.line}, column {LABEL_COLUMN}; "
                f"columns: {', '.join(columns)}{why_no_column(path)}"
            )
        positions(columns, (column,), path)
        return read_row_labels(path, column)

    @staticmethod
    def _sorted(where: object, names: set[str]) -> tuple[str, ...]:
        activities = tuple(sorted(names - {""}))
        if problem := spelled_twice(activities):
            raise DataError(f"{where}: {problem}")
        return activities

    def _label(self, row: Row) -> int:
        return self.activities.index(row.cells[LABEL])

    def _segments(self, rows: Sequence[Row], table: Path) -> list[list[Segment]]:
        place = {file: number for number, file in enumerate(self.files)}
        segments: list[list[Segment]] = [[] for _ in self.files]
        for row in rows:
            file = _inside(row, table)
            if file not in place:
                raise DataError(f"{table}: line {row.line}: {file} is not in {RECORDINGS}")
            start, end = (_number(row, name, table) for name in ("start", "end"))
            if end < start:
                raise DataError(f"{table}: line {row.line}: ends at {end:.2f} s, before it starts at {start:.2f} s")
            segments[place[file]].append(Segment(start, end, self._label(row), row.line))
        return segments

    def columns(self, recording: int) -> tuple[str, ...]:
        """See `RecordingSet.columns`."""
        check_file(self.root, self.files[recording], f"recording of {self.subjects[recording]}", self.table)
        return header_of(self.path(recording))

    def read(self, recording: int, columns: Sequence[str], to: float) -> Recorded:
        """See `RecordingSet.read`."""
        path, subject = self.path(recording), self.subjects[recording]
        positions(self.columns(recording), [*columns, *([] if self.timing.time is None else [self.timing.time])], path)
        moved = offset_of(f"{subject}/{self.names[recording]}", subject, self.timing.imu_offset)
        if self.timing.rate is not None:
            return self._evenly(recording, columns, self.timing.rate, to, moved)
        pieces = self.timing.clock(to).pieces(path, tuple(columns), tell=True)
        time_n = np.concatenate([piece.time_n for piece in pieces])
        begun = float(time_n[0])
        usual = 1 / float(np.median(np.diff(time_n)))
        labels = self._labels(recording, time_n + moved, usual, to)
        tracks = []
        for piece in pieces:
            samples_mC, first = on_grid(Piece(piece.samples_nC, piece.time_n - begun), to)
            start = first / to
            tracks.append(Track(samples_mC, start, _moved(labels, begun + moved + start)))
        return Recorded(tracks, np.concatenate([piece.samples_nC for piece in pieces]), time_n - begun, usual)

    def _evenly(self, recording: int, columns: Sequence[str], rate: float, to: float, moved: float) -> Recorded:
        """Read a recording whose rows are 1 / `rate` [s] apart."""
        path = self.path(recording)
        samples_nC = read_imu(path, columns)
        if self.timing.check_clock:
            _check_rate(path, rate)
        labels = self._labels(recording, moved + np.arange(len(samples_nC)) / rate, rate, to)
        track = Track(resampled(samples_nC, rate, to), 0.0, _moved(labels, moved))
        return Recorded([track], samples_nC, None, rate)

    def _labels(self, recording: int, time_n: Floats, usual: float, to: float) -> list[tuple[float, float, int]]:
        """Return the labelled segments of a recording whose rows have these times [s], by the clock of the segments.

        `usual` is the usual rate of the rows [Hz].
        """
        if self.labels is not None:
            return [(*WHOLE, self.labels[recording])]
        if self.row_labels is not None:
            label_n = self.row_labels[recording]
            if self.timing.time is not None:  # rows are sorted by time, and each time is there once
                label_n = label_n[
                    np.unique(self.timing.clock(to).row_times(self.path(recording)), return_index=True)[1]
                ]
            return segments_of(label_n, time_n, 1 / usual, max(self.timing.max_gap, 4 / usual))
        first, last = float(time_n[0]), float(time_n[-1]) + 1 / usual
        assert self.segments is not None
        for start, end, _, line in self.segments[recording]:
            if start < first - SLACK or end > last + SLACK:
                raise DataError(
                    f"{self.root / SEGMENTS}: line {line}: the segment is from {start:.2f} s to {end:.2f} s, but "
                    f"{self.files[recording]} is from {first:.2f} s to {last:.2f} s"
                )
        return [(start, end, label) for start, end, label, _ in self.segments[recording]]

    def fingerprint(self, recordings: Sequence[int]) -> str:
        """See `RecordingSet.fingerprint`."""
        sizes = ((self.files[recording], self.path(recording).stat().st_size) for recording in recordings)
        labels = [] if self.row_labels is None else [self.path(recording) for recording in recordings]
        return fingerprint(map(sha256_of, (*self.tables, *labels)), sizes)


def _moved(labels: Sequence[tuple[float, float, int]], begun: float) -> list[tuple[float, float, int]]:
    """Count the times of labels from `begun` [s]; a label of the whole recording is one of every piece."""
    return [(0.0 if (start, end) == WHOLE else start - begun, end - begun, label) for start, end, label in labels]


def _check_rate(path: Path, rate: float) -> None:
    """Raise `DataError` if a column that looks like a clock contradicts the rate [Hz]."""
    if not clock_like(header_of(path)):
        return
    try:
        _, wrong, _ = imu_facts(path, rate)
    except DataError:  # a column that is not read may hold anything
        return
    if wrong:
        raise DataError(
            f"{path}: {wrong}. Name the column in data.time (instead of data.rate) to place rows by it, correct "
            "data.rate, or set data.check_clock=false if it is no clock"
        )


@dataclass(frozen=True)
class Timing:
    """How the rows of CSV files are placed in time: by their rate, or by their clock. See `ImuRecordings`."""

    rate: float | None = None
    """[Hz]"""
    time: str | None = None
    unit: TimeUnit = "s"
    max_gap: float = MAX_GAP
    """[s]"""
    on_bad_time: BadTime = "error"
    check_clock: bool = True
    imu_offset: float | Mapping[str, float] = 0.0
    """[s]"""

    def clock(self, to: float) -> Clock:
        """Return the clock of the files, for samples at `to` [Hz]."""
        return Clock(to, self.time, self.unit, max_gap=self.max_gap, on_bad_time=self.on_bad_time)


class Segment(NamedTuple):
    """A labelled segment of a recording."""

    start: float
    """Start, by the recording's clock [s]."""
    end: float
    """End, by the recording's clock [s]."""
    label: int
    line: int
    """Line number in the table."""


class Row(NamedTuple):
    """A line of a table."""

    line: int
    cells: Mapping[str, str]


def _table(path: Path, wanted: Sequence[str]) -> list[Row]:
    """Read the lines of a table. Raises `DataError` if a wanted column is missing or has an empty cell."""
    columns, rows = read_rows(path)
    places = positions(columns, wanted, path)
    if not rows:
        raise DataError(f"{path}: has a header but no lines")
    table = []
    for line, row in rows:
        if len(row) != len(columns):
            why = why_uneven(row, len(columns))
            raise DataError(f"{path}: line {line} has {len(row)} cells, the header has {len(columns)}{why}")
        cells = {name: row[place].strip() for name, place in zip(wanted, places, strict=True)}
        empty = [name for name, cell in cells.items() if not cell]
        if empty:
            raise DataError(f"{path}: line {line}: column {empty[0]} is empty")
        table.append(Row(line, cells))
    return table


def _inside(row: Row, table: Path) -> str:
    """Return the path of a line's file, relative to the root."""
    path = relative_file("", row.cells["file"])
    if path is None:
        raise DataError(f"{table}: line {row.line}: the path '{row.cells['file']}' is outside the table's folder")
    return path


def _each_once(rows: Sequence[Row], files: Sequence[str], table: Path) -> None:
    seen: dict[str, int] = {}
    for row, file in zip(rows, files, strict=True):
        if file in seen:
            raise DataError(f"{table}: line {row.line}: {file} is already in line {seen[file]}")
        seen[file] = row.line


def _number(row: Row, column: str, table: Path) -> float:
    try:
        number = float(row.cells[column])
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"{table}: line {row.line}, column {column}: '{row.cells[column]}' is not a number of seconds")
    return number
