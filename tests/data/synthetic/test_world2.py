"""World 2: deterministic, with the labels of world 1, and with clocks and sensors within their stated limits."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.data.synthetic.geometry import Float, Pose, ease, orientation
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion
from revalexo_clip.data.synthetic.script import ACTIVITIES, STEPPING
from revalexo_clip.data.synthetic.sensors import CHANNELS, body_rates, sensor_poses
from revalexo_clip.data.synthetic.world2.clip import (
    clip_frames,
    clip_imu,
    clip_motion,
    clip_offset,
    clip_plan,
    simulate,
)
from revalexo_clip.data.synthetic.world2.light import blur
from revalexo_clip.data.synthetic.world2.place import draw_surroundings
from revalexo_clip.data.synthetic.world2.sensors import MAX_DRIFT, MAX_OFFSET, draw_sensors, measure, measure_camera
from revalexo_clip.data.synthetic.world2.view import HeadView, stabilise

GYRO_PELVIS = slice(CHANNELS.index("gyro_Pelvis_x"), CHANNELS.index("gyro_Pelvis_z") + 1)


@pytest.mark.long
def test_recordings_depend_on_seed_subject_and_recording_only() -> None:
    def draw(seed: int, subject: int, recording: int) -> tuple[Float, Float]:
        key = (seed, subject, recording)
        motion = clip_motion(*key)
        return clip_imu(*key, motion), np.stack(list(islice(clip_frames(*key, motion), 4))).astype(float)

    imu, frames = draw(0, 1, 2)
    again = draw(0, 1, 2)
    assert np.array_equal(imu, again[0])
    assert np.array_equal(frames, again[1])
    for other in ((1, 1, 2), (0, 2, 2), (0, 1, 3)):
        assert np.abs(draw(*other)[0] - imu).mean() > 0.1
        assert np.abs(draw(*other)[1] - frames).mean() > 3.0


@pytest.mark.long
def test_a_recording_is_written_with_its_labels_and_its_world(tmp_path: Path) -> None:
    root = tmp_path / "w2"
    synthesize(root, subjects=1, clips=1, world=2, camera_imu=True, processes=1)
    header, *rows = (root / "imu/Subject01/0001.csv").read_text().splitlines()
    assert len(header.split(",")) == 48
    assert len(rows) == 720
    (pair,) = json.loads((root / "data_pairs/Subject01.json").read_text())["pairs"].values()
    labels = [(segment["activity"], segment["start"], segment["end"]) for segment in pair["activity_segments"]]
    assert labels == [(segment.activity, segment.start, segment.end) for segment in clip_plan(0, 0, 0)]
    with pytest.raises(ConfigError, match="another demo dataset"):
        synthesize(root, subjects=1, clips=1)
    with pytest.raises(ConfigError, match="world: 3 must be one of 1, 2"):
        synthesize(tmp_path / "w3", world=3)


def test_plans_hold_the_activities_of_world_1_in_an_order_that_is_possible() -> None:
    plans = [clip_plan(0, subject, clip) for subject in range(5) for clip in range(10)]
    for plan in plans:
        assert (plan[0].start, plan[-1].end) == (0.0, 12.0)
        assert all(before.end == after.start > before.start for before, after in pairwise(plan))
        for before, after in pairwise(plan):
            assert (before.activity == "sitting") == (after.activity == "standing_up")
            assert (before.activity == "sitting_down") == (after.activity == "sitting")
    seconds = dict.fromkeys(ACTIVITIES, 0.0)
    for segment in itertools.chain(*plans):
        seconds[segment.activity] += segment.end - segment.start
    assert min(seconds.values()) > 0.015 * sum(seconds.values())


@pytest.mark.parametrize("key", [(0, 0, 0), (0, 4, 6), (3, 8, 5)])
def test_labels_agree_with_the_movement(key: tuple[int, int, int]) -> None:
    motion = clip_motion(*key)
    for segment in clip_plan(*key):
        inside = (motion.times > segment.start + 1.0) & (motion.times < segment.end - 0.5)
        if inside.sum() < MOTION_RATE // 2 or segment.activity in {"sitting_down", "standing_up"}:
            continue
        moved = motion.pelvis.position[inside][-1] - motion.pelvis.position[inside][0]
        speed = moved / (inside.sum() / MOTION_RATE)
        assert (speed[0] > 0.2) == (segment.activity in STEPPING)
        if segment.activity.endswith("_up") and segment.activity in STEPPING:
            assert speed[2] > 0.02
        if segment.activity.startswith("stairs"):
            assert (speed[2] > 0.0) == (segment.activity == "stairs_up")


def _lag(motion: Motion, rates_L3: Float) -> float:
    """Find how much later than row / 60 s the pelvis gyroscope measured [s]: its norm does not depend on its mount."""
    truth = np.linalg.norm(body_rates(sensor_poses(motion)["Pelvis"].rotation, MOTION_RATE), axis=1)
    rows, measured = np.arange(len(rates_L3)) / 60.0, np.linalg.norm(rates_L3, axis=1)
    shifts = np.arange(-0.05, 0.0501, 0.001)
    fits = [np.corrcoef(measured, np.interp(rows + shift, motion.times, truth))[0, 1] for shift in shifts]
    return float(shifts[np.argmax(fits)])


@pytest.mark.parametrize("key", [(0, 5, 0), (0, 0, 0), (2, 3, 6)])
def test_imu_and_video_clocks_differ_by_the_stated_offset(key: tuple[int, int, int]) -> None:
    motion = clip_motion(*key)
    offset = clip_offset(*key)
    assert abs(offset) <= MAX_OFFSET
    lag = _lag(motion, clip_imu(*key, motion)[:, GYRO_PELVIS])
    # Drift moves the middle of 12 s by at most 6 ms.
    assert lag == pytest.approx(offset, abs=6.0 * MAX_DRIFT + 0.004)


def test_drift_stretches_a_recording() -> None:
    motion = clip_motion(0, 5, 0)
    sensors = replace(draw_sensors(np.random.default_rng(0)), noise=0.0, drift=0.003)
    rates = measure(np.random.default_rng(0), motion, sensors, 0.0)[:, GYRO_PELVIS]
    later = replace(motion, times=motion.times - 9.0)
    early, late = _lag(motion, rates[:180]), _lag(later, rates[540:])
    assert late - early == pytest.approx(9.0 * 0.003, abs=0.005)


def test_image_and_gyroscope_of_the_camera_show_a_turn_at_the_same_time() -> None:
    key = (0, 3, 0)
    motion = clip_motion(*key)
    yaw = 0.5 * ease((motion.times - 1.0) / 0.4)
    still = np.tile(motion.camera.position[0], (len(yaw), 1))
    motion = replace(motion, camera=Pose(still, orientation(yaw, np.full_like(yaw, 0.3), np.zeros_like(yaw))))
    frames = np.stack([frame.astype(float) for frame in islice(clip_frames(*key, motion), 75)])
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    change = np.maximum(change - 2.0 * np.median(change), 0.0)
    seen = float(change @ (np.arange(74) + 0.5) / 30.0 / change.sum())
    rates = np.linalg.norm(
        measure_camera(np.random.default_rng(0), motion, draw_sensors(np.random.default_rng(0)))[:, 3:], axis=1
    )
    rates = np.maximum(rates - 0.1, 0.0)
    felt = float(rates @ np.arange(720) / 60.0 / rates.sum())
    assert felt == pytest.approx(1.2, abs=0.01)
    assert seen == pytest.approx(felt, abs=0.02)


def test_picture_shifts_right_when_the_head_turns_left() -> None:
    motion = clip_motion(0, 0, 0)
    focal = 90.0
    view = HeadView(draw_surroundings(np.random.default_rng(4)), motion.course.terrain, focal, 0.0)
    straight, turned = (
        view.look(np.array([0.0, 0.0, 1.4]), orientation(np.array(yaw), np.array(0.0), np.array(0.0)))[0].mean(axis=2)
        for yaw in (0.6, 0.7)
    )
    middle = slice(50, 110)
    errors = [np.abs(np.roll(straight, shift, axis=1)[:, middle] - turned[:, middle]).mean() for shift in range(20)]
    assert np.argmin(errors) == pytest.approx(focal * np.tan(0.1), abs=1.5)


def test_no_body_sensor_turns_with_the_camera() -> None:
    motion = clip_motion(0, 5, 0)
    for pose in sensor_poses(motion).values():
        relative = np.swapaxes(pose.rotation, 1, 2) @ motion.camera.rotation
        assert np.linalg.norm(body_rates(relative, MOTION_RATE), axis=1).mean() > 0.2


def test_sensors_saturate_and_are_worn_askew() -> None:
    motion = clip_motion(0, 5, 0)
    drawn = [draw_sensors(np.random.default_rng(seed)) for seed in range(40)]
    assert max(np.abs(sensors.tilt).max() for sensors in drawn) == pytest.approx(np.radians(25.0))
    assert {round(sensors.force_range / 9.81) for sensors in drawn} == {4, 8, 16}
    narrow = replace(drawn[0], force_range=2.0 * 9.81, rate_range=2.0)
    imu = measure(np.random.default_rng(0), motion, narrow, 0.0)
    assert np.abs(imu[:, :21]).max() == pytest.approx(2.0 * 9.81)
    assert np.abs(imu[:, 21:]).max() == pytest.approx(2.0)


def test_camera_that_looks_back_sees_the_ground_behind() -> None:
    motion = clip_motion(0, 0, 0)
    view = HeadView(draw_surroundings(np.random.default_rng(4)), motion.course.terrain, 80.0, 0.0)
    for yaw in (0.0, 0.5 * np.pi, np.pi):
        position = np.array([0.0, 0.1, 1.5])
        rotation = orientation(np.array(yaw), np.array(0.6), np.array(0.0))
        _, depth = view.look(position, rotation)
        down = (np.arange(120) + 0.5 - 60.0) / 80.0
        middle = rotation[:, 0] - down[:, None] * rotation[:, 2]
        flat = -1.5 / middle[:, 2]
        reached = position + flat[:, None] * middle
        on_floor = (flat > 0) & (flat < 3.0) & (np.abs(reached[:, 1]) < 1.0)
        on_floor &= (np.abs(reached[:, 0]) < 1.0) | (reached[:, 0] < 0.0)
        assert on_floor.any() or yaw == 0.5 * np.pi
        assert depth[on_floor, 80] == pytest.approx(flat[on_floor], abs=0.05)


def test_blur_is_a_line_whose_middle_stays() -> None:
    picture = np.zeros((60, 60, 3), dtype=np.float32)
    picture[30, 30] = 1.0
    blurred = blur(picture.copy(), 12.0, 0.0)[:, :, 0]
    columns = np.flatnonzero(blurred.sum(axis=0))
    assert 8 <= columns.max() - columns.min() <= 12
    assert float(blurred.sum(axis=0) @ np.arange(60)) == pytest.approx(30.0, abs=1.0)
    assert np.array_equal(np.flatnonzero(blurred.sum(axis=1)), [30])
    assert np.array_equal(blur(picture, 0.4, 0.3), picture)


def test_a_stabiliser_keeps_slow_turns_and_removes_fast_ones() -> None:
    times = np.arange(0.0, 6.0, 1.0 / MOTION_RATE)
    none = np.zeros_like(times)
    turn = orientation(0.5 * times, none, none)
    shaken = orientation(0.5 * times + 0.05 * np.sin(2.0 * np.pi * 4.0 * times), none, none)
    steady = stabilise(shaken, 0.3)
    assert np.allclose(np.swapaxes(steady, 1, 2) @ steady, np.eye(3), atol=1e-12)
    assert np.linalg.det(steady).min() > 0.99
    inner = slice(2 * MOTION_RATE, 4 * MOTION_RATE)  # at the ends, the turn stops
    assert np.abs(steady - turn)[inner].max() < 1e-4
    assert np.abs(shaken - turn)[inner].max() > 0.04


@pytest.mark.long
def test_every_second_camera_stabilises_its_video_and_no_imu_notices(tmp_path: Path) -> None:
    for subject, differs in ((0, False), (1, True)):
        plain, stabilised = (
            simulate(0, subject, 0, camera_imu=True, stabilised=stabilised) for stabilised in (False, True)
        )
        assert np.array_equal(plain.imu(), stabilised.imu())
        pairs = zip(islice(plain.frames(), 3), islice(stabilised.frames(), 3), strict=True)
        assert all(np.array_equal(one, other) is not differs for one, other in pairs)
    with pytest.raises(ConfigError, match="stabilised: cameras of world 1"):
        synthesize(tmp_path / "w1", stabilised=True)
    synthesize(tmp_path / "w2", subjects=1, clips=1, world=2, stabilised=True, processes=1)
    assert json.loads((tmp_path / "w2/synthetic.json").read_text())["stabilised"] is True
