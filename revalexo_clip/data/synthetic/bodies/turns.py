"""Rotations over time as unit quaternions, component by component, so that numpy works on long arrays.

scipy's Rotation does the same, and is the reference of the tests, but takes 50 times as long for products.

Shapes: T = samples in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float


@dataclass(frozen=True)
class Turns:
    """Rotations: scalar first, [4, T], or [4, 1] if it does not change."""

    wxyz: Float

    def __matmul__(self, other: Turns) -> Turns:
        """Return the rotation that applies `other` first."""
        a, b, c, d = self.wxyz
        e, f, g, h = other.wxyz
        return Turns(
            np.stack(
                [
                    a * e - b * f - c * g - d * h,
                    a * f + b * e + c * h - d * g,
                    a * g - b * h + c * e + d * f,
                    a * h + b * g - c * f + d * e,
                ]
            )
        )

    def inverse(self) -> Turns:
        """Return the opposite rotation."""
        return Turns(self.wxyz * np.array([[1.0], [-1.0], [-1.0], [-1.0]]))

    def apply(self, vector: Float) -> Float:
        """Rotate a vector [3] or vectors [3, T]."""
        w, x, y, z = self.wxyz
        a, b, c = vector
        p, q, r = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
        return np.stack([a + w * p + y * r - z * q, b + w * q + z * p - x * r, c + w * r + x * q - y * p])

    def part(self, which: slice) -> Turns:
        """Return some of the samples."""
        return Turns(self.wxyz[:, which])


def about(axis: str, angle_T: Float) -> Turns:
    """Return rotations about `x`, `y` or `z` [rad]."""
    half = 0.5 * np.atleast_1d(angle_T)
    wxyz = np.zeros((4, len(half)))
    wxyz[0], wxyz[1 + "xyz".index(axis)] = np.cos(half), np.sin(half)
    return Turns(wxyz)


def by_vector(vector_3T: Float) -> Turns:
    """Return rotations about and by rotation vectors [3, T] [rad]."""
    angle = np.sqrt((vector_3T**2).sum(axis=0))
    return Turns(np.concatenate([np.cos(0.5 * angle)[None], vector_3T * (0.5 * np.sinc(angle / (2.0 * np.pi)))]))


def angular_rate(turns: Turns, rate: float) -> Float:
    """Return the angular velocity [3, T] in the axes of what rotates [rad/s], by central differences at `rate` [Hz]."""
    step = (turns.part(slice(None, -2)).inverse() @ turns.part(slice(2, None))).wxyz
    sine = np.sqrt((step[1:] ** 2).sum(axis=0))
    cosine = np.abs(step[0])
    angle_over_sine = np.where(sine > 1e-9, 2.0 * np.arctan2(sine, cosine) / np.maximum(sine, 1e-9), 2.0)
    inner = step[1:] * (np.sign(step[0]) * angle_over_sine * 0.5 * rate)
    return np.concatenate([inner[:, :1], inner, inner[:, -1:]], axis=1)
