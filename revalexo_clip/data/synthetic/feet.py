"""Motion of a foot between footsteps: swing, landing and roll-off.

Shapes: T = samples in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.synthetic.gait import ANKLE, HEEL, TOE, Course, Footstep
from revalexo_clip.data.synthetic.geometry import Float, ease, smooth
from revalexo_clip.data.synthetic.style import Style

_LANDING_PITCH = {"stairs_up": 0.0, "stairs_down": 0.3, "standing": 0.0}


@dataclass(frozen=True)
class Foot:
    """One foot over time: ankle position [T, 3] in m, pitch [T] in rad (positive is toe down)."""

    ankle: Float
    pitch: Float


def _swing(step: Footstep, start: tuple[float, float, float], times_T: Float, style: Style) -> tuple[Float, Float]:
    """Compute sole position [T, 3] and pitch [T] of one swing, at times from `step.lift` to `step.land`."""
    u = (times_T - step.lift) / (step.land - step.lift)
    rise = step.z - start[2]
    forward = ease(u)
    # To clear a riser, the foot moves up before it moves forward, and down after it.
    upward = ease(1.7 * u) if rise > 0 else ease(1.7 * u - 0.7)
    lift = style.lift * (1.0 if step.activity != "standing" else 0.5) + 0.25 * abs(rise)
    position = np.stack(
        [
            start[0] + (step.x - start[0]) * forward,
            start[1] + (step.y - start[1]) * forward,
            start[2] + rise * upward + lift * np.sin(np.pi * u),
        ],
        axis=1,
    )
    leave, land = _pitches(step, style)
    return position, leave + (land - leave) * ease(u)


def _pitches(step: Footstep, style: Style) -> tuple[float, float]:
    """Return the pitch of the foot at lift-off and at landing [rad]; positive is toe down."""
    leave = style.push_off * {"standing": 0.4, "stairs_up": 0.6}.get(step.activity, 1.0)
    return leave, _LANDING_PITCH.get(step.activity, -0.3)


def move_foot(course: Course, side: int, style: Style, times_T: Float, shift_T: Float) -> Foot:
    """Compute the motion of one foot over a clip; `shift_T` [m] moves it forward on the ground (fidgeting)."""
    half_width = 0.5 * style.step_width * (-1.0 if side == 0 else 1.0)
    here = (0.0, float(course.path[0]) + half_width, 0.0)
    sole = np.tile(np.array(here), (len(times_T), 1))
    pitch = np.zeros(len(times_T))
    slope = np.zeros(len(times_T))
    for step in course.footsteps:
        if step.side != side:
            continue
        seconds = step.land - step.begin
        leave, land = _pitches(step, style)
        roll = (times_T >= step.begin - 0.35 * seconds) & (times_T < step.lift)
        pitch[roll] = leave * ease((times_T[roll] - step.begin + 0.35 * seconds) / (0.57 * seconds))
        swing = (times_T >= step.lift) & (times_T < step.land)
        sole[swing], pitch[swing] = _swing(step, here, times_T[swing], style)
        stance = times_T >= step.land
        here = (step.x, step.y, step.z)
        sole[stance] = here
        pitch[stance] = land * (1.0 - ease((times_T[stance] - step.land) / (0.2 * seconds)))
        slope[times_T >= 0.5 * (step.lift + step.land)] = np.arctan(step.slope)
    tilt = smooth(pitch, 4.0) - smooth(slope, 12.0)
    # The foot rotates about the toe while the heel is up, and about the heel while the toe is up.
    pivot = np.where(pitch > 0, TOE, -HEEL)
    sole[:, 0] += shift_T
    ankle = sole.copy()
    ankle[:, 0] += pivot - pivot * np.cos(pitch) + ANKLE * np.sin(pitch)
    ankle[:, 2] += pivot * np.sin(pitch) + ANKLE * np.cos(pitch)
    return Foot(smooth(ankle, 3.0), tilt)
