"""Simulating the signals of seven IMUs on pelvis, thighs, shanks and feet, and of one in the camera."""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float, Pose, orientation, smooth
from revalexo_clip.data.synthetic.person import MOTION_RATE, SIDES, Motion
from revalexo_clip.data.synthetic.script import CLIP_SECONDS

IMU_RATE = 60
GRAVITY = np.array([0.0, 0.0, -9.81])
SEGMENTS = ("Pelvis", *(f"{side}_{part}" for side in SIDES for part in ("Upper_Leg", "Lower_Leg", "Foot")))
CHANNELS = tuple(f"{kind}_{segment}_{axis}" for kind in ("acc", "gyro") for segment in SEGMENTS for axis in "xyz")
"""Columns of a recording: accelerometers [m/s^2, gravity included], then gyroscopes [rad/s]."""
CAMERA_CHANNELS = tuple(f"{kind}_Camera_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
"""Columns of the IMU in the camera. Its axes are the camera's: x along the optical axis, y left, z up in the image."""
_PLACES = {"Upper_Leg": (0.0, 0.0, 0.2), "Lower_Leg": (0.04, 0.0, 0.25), "Foot": (0.08, 0.0, -0.02)}
_MOUNTING = 0.04
"""Standard deviation of the mounting error of a sensor, about each axis [rad]."""


def sensor_poses(motion: Motion) -> dict[str, Pose]:
    """Return the pose of every sensor over time, aligned with its body segment."""
    bodies = {"Pelvis": Pose(motion.pelvis.point(np.array([-0.1, 0.0, 0.0])), motion.pelvis.rotation)}
    for side, leg in zip(SIDES, motion.legs, strict=True):
        for part, pose in (("Upper_Leg", leg.thigh), ("Lower_Leg", leg.shank), ("Foot", leg.foot)):
            bodies[f"{side}_{part}"] = Pose(pose.point(np.array(_PLACES[part])), pose.rotation)
    return {segment: bodies[segment] for segment in SEGMENTS}


def body_rates(rotation: Float, rate: float) -> Float:
    """Compute the angular velocity [T, 3] in body axes [rad/s] from rotations [T, 3, 3] at `rate` [Hz]."""
    turn = np.swapaxes(rotation[:-2], 1, 2) @ rotation[2:]
    axis = np.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], axis=1
    )
    sine = 0.5 * np.linalg.norm(axis, axis=1, keepdims=True)
    angle_over_sine = np.where(sine > 1e-9, np.arcsin(np.clip(sine, 0.0, 1.0)) / np.maximum(sine, 1e-9), 1.0)
    inner = 0.5 * axis * angle_over_sine * (0.5 * rate)
    return np.concatenate([inner[:1], inner, inner[-1:]])


def specific_force(pose: Pose, rate: float) -> Float:
    """Compute the signal of an ideal accelerometer in its own axes, [T, 3] [m/s^2]: acceleration minus gravity."""
    inner = np.diff(pose.position, n=2, axis=0) * rate**2
    acceleration = np.concatenate([inner[:1], inner, inner[-1:]])
    force: Float = np.einsum("tji,tj->ti", pose.rotation, acceleration - GRAVITY)
    return force


def record(rng: np.random.Generator, motion: Motion, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate a recording, [60 * seconds, 42], ordered as `CHANNELS`, with mounting error, bias and noise."""
    forces, rates = [], []
    for pose in sensor_poses(motion).values():
        askew = orientation(*(np.array(angle) for angle in rng.normal(0.0, _MOUNTING, size=3)))
        force, rate = _measure(rng, motion, Pose(pose.position, pose.rotation @ askew), seconds)
        forces.append(force)
        rates.append(rate)
    return np.concatenate([*forces, *rates], axis=1)


def record_camera(rng: np.random.Generator, motion: Motion, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate the IMU in the camera, [60 * seconds, 6], ordered as `CAMERA_CHANNELS`, with bias and noise."""
    return np.concatenate(_measure(rng, motion, motion.camera, seconds), axis=1)


def _measure(rng: np.random.Generator, motion: Motion, pose: Pose, seconds: float) -> tuple[Float, Float]:
    """Simulate an accelerometer and a gyroscope with bias and noise, each [60 * seconds, 3]."""
    start = int(np.searchsorted(motion.times, 0.0 - 1e-9))
    samples = start + np.arange(round(seconds * IMU_RATE)) * (MOTION_RATE // IMU_RATE)
    force = smooth(specific_force(pose, MOTION_RATE), 2.0)[samples]
    rate = smooth(body_rates(pose.rotation, MOTION_RATE), 2.0)[samples]
    return (
        force + rng.normal(0.0, 0.03, size=3) + rng.normal(0.0, 0.08, size=force.shape),
        rate + rng.normal(0.0, 0.005, size=3) + rng.normal(0.0, 0.01, size=rate.shape),
    )
