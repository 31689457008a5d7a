"""A simulated head with a camera and a gyroscope: turning rates, and the motion of the picture that they cause."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.motion import MotionTrack
from revalexo_clip.sync.rotation import Rotations
from revalexo_clip.sync.series import Gyroscope, picture_rotation

Floats = npt.NDArray[np.float64]

SENSOR = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""From the sensor's axes (x ahead, y left, z up) to those of the camera (x right, y down, z ahead)."""
FIELD = np.radians(80.0)
ASPECT = 0.75
FINE = 240.0
"""Rate at which the head is simulated [Hz]."""


class Turns(NamedTuple):
    """Angles of the camera around its own axes."""

    time_n: Floats
    angle_n3: Floats

    def at(self, time_P: Floats) -> Floats:
        """[P, 3]"""
        return np.stack([np.interp(time_P, self.time_n, angle_n) for angle_n in self.angle_n3.T], axis=1)


def turns(duration: float, *, size: float = 0.5, fastest: float = 3.0, seed: int = 0) -> Turns:
    """Random turns of `size` [rad / s] below `fastest` [Hz], from 5 s before to 5 s after the recording."""
    time_n = np.arange(-5.0, duration + 5.0, 1 / FINE)
    spectrum_F3 = np.fft.rfft(np.random.default_rng(seed).standard_normal((len(time_n), 3)), axis=0)
    frequency_F = np.fft.rfftfreq(len(time_n), 1 / FINE)
    spectrum_F3 *= np.exp(-((frequency_F / fastest) ** 2))[:, None]
    rate_n3 = np.fft.irfft(spectrum_F3, n=len(time_n), axis=0)
    rate_n3 *= size * np.array([0.6, 1.0, 0.4]) / rate_n3.std(axis=0)
    return Turns(time_n, np.cumsum(rate_n3, axis=0) / FINE)


def walking(duration: float, *, seed: int = 0) -> Turns:
    """Turns of a head that walks at 0.95 strides / s, and looks around a little."""
    draws = np.random.default_rng(seed)
    time_n = np.arange(-5.0, duration + 5.0, 1 / FINE)
    stride_n = 2 * np.pi * 0.95 * time_n + 0.02 * np.cumsum(draws.standard_normal(len(time_n)))
    parts = zip((0.2, 0.3, 0.15), (2, 1, 1), draws.uniform(0, 6, 3), strict=True)
    rate_n3 = np.stack([size * np.sin(times * stride_n + phase) for size, times, phase in parts], axis=1)
    looks = turns(duration, size=0.1, fastest=1.0, seed=seed)
    return Turns(time_n, np.cumsum(rate_n3, axis=0) / FINE + looks.angle_n3)


def frames(duration: float, rate: float = 29.97, jitter: float = 0.1, seed: int = 0) -> Floats:
    """Times of frames [s] whose intervals vary."""
    count = int(duration * rate)
    return (np.arange(count) + jitter * np.random.default_rng(seed).uniform(-1, 1, count)) / rate


def track(head: Turns, edge_E: Floats, *, readout: float = 0.0, noise: float = 0.01, seed: int = 0) -> MotionTrack:
    """The motion of 3 x 4 cells; the picture's middle line is taken at the time of each frame."""
    draws = np.random.default_rng(seed)
    focal = 0.5 / np.tan(FIELD / 2)
    value_PYX3 = np.ones((len(edge_E) - 1, 3, 4, 3))
    right_X = (np.arange(4) + 0.5) / 4 - 0.5
    for row in range(3):
        line = (row - 1) / 3
        angle_E3 = head.at(edge_E + line * readout)
        x_P1, y_P1, z_P1 = (np.diff(angle_E3, axis=0) / np.diff(edge_E)[:, None]).T[..., None]
        down = line * ASPECT
        value_PYX3[:, row, :, 0] = -focal * y_P1 + z_P1 * down
        value_PYX3[:, row, :, 1] = focal * x_P1 - z_P1 * right_X
    value_PYX3[..., :2] += noise * draws.standard_normal(value_PYX3[..., :2].shape)
    wild_PYX = draws.uniform(size=value_PYX3.shape[:3]) < 0.1  # a hand, a passer-by
    value_PYX3[wild_PYX, :2] += draws.standard_normal((wild_PYX.sum(), 2))
    return MotionTrack(edge_E, value_PYX3.astype(np.float32))


def rows(
    head: Turns, duration: float, *, rate: float = 60.0, lag: float = 0.0, drift: float = 0.0, seed: int = 0
) -> tuple[Floats, Floats]:
    """What the IMU says: times [n] that are too early by `lag`, and by `drift` x (time - middle), and rates [n, 3]."""
    time_n = np.arange(int(duration * rate)) / rate
    rate_n3 = (head.at(time_n + 1 / FINE) - head.at(time_n - 1 / FINE)) * FINE / 2
    draws = np.random.default_rng(seed)
    said_n = time_n - lag - drift * (time_n - duration / 2)
    return said_n, rate_n3 @ SENSOR + 0.01 * draws.standard_normal((len(time_n), 3)) + 0.02


def rotations(measured: MotionTrack) -> Rotations:
    """The rotation of the picture, as `check-sync` measures it."""
    whole, upper, lower = (picture_rotation(measured, ASPECT, part) for part in (slice(None), slice(0, 1), slice(2, 3)))
    return Rotations(whole, upper, lower, 2 / 3)


def recording(
    duration: float,
    *,
    lag: float = 0.0,
    drift: float = 0.0,
    readout: float = 0.0,
    size: float = 0.5,
    seed: int = 0,
    other: bool = False,
) -> tuple[Rotations, Gyroscope]:
    """A recording; with `other`, the gyroscope is that of another person."""
    head = turns(duration, size=size, seed=seed)
    worn = turns(duration, size=size, seed=seed + 1000) if other else head
    measured = track(head, frames(duration, seed=seed), readout=readout, seed=seed)
    return rotations(measured), Gyroscope([rows(worn, duration, lag=lag, drift=drift, seed=seed)])
