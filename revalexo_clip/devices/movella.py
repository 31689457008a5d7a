"""Exports of Movella (Xsens) DOT and MTw sensors: one table per sensor, with packet counter and SampleTimeFine.

DOT files are in m/s^2 and deg/s, with SampleTimeFine in microseconds, which starts again from zero after 2^32; files of
MTw sensors are in m/s^2 and rad/s (user manuals of both). Tried on made files only.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.base import DeviceRecording, Floats
from revalexo_clip.devices.tables import recording_of, videos_of
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_clock import unwrapped
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import TEXT, read_text

_PERIOD = 2**32
_COUNTER = "PacketCounter"
_FINE = "SampleTimeFine"
_RATE = re.compile(r"(?:update|output) ?rate\W{0,6}(\d+(?:[.,]\d+)?)", re.IGNORECASE)
_TAG = re.compile(r"device ?tag\W+([A-Za-z][\w ]*)", re.IGNORECASE)
_HEAD = 4096


def is_movella(source: Path) -> bool:
    """Whether a file looks like an export of a DOT or MTw sensor, or whether a folder has such files."""
    return bool(_files(source))


def _files(source: Path) -> list[Path]:
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    return [path for path in paths if path.suffix.lower() in TEXT and path.is_file() and _has_counter(path)]


def _has_counter(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _COUNTER.encode() in file.read(_HEAD)
    except OSError:
        return False


def read_movella(source: Path, options: TableOptions) -> DeviceRecording:
    """Read the tables of DOT or MTw sensors; of several, the tag of each device is its place on the body.

    Raises `DataError`, also if it is not said what the sensors' clock reads at the first video frame.
    """
    files = _files(source)
    if not files:
        raise DataError(f"{source}: is no export of a DOT or MTw sensor: it has no column {_COUNTER}")
    tables, notes = [], []
    for path in files:
        table = read_text(path)
        place = _place(table) if len(files) > 1 else ""
        found, said = _renamed(table, place, options.rate)
        tables.append(found)
        notes += said
    if videos_of(source, options)[0] and not options.video_starts:
        raise DataError(
            f"{source}: the clock of the sensors counts from when they were switched on; say what it reads at the "
            "first video frame with --video-starts SECONDS, or --video-starts first-row"
        )
    if options.rate is not None:
        options = replace(options, rate=None)  # it has been used
    return recording_of(source, tables, options, "Movella sensor", notes)


def _place(table: Table) -> str:
    tag = next((match[1] for line in table.preamble if (match := _TAG.search(line))), "")
    if not tag.strip():
        raise DataError(f"{table.path}: has no device tag that says where the sensor was; import each file on its own")
    return tag.strip()


def _renamed(table: Table, place: str, rate: float | None) -> tuple[Table, list[str]]:
    """Return a table whose columns say what they are, and sentences for the plan."""
    dot = any(re.search(r"device ?tag|firmware|sep=", line, re.IGNORECASE) for line in table.preamble)
    mtw = not dot and any(line.startswith("//") for line in table.preamble)
    kind = next((kind for kind in ("Acc", "FreeAcc") if f"{kind}_X" in table.columns), None)
    time_N, how, notes = _times(table, rate)
    columns, cells = ["time [s]"], [time_N]
    if kind is None and "Gyr_X" not in table.columns:
        raise DataError(f"{table.path}: has neither Acc_X nor FreeAcc_X nor Gyr_X; its columns are {table.listed()}")
    units = {"Acc": " [m/s^2]", "FreeAcc": " [m/s^2]", "Gyr": " [deg/s]" if dot else " [rad/s]" if mtw else ""}
    names = {"Acc": "acc", "FreeAcc": "free acc", "Gyr": "gyro"}
    for sensor in [*([kind] if kind else []), *(["Gyr"] if "Gyr_X" in table.columns else [])]:
        columns += [f"{names[sensor]} {place} {axis}{units[sensor]}" for axis in "xyz"]
        cells += [table.numbers(f"{sensor}_{axis}") for axis in "XYZ"]
    notes.insert(0, f"{table.name}: {how}{'; a DOT' if dot else '; an MTw' if mtw else ''}")
    return replace(table, columns=tuple(columns), cells=tuple(cells)), notes


def _times(table: Table, rate: float | None) -> tuple[Floats, str, list[str]]:
    """Return the time of each row [s], from what it is known, and what is missing."""
    fine_N = table.numbers(_FINE) if _FINE in table.columns else np.full(len(table), np.nan)
    if np.isfinite(fine_N).mean() > 0.5:
        time_N, wraps = unwrapped(fine_N, _PERIOD)
        notes = [f"{table.name}: {_FINE} starts again from zero {counted(wraps, 'time')}"] if wraps else []
        return time_N / 1e6, f"{_FINE} [us]", notes
    said = next((match[1] for line in table.preamble if (match := _RATE.search(line))), None)
    if rate is None and said is None:
        raise DataError(f"{table.path}: {_FINE} is empty, and no update rate is given; give --table-rate HZ")
    used = rate or float(str(said).replace(",", "."))
    counter_N, _ = unwrapped(table.numbers(_COUNTER), 2**16)
    return (counter_N - counter_N[0]) / used, f"{_COUNTER} at {used:g} Hz", _lost(table, counter_N)


def _lost(table: Table, counter_N: Floats) -> list[str]:
    lost = int(counter_N[-1] - counter_N[0]) + 1 - len(counter_N)
    return [f"{table.name}: {counted(lost, 'packet')} missing, by {_COUNTER}"] if lost > 0 else []
