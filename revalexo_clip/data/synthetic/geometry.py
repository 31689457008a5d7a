"""Rotations, smoothing and random curves.

Axes: x forward, y left, z up. A rotation maps body vectors to world vectors; positive pitch is nose down.

Shapes: T = samples in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Pose of a rigid body over time: position [T, 3] in m, rotation [T, 3, 3] from body to world."""

    position: Float
    rotation: Float

    def point(self, offset: Float) -> Float:
        """Compute the world position [T, 3] of the point at `offset` [3] in body axes."""
        return self.position + self.rotation @ offset


def rotation(axis: int, angle_T: Float) -> Float:
    """Return rotations [T, 3, 3] by `angle_T` [rad] about one axis (0: roll, 1: pitch, 2: yaw)."""
    angle_T = np.asarray(angle_T, dtype=np.float64)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    result = np.zeros((*angle_T.shape, 3, 3))
    result[..., axis, axis] = 1.0
    result[..., first, first] = result[..., second, second] = np.cos(angle_T)
    result[..., second, first] = np.sin(angle_T)
    result[..., first, second] = -np.sin(angle_T)
    return result


def orientation(yaw_T: Float, pitch_T: Float, roll_T: Float) -> Float:
    """Return rotations [T, 3, 3] that apply roll, then pitch, then yaw [rad]."""
    return rotation(2, yaw_T) @ rotation(1, pitch_T) @ rotation(0, roll_T)


def unit(vector: Float) -> Float:
    """Scale the vectors along the last axis to length 1."""
    length: Float = np.linalg.norm(vector, axis=-1, keepdims=True)
    return vector / length


def ease(progress: Float) -> Float:
    """Ease from 0 to 1 with zero velocity at both ends; `progress` is clipped to [0, 1]."""
    u = np.clip(progress, 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)


def smooth(signal_T: Float, sigma: float) -> Float:
    """Apply a Gaussian low-pass filter along the first axis, `sigma` in samples; the end values are repeated."""
    reach = max(1, int(4.0 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    columns = signal_T.reshape(len(signal_T), -1)
    padded = np.pad(columns, ((reach, reach), (0, 0)), mode="edge")
    smoothed = np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)
    return smoothed.reshape(signal_T.shape)


def wander(rng: np.random.Generator, times_T: Float, amplitude: float, slowest: float, fastest: float) -> Float:
    """Draw a smooth random curve [T] with standard deviation `amplitude` and periods of `fastest` to `slowest` s."""
    rates = 1.0 / np.exp(rng.uniform(np.log(fastest), np.log(slowest), size=5))
    phases = rng.uniform(0.0, 2.0 * np.pi, size=5)
    waves = np.sin(2.0 * np.pi * times_T[:, None] * rates + phases)
    curve: Float = amplitude * np.sqrt(2.0 / 5.0) * waves.sum(axis=1)
    return curve
