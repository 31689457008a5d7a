"""Recordings in CSV files, listed in a table; labels are in the same table or in a table of segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.imu import Samples, header_of, read_imu, read_rows, read_timed_imu
from revalexo_clip.data.index import check_file, fingerprint
from revalexo_clip.data.recordings.base import WHOLE, RecordingSet, Track, positions
from revalexo_clip.data.resampling import evenly_spaced
from revalexo_clip.data.revalexo.layout import relative_file

RECORDINGS, SEGMENTS = "recordings.csv", "segments.csv"

SLACK = 0.5
"""Largest allowed time between the end of a recording and the end of a segment [s]. Labels are often made from video,
which does not show where the samples end."""


class TabledRecordings(RecordingSet):
    """The recordings in `recordings.csv`.

    recordings.csv   file, subject, label: one label per recording
    or
    recordings.csv   file, subject
    segments.csv     file, start, end, label: any number of lines per recording

    Files are relative to the folder of the tables. Times are in seconds from a recording's first row or, if `time` is
    set, by its time column. Times outside all segments have no label.
    """

    def __init__(self, root: Path, *, rate: float | None, time: str | None) -> None:
        """Read the tables. Either `rate` of all recordings [Hz] or `time`, the name of the time column [s], is set."""
        if not root.is_dir():
            problem = "is neither a folder nor an .npz file" if root.exists() else "there is no such folder"
            raise DataError(f"{root}: {problem}; set `data.root` to a folder with {RECORDINGS}, or to an .npz file")
        assert (rate is None) is not (time is None)
        self.root, self.rate, self.time = root, rate, time
        self.table, segments = root / RECORDINGS, root / SEGMENTS
        if not self.table.exists():
            raise DataError(f"{root}: has no {RECORDINGS}, a table with the columns file, subject and label")
        whole = "label" in header_of(self.table)
        if whole is segments.exists():
            problem = f"but {SEGMENTS} exists too; keep one of them" if whole else f"and {SEGMENTS} does not exist"
            raise DataError(f"{self.table}: has {'a' if whole else 'no'} column label, {problem}")
        rows = _table(self.table, ("file", "subject", "label") if whole else ("file", "subject"))
        self.files = tuple(_inside(row, self.table) for row in rows)
        _each_once(rows, self.files, self.table)
        self.names = self.files
        self.subjects = tuple(row.cells["subject"] for row in rows)
        self.tables = (self.table,) if whole else (self.table, segments)
        labelled = rows if whole else _table(segments, ("file", "start", "end", "label"))
        self.activities = tuple(sorted({row.cells["label"] for row in labelled}))
        self.labels = tuple(self._label(row) for row in rows) if whole else None
        self.segments = None if whole else self._segments(labelled, segments)

    def _label(self, row: Row) -> int:
        return self.activities.index(row.cells["label"])

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

    def read(self, recording: int, columns: Sequence[str]) -> Track:
        """See `RecordingSet.read`."""
        samples_nC, rate, first = self._samples(recording, columns)
        if self.labels is not None:
            return Track(samples_nC, rate, [(*WHOLE, self.labels[recording])])
        assert self.segments is not None
        last, segments = first + len(samples_nC) / rate, self.segments[recording]
        for start, end, _, line in segments:
            if start < first - SLACK or end > last + SLACK:
                raise DataError(
                    f"{self.root / SEGMENTS}: line {line}: the segment is from {start:.2f} s to {end:.2f} s, but "
                    f"{self.files[recording]} is from {first:.2f} s to {last:.2f} s"
                )
        return Track(samples_nC, rate, [(start - first, end - first, label) for start, end, label, _ in segments])

    def _samples(self, recording: int, columns: Sequence[str]) -> tuple[Samples, float, float]:
        """Read a recording's samples, their rate [Hz], and the time of the first sample [s]."""
        path = self.path(recording)
        positions(self.columns(recording), [*columns, self.time] if self.time else columns, path)
        if self.time is None:
            assert self.rate is not None
            return read_imu(path, columns), self.rate, 0.0
        samples_nC, time_n = read_timed_imu(path, columns, self.time)
        try:
            samples_nC, rate = evenly_spaced(samples_nC, time_n)
        except ValueError as error:
            raise DataError(f"{path}: column {self.time}: {error}") from error
        return samples_nC, rate, float(time_n[0])

    def fingerprint(self, recordings: Sequence[int]) -> str:
        """See `RecordingSet.fingerprint`."""
        sizes = ((self.files[recording], self.path(recording).stat().st_size) for recording in recordings)
        return fingerprint(map(sha256_of, self.tables), sizes)


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
            raise DataError(f"{path}: line {line} has {len(row)} cells, the header has {len(columns)}")
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
