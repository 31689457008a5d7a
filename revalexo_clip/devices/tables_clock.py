"""The clock of a table: which column, in which unit, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.clocks import PER_SECOND
from revalexo_clip.devices.base import Floats
from revalexo_clip.devices.tables_base import Table
from revalexo_clip.devices.tables_form import MISSING
from revalexo_clip.devices.tables_options import TableOptions

Bools = npt.NDArray[np.bool_]

SLOWEST, FASTEST = 8.0, 4000.0
"""Rates of IMUs lie between these [Hz]. Less than a factor of 1000 apart, so that they fit one unit only."""
EPOCHS = (datetime(2000, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp())
"""Clocks that read a time between these count from 1970 [s]."""
GAP = 0.1
"""Longest time without a row that is no gap [s]; four usual intervals if that is longer."""
_MANY_REPEATED = 0.1
"""Largest share of rows that may repeat a time before the clock is of no use for placing rows."""
_DAY = 86_400.0
_UNIT_WORDS: Mapping[str, TimeUnit] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"), "us"),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), "ns"),
}
_TIME_WORDS = frozenset({"time", "timestamp", "timestamps", "t", "ts", "clock", "utc", "epoch", "datetime", "elapsed"})
_NO_CLOCK = frozenset(
    re.findall(
        r"\w+",
        "frame frames index count counter sample samples id number zone start acc gyr gyro mag",
    )
)


class Clock(NamedTuple):
    """The times of the rows of a table."""

    time_N: Floats
    """[s]; NaN where a row has no time."""
    absolute: bool
    """Whether it is a clock of the world: seconds since 1970, UTC unless the file says otherwise."""
    how: str
    """Where the times are from, for the plan."""
    unit: TimeUnit
    column: str
    """Empty if the table has no clock."""


def clock_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns whose names are those of clocks."""
    return [column for column in columns if _says_time(column)]


def _words(column: str) -> list[str]:
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return [word for word in re.split(r"[^a-z0-9µμ]+", spread.lower()) if word]


def _says_time(column: str) -> bool:
    words = set(_words(column))
    return bool(words & (_TIME_WORDS | set(_UNIT_WORDS) - {"s"}) or words == {"s"}) and not words & _NO_CLOCK


def read_clock(table: Table, options: TableOptions) -> Clock:
    """Find and read the clock of a table.

    Raises `DataError`, listing the columns, if there is none or its unit is unknown.
    """
    column = _chosen(table, options)
    if column is None:
        if options.rate is None:
            raise DataError(
                f"{table.where}: which column is its clock? Name it with --time COLUMN, or give --table-rate HZ if "
                f"there is none; its columns are {table.listed()}"
            )
        how = f"no clock: rows are taken as {options.rate:g} Hz (--table-rate)"
        return Clock(np.arange(len(table)) / options.rate, False, how, "s", "")
    cells = table.column(column)
    if isinstance(cells, list):
        return _from_text(table, column, cells, options)
    unit, why = _unit(table, column, cells, options)
    time_N = cells / PER_SECOND[unit]
    first = float(time_N[np.isfinite(time_N)][0])
    absolute = EPOCHS[0] < first < EPOCHS[1]
    world = ", seconds since 1970" if absolute else ""
    return Clock(time_N, absolute, f"clock: column '{column}' [{unit}]{why}{world}", unit, column)


def _chosen(table: Table, options: TableOptions) -> str | None:
    """Return the clock column that the options name, or the only one there is."""
    for text in options.times:
        file, colon, column = text.partition(":")
        if colon and file in (table.name, table.path.name):
            return _existing(table, column)
    for text in options.times:
        if text in table.columns:
            return text
    general = [text for text in options.times if text.partition(":")[0] == text]
    if general:
        return _existing(table, general[0])
    found = [column for column in clock_columns(table.columns) if _usable(table, column)]
    if len(found) > 1:
        listed = " and ".join(f"'{column}'" for column in found)
        raise DataError(f"{table.where}: {listed} look like its clock; choose one with --time COLUMN")
    return found[0] if found else None


def _existing(table: Table, column: str) -> str:
    table.column(column)
    return column


def _usable(table: Table, column: str) -> bool:
    """Return whether a column has different times, most of them ascending."""
    cells = table.column(column)
    if isinstance(cells, list):
        return _read_time(next((cell for cell in cells if cell.lower() not in MISSING), "")) is not None
    time_n = cells[np.isfinite(cells)]
    return len(time_n) > 1 and bool(time_n.min() < time_n.max()) and float(np.mean(np.diff(time_n) >= 0)) > 0.5


def _unit(table: Table, column: str, cells_N: Floats, options: TableOptions) -> tuple[TimeUnit, str]:
    """Return the unit of a clock, and from what it is known."""
    time_n = cells_N[np.isfinite(cells_N)]
    step_n = np.diff(time_n)
    forward_n = step_n[step_n > 0]
    if not len(forward_n):
        raise DataError(
            f"{table.where}: column '{column}' stands still, so it is no clock; its columns are {table.listed()}"
        )
    given = next((unit for unit in PER_SECOND if unit == options.unit_of("time")), None)
    if given is not None:
        return given, " (--unit)"
    if words := [_UNIT_WORDS[word] for word in _words(column) if word in _UNIT_WORDS]:
        return words[0], ""
    rate = len(step_n) / float(np.sum(np.minimum(forward_n, 20 * np.median(forward_n))))
    fitting = [unit for unit, scale in PER_SECOND.items() if SLOWEST <= rate * scale <= FASTEST]
    epochs = [unit for unit, scale in PER_SECOND.items() if EPOCHS[0] < time_n[0] / scale < EPOCHS[1]]
    if len(fitting) != 1 or (epochs and epochs != fitting):
        raise DataError(
            f"{table.where}: the unit of its clock, column '{column}', cannot be told: it goes from {time_n[0]:.10g} "
            f"to {time_n[-1]:.10g} in {len(time_n)} rows; give --unit time=s, ms, us or ns"
        )
    return fitting[0], f", by its {rate * PER_SECOND[fitting[0]]:.4g} rows per second"


