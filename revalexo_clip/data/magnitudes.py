"""What the magnitude of sensor signals tells: wrong units, and accelerations without gravity.

Thresholds allow for all ordinary motion: in walking, the shank turns at up to 7 rad/s and the foot accelerates by up to
40 m/s^2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FASTEST = 35.0
"""Largest range of usual gyroscopes, 2000 deg/s [rad/s]."""

FAST = 8.0
"""Median angular velocity over a recording that is not possible for a body segment [rad/s]."""

STRONG = 50.0
"""Median acceleration over a recording that is not possible for a body segment [m/s^2]."""

WEAK = 5.0
"""Smallest median acceleration of a body segment if gravity is part of it [m/s^2]."""

FEWEST = 30
"""Samples that a statement about gravity needs."""

Signals = Mapping[str, npt.NDArray[np.float64]]
"""[n] of each channel."""


class Implausible(NamedTuple):
    """A sensor whose magnitude is implausible."""

    sensor: str
    """Name of its channels without the axis, such as `acc_Head` or `gyro`."""
    kind: Literal["acc_units", "gyro_units", "no_gravity"]
    message: str
    unit: Literal["g", "deg/s"] | None
    """The unit that would make it plausible, if there is one."""


def implausible(by_channel: Signals) -> Iterator[Implausible]:
    """Yield the sensors whose unit seems to be wrong, or whose acceleration lacks gravity.

    Only sensors with all three axes are looked at.
    """
    for sensor, axes_n3 in three_axes(by_channel).items():
        magnitude_n = np.linalg.norm(axes_n3, axis=1)
        low, median, high = np.percentile(magnitude_n, [5, 50, 99])
        if sensor.partition("_")[0] == "gyro":
            if high > FASTEST or median > FAST:
                message = (
                    f"{sensor}: the magnitude is {median:.0f} (median) to {high:.0f}, as in deg/s; rad/s is expected"
                )
                yield Implausible(sensor, "gyro_units", message, "deg/s")
        # Accelerations without gravity can have this median too, but then they also have values near zero.
        elif 0.85 <= median <= 1.15 and low > 0.5:
            message = f"{sensor}: gravity is {median:.2f}, as in g; m/s^2 is expected"
            yield Implausible(sensor, "acc_units", message, "g")
        elif median > STRONG:
            message = f"{sensor}: the median magnitude is {median:.0f}, too large for m/s^2"
            yield Implausible(sensor, "acc_units", message, None)
        elif median < WEAK and len(magnitude_n) >= FEWEST:
            message = (
                f"{sensor}: the median magnitude is {median:.2f} m/s^2, and gravity alone is 9.8: has it been removed "
                "('linear' or 'free' acceleration)? All recordings should be alike in this"
            )
            yield Implausible(sensor, "no_gravity", message, None)


def three_axes(by_channel: Signals) -> dict[str, npt.NDArray[np.float64]]:
    """Return [n, 3] of each accelerometer and gyroscope that has the axes x, y and z."""
    sensors: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for channel, value_n in by_channel.items():
        sensor, _, axis = channel.rpartition("_")
        if axis in ("x", "y", "z") and sensor.partition("_")[0] in ("acc", "gyro"):
            sensors.setdefault(sensor, {})[axis] = value_n
    return {
        sensor: np.stack([axes[axis] for axis in "xyz"], axis=1) for sensor, axes in sensors.items() if len(axes) == 3
    }
