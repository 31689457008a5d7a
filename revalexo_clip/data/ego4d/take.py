"""Takes: recordings of one person with one IMU table, one or more videos, and narrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.ego4d.rows import Table
from revalexo_clip.data.windows import Floats


class Narrations(NamedTuple):
    """Sentences about a recording, ascending by time."""

    time_S: Floats
    """Time of each [s]."""
    texts: tuple[str, ...]
    """The sentences as they are in the data."""

    def between(self, start: float, end: float) -> Narrations:
        """Return those in [start, end) [s], with times counted from `start`."""
        first, last = np.searchsorted(self.time_S, [start, end]).tolist()
        return Narrations(self.time_S[first:last] - start, self.texts[first:last])


def narrations_of(timed: Sequence[tuple[float, str]]) -> Narrations:
    """Sort sentences by their time [s]."""
    ordered = sorted(timed, key=lambda item: item[0])
    return Narrations(np.array([time for time, _ in ordered], dtype=np.float64), tuple(text for _, text in ordered))


SILENCE = narrations_of([])
"""No narrations."""


@dataclass(frozen=True)
class Footage:
    """A video file of a take."""

    name: str
    """Unique name of the clip in the dataset, without subject."""
    video: Path
    start: float = 0.0
    """Time of its first frame in the take [s]."""


@dataclass(frozen=True)
class Take:
    """A recording. Its times count from the first frame of its (whole) video."""

    name: str
    """Unique name, such as Ego4D's `video_uid`."""
    subject: str
    imu: Path
    """IMU table."""
    footage: tuple[Footage, ...]
    narrations: Narrations = field(default=SILENCE, repr=False)


class Layout(ABC):
    """The files of a dataset."""

    root: Path
    takes: tuple[Take, ...]
    """All takes that have an IMU, ordered by name."""

    def settings(self, take: Take) -> str:
        """Return what else determines the times and values of a table; it is read again if this changes."""
        return ""

    @abstractmethod
    def read(self, take: Take) -> Table:
        """Read the IMU table of a take. Raises `DataError`, naming the file, if it cannot be read."""
