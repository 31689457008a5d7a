"""Checking IMU recordings: columns and cells, then constant or clipped channels, implausible values and wrong units.

Thresholds allow for all ordinary motion and usual sensor ranges: in walking, the shank turns at up to 7 rad/s and the
foot accelerates by up to 40 m/s^2; sensor ranges are at least 2 g and 250 deg/s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.clocks import clock_like
from revalexo_clip.data.imu import Rows, Samples, header_of, read_imu, read_rows, select_channels
from revalexo_clip.data.revalexo.check.problem import Finding
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.survey import Span, imu_facts
from revalexo_clip.data.revalexo.timing import wrong_rate

FLAT = 1.0
"""Shortest time that makes a constant channel a problem [s]. Sensor noise changes every sample."""

CUT_OFF = 5
"""Number of consecutive samples at the extreme value that count as clipping, not as a peak."""

SMALLEST_RANGE = {"acc": 15.0, "gyro": 4.0}
"""Slightly below the smallest sensor ranges [m/s^2, rad/s]. Smaller extreme values are not clipping."""

FASTEST = 35.0
"""Largest range of usual gyroscopes, 2000 deg/s [rad/s]."""

FAST = 8.0
"""Median angular velocity over a clip that is not possible for a body segment [rad/s]."""

STRONG = 50.0
"""Median acceleration over a clip that is not possible for a body segment [m/s^2]."""

LARGEST_MOTION = {"acc": 320.0, "gyro": 70.0}
"""Largest sensor ranges, 32 g and 4000 deg/s [m/s^2, rad/s]."""

Magnitudes = npt.NDArray[np.float64]


def check_signals(samples_nC: Samples, channels: Sequence[str], rate: float) -> list[Finding]:
    """Find suspicious values in finite samples at `rate` [Hz]."""
    by_channel = dict(zip(channels, samples_nC.T.astype(np.float64), strict=True))
    units = dict(_units(by_channel))
    right = {channel: value_n for channel, value_n in by_channel.items() if channel[:-2] not in units}
    return [*_flat(by_channel, rate), *_cut_off(right), *_out_of_range(right, rate), *units.values()]


def _flat(by_channel: dict[str, Magnitudes], rate: float) -> Iterator[Finding]:
    for channel, value_n in by_channel.items():
        start, length = longest_run(np.diff(value_n) == 0)
        if length + 1 == len(value_n) or length / rate >= FLAT:
            held = (
                "throughout" if length + 1 == len(value_n) else f"for {length / rate:.3f} s from {start / rate:.3f} s"
            )
            yield "flat_channel", f"{channel} is {value_n[start]:g} {held}"


def _cut_off(by_channel: dict[str, Magnitudes]) -> Iterator[Finding]:
    for channel, value_n in by_channel.items():
        limit = SMALLEST_RANGE.get(channel.split("_", 1)[0])
        for extreme in (value_n.max(), value_n.min()):
            if limit is None or abs(extreme) < limit or value_n.max() == value_n.min():
                continue
            _, length = longest_run(value_n == extreme)
            if length >= CUT_OFF:
                count = int((value_n == extreme).sum())
                yield "saturated_channel", f"{channel} is clipped at {extreme:g} ({count} samples, {length} in a row)"


def longest_run(true_n: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the start and length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true_n, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _out_of_range(by_channel: dict[str, Magnitudes], rate: float) -> Iterator[Finding]:
    for channel, value_n in by_channel.items():
        beyond_n = np.abs(value_n) > LARGEST_MOTION.get(channel.split("_", 1)[0], np.inf)
        if beyond_n.any():
            worst = int(np.abs(value_n).argmax())
            count = int(beyond_n.sum())
            more = f" ({count} such samples)" if count > 1 else ""
            yield "out_of_range", f"{channel} is {value_n[worst]:g} at {worst / rate:.3f} s{more}"


def _units(by_channel: dict[str, Magnitudes]) -> Iterator[tuple[str, Finding]]:
    """Yield the sensors whose unit seems to be wrong."""
    for sensor, magnitude_n in _magnitudes(by_channel).items():
        low, median, high = np.percentile(magnitude_n, [5, 50, 99])
        if sensor.startswith("gyro_"):
            if high > FASTEST or median > FAST:
                message = (
                    f"{sensor}: the magnitude is {median:.0f} (median) to {high:.0f}, as in deg/s; rad/s is expected"
                )
                yield sensor, ("gyro_units", message)
        # Accelerations without gravity can have this median too, but then they also have values near zero.
        elif 0.85 <= median <= 1.15 and low > 0.5:
            yield sensor, ("acc_units", f"{sensor}: gravity is {median:.2f}, as in g; m/s^2 is expected")
        elif median > STRONG:
            yield sensor, ("acc_units", f"{sensor}: the median magnitude is {median:.0f}, too large for m/s^2")


def _magnitudes(by_channel: dict[str, Magnitudes]) -> dict[str, Magnitudes]:
    """Return the vector magnitude of each accelerometer and gyroscope that has all three axes."""
    sensors: dict[str, list[Magnitudes]] = {}
    for channel, value_n in by_channel.items():
        sensor, _, axis = channel.rpartition("_")
        if axis in ("x", "y", "z") and sensor.startswith(("acc_", "gyro_")):
            sensors.setdefault(sensor, []).append(value_n)
    return {sensor: np.linalg.norm(axes, axis=0) for sensor, axes in sensors.items() if len(axes) == 3}


LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


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


def check_recording(
    path: Path,
    patterns: Sequence[str],
    rate: float,
    duration: float,
    *,
    clock: Clock | None = None,
    check_clock: bool = True,
) -> Recording:
    """Check the recording of a clip of `duration` [s] at `rate` [Hz]; see `Settings`."""
    try:
        columns, rows = read_rows(path)
    except DataError as error:
        return Recording([("not_a_csv", _without(path, error))])
    found = Recording([*_header(columns, patterns)])
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
        found.findings += check_signals(samples_nC, chosen, rate)
    return found


def _without(path: Path, error: DataError) -> str:
    return str(error).removeprefix(f"{path}: ")


def _header(columns: list[str], patterns: Sequence[str]) -> Iterator[Finding]:
    missing = [pattern for pattern in patterns if not any(fnmatchcase(column, pattern) for column in columns)]
    if missing:
        named = ", ".join(f"'{pattern}'" for pattern in missing)
        yield "missing_channel", f"no column matches {named}; columns: {_shown(columns)}{_delimiter(columns)}"
    taken = {column for column in columns for pattern in patterns if fnmatchcase(column, pattern)}
    for column in sorted(taken):
        if columns.count(column) > 1:
            yield "repeated_column", f"{columns.count(column)} columns are named {column}"


def _shown(columns: list[str], most: int = 12) -> str:
    rest = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(column[:60] for column in columns[:most]) + rest


def _delimiter(columns: list[str]) -> str:
    other = next((mark for mark in ";\t|" if len(columns) == 1 and mark in columns[0]), None)
    return f" (separated by {other!r} instead of ','?)" if other else ""


def _channels(columns: list[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the readable channels, in order, even if others are missing or repeated."""
    matching = (column for pattern in patterns for column in columns if fnmatchcase(column, pattern))
    return tuple(dict.fromkeys(column for column in matching if columns.count(column) == 1))


