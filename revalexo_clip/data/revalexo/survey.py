"""Find once what the files of clips say about time, and remember it: row counts, frame times, shared rows.

Reading every CSV and opening every video of a dataset takes minutes for thousands of clips. What is found is kept in
the cache folder, by the size and time of each file, so that later runs read only what has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, atomically
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.clocks import clock_like
from revalexo_clip.data.imu import UNITS, Samples, header_of, read_imu
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.recording_time import Placement, place_clips
from revalexo_clip.data.revalexo.pack.find import cache_folder
from revalexo_clip.data.revalexo.pack.part import stamp
from revalexo_clip.data.video import video_span
from revalexo_clip.data.windows import Floats

log = logging.getLogger("revalexo_clip")

FILE = "survey.json"
FORMAT = 1


class Span(NamedTuple):
    """The time that a file covers [s in the clip]."""

    begin: float
    end: float


class Kept(BaseModel):
    """The content of the cache file."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    rows: dict[str, tuple[int, int, int]] = {}
    """By IMU file: its size [bytes] and time [ns], and its number of rows."""
    spans: dict[str, tuple[int, int, float, float]] = {}
    """By video file: its size and time, and the span of its frames."""
    placements: dict[str, tuple[str, dict[str, tuple[int, float]]]] = {}
    """By subject: a digest of its IMU files, and the recording and offset of each clip."""


def sensor_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns whose rows are compared: accelerometers and gyroscopes, or all but clocks if there are none."""
    sensors = sorted({column for column in columns if column.split("_", 1)[0] in UNITS and columns.count(column) == 1})
    if sensors:
        return tuple(sensors)
    clocks = set(clock_like(columns))
    return tuple(sorted({column for column in columns if column not in clocks and columns.count(column) == 1}))


class Survey:
    """What the files of a dataset say about time. Looks into a file only if it has changed since it was last seen."""

    def __init__(self, root: Path) -> None:
        self.path = cache_folder(root) / FILE
        self.kept = _read(self.path)
        self.changed = False

    def save(self) -> None:
        """Remember what was found; without a writable cache folder it is found again next time."""
        if self.changed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(WriteError, OSError), atomically(self.path) as temporary:
                temporary.write_text(self.kept.model_dump_json(), encoding="utf-8")
            self.changed = False

    def rows(self, path: Path) -> int:
        """Number of rows of an IMU file. Raises `DataError` if it cannot be read."""
        size, changed = _stamp(path)
        found = self.kept.rows.get(str(path))
        if found is None or found[:2] != (size, changed):
            columns = sensor_columns(header_of(path))
            found = self.kept.rows[str(path)] = (size, changed, len(read_imu(path, columns[:1])))
            self.changed = True
        return found[2]

    def video(self, path: Path) -> Span:
        """Span of a video's frames. Raises `DataError` if it cannot be opened."""
        size, changed = _stamp(path)
        found = self.kept.spans.get(str(path))
        if found is None or found[:2] != (size, changed):
            found = self.kept.spans[str(path)] = (size, changed, *video_span(path))
            self.changed = True
        return Span(*found[2:])

    def placement(self, index: ClipIndex, rate: float, on_progress: OnProgress = no_progress) -> Placement:
        """Find the recording and the offset of each clip of an index by shared rows, subject by subject.

        A file that cannot be read is a recording of its own; what is wrong with it shows when its windows are read.
        """
        recording_N, offset_N = np.empty(len(index), dtype=np.int64), np.empty(len(index))
        number = 0
        subject_N = np.array(index.subjects)
        for subject in dict.fromkeys(index.subjects):
            own = np.flatnonzero(subject_N == subject).tolist()
            found = self._of_subject(index, subject, own, rate)
            for clip in own:
                recording, offset_N[clip] = found[index.names[clip]]
                recording_N[clip] = number + recording
            number = int(recording_N[own].max()) + 1
            on_progress(own[-1] + 1, len(index))
        return Placement(recording_N, offset_N)

    def _of_subject(
        self, index: ClipIndex, subject: str, own: Sequence[int], rate: float
    ) -> Mapping[str, tuple[int, float]]:
        stamps = [(index.names[clip], *_stamp(index.imu(clip))) for clip in own]
        digest = hashlib.sha256(json.dumps([FORMAT, rate, stamps]).encode()).hexdigest()
        known = self.kept.placements.get(subject)
        if known is None or known[0] != digest:
            placement, links = place_clips(
                _comparable([_sensors(index.imu(clip)) for clip in own]), rate, [index.names[clip] for clip in own]
            )
            placed = zip(placement.recording_N.tolist(), placement.offset_N.tolist(), strict=True)
            known = digest, dict(zip((index.names[clip] for clip in own), placed, strict=True))
            self.kept.placements[subject] = known
            self.changed = True
            log.debug("%s: %d pairs of clips share rows", subject, len(links))
        return known[1]


def _sensors(path: Path) -> tuple[tuple[str, ...], Samples]:
    try:
        columns = sensor_columns(header_of(path))
        return columns, read_imu(path, columns)
    except DataError:
        return (), np.empty((0, 0), dtype=np.float32)


def _comparable(files: Iterable[tuple[tuple[str, ...], Samples]]) -> list[Samples]:
    """Rows of the columns that most files have; a file with other columns shares nothing."""
    found = list(files)
    counts: dict[tuple[str, ...], int] = {}
    for columns, _ in found:
        counts[columns] = counts.get(columns, 0) + bool(columns)
    usual = max(counts, key=lambda columns: counts[columns], default=())
    return [samples if columns == usual else np.empty((0, len(usual)), np.float32) for columns, samples in found]


def _stamp(path: Path) -> tuple[int, int]:
    found = stamp(path)
    return found.size, found.changed


def _read(path: Path) -> Kept:
    try:
        kept = Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Kept()
    return kept if kept.format == FORMAT else Kept()


def common_time(duration_N: Floats, imu: Sequence[Span], video: Sequence[Span] | None) -> tuple[Floats, Floats]:
    """[N, 2] the time that the annotations, the IMU and the video of each clip share, and [N] what is cut [s]."""
    spans = [np.stack([np.zeros(len(duration_N)), duration_N], axis=1), np.array(imu).reshape(-1, 2)]
    if video is not None:
        spans.append(np.array(video).reshape(-1, 2))
    begin_N = np.max([span_N2[:, 0] for span_N2 in spans], axis=0)
    end_N = np.maximum(np.min([span_N2[:, 1] for span_N2 in spans], axis=0), begin_N)
    return np.stack([begin_N, end_N], axis=1), duration_N - (end_N - begin_N)
