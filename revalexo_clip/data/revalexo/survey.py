"""Find once what the files of clips say about time, and remember it: rows, clocks, frame times, shared rows.

Reading every CSV and opening every video of a dataset takes minutes for thousands of clips. What is found is kept in
the cache folder, by the size and time of each file, so that later runs read only what has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError, atomically
from revalexo_clip.data.clocks import contradiction, first_reading
from revalexo_clip.data.imu import UNITS, Samples, clock_like, header_of, read_imu, read_timed_imu
from revalexo_clip.data.index import ClipIndex, Stamp
from revalexo_clip.data.recording_time import Placement, place_clips
from revalexo_clip.data.revalexo.layout import subject_files
from revalexo_clip.data.revalexo.pack.find import cache_folder
from revalexo_clip.data.revalexo.pack.stamps import stamp as stamp_file
from revalexo_clip.data.video import video_span
from revalexo_clip.data.windows import Floats

FILE = "survey.json"
FORMAT = 1

Sensors = Callable[[int], tuple[tuple[str, ...], Samples]]
"""Gives the columns and rows of a clip's IMU that are compared with those of other clips."""
RowTimes = Callable[[int], Floats]
"""Gives the time of each row of a clip's IMU file [s in the clip]."""


class Span(NamedTuple):
    """The time that a file covers [s in the clip]."""

    begin: float
    end: float


class ImuFacts(NamedTuple):
    """What is remembered of an IMU file."""

    size: int
    changed: int
    rows: int
    wrong: str
    """How a column that looks like a clock contradicts the sampling rate; "" if none does."""
    first: float
    """First reading of such a column [s]; 0 without one."""


class Kept(BaseModel):
    """The content of the cache file."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    imu: dict[str, ImuFacts] = {}
    """By IMU file and sampling rate."""
    video: dict[str, tuple[int, int, float, float]] = {}
    """By video file: its stamp, and the span of its frames."""
    clocks: dict[str, tuple[int, int, list[Span]]] = {}
    """By IMU file and clock settings: its stamp, and the spans of its pieces."""
    placements: dict[str, tuple[str, dict[str, tuple[int, float]]]] = {}
    """By subject: a digest of its IMU files, and the recording and offset of each clip."""


class Survey:
    """What the files of a dataset say about time. Looks into a file only if it has changed since it was last seen."""

    def __init__(self, root: Path) -> None:
        self.path = cache_folder(root) / FILE
        self.kept = _read(self.path)
        self._changed = False

    def save(self) -> None:
        """Remember what was found; without a writable cache folder it is found again next time."""
        if self._changed:
            with suppress(WriteError, OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with atomically(self.path) as temporary:
                    temporary.write_text(self.kept.model_dump_json(), encoding="utf-8")
            self._changed = False

    def imu(self, path: Path, rate: float, stamp: Stamp | None = None) -> ImuFacts:
        """Return the number of rows of an IMU file, and what its own clock says about `rate` [Hz].

        `stamp` is that of the file, if it is known. Raises `DataError` if the file cannot be read.
        """
        key, stamp = f"{path} {rate:g}", stamp or stamp_of(path)
        found = self.kept.imu.get(key)
        if found is None or found[:2] != stamp:
            rows, wrong, first = imu_facts(path, rate)
            found = self.kept.imu[key] = ImuFacts(*stamp, rows, wrong, first)
            self._changed = True
        return found

    def video(self, path: Path, stamp: Stamp | None = None) -> Span:
        """Return the span of a video's frames; `stamp` as for `imu`. Raises `DataError` if it cannot be opened."""
        found, stamp = self.kept.video.get(str(path)), stamp or stamp_of(path)
        if found is None or found[:2] != stamp:
            found = self.kept.video[str(path)] = (*stamp, *video_span(path))
            self._changed = True
        return Span(*found[2:])

    def clock(
        self, path: Path, settings: str, read: Callable[[], list[Span]], stamp: Stamp | None = None
    ) -> list[Span]:
        """Return the spans of an IMU file by its clock; `read` finds them, with `settings` that are part of the key.

        `stamp` as for `imu`.
        """
        key, stamp = f"{path} {settings}", stamp or stamp_of(path)
        found = self.kept.clocks.get(key)
        if found is None or found[:2] != stamp:
            found = self.kept.clocks[key] = (*stamp, read())
            self._changed = True
        return [Span(*span) for span in found[2]]

    def placement(
        self,
        index: ClipIndex,
        rate: float,
        stamps: Sequence[Stamp],
        sensors: Sensors,
        *,
        times: RowTimes | None = None,
        settings: str = "",
    ) -> Placement:
        """Find the recording and the offset of each clip of an index by shared rows, subject by subject.

        `stamps` are those of the IMU files. If rows are not simply 1 / `rate` apart, `times` gives their times, with
        `settings` that are part of the key. A file that cannot be read is a recording of its own; what is wrong with it
        shows when its windows are read. Raises `DataError` if shared rows contradict each other.
        """
        recording_N, offset_N = np.empty(len(index), dtype=np.int64), np.empty(len(index))
        number = 0
        subject_N = np.array(index.subjects)
        for subject in dict.fromkeys(index.subjects):
            own = np.flatnonzero(subject_N == subject).tolist()
            content = json.dumps([FORMAT, rate, settings, [(index.names[clip], *stamps[clip]) for clip in own]])
            digest = hashlib.sha256(content.encode()).hexdigest()
            known = self.kept.placements.get(subject)
            if known is None or known[0] != digest:
                own_times = None if times is None else [times(clip) for clip in own]
                names, files = [index.names[clip] for clip in own], [sensors(clip) for clip in own]
                try:
                    known = digest, _placed(names, files, rate, own_times)
                except DataError as error:
                    raise DataError(f"{_described_by(index.root, subject)}: {error}") from error
                self.kept.placements[subject] = known
                self._changed = True
            for clip in own:
                recording, offset_N[clip] = known[1][index.names[clip]]
                recording_N[clip] = number + recording
            number = int(recording_N[own].max()) + 1
        return Placement(recording_N, offset_N)


