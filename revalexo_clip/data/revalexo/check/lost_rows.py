"""Finding rows that a device lost: steps of its clock, and values that were repeated instead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from revalexo_clip.core.text import counted
from revalexo_clip.data.clocks import MAX_GAP, PER_SECOND
from revalexo_clip.data.magnitudes import Signals, three_axes
from revalexo_clip.data.revalexo.check.problem import Finding
from revalexo_clip.data.windows import Floats

LOST = 1.75
"""Steps of a clock that are longer than this many usual ones lack rows, unless the steps beside them are shorter."""
NEAR = 11
"""Steps that tell what is usual around one of them: clocks of some devices run slower or faster for some rows."""
JITTER = 5.0
"""They also have to differ from the usual step by this many times the median difference."""
SLOW = 0.1
"""A step that differs from the one beside it by less than this share is one of a clock that runs slower for a while."""
FEW_IN_A_ROW = 3
"""So many lost rows in a row are reported."""
FEW = 0.005
"""So large a share of lost rows is reported, however few are lost in a row."""
BURSTS = 1.5
"""If the mean step is longer than this many usual ones, rows have the time of their packet, which tells nothing."""
SAME_RATE = 1.2
"""A column is a clock if its usual step differs from that of the rate by less than this factor."""

HELD = 4
"""Equal rows in a row that count as held. Noise changes a sensor's three axes with every row."""
JUMP = 3.0
"""A held value ends with a jump of at least so many of the smallest steps of the sensor; a still sensor does not."""


def clock_faults(time_n: Floats, clock: str, *, declared: bool) -> Iterator[Finding]:
    """Yield what the times [s] of rows say about lost rows. `clock` is the name of the clock in messages.

    Gaps and rows that go back are looked at only if the clock is not declared: a declared one is read as in training,
    which refuses them.
    """
    step_n = np.diff(time_n)
    usual = float(np.median(step_n)) if len(step_n) else 0.0
    if len(step_n) < NEAR or not np.isfinite(step_n).all() or not usual > 0:
        return
    gap = max(MAX_GAP, 4 * usual)
    if not declared:
        yield from _jumps(time_n, step_n, clock, gap)
    small_n = np.where((step_n > 0) & (step_n <= gap), step_n, usual)
    if small_n.mean() > BURSTS * usual:
        return
    near_n = np.median(sliding_window_view(np.pad(small_n, NEAR // 2, mode="reflect"), NEAR), axis=1)
    beside_n3 = sliding_window_view(np.pad(small_n, 1, mode="reflect"), 3)
    late_n = beside_n3.sum(axis=1) < (2 + LOST) * near_n  # the next row is early by as much: only the time is late
    slow_n = (np.abs(beside_n3[:, ::2] / small_n[:, None] - 1) < SLOW).any(axis=1)
    excess_n = small_n / near_n - 1
    limit = max(LOST - 1, JITTER * float(np.median(np.abs(excess_n))))
    lost_n = np.where((excess_n > limit) & ~late_n & ~slow_n, np.round(excess_n), 0)
    if lost_n.max() < FEW_IN_A_ROW and lost_n.sum() < max(FEW * len(time_n), 2):
        return
    worst = int(lost_n.argmax())
    meaning = "" if declared else "; rows after them are placed too early without this clock"
    yield (
        "lost_rows",
        f"{clock}: {counted(int(lost_n.sum()), 'row')} missing in {counted(int((lost_n > 0).sum()), 'place')}, "
        f"at most {int(lost_n[worst])} in a row, before row {worst + 2}: were packets dropped{meaning}?",
    )


def _jumps(time_n: Floats, step_n: Floats, clock: str, gap: float) -> Iterator[Finding]:
    back = np.flatnonzero(step_n < 0)
    ahead = np.flatnonzero(step_n > gap)
    for places, what in ((back, "back"), (ahead, "ahead")):
        if len(places):
            row = int(places[0])
            more = f" ({len(places)} such jumps, this is the first)" if len(places) > 1 else ""
            yield (
                "clock_jump",
                f"{clock} jumps {what} from {time_n[row]:.3f} s to {time_n[row + 1]:.3f} s in row {row + 2}"
                f"{more}: was the clock set, or were rows lost?",
            )


def in_seconds(value_n: Floats, rate: float) -> Floats | None:
    """Return the values of a column that may be a clock in s, in the unit that fits a `rate` [Hz] best.

    Returns None if no unit fits, or if the column counts rows.
    """
    step_n = np.diff(value_n)
    if len(step_n) < 2 or not np.isfinite(value_n).all() or (step_n == 1).all():
        return None
    usual = float(np.median(step_n))
    if not usual > 0:
        return None
    scale = min(PER_SECOND.values(), key=lambda scale: abs(np.log(scale / usual / rate)))
    return value_n / scale if 1 / SAME_RATE < scale / usual / rate < SAME_RATE else None


def held_rows(by_channel: Signals, rate: float, longest: float) -> Iterator[Finding]:
    """Yield the sensors all of whose axes stand still in motion, each time for less than `longest` [s]."""
    for sensor, axes_n3 in three_axes(by_channel).items():
        step_m3 = np.abs(np.diff(axes_n3, axis=0))
        moved_m = step_m3.max(axis=1, initial=0.0) > 0
        if not moved_m.any():
            continue
        smallest = float(step_m3[step_m3 > 0].min())
        edges = np.flatnonzero(np.diff(np.concatenate([[True], moved_m, [True]]).astype(np.int8)))
        starts, ends = edges[::2], edges[1::2]  # of runs of equal rows, as numbers of steps
        length = ends - starts + 1
        between = (starts > 0) & (ends < len(moved_m))  # at an end, it is padding where a sensor has no samples yet
        inside = between & (length >= HELD) & (length / rate < longest)
        after = np.linalg.norm(step_m3[np.minimum(ends, len(moved_m) - 1)], axis=1)
        held = inside & (after >= JUMP * smallest)
        if held.any():
            worst = int(np.where(held, length, 0).argmax())
            yield (
                "held_rows",
                f"{sensor}: the same values in {length[worst]} rows from {starts[worst] / rate:.3f} s on "
                f"({counted(int(held.sum()), 'such place')}): were packets dropped, or is this sensor slower than "
                f"{rate:g} Hz?",
            )
