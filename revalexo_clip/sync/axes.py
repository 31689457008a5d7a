"""Axes of the gyroscope in the camera, from the map that leads from turning rates to the rotation of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.core.component import JsonObject
from revalexo_clip.sync.series import Floats

_LOOSE = 0.25
"""A map farther than this from that of a rotation is not reported as one (relative, in the Frobenius norm)."""
_FIELDS = np.radians(np.arange(20.0, 151.0, 0.5))


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
    """Relative difference of the map from that of the rotation."""

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
        if self.mirrored and self.misfit < _LOOSE:
            return (
                "The gyroscope's axes are left-handed: one axis has the wrong sign, or two are swapped. Check the "
                "axes of its columns.",
            )
        return ()


def camera_axes(map_33: Floats) -> CameraAxes:
    """Find the rotation and field of view whose map is nearest to a fitted one.

    A camera that turns by w (x to the right, y down, z ahead; right-hand rule) moves the picture by -w_y to the right
    and w_x down, in focal lengths, and rolls it by -w_z.
    """
    best: CameraAxes | None = None
    for field in _FIELDS:
        focal = 0.5 / np.tan(field / 2)
        # Rows of the map, as the camera's turning rates.
        rates_33 = np.stack([map_33[1] / focal, -map_33[0] / focal, -map_33[2]])
        left, _, right = np.linalg.svd(rates_33)
        rotation_33 = left @ right
        misfit = float(np.linalg.norm(rates_33 - rotation_33) / np.sqrt(3))
        if best is None or misfit < best.misfit:
            best = CameraAxes(rotation_33, float(field), bool(np.linalg.det(rotation_33) < 0), misfit)
    assert best is not None
    return best
