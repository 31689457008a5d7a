"""The clock of an IMU file: reading it, checking it, and placing rows by it. Arithmetic on columns, no I/O.

Rows without a clock are assumed to be evenly spaced. A clock shows what that assumption hides: a rate that is not the
nominal one, rows that were lost, a recording that starts late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

import numpy as np

from revalexo_clip.core.types import TimeUnit
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.resampling import resampled_at
from revalexo_clip.data.windows import Floats

BadTime = Literal["error", "split", "sort"]
PER_SECOND: Mapping[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MAX_GAP = 0.1
"""Longest time between two rows that is interpolated over [s], unless it is set otherwise."""
RATE_TOLERANCE = 0.005
"""A clock contradicts a nominal rate if the two differ by more than this share."""
_SAME_RATE = 0.1
"""A clock runs at a rate if its last row is not farther than this from where the rate puts it [samples]."""
_PLAUSIBLE_HZ = (5.0, 20_000.0)
"""Rates of IMUs that people wear lie between these."""


class ClockError(ValueError):
    """A clock that cannot be used. `row` is the place of the first wrong value."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def seconds(cells: Sequence[str], unit: TimeUnit) -> Floats:
    """Read the cells of a clock column, [n] float64 [s].

    Whole numbers are exact before they are scaled: nanoseconds since 1970 keep their microseconds. ISO text without a
    time zone is taken as UTC. Raises `ClockError` for a cell that is no time.
    """
    if unit == "iso":
        return np.array([_iso(cell, row) for row, cell in enumerate(cells)])
    scale = PER_SECOND[unit]
    return np.array([_number(cell, row, scale) for row, cell in enumerate(cells)])


def _number(cell: str, row: int, scale: int) -> float:
    text = cell.strip()
    try:
        whole, rest = divmod(int(text), scale)
        return whole + rest / scale
    except ValueError:
        pass
    try:
        value = float(text) / scale
    except ValueError:
        raise ClockError(f"'{cell}' is not a number", row) from None
    if not np.isfinite(value):
        raise ClockError(f"'{cell}' is not a finite number", row)
    return value


def _iso(cell: str, row: int) -> float:
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        raise ClockError(f"'{cell}' is not a date and time such as 2024-05-01T12:00:00.250", row) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Piece:
    """Consecutive rows between which no gap is longer than the limit."""

    samples_nC: Samples
    time_n: Floats
    """Ascending [s]."""


def split_at_gaps(
    samples_nC: Samples, time_n: Floats, *, max_gap: float = MAX_GAP, on_bad_time: BadTime = "error"
) -> list[Piece]:
    """Check the clock of a recording, and cut it at gaps if `on_bad_time` is "split".

    With "sort", rows are put in order and rows that repeat a time are dropped; otherwise both are errors. A gap is
    longer than `max_gap` [s] and than four usual intervals. Raises `ClockError` that names the row.
    """
    if len(time_n) < 2:
        raise ClockError("a single row has no sampling rate", 0)
    if on_bad_time == "sort":
        time_n, first_n = np.unique(time_n, return_index=True)
        samples_nC = samples_nC[first_n]
    step_n = np.diff(time_n)
    usual = float(np.median(step_n))
    if not usual > 0:
        raise ClockError("the clock stands still: most rows repeat the time of the row before", 1)
    backwards = np.flatnonzero(step_n <= 0)
    if len(backwards):
        row = int(backwards[0]) + 1
        what = "repeats" if step_n[row - 1] == 0 else "goes back from"
        raise ClockError(
            f"the clock {what} {time_n[row - 1]:.6f} s{'' if step_n[row - 1] == 0 else f' to {time_n[row]:.6f} s'} "
            f"({len(backwards)} such rows); on_bad_time=sort puts rows in order and drops repeated times",
            row,
        )
    check_plausible(1 / usual)
    gaps = np.flatnonzero(step_n > max(max_gap, 4 * usual))
    if len(gaps) and on_bad_time != "split":
        row = int(gaps[0])
        raise ClockError(
            f"no row between {time_n[row]:.3f} s and {time_n[row + 1]:.3f} s ({len(gaps)} gaps longer than "
            f"{max(max_gap, 4 * usual):g} s); on_bad_time=split cuts the recording there, or raise max_gap",
            row + 1,
        )
    edges = [0, *(gaps + 1).tolist(), len(time_n)]
    return [Piece(samples_nC[first:end], time_n[first:end]) for first, end in pairwise(edges)]


