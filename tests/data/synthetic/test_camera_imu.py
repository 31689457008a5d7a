"""The IMU in the camera agrees with the camera's pose, in both worlds."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from revalexo_clip.data.synthetic import clip as world1
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion, move
from revalexo_clip.data.synthetic.script import Segment
from revalexo_clip.data.synthetic.sensors import CAMERA_CHANNELS, CHANNELS, record_camera
from revalexo_clip.data.synthetic.style import draw_style
from revalexo_clip.data.synthetic.world2 import clip as world2
from revalexo_clip.data.synthetic.world2.sensors import draw_sensors, measure_camera
from revalexo_clip.data.synthetic.world2.wearer import draw_wearing, wear_camera

STRIDE = MOTION_RATE // 30
"""Samples of the motion from one frame to the next."""


def _simulate(world: ModuleType, clip: int) -> tuple[Motion, Float, Float]:
    """Return the motion, and acceleration and angular velocity [720, 3] of the camera's IMU."""
    recording = world.simulate(0, 0, clip, camera_imu=True)
    camera = recording.imu()[:, len(CHANNELS) :]
    return world.clip_motion(0, 0, clip), camera[:, :3], camera[:, 3:]


def _camera_at_frames(motion: Motion) -> Float:
    start = int(np.searchsorted(motion.times, -1e-9))
    return motion.camera.rotation[start::STRIDE][:360]


def _vector(turn: Float) -> Float:
    """Return the rotation vectors [N, 3] of small rotations [N, 3, 3]."""
    axis = np.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], axis=1
    )
    sine = 0.5 * np.linalg.norm(axis, axis=1, keepdims=True)
    vector: Float = 0.5 * axis * np.arcsin(sine) / np.maximum(sine, 1e-12)
    return vector


@pytest.mark.parametrize("world", [world1, world2])
def test_gyroscope_integrates_to_the_turn_of_the_camera_between_frames(world: ModuleType) -> None:
    motion, _, rates = _simulate(world, 0)
    frames = _camera_at_frames(motion)
    turns = _vector(np.swapaxes(frames[:-1], 1, 2) @ frames[1:])
    # Trapezoids over the three rows from one frame to the next.
    integrated = (0.5 * rates[:-2:2] + rates[1:-1:2] + 0.5 * rates[2::2]) / 60.0
    error = integrated[: len(turns)] - turns
    assert np.abs(turns).max() > 0.02
    # What remains is bias, scale and noise of the sensor: 0.004 rad in one frame is 0.12 rad/s.
    assert np.abs(error).max() < 0.004
    assert np.sqrt((error**2).mean()) < 0.1 * np.sqrt((turns**2).mean())


@pytest.mark.parametrize("world", [1, 2])
def test_accelerometer_at_rest_shows_gravity_in_camera_axes(world: int) -> None:
    plan = (Segment("standing", 0.0, 12.0),)
    style = replace(draw_style(np.random.default_rng(3)), look=0.0, shift=0.0, rock=0.0)
    motion = move(np.random.default_rng(0), style, plan)
    rng = np.random.default_rng(0)
    if world == 1:
        camera = record_camera(rng, motion)
    else:
        motion = wear_camera(rng, motion, replace(draw_wearing(rng), slack=0.0), plan, 0.0)
        camera = measure_camera(rng, motion, draw_sensors(rng))
    up = motion.camera.rotation[len(motion.times) // 2, 2]
    assert up[0] < -0.2  # The camera looks down: its optical axis points away from the sky.
    assert np.abs(camera[:, :3].mean(axis=0) - 9.81 * up).max() < 0.4
    assert np.abs(camera[:, 3:].mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("world", [world1, world2])
def test_other_columns_do_not_change_when_the_camera_gets_an_imu(world: ModuleType) -> None:
    plain, further = (world.simulate(1, 2, 3, camera_imu=camera_imu) for camera_imu in (False, True))
    assert further.channels == (*plain.channels, *CAMERA_CHANNELS)
    assert np.array_equal(further.imu()[:, :42], plain.imu())
