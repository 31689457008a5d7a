"""Forward kinematics: rigid segments at every time, from the posture of a person.

Axes of the world and of segments: x forward, y left, z up; segments of hanging arms and straight legs point down.

Shapes: T = samples in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.spatial.transform import Rotation

from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import Posture
from revalexo_clip.data.synthetic.geometry import Float


class Segment(NamedTuple):
    """A rigid segment over time: its upper joint [T, 3] in m, and its rotation from the segment to the world."""

    joint_T3: Float
    rotation: Rotation

    def point(self, offset_3: Float) -> Float:
        """Return the position [T, 3] of a point of the segment in the world."""
        return self.joint_T3 + self.rotation.apply(offset_3)


class Skeleton(NamedTuple):
    """All segments of a body, and how it is turned about the vertical, [T]."""

    segments: dict[str, Segment]
    heading_T: Float


def pose(person: Person, posture: Posture, times_T: Float) -> Skeleton:
    """Compute where all segments are."""
    count = len(times_T)

    def track(name: str) -> Float:
        return posture.at(name, count)

    def turned(order: str, *names: tuple[float, str]) -> Rotation:
        return Rotation.from_euler(order, np.stack([sign * track(name) for sign, name in names], axis=1))

    heading_T = cumulative_trapezoid(track("turn"), times_T, initial=0.0)
    upright = Rotation.from_euler("Z", heading_T[:, None])
    whole = upright * turned("YX", (1.0, "tilt"), (1.0, "bank"))
    own = {
        name: turned("ZYX", (1.0, f"{name}_yaw"), (1.0, f"{name}_pitch"), (1.0, f"{name}_roll"))
        for name in ("pelvis", "trunk", "head")
    }
    legs, ankle_T3 = {}, np.zeros((count, 3))
    for side, sign in (("R", -1.0), ("L", 1.0)):
        hip = own["pelvis"].apply([0.0, sign * person.hip_width, -0.047 * person.height])
        base, _ = _leg(person, posture, side, count, free=False)
        ankle_T3 += 0.5 * (hip + base)
        legs[side] = (hip, _leg(person, posture, side, count, free=True)[1])
    planted_T1 = track("planted")[:, None]
    place_T3 = np.stack([track(axis) for axis in "xyz"], axis=1)
    stood_T3 = np.array([0.0, 0.0, person.ankle]) - whole.apply(ankle_T3) @ np.eye(3)
    stood_T3 = upright.inv().apply(stood_T3)
    local_T3 = place_T3 + planted_T1 * (stood_T3 - place_T3)
    velocity_T3 = np.stack(
        [track("speed") * np.cos(heading_T), track("speed") * np.sin(heading_T), track("climb")], axis=1
    )
    pelvis_T3 = cumulative_trapezoid(velocity_T3, times_T, axis=0, initial=0.0) + upright.apply(local_T3)
    segments = {"pelvis": Segment(pelvis_T3, whole * own["pelvis"])}
    segments["trunk"] = Segment(segments["pelvis"].point(np.array([0.0, 0.0, 0.04 * person.height])), whole * own["trunk"])
    segments["head"] = Segment(segments["trunk"].point(np.array([0.0, 0.0, person.trunk])), whole * own["head"])
    for side, sign in (("R", -1.0), ("L", 1.0)):
        hip, (thigh, shank, foot) = legs[side]
        segments[f"thigh_{side}"] = Segment(pelvis_T3 + whole.apply(hip), whole * thigh)
        segments[f"shank_{side}"] = Segment(segments[f"thigh_{side}"].point(np.array([0.0, 0.0, -person.thigh])), whole * shank)
        segments[f"foot_{side}"] = Segment(segments[f"shank_{side}"].point(np.array([0.0, 0.0, -person.shank])), whole * foot)
        upper = segments["trunk"].rotation * turned(
            "YXZ", (-1.0, f"shoulder_{side}"), (sign, f"raise_{side}"), (-sign, f"spin_{side}")
        )
        lower = upper * turned("YZ", (-1.0, f"elbow_{side}"), (-sign, f"pronate_{side}"))
        shoulder = np.array([0.0, sign * person.shoulder_width, 0.9 * person.trunk])
        segments[f"upper_arm_{side}"] = Segment(segments["trunk"].point(shoulder), upper)
        segments[f"forearm_{side}"] = Segment(
            segments[f"upper_arm_{side}"].point(np.array([0.0, 0.0, -person.upper_arm])), lower
        )
    return Skeleton(segments, heading_T)


def _leg(
    person: Person, posture: Posture, side: str, count: int, *, free: bool
) -> tuple[Float, tuple[Rotation, Rotation, Rotation]]:
    """Return the ankle from the hip [T, 3], and the rotations of thigh, shank and foot, relative to the whole body."""
    sign = -1.0 if side == "R" else 1.0
    thigh, knee, ankle = (
        posture.at(f"{joint}_{side}", count) + (posture.at(f"free_{joint}_{side}", count) if free else 0.0)
        for joint in ("thigh", "knee", "ankle")
    )
    sideways, outward = sign * posture.at(f"abduct_{side}", count), sign * posture.at(f"rotate_{side}", count)
    upper = Rotation.from_euler("YXZ", np.stack([-thigh, sideways, outward], axis=1))
    lower = upper * Rotation.from_euler("Y", knee[:, None])
    foot = lower * Rotation.from_euler("Y", -ankle[:, None])
    reached = upper.apply([0.0, 0.0, -person.thigh]) + lower.apply([0.0, 0.0, -person.shank])
    return reached, (upper, lower, foot)
