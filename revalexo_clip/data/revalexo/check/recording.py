"""What is wrong with a clip's IMU recording: its cells first, then, where they are numbers, what they say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.imu import Rows, Samples, read_imu, read_rows, select_channels
from revalexo_clip.data.revalexo.check.problem import Finding
from revalexo_clip.data.revalexo.check.signals import check_signals

LARGEST = float(np.finfo(np.float32).max)


@dataclass
class Recording:
    """What was found in one recording."""

    findings: list[Finding] = field(default_factory=list)
    channels: tuple[str, ...] | None = None
    """The ordered channels that it gives, where it gives one for each pattern."""
    length: float | None = None
    """How long it is [s], where it can be read."""


def check_recording(path: Path, patterns: Sequence[str], rate: float, duration: float) -> Recording:
    """What is wrong with the recording of a clip of `duration` [s] at `rate` [Hz]."""
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
        found.findings += _length(samples_nC, rate, duration)
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
    """The channels that can be read, in order, even where others are missing or there twice."""
    matching = (column for pattern in patterns for column in columns if fnmatchcase(column, pattern))
    return tuple(dict.fromkeys(column for column in matching if columns.count(column) == 1))


def _cells(columns: list[str], rows: Rows, channels: Sequence[str]) -> list[Finding]:
    """Everything that keeps the rows from being numbers: each kind with its first place and its count."""
    if not rows:
        return [("no_samples", "holds a header and no samples")]
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
            elif not abs(value) <= LARGEST:
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


def _length(samples_nC: Samples, rate: float, duration: float) -> Iterator[Finding]:
    if len(samples_nC) < math.floor(round(duration * rate, 3)) - 1:  # one missing sample is allowed for rounding
        yield (
            "imu_short",
            f"ends at {len(samples_nC) / rate:.3f} s ({len(samples_nC)} samples at {rate:g} Hz), the clip's last "
            f"activity at {duration:.3f} s",
        )
