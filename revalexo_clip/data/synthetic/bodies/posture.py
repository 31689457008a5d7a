"""What describes a moving body: joint angles and the motion of the pelvis, and blending from one activity to the next.

Names of the tracks of a `Posture`; all default to 0. Angles [rad], lengths [m], rates per second:

- `planted` (0 to 1): the pelvis is where legs put it whose feet stand still; else at `x`, `y`, `z` (from the ground)
- `speed`, `climb`, `turn`: motion of the whole body forward, upward and about the vertical
- `stretch`: height of the trunk above the pelvis, in addition to the usual one
- `tilt`, `bank`: pitch and roll of the whole body, as when lying
- `pelvis_pitch`, `trunk_pitch`, `head_pitch` (and `_roll`, `_yaw`): segments relative to the whole body; positive pitch
  is nose down
- `thigh_R`, `abduct_R`, `rotate_R`, `knee_R`, `ankle_R` (and `_L`): flexion and abduction of the hip, outward rotation,
  flexion of the knee, dorsiflexion of the ankle; `free_thigh_R`, `free_knee_R`, `free_ankle_R` are added for legs whose
  feet need not stand still
- `shoulder_R`, `raise_R`, `spin_R`, `elbow_R`, `pronate_R` (and `_L`): flexion and abduction of the shoulder, inward
  rotation, flexion of the elbow, rotation of the forearm
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.synthetic.bodies.curves import min_jerk
from revalexo_clip.data.synthetic.geometry import Float

SIDES = ("R", "L")
LEG = ("thigh", "abduct", "rotate", "knee", "ankle")
ARM = ("shoulder", "raise", "spin", "elbow", "pronate")
AXES = ("pitch", "roll", "yaw")
WHOLE = ("planted", "x", "y", "z", "stretch", "speed", "climb", "turn", "tilt", "bank")
NAMES = frozenset(
    {
        *WHOLE,
        *(f"{segment}_{axis}" for segment in ("pelvis", "trunk", "head") for axis in AXES),
        *(f"{joint}_{side}" for joint in (*LEG, *ARM) for side in SIDES),
        *(f"free_{joint}_{side}" for joint in ("thigh", "knee", "ankle") for side in SIDES),
    }
)


class Impact(NamedTuple):
    """A foot that lands, or another knock."""

    time: float
    strength: float
    """1 is a foot that lands in normal walking."""
    place: str
    """`R` or `L`, a foot; `hand_R` or `hand_L`; `seat`."""


class Posture:
    """Tracks by name, each a number or [T], and the impacts meanwhile."""

    def __init__(self, **tracks: Float | float) -> None:
        """Start with some tracks."""
        self.tracks: dict[str, Float | float] = {}
        self.impacts: list[Impact] = []
        self.add(**tracks)

    def add(self, **tracks: Float | float) -> Posture:
        """Add to tracks."""
        for name, track in tracks.items():
            assert name in NAMES, name
            self.tracks[name] = self.tracks[name] + track if name in self.tracks else track
        return self

    def set(self, **tracks: Float | float) -> Posture:
        """Replace tracks."""
        for name, track in tracks.items():
            assert name in NAMES, name
            self.tracks[name] = track
        return self

    def arm(self, side: str, angles: Sequence[Float | float]) -> Posture:
        """Replace the angles of an arm, in the order of `ARM`."""
        return self.set(**{f"{joint}_{side}": angle for joint, angle in zip(ARM, angles, strict=True)})

    def get(self, name: str) -> Float | float:
        """Return a track."""
        assert name in NAMES, name
        return self.tracks.get(name, 0.0)

    def mixed(self, other: Posture, share_T: Float) -> Posture:
        """Return a posture between this one and another, of which it has the given share; impacts are dropped."""
        return Posture(
            **{
                name: self.get(name) + (other.get(name) - self.get(name)) * share_T
                for name in sorted({*self.tracks, *other.tracks})
            }
        )

    def at(self, name: str, count: int) -> Float:
        """Return a track as an array of `count` samples."""
        return np.broadcast_to(np.asarray(self.get(name), dtype=np.float64), (count,))


class Part(NamedTuple):
    """One activity of a session."""

    activity: str
    start: float
    end: float
    blend: float
    """Duration of the transition from the part before, around `start` [s]."""


def spans(parts: Sequence[Part], times_T: Float) -> list[slice]:
    """Return the samples of each part, including the transitions at both ends."""
    found = []
    for number, part in enumerate(parts):
        first = part.start - 0.5 * part.blend if number else float(times_T[0])
        last = part.end + 0.5 * parts[number + 1].blend if number + 1 < len(parts) else float(times_T[-1]) + 1.0
        found.append(slice(*(int(index) for index in np.searchsorted(times_T, [first, last]))))
    return found


def blended(parts: Sequence[Part], postures: Sequence[Posture], times_T: Float) -> Posture:
    """Join the postures of the parts of a session, each given for its own span, into one with smooth transitions."""
    names = sorted({name for posture in postures for name in posture.tracks})
    total = {name: np.zeros(len(times_T)) for name in names}
    impacts = []
    for number, (part, posture, span) in enumerate(zip(parts, postures, spans(parts, times_T), strict=True)):
        time_T = times_T[span]
        weight_T = np.ones(len(time_T))
        if number:
            weight_T = min_jerk((time_T - part.start) / part.blend + 0.5)
        if number + 1 < len(parts):
            weight_T = weight_T - min_jerk((time_T - part.end) / parts[number + 1].blend + 0.5)
        for name, track in posture.tracks.items():
            total[name][span] += weight_T * track
        for impact in posture.impacts:
            weight = float(np.interp(impact.time, time_T, weight_T, left=0.0, right=0.0))
            if weight > 0.05:
                impacts.append(impact._replace(strength=impact.strength * weight))
    joined = Posture(**total)
    joined.impacts = sorted(impacts)
    return joined
