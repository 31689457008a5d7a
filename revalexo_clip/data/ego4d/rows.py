"""Clean the rows of an IMU table: leave out those that cannot be placed or have no value, and count them.

Nothing is replaced by zeros, and nothing is interpolated over longer than the limit. Arithmetic, no I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.text import counted
from revalexo_clip.data.clocks import ClockError, Piece, split_at_gaps
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import Floats, Ints


class Table(NamedTuple):
    """The rows of an IMU file as they are."""

    time_n: Floats
    """Time [s]; NaN if a row has none."""
    samples_nC: Samples
    """Values; NaN if a cell has none."""
    component_n: Ints | None = None
    """Part of the recording that each row belongs to, counted from 0, and -1 if a row does not say it; None if the file
    has no such column."""


@dataclass(frozen=True)
class Faults:
    """Rows of an IMU file that are left out, and other faults."""

    rows: int = 0
    """Rows of the file."""
    without_time: int = 0
    """Rows that have no time."""
    not_finite: int = 0
    """Rows with a time and with a value that is missing, NaN, infinite or no number."""
    backward: int = 0
    """Rows whose time does not come after that of the rows before."""
    gaps: int = 0
    """Stretches without rows that are longer than the limit; recordings are cut there."""
    absent_components: tuple[int, ...] = ()
    """Components between 0 and the last one that have no row at all."""

    @property
    def left_out(self) -> int:
        """Number of rows that are left out."""
        return self.without_time + self.not_finite + self.backward

    def findings(self) -> Iterator[tuple[str, str]]:
        """Yield the kind and a description of each fault, see `check.problem.KINDS`."""
        if self.without_time:
            yield "missing_time", f"{self.without_time} of {self.rows} rows have no time; they are left out"
        if self.backward:
            yield "backward_time", f"{self.backward} of {self.rows} rows go back in time; they are left out"
        if self.not_finite:
            yield "missing_value", f"{self.not_finite} of {self.rows} rows lack a value; they are left out"
        if self.absent_components:
            numbers = ", ".join(map(str, self.absent_components))
            yield "absent_component", f"component {numbers} has no rows; windows leave its time out"
        if self.gaps:
            yield "imu_gap", f"no rows in {counted(self.gaps, 'gap')}; windows leave this time out"


def clean(table: Table, max_gap: float) -> tuple[list[Piece], Faults]:
    """Return the pieces of a recording between its gaps, and its faults.

    A gap is longer than `max_gap` [s] and than four usual intervals. Raises `ClockError` if fewer than two rows are
    left, or if their rate is that of no IMU.
    """
    timed_n = np.isfinite(table.time_n)
    finite_n = np.isfinite(table.samples_nC).all(axis=1)
    kept_m = np.flatnonzero(timed_n & finite_n)
    ascending_m = longest_ascending(table.time_n[kept_m])
    faults = Faults(
        rows=len(timed_n),
        without_time=int((~timed_n).sum()),
        not_finite=int((timed_n & ~finite_n).sum()),
        backward=len(kept_m) - len(ascending_m),
        absent_components=_absent(table.component_n),
    )
    kept_m = kept_m[ascending_m]
    if len(kept_m) < 2:
        why = "; ".join(message for _, message in faults.findings())
        raise ClockError(f"fewer than two rows can be used ({why})", 0)
    pieces = split_at_gaps(table.samples_nC[kept_m], table.time_n[kept_m], max_gap=max_gap, on_bad_time="split")
    return pieces, replace(faults, gaps=len(pieces) - 1)


def longest_ascending(time_n: Floats) -> Ints:
    """Return the indices of the longest strictly ascending subsequence.

    Leaving out the other rows is the smallest change that makes times ascend: a single row with a time in the future
    does not cost all rows after it.
    """
    if len(time_n) < 2 or (np.diff(time_n) > 0).all():
        return np.arange(len(time_n))
    ends: list[float] = []  # the smallest last time of a subsequence of each length
    last: list[int] = []  # its row
    before = np.full(len(time_n), -1, dtype=np.int64)
    for row, time in enumerate(time_n.tolist()):
        length = bisect_left(ends, time)
        before[row] = last[length - 1] if length else -1
        if length == len(ends):
            ends.append(time)
            last.append(row)
        else:
            ends[length], last[length] = time, row
    chosen = [last[-1]]
    while before[chosen[-1]] >= 0:
        chosen.append(int(before[chosen[-1]]))
    return np.array(chosen[::-1], dtype=np.int64)


def _absent(component_n: npt.NDArray[np.int64] | None) -> tuple[int, ...]:
    if component_n is None or not len(component_n):
        return ()
    seen = set(component_n.tolist())
    return tuple(number for number in range(max(seen)) if number not in seen)