def _described_by(root: Path, subject: str) -> Path:
    """Return the JSON file of a subject (if there are several, their folder).

    If there is none, as with a pack that was moved, that is the root.
    """
    try:
        files = subject_files(root)[subject]
    except (DataError, KeyError):
        return root
    return files[0] if len(files) == 1 else files[0].parent


def _placed(
    names: Sequence[str],
    files: Sequence[tuple[tuple[str, ...], Samples]],
    rate: float,
    times: Sequence[Floats] | None,
) -> dict[str, tuple[int, float]]:
    placement, _ = place_clips(comparable(files), rate, names, times)
    return dict(zip(names, zip(placement.recording_N.tolist(), placement.offset_N.tolist(), strict=True), strict=True))


def sensor_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose rows are compared: accelerometers and gyroscopes; if there are none, all but clocks."""
    once = sorted({column for column in columns if columns.count(column) == 1})
    sensors = tuple(column for column in once if column.split("_", 1)[0] in UNITS)
    if sensors:
        return sensors
    clocks = set(clock_like(tuple(columns)))
    return tuple(column for column in once if column not in clocks)


def sensors_of_file(path: Path) -> tuple[tuple[str, ...], Samples]:
    """Read the columns of a CSV that are compared; nothing if it cannot be read."""
    try:
        columns = sensor_columns(header_of(path))
        return columns, read_imu(path, columns)
    except DataError:
        return (), np.empty((0, 0), dtype=np.float32)


def comparable(files: Sequence[tuple[tuple[str, ...], Samples]]) -> list[Samples]:
    """Return the rows of each file if it has the columns that most files have; else no rows: it shares nothing."""
    counts: dict[tuple[str, ...], int] = {}
    for columns, _ in files:
        counts[columns] = counts.get(columns, 0) + bool(columns)
    usual = max(counts, key=lambda columns: counts[columns], default=())
    return [samples if columns == usual else np.empty((0, len(usual)), np.float32) for columns, samples in files]


def stamp_of(path: Path) -> Stamp:
    """Return size [bytes] and time of the last change [ns]; (-1, 0) if there is no such file."""
    found = stamp_file(path)
    return found.size, found.changed


def imu_facts(path: Path, rate: float) -> tuple[int, str, float]:
    """Return rows, contradiction and first reading of an IMU file, as in `ImuFacts`. Raises `DataError`."""
    columns = header_of(path)
    value = next((column for column in sensor_columns(columns)), columns[0])
    clocks = [column for column in clock_like(columns) if columns.count(column) == 1]
    for column in clocks:
        try:
            _, time_n = read_timed_imu(path, [value], column)
        except DataError:  # no numbers: not a clock that could contradict anything
            continue
        wrong = contradiction(time_n, rate)
        return len(time_n), "" if wrong is None else f"column {column} {wrong}", first_reading(time_n, rate)
    return len(read_imu(path, [value])), "", 0.0


def _read(path: Path) -> Kept:
    try:
        kept = Kept.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return Kept()
    return kept if kept.format == FORMAT else Kept()
