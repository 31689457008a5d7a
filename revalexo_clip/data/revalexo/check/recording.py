"""Checking IMU recordings: columns and cells, clocks, and the time that they cover. Signals are checked last."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.axes import Totals, totals_of
from revalexo_clip.data.csv_form import why_no_column, why_no_number, why_uneven
from revalexo_clip.data.imu import (
    LARGEST_FLOAT32,
    Rows,
    clock_like,
    header_of,
    matching_columns,
    read_imu,
    read_rows,
    read_timed_imu,
    select_channels,
)
from revalexo_clip.data.revalexo.check.lost_rows import clock_faults, in_seconds
from revalexo_clip.data.revalexo.check.problem import Finding
from revalexo_clip.data.revalexo.check.signals import check_signals
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.survey import Span, imu_facts
from revalexo_clip.data.revalexo.timing import wrong_rate
from revalexo_clip.data.windows import Floats

NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass
class Recording:
    """Problems, channels and length of one recording."""

    findings: list[Finding] = field(default_factory=list)
    channels: tuple[str, ...] | None = None
    """The ordered channels, if every pattern matches."""
    length: float | None = None
    """Length [s], if it can be read."""
    spans: list[Span] = field(default_factory=list)
    """The time that it covers: one span, or several between gaps [s in the clip]; none if that is not known."""
    first: float = 0.0
    """First reading of a column that looks like a clock [s]; 0 if there is none, or if it is not checked."""
    totals: Totals = field(default_factory=dict)
    """Mean accelerations, by sensor and activity."""


def check_recording(
    path: Path,
    patterns: Sequence[str],
    rate: float,
    duration: float,
    *,
    clock: Clock | None = None,
    check_clock: bool = True,
    segments: Sequence[tuple[float, float, str]] = (),
    names: Mapping[str, str] = NO_NAMES,
    factors: Callable[[tuple[str, ...]], npt.NDArray[np.float32]] | None = None,
) -> Recording:
    """Check the recording of a clip of `duration` [s] at `rate` [Hz]; see `Settings`.

    `segments` are start and end [s] and name of activities. `names` are the channels of columns that are named
    otherwise. `factors` gives what the values of channels are multiplied by to have the units of windows.
    """
    try:
        columns, rows = read_rows(path)
    except DataError as error:
        return Recording([("not_a_csv", _without(path, error))])
    found = Recording([*_header(path, columns, patterns)])
    chosen = _channels(columns, patterns)
    try:
        samples_nC = read_imu(path, chosen) if chosen else None
    except DataError as error:
        found.findings += _cells(columns, rows, chosen) or [("not_a_csv", _without(path, error))]
        samples_nC = None
    if not any(kind in ("missing_channel", "repeated_column") for kind, _ in found.findings):
        found.channels = select_channels(columns, patterns, path)
    if samples_nC is not None:
        found.length = len(samples_nC) / rate
        if check_clock and (clock is None or clock.time is None):
            found.first = _check_rate(path, rate, found)
        _check_time(found, path, chosen, len(samples_nC), rate=rate, duration=duration, clock=clock)
        found.findings += _clock_faults(path, chosen[0], rate, clock, {kind for kind, _ in found.findings})
        named = tuple(names.get(column, column) for column in chosen)
        samples_nC = samples_nC if factors is None else samples_nC * factors(named)
        found.findings += check_signals(samples_nC, named, rate)
        by_channel = dict(zip(named, samples_nC.T.astype(np.float64), strict=True))
        found.totals = totals_of(by_channel, _row_times(path, len(samples_nC), rate, clock), segments)
    return found


def _clock_faults(path: Path, channel: str, rate: float, clock: Clock | None, known: set[str]) -> list[Finding]:
    """Find lost rows and jumps by the declared clock, or by a column that looks like one; once for each cause."""
    if known & {"bad_clock", "clock_contradicts_rate"}:
        return []
    try:
        if clock is not None and clock.time is not None:
            return [*clock_faults(clock.row_times(path), f"column {clock.time}", declared=True)]
        columns = header_of(path)
        for column in (name for name in clock_like(columns) if columns.count(name) == 1):
            time_n = in_seconds(read_timed_imu(path, [channel], column)[1], rate)
            if time_n is not None:
                return [*clock_faults(time_n, f"column {column}", declared=False)]
    except DataError:  # a problem of a column that is not read
        return []
    return []


def _row_times(path: Path, rows: int, rate: float, clock: Clock | None) -> Floats:
    """Return the time of each row [s]; by the rate if the clock cannot be used, which is another problem."""
    try:
        return np.arange(rows) / rate if clock is None else clock.row_times(path)
    except DataError:
        return np.arange(rows) / rate


def _without(path: Path, error: DataError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _header(path: Path, columns: list[str], patterns: Sequence[str]) -> Iterator[Finding]:
    missing = [pattern for pattern in patterns if not matching_columns(columns, pattern)]
    if missing:
        named = ", ".join(f"'{pattern}'" for pattern in missing)
        yield "missing_channel", f"no column matches {named}; columns: {_shown(columns)}{why_no_column(path)}"
    taken = {column for pattern in patterns for column in matching_columns(columns, pattern)}
    for column in sorted(taken):
        if columns.count(column) > 1:
            yield "repeated_column", f"{columns.count(column)} columns are named {column}"


def _shown(columns: list[str], most: int = 12) -> str:
    rest = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(column[:60] for column in columns[:most]) + rest


def _channels(columns: list[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the readable channels, in order, even if others are missing or repeated."""
    matching = (column for pattern in patterns for column in matching_columns(columns, pattern))
    return tuple(dict.fromkeys(column for column in matching if columns.count(column) == 1))


