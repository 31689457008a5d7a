"""What is known of labelled recordings before their samples are read, and the samples of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import Samples

WHOLE = (0.0, float("inf"))
"""Start and end [s] of a label that holds as long as its recording lasts."""


class Track(NamedTuple):
    """One recording as it was sampled."""

    samples_nC: Samples
    """In the order of the columns that were asked for, in the file's units."""
    rate: float
    """[Hz]"""
    segments: Sequence[tuple[float, float, int]]
    """Start, end [s from the first sample] and label; they may reach beyond the samples."""


class RecordingSet(ABC):
    """R labelled recordings on disk."""

    root: Path
    """The folder that `files` start at."""
    files: Sequence[str]
    """The file that each recording is in."""
    subjects: Sequence[str]
    """Whose each recording is."""
    names: Sequence[str]
    """What each recording is called; no two of them are called the same."""
    activities: tuple[str, ...]
    """All there are, whoever does them; a label is an index into them."""

    def path(self, recording: int) -> Path:
        """The file that a recording is in."""
        return self.root / self.files[recording]

    @abstractmethod
    def columns(self, recording: int) -> tuple[str, ...]:
        """The names of a recording's columns. Raises `DataError` where they cannot be read."""

    @abstractmethod
    def read(self, recording: int, columns: Sequence[str]) -> Track:
        """A recording's samples. Raises `DataError`, naming file and place, where they are not what they should be."""

    @abstractmethod
    def fingerprint(self, recordings: Sequence[int]) -> str:
        """See `LabelledWindows.fingerprint`."""


def positions(columns: Sequence[str], wanted: Sequence[str], path: Path) -> list[int]:
    """Where the wanted columns are. Raises `DataError` for one that is not there, and for one that is there twice."""
    for name in wanted:
        if name not in columns:
            raise DataError(f"{path}: no column {name}; columns: {', '.join(columns)}")
        if columns.count(name) > 1:
            raise DataError(f"{path}: more than one column is named {name}")
    return [columns.index(name) for name in wanted]
