"""Interface of sets of labelled IMU recordings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.csv_form import why_no_column
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import Floats

WHOLE = (0.0, float("inf"))
"""Start and end [s] of a label that applies to the whole recording."""


class Track(NamedTuple):
    """A recording, or a piece of it between two gaps, at the rate of windows."""

    samples_nC: Samples
    """Samples, in the order of the requested columns and in the file's units."""
    start: float
    """Time of the first sample [s from the first row of the file]."""
    segments: Sequence[tuple[float, float, int]]
    """Start, end [s from the first sample] and label; segments may extend beyond the samples."""


class Recorded(NamedTuple):
    """The content of one file."""

    tracks: Sequence[Track]
    rows_nC: Samples
    """The rows at the file's own rate, by which recordings that share rows are found."""
    time_n: Floats | None
    """Time of each row [s from the first one]; None if rows are 1 / rate apart."""
    rate: float
    """Usual rate of the rows [Hz]."""


class RecordingSet(ABC):
    """R labelled recordings on disk."""

    root: Path
    """Folder that `files` are relative to."""
    files: Sequence[str]
    """File of each recording."""
    subjects: Sequence[str]
    """Subject of each recording."""
    names: Sequence[str]
    """Unique name of each recording."""
    activities: tuple[str, ...]
    """Activities of all subjects; a label is an index into them."""

    def path(self, recording: int) -> Path:
        """Return the path of a recording's file."""
        return self.root / self.files[recording]

    @abstractmethod
    def columns(self, recording: int) -> tuple[str, ...]:
        """Return the names of a recording's columns. Raises `DataError` if they cannot be read."""

    @abstractmethod
    def read(self, recording: int, columns: Sequence[str], to: float) -> Recorded:
        """Read the given columns of a recording and resample them to `to` [Hz].

        Raises `DataError`, naming file and place, if they are invalid; and `ValueError` if the rate is too low.
        """

    @abstractmethod
    def fingerprint(self, recordings: Sequence[int]) -> str:
        """See `LabelledWindows.fingerprint`."""


def positions(columns: Sequence[str], wanted: Sequence[str], path: Path) -> list[int]:
    """Return the indices of the wanted columns. Raises `DataError` if one is missing or repeated."""
    for name in wanted:
        if name not in columns:
            form = why_no_column(path) if path.suffix != ".npz" else ""
            raise DataError(f"{path}: no column {name}; columns: {', '.join(columns)}{form}")
        if columns.count(name) > 1:
            raise DataError(f"{path}: more than one column is named {name}")
    return [columns.index(name) for name in wanted]
