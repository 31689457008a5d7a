"""Recordings in a CSV file each, a table that lists them, and perhaps another one of what happens in them."""

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
"""How far a segment may reach beyond its recording [s]: who labels a video does not see where the samples end."""


class TabledRecordings(RecordingSet):
    """The recordings that `recordings.csv` lists.

    recordings.csv   file, subject, label: a label for each whole recording
    or
    recordings.csv   file, subject
    segments.csv     file, start, end, label: any number of lines for each recording

    Files are named from the folder that the tables are in. Times are seconds from a recording's first row, or by its
    column of times where `time` names one. What lies in no segment has no label.
    """

    def __init__(self, root: Path, *, rate: float | None, time: str | None) -> None:
        """Read the tables. Either the `rate` of all recordings is given [Hz], or the name of a column of times [s]."""
        if not root.is_dir():
            problem = "is neither a folder nor an .npz file" if root.exists() else "there is no such folder"
            raise DataError(f"{root}: {problem}; point `data.root` at a folder with {RECORDINGS}, or at an .npz file")
        assert (rate is None) is not (time is None)
        self.root, self.rate, self.time = root, rate, time
        self.table, segments = root / RECORDINGS, root / SEGMENTS
        if not self.table.exists():
            raise DataError(f"{root}: holds no {RECORDINGS}, a table with the columns file, subject and label")
        whole = "label" in header_of(self.table)
        if whole is segments.exists():
            problem = f"and there is {SEGMENTS} too; keep one of them" if whole else f"nor is there {SEGMENTS}"
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
                    f"{self.root / SEGMENTS}: line {line}: from {start:.2f} s to {end:.2f} s, and "
                    f"{self.files[recording]} lasts from {first:.2f} s to {last:.2f} s"
                )
        return Track(samples_nC, rate, [(start - first, end - first, label) for start, end, label, _ in segments])

    def _samples(self, recording: int, columns: Sequence[str]) -> tuple[Samples, float, float]:
        """A recording's samples, their rate [Hz], and when the first of them was taken [s]."""
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
    """A labelled stretch of a recording."""

    start: float
    """By the recording's clock [s]."""
    end: float
    label: int
    line: int
    """Of the table that it is in."""


class Row(NamedTuple):
    """A line of a table."""

    line: int
    cells: Mapping[str, str]


def _table(path: Path, wanted: Sequence[str]) -> list[Row]:
    """The lines of a table, of which the wanted columns are there and filled in."""
    columns, rows = read_rows(path)
    places = positions(columns, wanted, path)
    if not rows:
        raise DataError(f"{path}: holds a header and no lines")
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
    """A file from the root."""
    path = relative_file("", row.cells["file"])
    if path is None:
        raise DataError(f"{table}: line {row.line}: the path '{row.cells['file']}' leaves the folder of the table")
    return path


def _each_once(rows: Sequence[Row], files: Sequence[str], table: Path) -> None:
    seen: dict[str, int] = {}
    for row, file in zip(rows, files, strict=True):
        if file in seen:
            raise DataError(f"{table}: line {row.line}: {file} is in line {seen[file]} already")
        seen[file] = row.line


def _number(row: Row, column: str, table: Path) -> float:
    try:
        number = float(row.cells[column])
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"{table}: line {row.line}, column {column}: '{row.cells[column]}' is not a number of seconds")
    return number
