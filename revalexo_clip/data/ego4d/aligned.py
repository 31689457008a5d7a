"""AlignedVideo: takes in folders of their own, with frame-aligned video and an IMU table with a clock in nanoseconds.

Recordings with Aria glasses, such as those of Ego-Exo4D (Grauman et al., arXiv:2311.18259) and Nymeria (Ma et al.,
arXiv:2406.09905), are exported in this form: the video of the glasses as mp4, and the samples of an IMU by device time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from pydantic import Field

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.ego4d.dataset import NarratedTakes
from revalexo_clip.data.ego4d.layout import CHANNELS
from revalexo_clip.data.ego4d.rows import Table
from revalexo_clip.data.ego4d.tables import read_csv, read_npy
from revalexo_clip.data.ego4d.take import SILENCE, Footage, Layout, Narrations, Take, narrations_of

TIME = "timestamps_ns"
"""Name of the columns with times [ns]."""
DESCRIPTION, FRAMES, NARRATIONS, VIDEO = "take.json", "frames.csv", "narrations.csv", "video.mp4"
TABLES = ("imu.csv", "imu.npy")


def is_aligned(root: Path) -> bool:
    """Return whether a folder has folders of takes."""
    return any(any(root.glob(f"*/{name}")) for name in TABLES)


def nanoseconds(cell: str) -> int:
    """Convert a cell to whole nanoseconds, exactly if it is a whole number."""
    try:
        return int(cell)
    except ValueError:
        return round(float(cell))


class AlignedLayout(Layout):
    """Folders of takes: `imu.csv` or `imu.npy`, an mp4, and optionally `take.json`, `frames.csv`, `narrations.csv`."""

    def __init__(self, root: Path, channels: Mapping[str, str]) -> None:
        """List the takes. `channels` are the names of the channels, and the column of each.

        Raises `DataError`, naming the file, if there are none, or if a description is invalid.
        """
        self.root = root
        self.columns = tuple(channels.values())
        folders = sorted({path.parent for name in TABLES for path in root.glob(f"*/{name}")})
        if not folders:
            raise DataError(f"{root}: no folder in it has {' or '.join(TABLES)}")
        self.origins: dict[str, int | None] = {}
        self.takes = tuple(self._take(folder) for folder in folders)

    def _take(self, folder: Path) -> Take:
        table = next(folder / name for name in TABLES if (folder / name).is_file())
        described = _described(folder / DESCRIPTION)
        subject = str(described.get("subject") or folder.name)
        origin = self._origin(folder, described, table)
        self.origins[folder.name] = origin
        narrations = SILENCE if origin is None else _narrations(folder / NARRATIONS, origin)
        return Take(folder.name, subject, table, _footage(folder), narrations)

    def _origin(self, folder: Path, described: Mapping[str, object], table: Path) -> int | None:
        """Return the time of the first frame [ns]; None if the IMU table has no time, which `read` reports."""
        start = described.get("video_start_ns")
        if start is not None:
            if not isinstance(start, int):
                raise DataError(f"{folder / DESCRIPTION}: video_start_ns must be a whole number, not {start!r}")
            return start
        if (folder / FRAMES).is_file():
            times = _cells(folder / FRAMES, [TIME])
            if not times:
                raise DataError(f"{folder / FRAMES}: has a header but no frames")
            return _time(folder / FRAMES, times[0][0])
        return _first_time(table)

    def settings(self, take: Take) -> str:
        """See `Layout.settings`."""
        return f"{self.columns} {self.origins[take.name]}"

    def read(self, take: Take) -> Table:
        """See `Layout.read`."""
        origin = self.origins[take.name]
        if take.imu.suffix == ".npy":
            table = read_npy(take.imu, len(self.columns), origin)
        else:
            start = origin or 0
            table = read_csv(take.imu, self.columns, TIME, lambda cell: (nanoseconds(cell) - start) / 1e9)
        if origin is None and np.isfinite(table.time_n).any():
            raise DataError(f"{take.imu}: has times, but none of them could be read as the first; is {TIME} in [ns]?")
        return table


def _described(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a JSON file: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: is not a JSON object")
    return content


def _footage(folder: Path) -> tuple[Footage, ...]:
    found = sorted(folder.glob("*.mp4"))
    if len(found) > 1:
        found = [path for path in found if path.name == VIDEO]
        if not found:
            raise DataError(f"{folder}: there are several mp4 files; name the one of the glasses {VIDEO}")
    return tuple(Footage(folder.name, path) for path in found)


def _narrations(path: Path, origin: int) -> Narrations:
    if not path.is_file():
        return SILENCE
    return narrations_of([((_time(path, time) - origin) / 1e9, text) for time, text in _cells(path, [TIME, "text"])])


def _time(path: Path, cell: str) -> int:
    try:
        return nanoseconds(cell)
    except (ValueError, OverflowError):
        raise DataError(f"{path}: '{cell}' in column {TIME} is not a time in nanoseconds") from None


def _cells(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the named columns of a small CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from error
    for name in columns:
        if any(row.get(name) is None for row in rows):
            raise DataError(f"{path}: no column {name}, or a row without it")
    return [[row[name] or "" for name in columns] for row in rows]


def _rows(file: TextIO) -> Iterator[dict[str, str | None]]:
    """Yield the rows of a CSV file, by the names of its header without the spaces around them."""
    reader = csv.DictReader(file)
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    yield from reader


def _first_time(table: Path) -> int | None:
    """Return the first time of an IMU table [ns]; None if there is none."""
    if table.suffix == ".npy":
        try:
            time_n = np.load(table, mmap_mode="r", allow_pickle=False)[:, 0]
            if time_n.dtype.kind != "f":
                return int(time_n[0])
            return round(float(time_n[np.flatnonzero(np.isfinite(time_n))[0]]))
        except (OSError, ValueError, EOFError, IndexError):
            return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            for row in _rows(file):
                try:
                    return nanoseconds(row.get(TIME) or "")
                except (ValueError, OverflowError):
                    continue
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return None


class AlignedVideo(NarratedTakes):
    """Windows of takes that have a frame-aligned video and an IMU table with a clock in nanoseconds.

    Accelerations are in m/s^2, angular velocities in rad/s. The subject of a take is that in its `take.json`, or the
    take itself.
    """

    root: Path
    """Folder with a folder for each take: an mp4; `imu.csv` with the columns `timestamps_ns` and those of `columns`, or
    `imu.npy` [n, 7] with these columns in this order; optionally `take.json` with `subject` and `video_start_ns`,
    `frames.csv` with the `timestamps_ns` of each frame, and `narrations.csv` with `timestamps_ns` and `text`. The first
    frame is at `video_start_ns`, else at the first time in `frames.csv`, else at that of the IMU."""
    columns: dict[str, str] = Field(default=dict(CHANNELS), min_length=1)
    """Channels of a window, in order, and the column of each."""

    def open_layout(self) -> Layout:
        """See `NarratedTakes.open_layout`."""
        return AlignedLayout(self.root.expanduser(), self.columns)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(self.columns)
