"""IMUs as they are: worn askew, slipping, clipped, noisy, and with a clock of their own.

Row i of a file is written as if it had been measured at i / 60 s, and was measured at
`offset + i / 60 * (1 + drift)` of the video's clock. The IMU in the camera shares the video's clock.

Shapes: T = samples in time, L = rows of a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float, Pose, ease, orientation, smooth
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion
from revalexo_clip.data.synthetic.script import CLIP_SECONDS
from revalexo_clip.data.synthetic.sensors import IMU_RATE, SEGMENTS, body_rates, sensor_poses, specific_force

MAX_OFFSET = 0.015
"""Greatest difference between the clocks of IMUs and video when a recording starts [s]."""
MAX_DRIFT = 0.001
"""Greatest difference between the rates of the two clocks, as a fraction."""
_MAX_TILT = np.radians(25.0)
_G = 9.81
_FORCE_RANGES, _RATE_RANGES = np.array([4.0, 8.0, 16.0]) * _G, np.radians([500.0, 1000.0, 2000.0])
_IMPACT = {"Foot": 1.0, "Lower_Leg": 0.5, "Upper_Leg": 0.22}
"""How much of the impact of a footstep reaches the sensors of its leg; the pelvis gets less of both legs."""
_IMPACT_ON_PELVIS = 0.1


@dataclass(frozen=True)
class Sensors:
    """The seven sensors of a subject, in the order of `SEGMENTS`."""

    tilt: Float
    """Yaw, pitch and roll of each sensor on its segment, [7, 3] [rad]."""
    shift: Float
    """Position of each sensor relative to world 1's, [7, 3] [m]."""
    force_range: float
    """Acceleration at which the accelerometers saturate [m/s^2]."""
    rate_range: float
    """Angular velocity at which the gyroscopes saturate [rad/s]."""
    noise: float
    """Noise relative to world 1's."""
    impact: float
    """Acceleration of a foot's impact [m/s^2]."""
    drift: float
    """How much faster the sensors' clock is than the video's, as a fraction."""


def draw_sensors(rng: np.random.Generator) -> Sensors:
    """Draw the sensors of a new subject, and how they are worn."""
    return Sensors(
        tilt=np.clip(rng.normal(0.0, np.radians(11.0), size=(len(SEGMENTS), 3)), -_MAX_TILT, _MAX_TILT),
        shift=np.clip(rng.normal(0.0, 0.025, size=(len(SEGMENTS), 3)), -0.06, 0.06),
        force_range=float(rng.choice(_FORCE_RANGES, p=[0.2, 0.3, 0.5])),
        rate_range=float(rng.choice(_RATE_RANGES, p=[0.25, 0.25, 0.5])),
        noise=rng.uniform(0.6, 2.5),
        impact=rng.uniform(5.0, 40.0),
        drift=rng.uniform(-MAX_DRIFT, MAX_DRIFT),
    )


def draw_offset(rng: np.random.Generator) -> float:
    """Draw the time of a recording's first row on the video's clock [s]."""
    return rng.uniform(-MAX_OFFSET, MAX_OFFSET)


def measure(
    rng: np.random.Generator, motion: Motion, sensors: Sensors, offset: float, seconds: float = CLIP_SECONDS
) -> Float:
    """Simulate a recording, [60 * seconds, 42], ordered as world 1's `CHANNELS`."""
    rows_L = offset + np.arange(round(seconds * IMU_RATE)) / IMU_RATE * (1.0 + sensors.drift)
    impacts = {segment: _impacts(motion, sensors, segment) for segment in SEGMENTS}
    forces, rates = [], []
    for number, (segment, pose) in enumerate(sensor_poses(motion).items()):
        # A sensor on a foot keeps its place; one on a limb slips.
        slack = np.radians(1.0 if segment.endswith("Foot") else 3.0)
        put_on, slip = rng.normal(0.0, slack, size=(2, 3))
        at, lasting = rng.uniform(0.0, motion.times[-1]), rng.uniform(0.3, 8.0)
        angles_T3 = sensors.tilt[number] + put_on + ease((motion.times - at) / lasting)[:, None] * slip
        worn = Pose(pose.point(sensors.shift[number]), pose.rotation @ orientation(*angles_T3.T))
        force_L3, rate_L3 = _signals(motion, worn, rows_L, impacts[segment])
        force_L3, rate_L3 = _flawed(rng, force_L3, rate_L3, sensors)
        forces.append(force_L3)
        rates.append(rate_L3)
    return np.concatenate([*forces, *rates], axis=1)


def measure_camera(rng: np.random.Generator, motion: Motion, sensors: Sensors, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate the IMU in the camera, [60 * seconds, 6], ordered as `CAMERA_CHANNELS`."""
    rows_L = np.arange(round(seconds * IMU_RATE)) / IMU_RATE
    force_L3, rate_L3 = _signals(motion, motion.camera, rows_L, np.zeros_like(motion.camera.position))
    return np.concatenate(_flawed(rng, force_L3, rate_L3, sensors), axis=1)


def _signals(motion: Motion, pose: Pose, rows_L: Float, impact_T3: Float) -> tuple[Float, Float]:
    """Compute ideal signals [L, 3] at the times `rows_L` [s]; `impact_T3` is further acceleration in world axes."""
    force = specific_force(pose, MOTION_RATE) + np.einsum("tji,tj->ti", pose.rotation, impact_T3)
    rate = body_rates(pose.rotation, MOTION_RATE)
    force, rate = (
        np.stack([np.interp(rows_L, motion.times, column) for column in smooth(signal, 2.0).T], axis=1)
        for signal in (force, rate)
    )
    return force, rate


def _flawed(rng: np.random.Generator, force_L3: Float, rate_L3: Float, sensors: Sensors) -> tuple[Float, Float]:
    """Add errors of scale, bias and noise, saturate, and round to 16 bits."""
    flawed = []
    for signal, limit, bias, noise in (
        (force_L3, sensors.force_range, 0.12, 0.08),
        (rate_L3, sensors.rate_range, 0.015, 0.01),
    ):
        scale = np.eye(3) + rng.normal(0.0, 0.006, size=(3, 3)) + np.diag(rng.normal(0.0, 0.015, size=3))
        noisy = signal @ scale + rng.normal(0.0, bias, size=3)
        noisy += rng.normal(0.0, noise * sensors.noise, size=signal.shape)
        step = limit / 2**15
        flawed.append(np.round(np.clip(noisy, -limit, limit) / step) * step)
    return flawed[0], flawed[1]


def _impacts(motion: Motion, sensors: Sensors, segment: str) -> Float:
    """Compute the acceleration [T, 3] of landing feet at a sensor, in world axes: a short, damped oscillation."""
    jolt_T: Float = np.zeros_like(motion.times)
    for step in motion.course.footsteps:
        part = segment.partition("_")[2]
        near = segment.startswith(("Right", "Left")[step.side])
        share = _IMPACT[part] if near else 0.0 if part else _IMPACT_ON_PELVIS
        strength = {"standing": 0.3, "stairs_up": 0.6, "stairs_down": 1.3}.get(step.activity, 1.0)
        since = motion.times - step.land
        decay = np.where(since >= 0, np.exp(-np.maximum(since, 0.0) / 0.03), 0.0)
        jolt_T += share * strength * sensors.impact * decay * np.sin(2.0 * np.pi * 16.0 * since)
    return np.outer(jolt_T, [-0.4, 0.0, 1.0])
