"""Axes of the gyroscope in the camera, from the map that leads from turning rates to the rotation of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.sync.series import Floats

LOOSE = 0.25
"""A map farther than this from that of a rotation is not one: the video is stabilised, or the sensor is elsewhere."""
_MUCH_BETTER = 0.5
_FIELDS = np.radians(np.arange(25.0, 156.0, 1.0))


@dataclass(frozen=True)
class CameraAxes:
    """The best rotation (Wahba's problem, 1965, by singular values) and the field of view."""

    rotation_33: Floats
    """From the sensor's axes to those of the camera: x to the right, y down, z ahead."""
    field_of_view: float
    """Horizontal [rad], as of a lens without distortion."""
    mirrored: bool
    """Whether the sensor's axes fit only if they are left-handed."""
    misfit: float
    """Difference of the map from that of the rotation, relative to how much the sensor turns."""

    def to_json(self) -> JsonObject:
        """Return the fields for `--json`."""
        return {
            "camera_from_sensor": self.rotation_33.round(4).tolist(),
            "field_of_view_deg": round(float(np.degrees(self.field_of_view)), 1),
            "left_handed": self.mirrored,
            "misfit": round(self.misfit, 3),
        }

    def notes(self) -> tuple[str, ...]:
        """Return what is wrong with the axes."""
        if self.mirrored:
            return (
                "The gyroscope's axes are left-handed: one axis has the wrong sign, or two are swapped. Check the "
                "axes of its columns.",
            )
        return ()


def camera_axes(map_33: Floats, covariance_33: Floats) -> CameraAxes:
    """Find the rotation and field of view whose map is nearest to a fitted one, weighted by how much the sensor turns.

    `covariance_33` is that of the turning rates. Axes are only taken to be left-handed if that fits much better.

    A camera that turns by w (x to the right, y down, z ahead; right-hand rule) moves the picture by -w_y to the right
    and w_x down, in focal lengths, and rolls it by -w_z.
    """
    value_3, vector_33 = np.linalg.eigh(covariance_33)
    root_33 = vector_33 * np.sqrt(np.maximum(value_3, 0))
    right, left = (min((_fit(map_33, root_33, field, sign) for field in _FIELDS), key=_misfit) for sign in (1, -1))
    return left if left.misfit < min(_MUCH_BETTER * right.misfit, LOOSE) else right


def _misfit(axes: CameraAxes) -> float:
    return axes.misfit


def _fit(map_33: Floats, root_33: Floats, field: float, sign: int) -> CameraAxes:
    """Return the best rotation for a field of view; with `sign` -1, the best one that mirrors."""
    focal = 0.5 / np.tan(field / 2)
    # Rows of the map, as the camera's turning rates.
    rates_33 = np.stack([map_33[1] / focal, -map_33[0] / focal, -map_33[2]])
    left_33, _, right_33 = np.linalg.svd(rates_33 @ root_33 @ root_33.T)
    flip = sign * np.sign(np.linalg.det(left_33 @ right_33))
    rotation_33 = left_33 @ np.diag([1.0, 1.0, flip]) @ right_33
    misfit = float(np.linalg.norm((rates_33 - rotation_33) @ root_33) / np.linalg.norm(root_33))
    return CameraAxes(rotation_33, float(field), sign < 0, misfit)
