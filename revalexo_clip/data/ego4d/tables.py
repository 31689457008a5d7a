"""Read IMU tables as they are: CSV files with any empty cells, and .npy files."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from revalexo_clip.core import npz
from revalexo_clip.core.errors import DataError
from revalexo_clip.data.csv_form import why_no_column
from revalexo_clip.data.ego4d.rows import Table

_BLOCK = 65_536
"""Rows that are held as text at a time."""
NOWHERE = -1
"""Component of a row that does not say it."""


def read_csv(
    path: Path,
    columns: Sequence[str],
    time: str,
    seconds: Callable[[str], float] | float,
    component: str | None = None,
) -> Table:
    """Read the named columns of a CSV file; the column `time` has times.

    `seconds` is the number of its units in a second, or converts a cell to [s].

    Cells that are empty or no number, and those that a short row lacks, are NaN. `component` is the column with the
    number of the component, if the file has it. Raises `DataError` if the file cannot be read or lacks a column.
    """
    times, samples, components = [], [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            places = _places(path, header, [time, *columns])
            part = header.index(component) if component in header else None
            if not callable(seconds):
                whole = _whole(path, places, part, seconds)
                if whole is not None:
                    return whole
            convert = seconds if callable(seconds) else partial(_scaled, seconds)
            for rows in _blocks(reader):
                times.append(np.array([_cell(row, places[0], convert) for row in rows]))
                values = [[_cell(row, place, float) for place in places[1:]] for row in rows]
                with np.errstate(over="ignore"):  # values beyond float32 become infinite, and are left out
                    samples.append(np.array(values, dtype=np.float64).astype(np.float32))
                if part is not None:
                    components.append(np.array([_number(row, part) for row in rows], dtype=np.int64))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV text file: {error}") from error
    if not times:
        raise DataError(f"{path}: has a header but no samples")
    return Table(np.concatenate(times), np.concatenate(samples), np.concatenate(components) if components else None)


def _whole(path: Path, places: Sequence[int], part: int | None, per_second: float) -> Table | None:
    """Read a CSV file whose cells are all numbers, five times as fast; return None if it is another one."""
    used = [*places, *(() if part is None else (part,))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file without rows
            cells_nK = np.loadtxt(path, delimiter=",", skiprows=1, usecols=used, comments=None, ndmin=2)
    except ValueError:
        return None
    if not len(cells_nK) or (part is not None and not np.isfinite(cells_nK[:, -1]).all()):
        return None
    with np.errstate(over="ignore"):
        samples_nC = cells_nK[:, 1 : len(places)].astype(np.float32)
    component_n = None if part is None else np.maximum(cells_nK[:, -1], NOWHERE).astype(np.int64)
    return Table(cells_nK[:, 0] / per_second, samples_nC, component_n)


def _scaled(per_second: float, cell: str) -> float:
    return float(cell) / per_second


def _blocks(reader: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while rows := list(islice(reader, _BLOCK)):
        if full := [row for row in rows if row]:
            yield full


def _places(path: Path, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    for name in wanted:
        if name not in header:
            raise DataError(f"{path}: no column {name}; columns: {', '.join(header)}{why_no_column(path)}")
    return [header.index(name) for name in wanted]


def _cell(row: Sequence[str], place: int, convert: Callable[[str], float]) -> float:
    try:
        return convert(row[place])
    except (ValueError, IndexError, OverflowError):  # infinite, or a whole number beyond every float
        return math.nan


def _number(row: Sequence[str], place: int) -> int:
    number = _cell(row, place, float)
    return int(number) if 0 <= number < 2**63 else NOWHERE


def read_npy(path: Path, columns: int, origin: int | None) -> Table:
    """Read a .npy file [n, 1 + C] of times [ns] and C `columns`; times count from `origin` [ns].

    Without an origin they count from the first row. Raises `DataError` if the file has another form.
    """
    try:
        array = npz.read_npy(path)
    except npz.UNREADABLE as error:
        raise DataError(f"{path}: cannot be read as .npy: {error}") from error
    if array.ndim != 2 or array.shape[1] != columns + 1 or array.dtype.kind not in "iuf" or not len(array):
        raise DataError(
            f"{path}: should be numbers [n, {columns + 1}], timestamps [ns] and {columns} channels, but is "
            f"{array.dtype} {list(array.shape)}"
        )
    time_n = array[:, 0]
    start = time_n[0] if origin is None else np.array(origin).astype(time_n.dtype)
    with np.errstate(over="ignore"):
        return Table(np.subtract(time_n, start).astype(np.float64) / 1e9, array[:, 1:].astype(np.float32))