def _cells(columns: list[str], rows: Rows, channels: Sequence[str]) -> list[Finding]:
    """Find all rows and cells that cannot be read: the first place and the count for each kind."""
    if not rows:
        return [("no_samples", "has a header but no samples")]
    places = [columns.index(channel) for channel in channels]
    ragged, text, infinite = list[str](), list[str](), list[str]()
    for number, (line, row) in enumerate(rows, start=1):
        if len(row) != len(columns):
            why = why_uneven(row, len(columns))
            ragged.append(f"line {line} has {len(row)} cells, the header has {len(columns)}{why}")
            continue
        for place in places:
            where = f"line {line} (row {number}), column {columns[place]}: '{row[place][:40]}'"
            value = _value(row[place])
            if value is None:
                text.append(f"{where} is not a number{_why(row, place, rows) if not text else ''}")
            elif not abs(value) <= LARGEST_FLOAT32:
                infinite.append(f"{where} is not a finite number")
    kinds = (("ragged_rows", ragged), ("not_a_number", text), ("not_finite", infinite))
    return [(kind, _first(places)) for kind, places in kinds if places]


def _why(row: list[str], place: int, rows: Rows) -> str:
    return why_no_number(row[place], [other[place] for _, other in rows if place < len(other)])


def _first(places: list[str]) -> str:
    return places[0] + (f" ({len(places)} such places)" if len(places) > 1 else "")


def _value(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _check_rate(path: Path, rate: float, found: Recording) -> float:
    """Compare a column that looks like a clock with the sampling rate; return its first reading [s]."""
    if not clock_like(header_of(path)):
        return 0.0
    try:
        _, wrong, first = imu_facts(path, rate)
    except DataError:  # a problem of a column that is not read
        return 0.0
    if wrong:
        found.findings.append(("clock_contradicts_rate", wrong_rate(wrong)))
    return first


def _check_time(
    found: Recording,
    path: Path,
    channels: tuple[str, ...],
    rows: int,
    *,
    rate: float,
    duration: float,
    clock: Clock | None,
) -> None:
    """Find the time that a recording covers, and what of the clip it does not cover."""
    if clock is None:
        found.spans = [Span(0.0, (rows + 1) / rate)]
        if math.isinf(duration):  # a clip without activities lasts as long as its files
            return
        if rows >= math.floor(round(duration * rate, 3)) - 1:  # one missing sample is allowed for rounding
            return
        end = f"{rows / rate:.3f} s ({rows} samples at {rate:g} Hz)"
    else:
        if clock.time in channels:
            found.findings.append(("bad_clock", f"column {clock.time} is both the clock and a channel"))
            return
        try:
            _, _, spans = clock.read(path, channels)
            clock.check_inside(path, spans, duration)
        except DataError as error:
            found.findings.append(("bad_clock", _without(path, error)))
            return
        found.spans = spans
        if round(spans[0].begin * rate) > 1:
            late = f"starts at {spans[0].begin:.3f} s: the first {spans[0].begin:.3f} s of the clip are cut"
            found.findings.append(("late_imu", late))
        if math.isinf(duration) or round((duration - spans[-1].end) * rate) <= 1:
            return
        end = f"{spans[-1].end:.3f} s"
    cut = duration - found.spans[-1].end
    found.findings.append(
        (
            "imu_short",
            f"ends at {end}, before the end of the clip's last activity at {duration:.3f} s: the last {cut:.3f} s of "
            "the clip are cut",
        )
    )
