"""Folders that apps of phones write, one table per sensor: Sensor Logger and phyphox.

Tables of other apps, such as Physics Toolbox, name their sensors and units in their headers and are read as any table.
Formats: https://github.com/tszheichoi/awesome-sensor-logger and https://phyphox.org. Tried on made files only.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording, Floats
from revalexo_clip.devices.tables import VIDEOS, recording_of, tables_in
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import read_text

PHONE_CLOCK = "time by the phone's clock [s]"
"""Column that is added to the tables of phyphox: seconds since 1970."""


def is_sensor_logger(source: Path) -> bool:
    """Whether a folder looks like a recording of Sensor Logger."""
    return (source / "Metadata.csv").is_file() and any(
        (source / f"{name}.csv").is_file() for name in ("Accelerometer", "TotalAcceleration", "Gyroscope")
    )


def is_phyphox(source: Path) -> bool:
    """Whether a folder looks like a recording of phyphox."""
    return (source / "meta" / "time.csv").is_file()


def read_sensor_logger(source: Path, options: TableOptions) -> DeviceRecording:
    """Read a folder of Sensor Logger: acceleration with gravity if there is a way to it, gyroscope, and its video.

    Android writes acceleration with gravity as TotalAcceleration; on iOS it is the sum of Accelerometer and Gravity.
    The name of a video in the folder Camera says when it starts. Raises `DataError`.
    """
    tables, notes = [], []
    for name in ("TotalAcceleration", "Accelerometer"):
        if (source / f"{name}.csv").is_file():
            table, note = _acceleration(source, name)
            tables.append(table)
            notes += note
            break
    if (source / "Gyroscope.csv").is_file():
        tables.append(_named(read_text(source / "Gyroscope.csv"), "gyro", "rad/s"))
    if not tables:
        raise DataError(f"{source}: has neither an accelerometer nor a gyroscope")
    if not options.times:
        options = replace(options, times=("time",))
    if not options.videos:
        videos = sorted(path for path in (source / "Camera").glob("*") if path.suffix.lower() in VIDEOS)
        if len(videos) > 1:
            raise DataError(f"{source / 'Camera'}: has {len(videos)} videos; choose one with --video")
        options = replace(options, videos=tuple(videos))
    by_name = options.times == ("time",) and not options.video_starts and len(options.videos) == 1
    if by_name and _is_moment(options.videos[0].stem):
        starts = int(options.videos[0].stem)
        notes.append(f"{options.videos[0].name}: its name is taken as the time of its first frame [ms since 1970]")
        said = tuple(f"{table.name}={starts * 10**6}" for table in tables)
        options = replace(options, video_starts=said)
    return recording_of(source, tables, options, "phone (Sensor Logger)", notes)


def _is_moment(stem: str) -> bool:
    return stem.isdecimal() and len(stem) == 13


def _acceleration(source: Path, name: str) -> tuple[Table, list[str]]:
    table = read_text(source / f"{name}.csv")
    sign, notes = 1, []
    if _platform(source) == "ios":
        sign = -1
        notes.append(f"{table.name}: iOS counts accelerations the other way round; all are multiplied by -1")
    if name == "TotalAcceleration":
        return _named(table, "acc", "m/s^2", sign), notes
    gravity = source / "Gravity.csv"
    if gravity.is_file():
        other = read_text(gravity)
        time_N, time_M = table.numbers("time"), other.numbers("time")
        if len(time_N) == len(time_M) and bool((np.abs(time_N - time_M) < 1e6).all()):
            notes.append(f"{table.name}: gravity is added, from {other.name}")
            return _named(table, "acc", "m/s^2", sign, other), notes
        notes.append(f"{other.name}: its times are not those of {table.name}, so gravity is not added")
    return _named(table, "linear acc", "m/s^2", sign), notes


def _platform(source: Path) -> str:
    """Return the platform of a recording whose axes were not standardised; empty if they were, or if it is unknown."""
    lines = (source / "Metadata.csv").read_text(encoding="utf-8-sig", errors="replace").splitlines()
    if len(lines) < 2:
        return ""
    facts = dict(zip((cell.strip().lower() for cell in lines[0].split(",")), lines[1].split(","), strict=False))
    standard = facts.get("standardisation", "").strip().lower() in ("true", "1", "yes")
    return "" if standard else facts.get("platform", "").strip().lower()


def _named(table: Table, sensor: str, unit: str, sign: int = 1, added: Table | None = None) -> Table:
    """Return the table of a sensor with names that say what its columns are, and `added` to its values."""
    columns, cells = ["time", "seconds_elapsed"], [table.numbers("time"), table.numbers("seconds_elapsed")]
    for axis in "xyz":
        values_N: Floats = sign * table.numbers(axis)
        if added is not None:
            values_N = values_N + sign * added.numbers(axis)
        columns.append(f"{sensor} {axis} [{unit}]")
        cells.append(values_N)
    return replace(table, columns=tuple(columns), cells=tuple(cells))


def read_phyphox(source: Path, options: TableOptions) -> DeviceRecording:
    """Read a folder of phyphox, by the clock of the phone, which meta/time.csv relates to that of the experiment.

    Raises `DataError`.
    """
    tables, notes = tables_in(source)
    starts, shifts = _starts(source / "meta" / "time.csv")
    placed = []
    for table in tables:
        clock = next((column for column in table.columns if column.lower().startswith("time")), None)
        if clock is None:
            placed.append(table)
            continue
        time_N = table.numbers(clock)
        place_N = np.clip(np.searchsorted(starts, time_N, side="right") - 1, 0, len(starts) - 1)
        columns, cells = (*table.columns, PHONE_CLOCK), (*table.cells, time_N + shifts[place_N])
        placed.append(replace(table, columns=columns, cells=cells))
    if not options.times:
        options = replace(options, times=(PHONE_CLOCK,))
    return recording_of(source, placed, options, "phone (phyphox)", notes)


def _starts(path: Path) -> tuple[Floats, Floats]:
    """Return when the experiment was started, by its own clock, and what to add for the phone's clock [s]."""
    table = read_text(path)
    event = table.column("event")
    own, phone = table.numbers("experiment time"), table.numbers("system time")
    rows = [row for row, name in enumerate(event if isinstance(event, list) else []) if name.strip('" ') == "START"]
    if not rows:
        raise DataError(f"{path}: does not say when the experiment started (no event START)")
    return own[rows], phone[rows] - own[rows]
