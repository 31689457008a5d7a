"""Axes of sensors: exchanging and reversing them, by the directions that they point in.

Axes are written as the directions of x, y and z, seen by the camera or by the person who wears the sensor, such as
`left, back, up`. They are always right-handed.
"""

from __future__ import annotations

import re

import numpy as np

from revalexo_clip.devices.base import Floats

_DIRECTIONS = {
    "right": (1, 0, 0),
    "left": (-1, 0, 0),
    "forward": (0, 1, 0),
    "back": (0, -1, 0),
    "up": (0, 0, 1),
    "down": (0, 0, -1),
}
"""As vectors to the right, forward and up, a right-handed frame."""


class AxesError(ValueError):
    """Axes that are not right-handed, or are named in another way."""


def permutation(orientation: str) -> Floats:
    """Return the matrix [3, 3] that turns values in the order of an orientation such as `XzY` into x, y and z.

    Each letter names the axis of a value; a lower-case one is an axis in the other direction. Raises `AxesError`.
    """
    if sorted(orientation.upper()) != ["X", "Y", "Z"]:
        raise AxesError(f"{orientation!r} does not name the axes X, Y and Z")
    matrix_33 = np.zeros((3, 3))
    for place, letter in enumerate(orientation):
        matrix_33["XYZ".index(letter.upper()), place] = 1.0 if letter.isupper() else -1.0
    return matrix_33


def normalised(axes: str) -> str:
    """Return axes as they are shown, `left, back, up`. Raises `AxesError` if they are not right-handed directions."""
    _frame(axes)
    return ", ".join(_words(axes))


def turn(old: str, new: str) -> Floats:
    """Return the matrix [3, 3] that turns vectors in the axes `old` into those in `new`. Raises `AxesError`."""
    matrix_33: Floats = _frame(new) @ _frame(old).T
    return matrix_33


def _words(axes: str) -> list[str]:
    return re.findall(r"[a-z]+", axes.lower())


def _frame(axes: str) -> Floats:
    """Return the directions of x, y and z as rows, [3, 3]."""
    words = _words(axes)
    unknown = [word for word in words if word not in _DIRECTIONS]
    if unknown or len(words) != 3:
        raise AxesError(
            f"{axes!r} must be the directions of x, y and z: three of {', '.join(_DIRECTIONS)}, such as left,back,up"
        )
    frame_33 = np.array([_DIRECTIONS[word] for word in words], dtype=np.float64)
    if round(float(np.linalg.det(frame_33))) != 1:
        raise AxesError(f"{axes!r} is not a right-handed frame: {_hint(words)}")
    return frame_33


def _hint(words: list[str]) -> str:
    first, second = (np.array(_DIRECTIONS[word]) for word in words[:2])
    third = tuple(np.cross(first, second).tolist())
    fits = next((word for word, direction in _DIRECTIONS.items() if direction == third), None)
    return f"z must point {fits}" if fits else "x and y must be perpendicular"
