"""The wearer: gait, and a head that looks around with the camera on it.

No body sensor shares a rigid body with the camera, so that image motion does not give away any gyroscope.

Shapes: T = samples in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float, Pose, ease, orientation, smooth, wander
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion
from revalexo_clip.data.synthetic.script import Segment
from revalexo_clip.data.synthetic.style import Style

_NECK, _EYES = np.array([0.02, 0.0, 0.5]), np.array([0.11, 0.0, 0.17])
"""The neck from the pelvis in axes of the trunk, and the camera from the neck in axes of the head [m]."""
_WATCHED = {"stairs_up": 0.1, "stairs_down": 0.3, "ramp_down": 0.12, "sitting_down": 0.2, "standing_up": 0.1}
"""How far the head bends down in each activity [rad]."""
CALM = 0.25
"""Share of recordings in which standing and sitting people do not move at all."""


@dataclass(frozen=True)
class Wearing:
    """How a subject wears the camera and moves the head. Angles in rad, as standard deviations if they vary."""

    pitch: float
    """Angle of the camera below the horizon when the head is level."""
    roll: float
    yaw: float
    steadiness: float
    """Fraction of the trunk's rotation that the head cancels."""
    glance: float
    """Yaw of glances to the side."""
    nod: float
    """Pitch of glances up and down."""
    slack: float
    """How far the camera slips in a recording."""
    pause: float
    """Mean time between glances [s]."""


def draw_wearing(rng: np.random.Generator) -> Wearing:
    """Draw how a new subject wears the camera."""
    return Wearing(
        pitch=float(np.clip(rng.normal(0.45, 0.14), 0.15, 0.75)),
        roll=rng.normal(0.0, 0.07),
        yaw=rng.normal(0.0, 0.1),
        steadiness=rng.uniform(0.3, 0.8),
        glance=rng.uniform(0.1, 0.35),
        nod=rng.uniform(0.04, 0.12),
        slack=rng.uniform(0.0, 0.05),
        pause=rng.uniform(1.0, 3.5),
    )


def draw_gait(rng: np.random.Generator) -> Style:
    """Draw the style of a new subject: wider ranges than in world 1, and a limp in a third of the subjects."""
    size = rng.uniform(0.88, 1.12)
    limp = rng.uniform(0.1, 0.25) * rng.choice([-1.0, 1.0])
    return Style(
        thigh=0.44 * size,
        shank=0.43 * size,
        cadence=rng.uniform(1.35, 2.15),
        step_length=size * rng.uniform(0.4, 0.72),
        step_width=rng.uniform(0.05, 0.24),
        asymmetry=limp if rng.random() < 0.33 else rng.uniform(-0.06, 0.06),
        lift=rng.uniform(0.03, 0.12),
        push_off=rng.uniform(0.35, 1.0),
        toe_out=rng.uniform(-0.05, 0.3),
        sway=rng.uniform(0.01, 0.06),
        roll=rng.uniform(0.03, 0.12),
        twist=rng.uniform(0.04, 0.18),
        nod=rng.uniform(0.01, 0.07),
        lean=rng.uniform(-0.02, 0.2),
        look=rng.uniform(0.08, 0.24),
        fidget=rng.uniform(0.2, 1.6),
        shift=rng.uniform(0.03, 0.16),
        rock=rng.uniform(0.04, 0.18),
        tempo=rng.uniform(0.06, 0.17),
    )


def vary_gait(rng: np.random.Generator, style: Style) -> tuple[Style, float]:
    """Vary a subject's style for a recording; also returns how lively the wearer is, from 0.03 (calm) to 1.3."""
    values = dict(vars(style))
    values["cadence"] *= rng.uniform(0.75, 1.2)
    values["step_length"] *= rng.uniform(0.75, 1.15)
    for name in ("lift", "sway", "roll", "twist", "nod"):
        values[name] *= rng.uniform(0.7, 1.3)
    lively = rng.uniform(0.4, 1.3)
    if rng.random() < CALM:
        lively = 0.03
    for name in ("look", "fidget", "shift", "rock"):
        values[name] *= lively
    return Style(**values), lively