def _from_text(table: Table, column: str, cells: Sequence[str], options: TableOptions) -> Clock:
    """Read times that are written as dates, or as times of day."""
    time_N = np.full(len(cells), np.nan)
    dated = True
    for row, cell in enumerate(cells):
        if cell.strip().lower() in MISSING:
            continue
        read = _read_time(cell)
        if read is None:
            line = f"line {table.lines[row]}" if table.lines else f"row {row + 1}"
            raise DataError(
                f"{table.where}: {line}, column '{column}': '{cell[:40]}' is no time such as 12.25, "
                "2024-05-01T12:00:00.250 or 12:00:00.250; is another column the clock (--time COLUMN)? Its columns are "
                f"{table.listed()}"
            )
        time_N[row], dated = read
    if not dated:  # a recording may run past midnight
        days_N = np.cumsum(np.concatenate([[False], np.diff(time_N) < -_DAY / 2]))
        return Clock(time_N + _DAY * days_N, False, f"clock: column '{column}', time of day", "s", column)
    zone = "" if re.search(r"(Z|[+-]\d\d:?\d\d)$", cells[0].strip()) else " (UTC, as no time zone is given)"
    return Clock(time_N, True, f"clock: column '{column}', date and time{zone}", "iso", column)


def _read_time(cell: str) -> tuple[float, bool] | None:
    """Return a time [s], and whether it has a date; None if it is no time."""
    text = cell.strip().replace("/", "-")
    if match := re.fullmatch(r"(\d\d?):(\d\d):(\d\d(?:[.,]\d+)?)", text):
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", ".")), False
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), True


def read_moment(text: str) -> float | None:
    """Return the seconds since 1970 of a date and time; None if it is none."""
    read = _read_time(text)
    return read[0] if read is not None and read[1] else None


def read_time_of_day(text: str) -> float | None:
    """Return the seconds since midnight of a time such as 12:00:00.250; None if it is none."""
    read = _read_time(text)
    return read[0] if read is not None and not read[1] else None


def unwrapped(time_N: Floats, period: float) -> tuple[Floats, int]:
    """Return the times of a counter that starts from zero every `period` [s], made continuous, and how often it did."""
    wraps_N = np.concatenate([[0], np.cumsum(np.diff(time_N) < -period / 2)])
    return time_N + period * wraps_N, int(wraps_N[-1])


def ascending_rows(table: Table, clock: Clock, rate: float | None) -> tuple[Floats, Bools, list[str]]:
    """Return [N] times, [N] which rows can be used, and sentences on those that cannot.

    Rows without a time are left out, and rows whose time is not later than that of all rows before. If `rate` [Hz] is
    given, rows are placed by it from the first time on. Raises `DataError` if many rows repeat a time.
    """
    time_N, name = clock.time_N, table.name
    timed_N = np.isfinite(time_N)
    notes = []
    if missing := int((~timed_N).sum()):
        notes.append(f"{name}: {counted(missing, 'row')} without a time left out")
    if rate is not None and clock.column and timed_N.any():
        first = float(time_N[timed_N][0])
        notes.append(
            f"{name}: rows are placed {rate:g} per second (--table-rate) from the first time of column '{clock.column}'"
        )
        return first + np.arange(len(time_N)) / rate, timed_N, notes
    latest_N = np.fmax.accumulate(np.where(timed_N, time_N, -np.inf))
    before_N = np.concatenate([[-np.inf], latest_N[:-1]])
    later_N = timed_N & (time_N > before_N)
    repeated = int((timed_N & (time_N == before_N)).sum())
    backward = int((timed_N & (time_N < before_N)).sum())
    if repeated > _MANY_REPEATED * len(time_N):
        raise DataError(
            f"{table.where}: {repeated} of {len(time_N)} rows repeat the time of the row before (column "
            f"'{clock.column}'), as if it were the time of packets; give --table-rate HZ to space the rows evenly"
        )
    if backward > _MANY_REPEATED * len(time_N):
        raise DataError(
            f"{table.where}: {backward} of {len(time_N)} rows go back in time (column '{clock.column}'); is it the "
            "clock (--time COLUMN), and is the file one recording?"
        )
    if repeated:
        notes.append(f"{name}: {counted(repeated, 'row')} with the time of the row before left out")
    if backward:
        notes.append(f"{name}: {counted(backward, 'row')} that went back in time left out")
    return time_N, later_N, notes


def gap_notes(name: str, time_n: Floats) -> list[str]:
    """Return a sentence on the gaps in ascending times [s], if there are any."""
    step_n = np.diff(time_n)
    if not len(step_n):
        return []
    long_n = step_n > max(GAP, 4 * float(np.median(step_n)))
    if not long_n.any():
        return []
    longest = int(step_n.argmax())
    lost = round(float((step_n[long_n] / np.median(step_n) - 1).sum()))
    return [
        f"{name}: {counted(int(long_n.sum()), 'gap')}, about {counted(lost, 'row')} missing; the longest is "
        f"{step_n[longest]:.2f} s at {time_n[longest]:.2f} s"
    ]
