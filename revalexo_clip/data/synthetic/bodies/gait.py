"""Walking, running and stairs: one stride as periodic curves, repeated with the variability of people.

A stride is designed by where feet and pelvis are; joint angles follow by inverse kinematics, so that feet on the ground
stand still. Phase 0 is the landing of the right foot.

Shapes: T = samples in time, P = phases of a stride.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from revalexo_clip.data.synthetic.bodies.curves import drift, min_jerk, shifts
from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import Impact, Posture
from revalexo_clip.data.synthetic.geometry import Float

_PHASES = 128
_PHASE_P = np.arange(_PHASES) / _PHASES
_TOE, _HEEL = 0.095, 0.03
"""Where feet roll off and land, before and behind the ankle, as a share of the height of the person."""


class Pace(NamedTuple):
    """How somebody goes."""

    kind: str
    """`walk`, `run`, `up` or `down`."""
    cadence: float
    """Steps per second."""
    step: float
    """Length of a step [m]."""
    rise: float = 0.0
    """Height of a step [m]."""


@dataclass(frozen=True)
class Stride:
    """A stride: its tracks over the phase, its length and height [m], and the phase at which the left foot lands."""

    tracks: CubicSpline
    names: tuple[str, ...]
    length: float
    rise: float
    left: float


def design(rng: np.random.Generator, person: Person, pace: Pace) -> Stride:
    """Design the stride of a person at a pace."""
    running = pace.kind == "run"
    weak = 0.5 * person.asymmetry * person.weak
    left = 0.5 + weak
    length, rise = 2.0 * pace.step, 2.0 * pace.rise
    stance = float(np.clip(0.345 - 0.12 * (pace.cadence - 2.6), 0.28, 0.38)) if running else _stance(person, pace)
    tracks = _move_pelvis(rng, person, pace, stance, left)
    feet = {}
    for side, sign, landing in (("R", -1, 0.0), ("L", 1, left)):
        own = person.asymmetry * (1.0 if sign == person.weak else -1.0)
        feet[side] = _foot(person, pace, stance * (1.0 - 0.35 * own), pace.step * (0.43 - 0.4 * own), landing)
    hips = {
        side: (
            tracks["x"] - sign * person.hip_width * np.sin(tracks["pelvis_yaw"]),
            tracks["z"] + sign * person.hip_width * np.sin(tracks["pelvis_roll"]) - 0.047 * person.height,
        )
        for side, sign in (("R", -1), ("L", 1))
    }
    # As high as legs reach that stand on the ground.
    reach = (0.985 if not running else 0.975) * person.leg
    room = [
        (ankle_z + np.sqrt(np.maximum(reach**2 - (ankle_x - hips[side][0]) ** 2, 0.3 * reach**2)) - hips[side][1])[down]
        for side, (ankle_x, ankle_z, _, down) in feet.items()
    ]
    height = float(np.percentile(np.concatenate(room), 2.0))
    tracks["z"] = tracks["z"] + height
    for side, sign in (("R", -1), ("L", 1)):
        ankle_x, ankle_z, pitch, down = feet[side]
        thigh, knee = bend_leg(person, ankle_x - hips[side][0], ankle_z - hips[side][1] - height)
        tracks[f"thigh_{side}"], tracks[f"knee_{side}"] = thigh, knee
        tracks[f"ankle_{side}"] = knee - thigh - pitch
        width = (0.25 if running else 0.6) * person.hip_width
        tracks[f"abduct_{side}"] = (width - sign * tracks["y"] - person.hip_width) / person.leg
        if person.gait == "hemiparetic" and sign == person.weak:
            tracks[f"abduct_{side}"] += 0.14 * gaussian_filter1d(~down * 1.0, 6.0, mode="wrap")
        tracks[f"rotate_{side}"] = np.full(_PHASES, 0.08)
    _swing_arms(person, pace, left, tracks)
    smooth = np.stack([gaussian_filter1d(track, 1.6, mode="wrap") for track in tracks.values()], axis=1)
    closed = np.concatenate([smooth, smooth[:1]])
    spline = CubicSpline(np.arange(_PHASES + 1) / _PHASES, closed, bc_type="periodic")
    return Stride(spline, tuple(tracks), length, rise, left)


def _stance(person: Person, pace: Pace) -> float:
    return float(np.clip(person.stance - 0.05 * (pace.cadence / person.cadence - 1.0), 0.55, 0.75))


def _move_pelvis(rng: np.random.Generator, person: Person, pace: Pace, stance: float, left: float) -> dict[str, Float]:
    """Return how pelvis, trunk and head move in a stride."""
    tracks = {}
    cycle = 2.0 * np.pi * _PHASE_P
    # Warped so that both landings are half a cycle apart.
    even = np.interp(_PHASE_P, [0.0, left, 1.0], [0.0, 0.5, 1.0])
    twice = 4.0 * np.pi * even
    running = pace.kind == "run"
    if running:
        vertical = _flight(pace, stance)
        surge = 0.008 * person.surge
    else:
        bounce = 0.55 * person.bounce * pace.step**2 / (16.0 * person.leg) + 0.003
        if pace.rise:
            bounce += 0.15 * abs(pace.rise) * person.bounce
        vertical = -bounce * np.cos(twice - 0.75)
        vertical += bounce * rng.uniform(0.02, 0.09) * np.cos(2.0 * twice + rng.uniform(0.0, 2.0 * np.pi))
        surge = 0.012 * person.surge * pace.step / 0.66
    asymmetry = abs(person.asymmetry) + 0.03
    tracks["z"] = vertical + 0.8 * asymmetry * np.ptp(vertical) * np.cos(cycle + rng.uniform(0.0, 2.0 * np.pi))
    tracks["x"] = surge * np.sin(twice + rng.uniform(-0.4, 0.8))
    tracks["x"] += asymmetry * surge * np.sin(cycle + rng.uniform(0.0, 6.0))
    sway = person.sway * (0.5 if running else 1.0)
    tracks["y"] = -sway * np.sin(cycle - 0.4) - 0.07 * sway * np.sin(3.0 * cycle + rng.uniform(0.0, 6.0))
    share = min(1.0, pace.step / 0.66)
    tracks["pelvis_roll"] = person.pelvis_roll * share * np.sin(cycle + 0.3)
    tracks["pelvis_yaw"] = person.pelvis_yaw * share * np.cos(cycle - 0.2)
    tracks["pelvis_pitch"] = 0.12 * running + 0.3 * person.lean + 0.02 * np.sin(twice + rng.uniform(0.0, 2.0))
    yaw = -person.trunk_yaw * share * (1.6 if running else 1.0) * np.cos(cycle - 0.1)
    pitch = person.trunk_pitch * (1.3 if running else 1.0) * np.cos(twice + rng.uniform(0.0, 1.2))
    roll = -0.4 * person.pelvis_roll * share * np.sin(cycle + 0.5)
    lean = person.lean + {"run": 0.1, "up": 0.15, "down": 0.02}.get(pace.kind, 0.02)
    tracks["trunk_yaw"], tracks["trunk_pitch"], tracks["trunk_roll"] = yaw, lean + pitch, roll
    loose = 1.0 - person.steadiness
    shaken = 2.2 if running else 1.0
    # The head also turns against the up and down of the trunk, to look at one point.
    tracks["head_yaw"] = 0.6 * loose * yaw + 0.025 * shaken * np.sin(cycle + rng.uniform(0.0, 6.0))
    tracks["head_pitch"] = loose * pitch + 0.03 * shaken * np.sin(twice + rng.uniform(0.5, 2.0))
    tracks["head_pitch"] += {"down": 0.3, "up": 0.12}.get(pace.kind, 0.0) + person.neck
    tracks["head_roll"] = loose * roll + 0.016 * shaken * np.sin(cycle + rng.uniform(0.0, 6.0))
    return tracks


def _flight(pace: Pace, stance: float) -> Float:
    """Return the height of the pelvis [P] in running: free fall in flight, a push on the ground in between."""
    half = _PHASE_P * 2.0 % 1.0
    on = half < 2.0 * stance
    push = np.where(on, np.maximum(np.sin(np.pi * half / (2.0 * stance)), 0.0) ** 1.5, 0.0)
    push = gaussian_filter1d(push, 1.5, mode="wrap")
    acceleration = push / push.mean() * 9.81 - 9.81
    spectrum = np.fft.rfft(acceleration)
    turns = 2.0 * np.pi * np.arange(len(spectrum)) * 0.5 * pace.cadence
    spectrum[0] = 0.0
    spectrum[1:] /= -(turns[1:] ** 2)
    return np.fft.irfft(spectrum, _PHASES)


def _foot(
    person: Person, pace: Pace, stance: float, ahead: float, landing: float
) -> tuple[Float, Float, Float, NDArray[np.bool_]]:
    """Return how the ankle moves relative to the pelvis [P], forward and upward [m]; pitch; where the foot is down."""
    length, rise = 2.0 * pace.step, 2.0 * pace.rise
    phase = (_PHASE_P - landing) % 1.0
    u = np.clip((phase - stance) / (1.0 - stance), 0.0, 1.0)
    forward = u * u * (3.0 - 2.0 * u)
    upward = min_jerk(1.3 * u) if rise > 0 else min_jerk(1.3 * u - 0.3)
    heel, toe = person.heel_rise, person.toe_up
    lift = person.lift * person.size
    if pace.kind == "run":
        knots = [(0.0, -0.1), (0.06, 0.0), (0.5 * stance, 0.05), (stance, 0.95), (stance + 0.16, 1.7 * heel + 0.2)]
        knots += [(stance + 0.38, 0.6), (0.93, -0.1), (1.0, -0.1)]
        lift += 0.09 * pace.step
    elif pace.kind == "up":
        knots = [(0.0, 0.0), (0.3, 0.0), (0.75 * stance, 0.12), (stance, 0.6 * heel), (stance + 0.17, 0.25), (0.9, 0.0)]
        knots += [(1.0, 0.0)]
        lift += 0.3 * rise
    elif pace.kind == "down":
        knots = [(0.0, 0.35), (0.09, 0.0), (0.4, 0.0), (stance, 0.7), (stance + 0.15, 0.35), (0.85, 0.2), (1.0, 0.35)]
        lift += 0.1 * abs(rise)
    else:
        share = min(1.2, pace.step / 0.66)
        toe, heel = toe * share, heel * min(1.1, 0.4 + 0.6 * share)
        knots = [(0.0, -toe), (0.1, 0.0), (0.36, 0.0), (0.5, 0.3 * heel), (stance, heel), (stance + 0.1, 0.75 * heel)]
        knots += [(stance + 0.22, 0.0), (0.93, -0.9 * toe), (1.0, -toe)]
    pitch = PchipInterpolator(*np.array(sorted(knots)).T)(phase)
    pitch = gaussian_filter1d(pitch, 1.5, mode="wrap")
    sole_x = ahead - length * phase + length * forward
    sole_z = 0.5 * rise - rise * phase + rise * upward + lift * np.sin(np.pi * u) ** 2 * (1.6 - u)
    # The foot rolls over the toes while the heel is up, and over the heel while the toes are up.
    pivot = np.where(pitch > 0.0, _TOE, -_HEEL) * person.height
    ankle_x = sole_x + pivot * (1.0 - np.cos(pitch)) + person.ankle * np.sin(pitch)
    ankle_z = sole_z + pivot * np.sin(pitch) + person.ankle * np.cos(pitch)
    smoothed = [gaussian_filter1d(curve, 2.0, mode="wrap") for curve in (ankle_x, ankle_z)]
    return smoothed[0], smoothed[1], pitch, phase < stance


def bend_leg(person: Person, forward: Float, upward: Float) -> tuple[Float, Float]:
    """Return the flexion of hip and knee that puts the ankle at (`forward`, `upward`) from the hip [m]."""
    far = 0.994 * person.leg
    soft = 0.016 * person.leg
    distance = np.hypot(forward, upward)
    distance = _soft_limit(distance, far, soft)
    distance = np.maximum(distance, 0.3 * person.leg)
    inside = (person.thigh**2 + person.shank**2 - distance**2) / (2.0 * person.thigh * person.shank)
    at_hip = (person.thigh**2 + distance**2 - person.shank**2) / (2.0 * person.thigh * distance)
    knee = np.pi - np.arccos(np.clip(inside, -1.0, 1.0))
    return np.arctan2(forward, -upward) + np.arccos(np.clip(at_hip, -1.0, 1.0)), knee


def _soft_limit(value: Float, limit: float, soft: float) -> Float:
    """Return `value`, smoothly limited."""
    return np.asarray(limit - soft * np.logaddexp(0.0, (limit - value) / soft))


def _swing_arms(person: Person, pace: Pace, left: float, tracks: dict[str, Float]) -> None:
    running = pace.kind == "run"
    for side, sign in (("R", -1), ("L", 1)):
        shift = left if side == "R" else 0.0  # forward when the other foot lands
        swing = np.cos(2.0 * np.pi * (_PHASE_P - shift - 0.03))
        amplitude = person.arm_swing * min(1.3, pace.step / 0.66)
        elbow = person.elbow
        if running:
            amplitude, elbow = 0.3 + 0.5 * person.arm_swing, 1.35 + 0.4 * person.elbow
        if pace.kind in {"up", "down"}:
            amplitude *= 0.6
        if person.gait == "hemiparetic" and sign == person.weak:
            amplitude, elbow = 0.2 * amplitude, 1.3
        tracks[f"shoulder_{side}"] = amplitude * swing - (0.15 if running else 0.02)
        tracks[f"elbow_{side}"] = elbow + (0.25 if running else 0.45) * amplitude * (1.0 + swing)
        tracks[f"raise_{side}"] = np.full(_PHASES, 0.22 if running else 0.1)
        tracks[f"spin_{side}"] = (0.3 if running else 0.1) + 0.2 * amplitude * swing
        tracks[f"pronate_{side}"] = np.full(_PHASES, 0.4)


def go(rng: np.random.Generator, person: Person, times_T: Float, pace: Pace, *, turning: float = 1.0) -> Posture:
    """Return the posture of somebody who walks, runs or climbs, [T] each."""
    # Two strides of the same person, a slower and a faster one, between which the gait varies.
    state = rng.integers(2**63)
    slow, fast = (
        design(np.random.default_rng(state), person, pace._replace(cadence=pace.cadence * c, step=pace.step * s))
        for c, s in ((0.96, 0.93), (1.04, 1.07))
    )
    mix_T = np.clip(0.5 + drift(rng, times_T, 0.25, 25.0, 6.0) + drift(rng, times_T, 0.12, 4.0, 1.0), -0.2, 1.2)
    wobble = 0.035 if person.gait == "healthy" else 0.06
    phase_T = 0.5 * pace.cadence * times_T + rng.uniform()
    phase_T = phase_T + drift(rng, times_T, wobble, 12.0, 3.0) + drift(rng, times_T, 0.2 * wobble, 2.5, 0.9)
    inside = np.mod(phase_T, 1.0)
    slow_TD, fast_TD = slow.tracks(inside), fast.tracks(inside)
    tracks_TD = slow_TD + (fast_TD - slow_TD) * mix_T[:, None]
    posture = Posture(**dict(zip(slow.names, tracks_TD.T, strict=True)))
    rate_T = np.gradient(phase_T, times_T)
    size_T = slow.length + (fast.length - slow.length) * mix_T
    speed_T = size_T * rate_T
    climb = 0.5 * (slow.rise + fast.rise)
    heading_T = shifts(rng, times_T, 0.8 * turning, (1.5, 9.0), (1.0, 3.0), back=0.2)
    heading_T = heading_T + drift(rng, times_T, 0.06 * turning, 8.0, 2.0)
    turn_T = np.gradient(heading_T, times_T)
    posture.set(speed=speed_T, climb=climb * rate_T, turn=turn_T)
    look_T = person.liveliness * shifts(rng, times_T, 0.35, (0.4, 5.0), (0.35, 0.8))
    nod_T = person.liveliness * shifts(rng, times_T, 0.14, (0.8, 6.0), (0.35, 0.9))
    posture.add(
        head_yaw=look_T + 0.25 * turn_T + drift(rng, times_T, 0.025, 3.0, 0.7),
        head_pitch=nod_T + drift(rng, times_T, 0.02, 3.0, 0.7),
        head_roll=drift(rng, times_T, 0.025, 4.0, 0.8) + 0.1 * nod_T,
        trunk_yaw=0.15 * look_T,
        trunk_roll=-0.06 * turn_T * (2.0 if pace.kind == "run" else 1.0),
        trunk_pitch=drift(rng, times_T, 0.015, 6.0, 1.5),
    )
    for side in ("R", "L"):
        posture.add(
            **{
                f"shoulder_{side}": drift(rng, times_T, 0.04, 5.0, 1.0),
                f"spin_{side}": drift(rng, times_T, 0.06, 5.0, 0.8),
                f"pronate_{side}": drift(rng, times_T, 0.12, 6.0, 0.8),
            }
        )
    force = {"run": 3.0, "down": 2.0, "up": 1.0}.get(pace.kind, 1.0)
    posture.impacts = [
        Impact(time, float(force * (speed / 1.25 if pace.kind == "walk" else 1.0) * rng.uniform(0.7, 1.3)), side)
        for side, landing in (("R", 0.0), ("L", slow.left))
        for time, speed in _landings(times_T, phase_T - landing, speed_T)
    ]
    return posture


def _landings(times_T: Float, phase_T: Float, speed_T: Float) -> list[tuple[float, float]]:
    """Return time and speed at which `phase_T` passes whole numbers."""
    first, last = int(np.ceil(phase_T[0])), int(np.floor(phase_T[-1]))
    moments = np.interp(np.arange(first, last + 1), phase_T, times_T)
    return list(zip(moments.tolist(), np.interp(moments, times_T, speed_T).tolist(), strict=True))
