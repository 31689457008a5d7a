"""Motion of the body in a clip: poses of pelvis, legs and camera over time. Both modalities are computed from it.

The feet follow the footsteps, the pelvis moves on the legs like an inverted pendulum, and joint positions come from
inverse kinematics. Therefore accelerations, rotations and images are consistent with each other.

Shapes: T = samples in time, at `MOTION_RATE`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.synthetic.feet import Foot, move_foot
from revalexo_clip.data.synthetic.gait import AFTER, ANKLE, BEFORE, TOE, Course, lay_course
from revalexo_clip.data.synthetic.geometry import Float, Pose, ease, orientation, smooth, unit, wander
from revalexo_clip.data.synthetic.script import Segment
from revalexo_clip.data.synthetic.style import Style

MOTION_RATE = 240
"""Sampling rate of the simulated motion [Hz], a multiple of the rates of the IMUs and the camera."""
SIDES = ("Right", "Left")
_HIP = np.array([0.0, 0.09, -0.08])
_SEAT = 0.53
_CLIMBING = {"stairs_up": 1.0, "ramp_up": 0.8, "ramp_down": -0.4, "stairs_down": -0.2}
"""Forward lean of the trunk in each activity, relative."""
_CAMERA = np.array([0.14, 0.0, 0.46])


@dataclass(frozen=True)
class Leg:
    """Joint positions [T, 3] in m, and poses of the three segments."""

    hip: Float
    knee: Float
    ankle: Float
    toe: Float
    thigh: Pose
    shank: Pose
    foot: Pose


@dataclass(frozen=True)
class Motion:
    """Motion of one clip, from `BEFORE` to `AFTER`."""

    times: Float
    pelvis: Pose
    legs: tuple[Leg, Leg]
    """Right and left leg."""
    trunk: Float
    """Rotation of the trunk, [T, 3, 3]."""
    camera: Pose
    course: Course


@dataclass(frozen=True)
class _Rhythm:
    """Slowly changing variables of a clip, each [T]."""

    phase: Float
    """Number of steps so far; integers are landings, even integers landings of the right foot."""
    walking: Float
    """Amount of gait motion, 0 to 1."""
    seated: Float
    """0 is standing, 1 is seated."""
    climbing: Float
    """Forward lean of the trunk because of the ground, -1 to 1."""
    look: Float
    """Yaw of the trunk relative to the course [rad]."""
    shift: Float
    """Roll of the body when the weight shifts [rad]."""
    rock: Float
    """Pitch of the trunk when the back bends and straightens [rad]."""


def _rhythm(
    rng: np.random.Generator, course: Course, plan: tuple[Segment, ...], style: Style, times_T: Float
) -> _Rhythm:
    steps = course.footsteps
    knots = [BEFORE - 1.0, *(time for step in steps for time in (step.begin, step.land))]
    counts = [0, *(count for index in range(len(steps)) for count in (index, index + 1))]
    phase = np.interp(times_T, knots, np.array(counts) + float(course.first_side))
    going = np.zeros_like(times_T)
    for step in steps:
        going[(times_T >= step.begin) & (times_T < step.land)] = 0.4 if step.activity == "standing" else 1.0
    walking = smooth(going, 0.15 * MOTION_RATE)
    seated, climbing = _levels(plan, times_T)
    return _Rhythm(
        phase=smooth(phase, 0.06 * MOTION_RATE),
        walking=walking,
        seated=seated,
        climbing=climbing,
        look=np.clip(wander(rng, times_T, style.look, 9.0, 2.5), -0.6, 0.6),
        shift=wander(rng, times_T, style.shift, 12.0, 3.0),
        rock=wander(rng, times_T, style.rock, 12.0, 3.0),
    )


def _levels(plan: tuple[Segment, ...], times_T: Float) -> tuple[Float, Float]:
    """Compute `seated` (0 to 1) and `climbing` (-1 to 1), each [T]."""
    seated, climbing = np.zeros_like(times_T), np.zeros_like(times_T)
    for index, segment in enumerate(plan):
        start = BEFORE if index == 0 else segment.start
        inside = (times_T >= start) & (times_T < (segment.end + AFTER if index == len(plan) - 1 else segment.end))
        progress = ease((times_T[inside] - segment.start) / (segment.end - segment.start))
        down = {"sitting": np.ones_like(progress), "sitting_down": progress, "standing_up": 1.0 - progress}
        seated[inside] = down.get(segment.activity, np.zeros_like(progress))
        climbing[inside] = _CLIMBING.get(segment.activity, 0.0)
    return smooth(seated, 0.05 * MOTION_RATE), smooth(climbing, 0.25 * MOTION_RATE)


def _between_feet(course: Course, times_T: Float) -> Float:
    """Compute the point on the ground midway between the feet, [T, 2]."""
    start = float(course.path[0])
    middles, moments = [(0.0, start)], [BEFORE - 1.0]
    feet = [(0.0, start), (0.0, start)]
    for step in course.footsteps:
        if step.begin > moments[-1] + 0.05:
            middles.append(middles[-1])
            moments.append(step.begin)
        feet[step.side] = (step.x, step.y)
        middles.append((0.5 * (feet[0][0] + feet[1][0]), 0.5 * (feet[0][1] + feet[1][1])))
        moments.append(step.land)
    return np.stack([np.interp(times_T, moments, along) for along in zip(*middles, strict=True)], axis=1)


def _pelvis_path(course: Course, feet: tuple[Foot, Foot], style: Style, rhythm: _Rhythm, times_T: Float) -> Float:
    """Compute the pelvis position [T, 3]: between the feet, as high as both legs can reach."""
    middle_T2 = smooth(_between_feet(course, times_T), 0.11 * MOTION_RATE)
    forward = middle_T2[:, 0] + 0.02 * style.lean * np.sin(2.0 * np.pi * rhythm.phase) * rhythm.walking
    side = middle_T2[:, 1] - style.sway * np.sin(np.pi * rhythm.phase) * rhythm.walking
    side += 0.6 * rhythm.shift * (1.0 - rhythm.seated)
    reach = 0.985 * style.leg
    heights = []
    for sign, foot in zip((-1.0, 1.0), feet, strict=True):
        flat = (foot.ankle[:, 0] - forward) ** 2 + (foot.ankle[:, 1] - side - sign * _HIP[1]) ** 2
        heights.append(foot.ankle[:, 2] + np.sqrt(np.maximum(reach**2 - flat, 0.3 * reach**2)))
    standing = smooth(np.minimum(heights[0], heights[1]), 0.05 * MOTION_RATE) - _HIP[2] - 0.01
    ground = course.terrain.height(forward)
    seat = smooth(ground, 0.3 * MOTION_RATE) + _SEAT
    height = standing + (seat - standing) * rhythm.seated
    return np.stack([forward - 0.36 * rhythm.seated, side, height], axis=1)


def _leg(hip: Float, foot: Foot, pelvis: Pose, style: Style, toe_out: float) -> Leg:
    """Compute the leg between `hip` and foot, with the knee bent forward."""
    forward = pelvis.rotation[:, :, 0]
    down = foot.ankle - hip
    # Limit and smooth the distance: the acceleration of the knee is unbounded when the leg becomes straight.
    distance = smooth(np.clip(np.linalg.norm(down, axis=1), 0.2, 0.995 * style.leg), 6.0)[:, None]
    down = unit(down)
    ankle = hip + down * distance
    along = (style.thigh**2 - style.shank**2 + distance**2) / (2.0 * distance)
    bend = np.sqrt(np.maximum(style.thigh**2 - along**2, 0.0))
    normal = unit(forward - np.sum(forward * down, axis=1, keepdims=True) * down)
    knee = hip + along * down + bend * normal

    def limb(upper: Float, lower: Float) -> Pose:
        up = unit(upper - lower)
        left = unit(np.cross(up, normal))
        return Pose(lower, np.stack([np.cross(left, up), left, up], axis=2))

    yaw = np.arctan2(forward[:, 1], forward[:, 0])
    pose = Pose(ankle, orientation(0.5 * yaw + toe_out, foot.pitch, np.zeros_like(yaw)))
    return Leg(hip, knee, ankle, pose.point(np.array([TOE, 0.0, -ANKLE])), limb(hip, knee), limb(knee, ankle), pose)


def move(rng: np.random.Generator, style: Style, plan: tuple[Segment, ...]) -> Motion:
    """Simulate the motion of one clip."""
    times = np.arange(round((plan[-1].end + AFTER - BEFORE) * MOTION_RATE)) / MOTION_RATE + BEFORE
    course = lay_course(rng, style, plan)
    rhythm = _rhythm(rng, course, plan, style, times)
    shifts = [0.08 * style.fidget * np.maximum(wander(rng, times, 1.0, 5.0, 1.2), 0.0) for _ in SIDES]
    feet = (
        move_foot(course, 0, style, times, shifts[0] * rhythm.seated),
        move_foot(course, 1, style, times, shifts[1] * rhythm.seated),
    )
    path = _pelvis_path(course, feet, style, rhythm, times)
    pelvis, trunk = _turn_body(path, style, rhythm, times)
    mount = orientation(*(np.array(angle) for angle in rng.normal([0.0, 0.68, 0.0], [0.03, 0.04, 0.03])))
    camera = Pose(path + trunk @ (_CAMERA * style.leg / 0.87), trunk @ mount)
    legs = tuple(
        _leg(pelvis.point(_HIP * np.array([1.0, sign, 1.0])), foot, pelvis, style, sign * style.toe_out)
        for sign, foot in zip((-1.0, 1.0), feet, strict=True)
    )
    return Motion(times, pelvis, (legs[0], legs[1]), trunk, camera, course)


def _turn_body(path: Float, style: Style, rhythm: _Rhythm, times_T: Float) -> tuple[Pose, Float]:
    """Compute the pose of the pelvis, and the rotation [T, 3, 3] of the trunk, which counter-rotates."""
    velocity = smooth(np.gradient(path, times_T, axis=0), 0.4 * MOTION_RATE)
    heading = velocity[:, 1] / np.maximum(velocity[:, 0], 0.6)
    wave, gait = np.pi * rhythm.phase, rhythm.walking
    bow = 4.0 * rhythm.seated * (1.0 - rhythm.seated)
    pelvis = orientation(
        heading + 0.7 * rhythm.look + 0.7 * style.twist * np.cos(wave) * gait,
        0.3 * style.lean + 0.5 * style.nod * np.cos(2.0 * wave) * gait + 0.25 * bow + 0.7 * rhythm.rock,
        style.roll * np.sin(wave) * gait + 0.7 * rhythm.shift,
    )
    trunk = orientation(
        heading + rhythm.look - style.twist * np.cos(wave) * gait,
        style.lean + 0.1 * rhythm.climbing + style.nod * np.cos(2.0 * wave + 0.6) * gait + 0.55 * bow + rhythm.rock,
        rhythm.shift - style.roll * np.sin(wave + 0.5) * gait,
    )
    return Pose(path, pelvis), trunk
