"""What is doubtful about an IMU signal: channels that stand still or are cut off, and units that it cannot be in.

Thresholds are those of bodies and of the sensors that people wear, wide enough for what people do: ordinary walking
turns a shank by 7 rad/s and shakes a foot by 40 m/s^2; the usual ranges of sensors end at 2 g and 250 deg/s or above.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.imu import Samples
from revalexo_clip.data.revalexo.check.problem import Finding

FLAT = 1.0
"""A channel that holds one value for this long is flat [s]: a sensor's own noise moves it all the time."""
CUT_OFF = 5
"""So many samples in a row at the exact extreme value are no peak."""
SMALLEST_RANGE = {"acc": 15.0, "gyro": 4.0}
"""Where the smallest ranges of sensors end, a little below [m/s^2, rad/s]: no extreme under it is a saturation."""
FASTEST = 35.0
"""The largest range of usual gyroscopes, 2000 deg/s [rad/s]."""
FAST = 8.0
"""More than a body can keep up over a clip, median [rad/s]."""
STRONG = 50.0
"""More than a body can keep up over a clip, median [m/s^2]."""

LARGEST = {"acc": 320.0, "gyro": 70.0}
"""Where the largest ranges of sensors end, 32 g and 4000 deg/s [m/s^2, rad/s]."""

Magnitudes = npt.NDArray[np.float64]


def check_signals(samples_nC: Samples, channels: Sequence[str], rate: float) -> list[Finding]:
    """What is doubtful about finite samples at `rate` [Hz]."""
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
                yield "saturated_channel", f"{channel} is cut off at {extreme:g} ({count} samples, {length} in a row)"


def longest_run(true_n: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true_n, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0, 0
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _out_of_range(by_channel: dict[str, Magnitudes], rate: float) -> Iterator[Finding]:
    for channel, value_n in by_channel.items():
        beyond_n = np.abs(value_n) > LARGEST.get(channel.split("_", 1)[0], np.inf)
        if beyond_n.any():
            worst = int(np.abs(value_n).argmax())
            count = int(beyond_n.sum())
            more = f" ({count} such samples)" if count > 1 else ""
            yield "out_of_range", f"{channel} is {value_n[worst]:g} at {worst / rate:.3f} s{more}"


def _units(by_channel: dict[str, Magnitudes]) -> Iterator[tuple[str, Finding]]:
    """The sensors whose unit seems to be another one."""
    for sensor, magnitude_n in _magnitudes(by_channel).items():
        low, median, high = np.percentile(magnitude_n, [5, 50, 99])
        if sensor.startswith("gyro_"):
            if high > FASTEST or median > FAST:
                message = f"{sensor} turns at {median:.0f} to {high:.0f}, as it does in deg/s; rad/s is expected"
                yield sensor, ("gyro_units", message)
        # Accelerations without gravity can have this median, but then they come near zero as well.
        elif 0.85 <= median <= 1.15 and low > 0.5:
            yield sensor, ("acc_units", f"{sensor}: gravity is {median:.2f}, as it is in g; m/s^2 is expected")
        elif median > STRONG:
            yield sensor, ("acc_units", f"{sensor}: the median magnitude is {median:.0f}; that cannot be m/s^2")


def _magnitudes(by_channel: dict[str, Magnitudes]) -> dict[str, Magnitudes]:
    """Of each accelerometer and gyroscope whose three axes are there, the length of its vector."""
    sensors: dict[str, list[Magnitudes]] = {}
    for channel, value_n in by_channel.items():
        sensor, _, axis = channel.rpartition("_")
        if axis in ("x", "y", "z") and sensor.startswith(("acc_", "gyro_")):
            sensors.setdefault(sensor, []).append(value_n)
    return {sensor: np.linalg.norm(axes, axis=0) for sensor, axes in sensors.items() if len(axes) == 3}