def wear_camera(
    rng: np.random.Generator, motion: Motion, wearing: Wearing, plan: tuple[Segment, ...], lively: float
) -> Motion:
    """Return the motion with the camera on the wearer's head."""
    times = motion.times
    yaw, pitch, roll = (_steady(angle, wearing.steadiness) for angle in _angles(motion.trunk))
    # Who stands calmly looks ahead, and still looks around when walking.
    free = _moving(motion) * (1.0 - lively) + lively
    yaw += np.clip(_glances(rng, times, wearing.glance, wearing.pause) * free, -1.1, 1.1)
    pitch += _glances(rng, times, wearing.nod, wearing.pause) * free + _watched(plan, times)
    pitch += _nodding(rng, times) * free
    roll += wander(rng, times, 0.04, 8.0, 1.5) * free
    head = orientation(yaw, pitch, roll)
    scale = np.linalg.norm(motion.legs[0].hip[0] - motion.legs[0].knee[0]) / 0.44
    position = motion.pelvis.position + motion.trunk @ (scale * _NECK) + head @ (scale * _EYES)
    return replace(motion, camera=Pose(position, head @ _mount(rng, wearing, times)))


def _angles(rotation: Float) -> tuple[Float, Float, Float]:
    """Return yaw, pitch and roll, each [T], of rotations [T, 3, 3]."""
    return (
        np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]),
        np.arcsin(-rotation[:, 2, 0]),
        np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2]),
    )


def _steady(angle: Float, steadiness: float) -> Float:
    """Remove fast changes of an angle [T], as reflexes do that keep the head steady."""
    return angle + steadiness * (smooth(angle, 0.4 * MOTION_RATE) - angle)


def _glances(rng: np.random.Generator, times_T: Float, amplitude: float, pause: float) -> Float:
    """Draw an angle [T] that rests at random targets and turns quickly between them [rad]."""
    angle, target = np.zeros_like(times_T), 0.0
    time = float(times_T[0])
    while time < times_T[-1]:
        time += 0.3 + rng.exponential(pause)
        # Half of the glances return ahead.
        new = rng.normal(0.0, amplitude) if rng.random() < 0.6 else rng.normal(0.0, 0.15 * amplitude)
        turning = rng.uniform(0.25, 0.4) + 0.35 * abs(new - target)
        angle += (new - target) * ease((times_T - time) / turning)
        target, time = new, time + turning
    return smooth(angle, 0.03 * MOTION_RATE) + wander(rng, times_T, 0.12 * amplitude, 4.0, 0.8)


def _nodding(rng: np.random.Generator, times_T: Float) -> Float:
    """Draw the nods of a person who talks or listens, as pitch [T] [rad]."""
    when = np.maximum(wander(rng, times_T, 1.0, 9.0, 3.0) - 0.9, 0.0)
    return 0.08 * when * np.sin(2.0 * np.pi * rng.uniform(1.2, 2.6) * times_T)


def _watched(plan: tuple[Segment, ...], times_T: Float) -> Float:
    """Return how far the wearer looks down because of the ground, as pitch [T] [rad]."""
    down = np.zeros_like(times_T)
    for segment in plan:
        # People look at steps shortly before they reach them.
        down[(times_T >= segment.start - 0.6) & (times_T < segment.end - 0.3)] = _WATCHED.get(segment.activity, 0.0)
    return smooth(down, 0.25 * MOTION_RATE)


def _moving(motion: Motion) -> Float:
    """Return how much the wearer walks, [T], 0 to 1."""
    speed = np.linalg.norm(np.gradient(motion.pelvis.position[:, :2], motion.times, axis=0), axis=1)
    return np.clip(smooth(speed, 0.3 * MOTION_RATE) / 0.5, 0.0, 1.0)


def _mount(rng: np.random.Generator, wearing: Wearing, times_T: Float) -> Float:
    """Return rotations [T, 3, 3] of the camera on the head: put on anew, and slipping."""
    yaw, pitch, roll = rng.normal([wearing.yaw, wearing.pitch, wearing.roll], 0.03)
    slip = rng.normal(0.0, wearing.slack, size=3)
    at, lasting = rng.uniform(0.0, times_T[-1]), rng.uniform(0.3, 6.0)
    slipped = ease((times_T - at) / lasting)
    return orientation(yaw + slip[0] * slipped, pitch + slip[1] * slipped, roll + slip[2] * slipped)
