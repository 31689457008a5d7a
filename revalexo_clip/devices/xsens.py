"""Xsens MVN: .mvnx files, and exports as xlsx or as one CSV file per quantity.

Sensor data with gravity are in the sensor's axes, and are in old files only. Others have the free acceleration, without
gravity, and the angular velocity of the segment, both in the axes of the world (MVN User Manual, chapter MVNX; Xsens
base, "Output Parameters in MVN"). Tried on made files only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.base import DeviceRecording, Floats
from revalexo_clip.devices.tables import recording_of
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_options import TableOptions
from revalexo_clip.devices.tables_read import SUFFIXES, read_tables

WORLD = "the axes are those of the world (MVN's global frame), not of the sensors"
_PAIRS = (
    ("sensorAcceleration", "sensorAngularVelocity", "acc"),
    ("sensorFreeAcceleration", "angularVelocity", "free acc"),
    ("acceleration", "angularVelocity", "free acc"),
)
"""Elements with accelerations and angular velocities that belong together, and what the former are; best first."""
_RATE = re.compile(r"(?:frame|sampl\w*|update|output)[ _]*rate\W{0,6}(\d+(?:[.,]\d+)?)", re.IGNORECASE)


class _Recorded(NamedTuple):
    """What an .mvnx file has."""

    rate: float
    labels: Mapping[str, tuple[str, ...]]
    """Names of the `sensors` and of the `segments`, in the order of the data."""
    index_N: Floats
    """Number of each frame."""
    epoch: float | None
    """Time of the first frame, in seconds since 1970; None if it is not there."""
    values: Mapping[str, Floats]
    """[N, 3 * number of sensors or segments] of each element."""


def is_mvn(source: Path) -> bool:
    """Whether a file or folder looks like a recording of Xsens MVN: .mvnx, or tables named as MVN names them."""
    if source.suffix.lower() == ".mvnx":
        return True
    if source.suffix.lower() == ".xlsx" and source.is_file():
        try:
            return len(_quantities(read_tables(source))) > 1
        except DataError:
            return False
    return source.is_dir() and len({name for path in source.iterdir() if (name := _quantity(path.stem))}) > 1


def read_mvn(source: Path, options: TableOptions) -> DeviceRecording:
    """Read an .mvnx file, an xlsx file of MVN, or a folder with its CSV files. Raises `DataError`."""
    if source.suffix.lower() == ".mvnx":
        table, notes = _table_of(source, _read_mvnx(source))
    else:
        files = [source] if source.is_file() else sorted(_tables(source))
        table, notes = _exported(source, [table for path in files for table in read_tables(path)], options.rate)
        options = replace(options, rate=None)  # it has been used
    return recording_of(source, [table], options, "Xsens MVN", notes)


def _tables(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and _quantity(path.stem))


def _read_mvnx(path: Path) -> _Recorded:
    labels: dict[str, list[str]] = {"sensors": [], "segments": []}
    rate, epoch = 0.0, None
    index: list[float] = []
    rows: dict[str, list[str]] = {}
    wanted = {name for pair in _PAIRS for name in pair[:2]}
    try:
        for event, element in ElementTree.iterparse(path, ("start", "end")):  # noqa: S314 (the user's own file)
            name = element.tag.rpartition("}")[2]
            if event == "start":
                rate = float(element.get("frameRate", rate)) if name in ("subject", "mvnxInfo") else rate
            elif name in ("segment", "sensor"):
                labels[f"{name}s"].append(element.get("label", ""))
            elif name == "frame":
                if element.get("type", "normal") == "normal":
                    epoch = epoch if index or not element.get("ms") else float(element.attrib["ms"]) / 1000
                    index.append(float(element.get("index") or len(index)))
                    for child in element:
                        kind = child.tag.rpartition("}")[2]
                        if kind in wanted and child.text:
                            rows.setdefault(kind, []).append(child.text)
                element.clear()
    except (ElementTree.ParseError, ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as MVNX: {error}. Is the file complete?") from error
    if not index or not rate > 0:
        raise DataError(f"{path}: has no {'frames' if rate > 0 else 'frame rate'}; is it an MVNX file?")
    values = {kind: _numbers(path, kind, texts, len(index)) for kind, texts in rows.items()}
    known = {kind: tuple(names) for kind, names in labels.items()}
    return _Recorded(rate, known, np.array(index), epoch, values)


def _numbers(path: Path, kind: str, texts: Sequence[str], frames: int) -> Floats:
    counts = {len(text.split()) for text in texts}
    if len(texts) != frames or len(counts) != 1:
        raise DataError(f"{path}: {kind} is in {len(texts)} of {frames} frames, with {sorted(counts)} numbers")
    try:
        return np.array(" ".join(texts).split(), dtype=np.float64).reshape(frames, -1)
    except ValueError as error:
        raise DataError(f"{path}: {kind}: {error}") from error


def _table_of(path: Path, found: _Recorded) -> tuple[Table, list[str]]:
    """Return the accelerations and angular velocities of a file as a table, and what is to be said of them."""
    pair = next((pair for pair in _PAIRS if pair[0] in found.values and pair[1] in found.values), None)
    if pair is None:
        have = ", ".join(found.values) or "none of them"
        raise DataError(
            f"{path}: accelerations and angular velocities are needed, and it has {have}; export the file again with "
            "sensor free acceleration and segment angular velocity"
        )
    acc, gyro, kind = pair
    notes = [f"{path.name}: {acc} and {gyro}, {found.rate:g} frames per second"]
    if kind != "acc":
        notes.append(f"{path.name}: {acc} is without gravity; {WORLD}")
    columns, cells = _time_column(path, found, notes)
    for element, sensor, unit in ((acc, kind, "m/s^2"), (gyro, "gyro", "rad/s")):
        names = found.labels["sensors" if element.startswith("sensor") else "segments"]
        values_NC = found.values[element]
        if values_NC.shape[1] != 3 * len(names):
            raise DataError(f"{path}: {element} has {values_NC.shape[1]} numbers for {len(names)} names")
        wanted = found.labels["sensors"] or names
        for place, name in enumerate(names):
            if name in wanted:
                columns += [f"{sensor} {name} {axis} [{unit}]" for axis in "xyz"]
                cells += list(values_NC[:, 3 * place : 3 * place + 3].T)
    return Table(path, tuple(columns), tuple(cells), "MVNX"), notes


def _time_column(path: Path, found: _Recorded, notes: list[str]) -> tuple[list[str], list[Floats]]:
    """Return the time of each frame by its number: the times in the file are rounded to milliseconds."""
    time_N = (found.index_N - found.index_N[0]) / found.rate
    missing = int(found.index_N[-1] - found.index_N[0]) + 1 - len(found.index_N)
    if missing > 0:
        notes.append(f"{path.name}: {counted(missing, 'frame')} missing, by their numbers")
    return ["time [s]"], [time_N + (found.epoch or 0.0)]


_QUANTITIES = {
    "sensor acceleration": "acc",
    "sensor angular velocity": "gyro",
    "sensor free acceleration": "free acc",
    "segment angular velocity": "gyro",
}


def _quantity(name: str) -> str | None:
    """Return the quantity of a sheet or file of MVN, by the end of its name; None if it is not used."""
    spread = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = " ".join(re.findall(r"[a-z]+", spread.lower()))
    return next((known for known in _QUANTITIES if words.endswith(known)), None)


def _quantities(tables: Sequence[Table]) -> dict[str, Table]:
    named = {_quantity(table.sheet or table.path.stem): table for table in tables}
    return {name: table for name, table in named.items() if name is not None}


def _exported(source: Path, tables: Sequence[Table], rate: float | None) -> tuple[Table, list[str]]:
    """Return the accelerations and angular velocities of sheets or CSV files as one table."""
    found = _quantities(tables)
    acc = next((name for name in ("sensor acceleration", "sensor free acceleration") if name in found), None)
    pair = {"sensor acceleration": "sensor angular velocity"}.get(acc or "", "segment angular velocity")
    if acc is None or pair not in found:
        names = ", ".join(table.name for table in tables)
        raise DataError(f"{source}: needs Sensor Free Acceleration and Segment Angular Velocity; it has {names}")
    rate = rate or _said_rate(tables)
    if rate is None:
        raise DataError(f"{source}: does not say its frame rate; give it with --table-rate HZ")
    first = found[acc]
    frame_N = first.numbers(first.columns[0])
    columns, cells = ["time [s]"], [(frame_N - frame_N[0]) / rate]
    units = {acc: " [m/s^2]", pair: ""}
    for quantity in (acc, pair):
        table = found[quantity]
        if len(table) != len(first):
            raise DataError(f"{table.where}: has {len(table)} frames, and {first.name} has {len(first)}")
        for column in table.columns[1:]:
            if re.search(r"[ _][xyz]$", column.lower()) and (quantity == acc or _place(column) in _places(first)):
                columns.append(f"{_QUANTITIES[quantity]} {_place(column)} {column[-1].lower()}{units[quantity]}")
                cells.append(table.numbers(column))
    notes = [f"{first.name}: {rate:g} frames per second"]
    if acc == "sensor free acceleration":
        notes.append(f"{first.name}: acceleration is without gravity; {WORLD}")
    return Table(source, tuple(columns), tuple(cells), first.form), notes


def _place(column: str) -> str:
    return re.sub(r"^(sensor|segment) ", "", column[:-2].strip(), flags=re.IGNORECASE)


def _places(table: Table) -> set[str]:
    return {_place(column) for column in table.columns[1:]}


def _said_rate(tables: Sequence[Table]) -> float | None:
    """Return the rate that comments, or a sheet of facts, say [Hz]."""
    lines = [line for table in tables for line in table.preamble]
    for table in tables:
        texts = [[str(cell) for cell in cells] if isinstance(cells, list) else cells.tolist() for cells in table.cells]
        lines += [" ".join(map(str, row)) for row in zip(*texts, strict=True)] if len(table) < 100 else []
    match = next((match for line in lines if (match := _RATE.search(line))), None)
    return float(match[1].replace(",", ".")) if match else None