def _cells(columns: list[str], rows: Rows, channels: Sequence[str]) -> list[Finding]:
    """Find all rows and cells that cannot be read: the first place and the count for each kind."""
    if not rows:
        return [("no_samples", "has a header but no samples")]
    places = [columns.index(channel) for channel in channels]
    ragged, text, infinite = [], [], []
    for number, (line, row) in enumerate(rows, start=1):
        if len(row) != len(columns):
            ragged.append(f"line {line} has {len(row)} cells, the header has {len(columns)}")
            continue
        for place in places:
            where = f"line {line} (row {number}), column {columns[place]}: '{row[place][:40]}'"
            value = _value(row[place])
            if value is None:
                text.append(f"{where} is not a number")
            elif not abs(value) <= LARGEST_FLOAT32:
                infinite.append(f"{where} is not a finite number")
    kinds = (("ragged_rows", ragged), ("not_a_number", text), ("not_finite", infinite))
    return [(kind, _first(places)) for kind, places in kinds if places]


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
        if rows >= math.floor(round(duration * rate, 3)) - 1:  # one missing sample is allowed for rounding
            return
        end = f"{rows / rate:.3f} s ({rows} samples at {rate:g} Hz)"
    else:
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
        if round((duration - spans[-1].end) * rate) <= 1:
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
