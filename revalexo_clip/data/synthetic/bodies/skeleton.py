"""Forward kinematics: rigid segments at every time, from the posture of a person.

Axes of the world and of segments: x forward, y left, z up; segments of hanging arms and straight legs point down.

Shapes: T = samples in time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import cumulative_trapezoid

from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import SIDES, Posture
from revalexo_clip.data.synthetic.bodies.turns import Turns, about
from revalexo_clip.data.synthetic.geometry import Float


class Segment(NamedTuple):
    """A rigid segment over time: its upper joint [3, T] in m, and its rotation from the segment to the world."""

    joint_3T: Float
    rotation: Turns

    def point(self, *offset: float) -> Float:
        """Return the position [3, T] of a point of the segment in the world."""
        return self.joint_3T + self.rotation.apply(np.array(offset))


class Skeleton(NamedTuple):
    """All segments of a body, and how it is turned about the vertical, [T]."""

    segments: dict[str, Segment]
    heading_T: Float


def pose(person: Person, posture: Posture, times_T: Float) -> Skeleton:
    """Compute where all segments are."""

    def track(name: str) -> Float:
        return posture.at(name, len(times_T))

    heading_T = cumulative_trapezoid(track("turn"), times_T, initial=0.0)
    upright = about("z", heading_T)
    whole = upright @ about("y", track("tilt")) @ about("x", track("bank"))
    own = {
        name: about("z", track(f"{name}_yaw")) @ about("y", track(f"{name}_pitch")) @ about("x", track(f"{name}_roll"))
        for name in ("pelvis", "trunk", "head")
    }
    hips = {
        side: own["pelvis"].apply(np.array([0.0, sign * person.hip_width, -0.047 * person.height]))
        for side, sign in zip(SIDES, (-1.0, 1.0), strict=True)
    }
    ankles_3T = sum(
        (0.5 * (hip + _ankle(person, _leg(posture, side, len(times_T), free=False))) for side, hip in hips.items()),
        start=np.zeros((3, 1)),
    )
    # Where the pelvis is in the axes of the heading; a body that stands has its ankles at the origin.
    stood_3T = np.array([[0.0], [0.0], [person.ankle]]) - (upright.inverse() @ whole).apply(ankles_3T)
    place_3T = np.stack([track(axis) for axis in "xyz"])
    place_3T = place_3T + track("planted") * (stood_3T - place_3T)
    velocity_3T = np.stack([track("speed") * np.cos(heading_T), track("speed") * np.sin(heading_T), track("climb")])
    pelvis_3T = cumulative_trapezoid(velocity_3T, times_T, initial=0.0) + upright.apply(place_3T)
    segments = {"pelvis": Segment(pelvis_3T, whole @ own["pelvis"])}
    spine_3T = np.zeros((3, len(times_T)))
    spine_3T[2] = 0.04 * person.height + track("stretch")
    spine_3T = pelvis_3T + segments["pelvis"].rotation.apply(spine_3T)
    segments["trunk"] = Segment(spine_3T, whole @ own["trunk"])
    segments["head"] = Segment(segments["trunk"].point(0.0, 0.0, person.trunk), whole @ own["head"])
    for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
        thigh, shank, foot = (whole @ turns for turns in _leg(posture, side, len(times_T), free=True))
        upper_leg = segments[f"thigh_{side}"] = Segment(pelvis_3T + whole.apply(hips[side]), thigh)
        lower_leg = segments[f"shank_{side}"] = Segment(upper_leg.point(0.0, 0.0, -person.thigh), shank)
        segments[f"foot_{side}"] = Segment(lower_leg.point(0.0, 0.0, -person.shank), foot)
        upper = segments["trunk"].rotation @ (
            about("y", -track(f"shoulder_{side}"))
            @ about("x", sign * track(f"raise_{side}"))
            @ about("z", -sign * track(f"spin_{side}"))
        )
        lower = upper @ about("y", -track(f"elbow_{side}")) @ about("z", -sign * track(f"pronate_{side}"))
        shoulder_3T = segments["trunk"].point(0.0, sign * person.shoulder_width, 0.9 * person.trunk)
        arm = segments[f"upper_arm_{side}"] = Segment(shoulder_3T, upper)
        segments[f"forearm_{side}"] = Segment(arm.point(0.0, 0.0, -person.upper_arm), lower)
    return Skeleton(segments, heading_T)


def _leg(posture: Posture, side: str, count: int, *, free: bool) -> tuple[Turns, Turns, Turns]:
    """Return the rotations of thigh, shank and foot, relative to the whole body."""
    sign = -1.0 if side == "R" else 1.0
    thigh, knee, ankle = (
        posture.at(f"{joint}_{side}", count) + (posture.at(f"free_{joint}_{side}", count) if free else 0.0)
        for joint in ("thigh", "knee", "ankle")
    )
    sideways, outward = sign * posture.at(f"abduct_{side}", count), sign * posture.at(f"rotate_{side}", count)
    upper = about("y", -thigh) @ about("x", sideways) @ about("z", outward)
    lower = upper @ about("y", knee)
    return upper, lower, lower @ about("y", -ankle)


def _ankle(person: Person, leg: tuple[Turns, Turns, Turns]) -> Float:
    """Return the ankle from the hip, [3, T]."""
    return leg[0].apply(np.array([0.0, 0.0, -person.thigh])) + leg[1].apply(np.array([0.0, 0.0, -person.shank]))