def check_plausible(rate: float) -> None:
    """Raise `ClockError` if no IMU has this rate [Hz]; the message names the unit that would make sense."""
    low, high = _PLAUSIBLE_HZ
    if low <= rate <= high:
        return
    likely = [name for name, unit in _UNIT_NAMES.items() if low <= rate * unit <= high]
    hint = f": are these {' or '.join(likely)}? set time_unit" if likely else ""
    raise ClockError(f"the clock gives {rate:.3g} Hz{hint}", 0)


_UNIT_NAMES = {
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
    "seconds": 1e-3,
}
"""What a rate is multiplied by if the times are in another unit than was said."""


def on_grid(piece: Piece, rate: float) -> tuple[Samples, int]:
    """Resample a piece to `rate` [Hz] at whole multiples of 1 / rate: [m, C], and the number of the first of them.

    Rows that jitter are first put on an even grid of their own mean rate, by straight lines. What the new rate cannot
    hold is filtered out. Raises `ValueError` if the piece is sampled too slowly.
    """
    samples_nC, time_n = piece.samples_nC, piece.time_n
    if len(time_n) < 2:
        return samples_nC[:0], int(np.ceil(round(time_n[0] * rate, 3)))
    own = (len(time_n) - 1) / float(time_n[-1] - time_n[0])
    if abs(own / rate - 1) * len(time_n) < _SAME_RATE:
        own = rate
    even_n = time_n[0] + np.arange(len(time_n)) / own
    if np.abs(time_n - even_n).max() * own > 1e-3:
        columns = [np.interp(even_n, time_n, values_n) for values_n in samples_nC.T]
        samples_nC = np.stack(columns, axis=1).astype(np.float32)
    first = int(np.ceil(round(float(time_n[0]) * rate, 3)))
    end = int(np.ceil(round(float(time_n[0] + len(time_n) / own) * rate, 3)))  # a row lasts until the next one
    place_m = np.arange(first, end) * (own / rate) - time_n[0] * own
    return resampled_at(samples_nC, place_m, own, rate), first


def contradiction(time_n: Floats, rate: float) -> str | None:
    """How the values of a column that looks like a clock contradict a nominal `rate` [Hz]; None if they do not.

    The unit is the one that comes closest to the rate. A column that does not ascend, or counts rows, is no clock.
    """
    step_n = np.diff(time_n)
    if len(time_n) < 3 or not np.isfinite(time_n).all() or step_n.min() < 0 or not step_n.any() or (step_n == 1).all():
        return None
    units = {unit: (len(time_n) - 1) * scale / float(time_n[-1] - time_n[0]) for unit, scale in PER_SECOND.items()}
    unit, found = min(units.items(), key=lambda item: abs(np.log(item[1] / rate)))
    if abs(found / rate - 1) <= RATE_TOLERANCE:
        return None
    step_n = step_n / PER_SECOND[unit]
    usual = float(np.median(step_n))
    if abs(1 / usual / rate - 1) <= RATE_TOLERANCE and step_n.max() > 2 * usual:
        row = int(step_n.argmax())
        return f"says that rows are missing: {step_n.max():.3f} s between rows {row + 1} and {row + 2} [{unit}]"
    return f"says {found:.2f} Hz [{unit}], not {rate:g} Hz"


def first_reading(time_n: Floats, rate: float) -> float:
    """Return the first value of a clock column [s], in the unit that comes closest to a nominal `rate` [Hz]."""
    length = float(time_n[-1] - time_n[0])
    if len(time_n) < 3 or not length > 0 or (np.diff(time_n) == 1).all():
        return 0.0
    scale = min(PER_SECOND.values(), key=lambda scale: abs(np.log((len(time_n) - 1) * scale / length / rate)))
    return float(time_n[0]) / scale
