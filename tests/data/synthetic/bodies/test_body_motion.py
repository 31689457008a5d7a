"""Simulated bodies: rigid segments, signals that agree with the motion, and figures of the literature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid
from scipy.spatial.transform import Rotation

from revalexo_clip.data.synthetic.bodies.activities import ACTIVITIES
from revalexo_clip.data.synthetic.bodies.sensors import GRAVITY, PLACES, draw_mount, ideal, worn
from revalexo_clip.data.synthetic.bodies.session import Motion, move
from revalexo_clip.data.synthetic.bodies.skeleton import Segment
from revalexo_clip.data.synthetic.bodies.turns import Turns, about, angular_rate, by_vector
from revalexo_clip.data.synthetic.geometry import Float

RATE = 60.0


def scipys(turns: Turns) -> Rotation:
    return Rotation.from_quat(np.roll(turns.wxyz, -1, axis=0).T)


def sensor(motion: Motion, place: str) -> Segment:
    mount = draw_mount(np.random.default_rng(5), motion.person, place)
    return worn(motion.skeleton, mount, motion.person, motion.impacts, motion.times_T)


def healthy(activity: str, seconds: float = 12.0) -> Motion:
    """Return the motion of the first subject with a healthy gait."""
    for subject in range(20):
        motion = move((1, subject, 0), seconds, RATE, (activity,))
        if motion.person.gait == "healthy":
            return motion
    raise AssertionError("no healthy subject")


def test_rotations_equal_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    angle, vector, point = rng.normal(size=(3, 50)), rng.normal(size=(3, 50)), rng.normal(size=(3, 50))
    ours = about("z", angle[0]) @ about("y", angle[1]) @ about("x", angle[2]) @ by_vector(vector).inverse()
    theirs = Rotation.from_euler("ZYX", angle.T) * Rotation.from_rotvec(vector.T).inv()
    np.testing.assert_allclose(scipys(ours).as_matrix(), theirs.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(ours.apply(point).T, theirs.apply(point.T), atol=1e-12)
    turning = by_vector(np.outer([0.3, -0.2, 0.5], np.arange(20) / 100))
    np.testing.assert_allclose(angular_rate(turning, 100.0), np.tile([[0.3], [-0.2], [0.5]], 20), atol=1e-9)


@pytest.mark.parametrize("place", ["Head", "Right_Forearm", "Left_Foot", "Right_Pocket"])
def test_gyroscope_and_accelerometer_integrate_to_the_motion(place: str) -> None:
    motion = move((3, 1, 0), 20.0, RATE, ("walking", "sit_to_stand"))
    step = float(motion.times_T[1] - motion.times_T[0])
    true = sensor(motion, place)
    force_3T, rate_3T = ideal(true, motion.times_T)

    # The orientation, from the gyroscope alone, is still right after a second.
    seconds = round(1.0 / step)
    first = 500
    turned = true.rotation.part(slice(first, first + 1))
    middle = 0.5 * (rate_3T[:, first : first + seconds] + rate_3T[:, first + 1 : first + seconds + 1])
    for index in range(seconds):
        turned = turned @ by_vector(middle[:, index : index + 1] * step)
    left = turned.inverse() @ true.rotation.part(slice(first + seconds, first + seconds + 1))
    assert 2.0 * np.arccos(min(1.0, abs(float(left.wxyz[0, 0])))) < np.radians(1.0)

    # So is the velocity, from the accelerometer in the axes of the world.
    acceleration_3T = true.rotation.apply(force_3T) + GRAVITY
    velocity_3T = np.gradient(true.joint_3T, step, axis=1)
    gained_3T = cumulative_trapezoid(acceleration_3T[:, 100:-100], dx=step, initial=0.0)
    np.testing.assert_allclose(gained_3T, velocity_3T[:, 100:-100] - velocity_3T[:, 100:101], atol=0.12)
    assert np.abs(velocity_3T).max() > 0.5


def test_segments_keep_their_lengths_and_meet_at_the_joints() -> None:
    motion = move((2, 0, 0), 8.0, RATE, ("walking", "picking_up"))
    segments, person = motion.skeleton.segments, motion.person

    def length(one: str, other: str) -> Float:
        return np.asarray(np.linalg.norm(segments[one].joint_3T - segments[other].joint_3T, axis=0))

    for side in "RL":
        np.testing.assert_allclose(length(f"thigh_{side}", f"shank_{side}"), person.thigh)
        np.testing.assert_allclose(length(f"shank_{side}", f"foot_{side}"), person.shank)
        np.testing.assert_allclose(length(f"upper_arm_{side}", f"forearm_{side}"), person.upper_arm)
    np.testing.assert_allclose(length("trunk", "head"), person.trunk)


def test_feet_stand_still_on_the_ground_and_swing_fast() -> None:
    motion = healthy("walking")
    foot = motion.skeleton.segments["foot_R"].joint_3T
    speed = np.linalg.norm(np.gradient(foot, motion.times_T, axis=1), axis=0)
    pelvis = motion.skeleton.segments["pelvis"].joint_3T
    forward = np.linalg.norm(np.gradient(pelvis[:2], motion.times_T, axis=1), axis=0).mean()
    assert 0.6 < forward < 1.8  # m/s
    assert np.percentile(speed, 25) < 0.25 * forward
    assert 2.0 * forward < speed.max() < 6.0 * forward


def test_standing_feet_do_not_move() -> None:
    segments = move((4, 0, 0), 10.0, RATE, ("standing",)).skeleton.segments
    middle = 0.5 * (segments["foot_R"].joint_3T + segments["foot_L"].joint_3T)
    assert np.ptp(middle, axis=1).max() < 1e-9
    assert np.ptp(segments["head"].joint_3T, axis=1).max() > 1e-3


def test_walking_has_the_figures_of_the_literature() -> None:
    upwards, swings = [], []
    for subject in range(10):
        motion = move((1, subject, 0), 8.0, RATE, ("walking",))
        if motion.person.gait != "healthy":
            continue
        step = float(motion.times_T[1] - motion.times_T[0])
        upward = np.diff(motion.skeleton.segments["pelvis"].joint_3T[2], n=2) / step**2
        spectrum = np.abs(np.fft.rfft(upward * np.hanning(len(upward))))
        main = np.fft.rfftfreq(len(upward), step)[spectrum.argmax()]
        assert main == pytest.approx(motion.person.cadence, rel=0.3)  # two peaks a stride
        upwards.append(upward.std())
        shank = ideal(sensor(motion, "Right_Lower_Leg"), motion.times_T)
        head = ideal(sensor(motion, "Head"), motion.times_T)
        swings.append(np.percentile(np.linalg.norm(shank[1], axis=0), 99))
        assert head[0].std(axis=1).max() < 0.7 * shank[0].std(axis=1).max()
    assert len(upwards) > 3
    assert 0.8 < np.median(upwards) < 2.5  # m/s^2
    assert 3.5 < np.median(swings) < 7.5  # rad/s


def test_running_is_free_fall_between_steps() -> None:
    motion = healthy("running")
    upward = np.diff(motion.skeleton.segments["pelvis"].joint_3T[2], n=2) / np.diff(motion.times_T)[0] ** 2
    assert -13.0 < np.percentile(upward, 10) < -6.0
    assert 12.0 < np.percentile(upward, 99) < 35.0


@pytest.mark.parametrize("activity", sorted(ACTIVITIES))
def test_every_activity_gives_plausible_signals(activity: str) -> None:
    motion = move((6, 2, 0), 6.0, RATE, (activity,))
    for place in PLACES[::4]:
        force_3T, rate_3T = ideal(sensor(motion, place), motion.times_T)
        assert 9.0 < np.median(np.linalg.norm(force_3T, axis=0)) < 20.0 or activity == "running"
        assert np.linalg.norm(force_3T, axis=0).max() < 250.0
        assert 1e-3 < np.linalg.norm(rate_3T, axis=0).max() < 40.0
