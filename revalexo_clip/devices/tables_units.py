"""Units of the sensors in tables: declared, in a name, or shown by physics.

Gravity shows the unit of an accelerometer: its magnitude is near 9.8 m/s^2 or 1 g over most recordings. An
accelerometer shows the unit of the gyroscope beside it: the direction u of gravity moves in the sensor's axes as
du/dt = -w x u if w is the angular velocity in rad/s, so that a regression of one on the other gives the factor between
w and what was recorded. Deg/s and rad/s are a factor of 57 apart, more than motion disturbs the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, sosfiltfilt

from revalexo_clip.data.magnitudes import FAST, FASTEST, STRONG, WEAK
from revalexo_clip.data.recordings.units import STANDARD_GRAVITY
from revalexo_clip.devices.base import Floats

FACTORS: Mapping[str, tuple[str, float]] = {
    "m/s^2": ("acc", 1.0),
    "g": ("acc", STANDARD_GRAVITY),
    "mg": ("acc", STANDARD_GRAVITY / 1000),
    "rad/s": ("gyro", 1.0),
    "mrad/s": ("gyro", 1e-3),
    "deg/s": ("gyro", math.pi / 180),
    "mdeg/s": ("gyro", math.pi / 180_000),
}
"""What each unit measures, and its factor to m/s^2 or rad/s."""

_SLOW = 1.0
"""Motion below this is compared [Hz]: slower than most accelerations of the body."""
_ENOUGH = 4.0
"""Shortest recording that shows the unit of a gyroscope [s]."""
_CORRELATED = 0.4
"""Smallest correlation between the motion of gravity and the gyroscope for a statement about units."""
_BAND = 4.0
"""Largest factor between the regression and the unit that it shows."""
NO_GRAVITY = "the acceleration is without gravity"
"""Note of a stream whose acceleration has no gravity in it."""


class FoundUnit(NamedTuple):
    """A unit, and from what it is known."""

    unit: str
    why: str


def acc_unit(acc_N3: Floats) -> FoundUnit | None:
    """Find the unit of accelerations, gravity included, by their magnitude; None if it does not show."""
    magnitude_N = np.linalg.norm(acc_N3, axis=1)
    if not len(magnitude_N):
        return None
    low, median = np.percentile(magnitude_N, [5, 50])
    if 7.5 <= median <= 14.0:
        return FoundUnit("m/s^2", f"by gravity, {median:.2f}")
    if 0.85 <= median <= 1.2 and low > 0.4:
        return FoundUnit("g", f"by gravity, {median:.2f}")
    if 850 <= median <= 1200 and low > 400:
        return FoundUnit("mg", f"by gravity, {median:.0f}")
    return None


def gyro_unit(gyro_N3: Floats, time_N: Floats, acc_M3: Floats | None, acc_time_M: Floats | None) -> FoundUnit | None:
    """Find the unit of angular velocities; None if it does not show.

    `acc_M3` are accelerations of the same sensor with gravity, in any unit. Values too large for rad/s are deg/s.
    """
    magnitude_N = np.linalg.norm(gyro_N3, axis=1)
    if not len(magnitude_N):
        return None
    median, high = np.percentile(magnitude_N, [50, 99])
    if high > FASTEST or median > FAST:
        return FoundUnit("deg/s", f"by its magnitude, up to {high:.0f}")
    if acc_M3 is None or acc_time_M is None:
        return None
    factor = gravity_factor(gyro_N3, time_N, acc_M3, acc_time_M)
    for unit in ("rad/s", "deg/s"):
        _, scale = FACTORS[unit]
        if factor is not None and scale / _BAND < factor < scale * _BAND:
            return FoundUnit(unit, "by how gravity turns in the accelerometer")
    return None


def gravity_factor(gyro_N3: Floats, time_N: Floats, acc_M3: Floats, acc_time_M: Floats) -> float | None:
    """Return the factor by which recorded angular velocities become those that turn gravity, to rad/s.

    None if the recording is short, or its accelerations do not follow the gyroscope.
    """
    begin, end = max(time_N[0], acc_time_M[0]), min(time_N[-1], acc_time_M[-1])
    rate = min((len(time_N) - 1) / (time_N[-1] - time_N[0]), (len(acc_time_M) - 1) / (acc_time_M[-1] - acc_time_M[0]))
    if end - begin < _ENOUGH or rate < 4 * _SLOW:
        return None
    even_n = np.arange(begin, end, 1 / rate)
    low_pass = butter(2, _SLOW, fs=rate, output="sos")
    acc_n3, gyro_n3 = (
        sosfiltfilt(low_pass, np.stack([np.interp(even_n, at_K, axis_K) for axis_K in values_K3.T], axis=1), axis=0)
        for at_K, values_K3 in ((acc_time_M, acc_M3), (time_N, gyro_N3))
    )
    length_n1 = np.linalg.norm(acc_n3, axis=1, keepdims=True)
    if length_n1.min() <= 0:
        return None
    up_n3 = acc_n3 / length_n1
    turning_n3 = np.gradient(up_n3, 1 / rate, axis=0)
    expected_n3 = -np.cross(gyro_n3, up_n3)
    product = float((turning_n3 * expected_n3).sum())
    power = float((expected_n3**2).sum())
    size = math.sqrt(float((turning_n3**2).sum()) * power)
    if size == 0 or product / size < _CORRELATED:
        return None
    return product / power


def without_gravity(acc_N3: Floats) -> bool:
    """Return whether accelerations in m/s^2 seem to have no gravity in them."""
    return bool(np.median(np.linalg.norm(acc_N3, axis=1)) < WEAK)


def implausible_unit(kind: str, values_N3: Floats) -> str | None:
    """Return what is wrong with values in m/s^2 or rad/s that no body segment has; None if nothing is."""
    median, high = np.percentile(np.linalg.norm(values_N3, axis=1), [50, 99])
    if kind == "gyro" and (high > FASTEST or median > FAST):
        return f"angular velocities up to {high:.0f} rad/s are not possible"
    if kind == "acc" and median > STRONG:
        return f"a median acceleration of {median:.0f} m/s^2 is not possible"
    if kind == "acc" and 0.85 <= median <= 1.15 and float(np.percentile(np.linalg.norm(values_N3, axis=1), 5)) > 0.5:
        return f"gravity is {median:.2f}, as in g"
    return None
