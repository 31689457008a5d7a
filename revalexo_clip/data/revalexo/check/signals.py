"""Checking the signals of an IMU recording: constant or clipped channels, implausible values, wrong units, counters.

Thresholds allow for all ordinary motion and usual sensor ranges: in walking, the shank turns at up to 7 rad/s and the
foot accelerates by up to 40 m/s^2; sensor ranges are at least 2 g and 250 deg/s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.imu import UNITS, Samples
from revalexo_clip.data.magnitudes import implausible
from revalexo_clip.data.revalexo.check.lost_rows import held_rows
from revalexo_clip.data.revalexo.check.problem import Finding

FLAT = 1.0
"""Shortest time that makes a constant channel a problem [s]. Sensor noise changes every sample."""

CUT_OFF = 5
"""Number of consecutive samples at the extreme value that count as clipping, not as a peak."""

OFTEN = 12
"""Number of samples at the extreme value that count as clipping, wherever they are: short impacts have one or two."""

FEWEST = 30
"""Rows that ascend throughout in no sensor's signal, because of noise."""

SMALLEST_RANGE = {"acc": 15.0, "gyro": 4.0}
"""Slightly below the smallest sensor ranges [m/s^2, rad/s]. Smaller extreme values are not clipping."""

LARGEST_MOTION = {"acc": 320.0, "gyro": 70.0}
"""Largest sensor ranges, 32 g and 4000 deg/s [m/s^2, rad/s]."""

Magnitudes = npt.NDArray[np.float64]


def check_signals(samples_nC: Samples, channels: Sequence[str], rate: float) -> list[Finding]:
    """Find suspicious values in finite samples at `rate` [Hz]."""
    by_channel = dict(zip(channels, samples_nC.T.astype(np.float64), strict=True))
    wrong = list(implausible(by_channel))
    other_unit = {one.sensor for one in wrong if one.kind != "no_gravity"}
    right = {channel: value_n for channel, value_n in by_channel.items() if channel[:-2] not in other_unit}
    return [
        *_counting(by_channel),
        *_flat(by_channel, rate),
        *held_rows(by_channel, rate, FLAT),
        *_cut_off(right),
        *_out_of_range(right, rate),
        *((one.kind, one.message) for one in wrong),
    ]


def _counting(by_channel: dict[str, Magnitudes]) -> Iterator[Finding]:
    for channel, value_n in by_channel.items():
        known = channel.split("_", 1)[0] in UNITS
        if not known and len(value_n) >= FEWEST and (np.diff(value_n) > 0).all():
            yield "counting_channel", f"{channel} ascends with every row, like a clock or a counter"


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
            count = int((value_n == extreme).sum())
            if length >= CUT_OFF or count >= OFTEN:
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
