from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.augment_specs import CHANNELS, IMU, SEGMENTS, VIDEO, augmented, generators, imu_windows, video_windows

from revalexo_clip.augment import Augmentation, Mirror
from revalexo_clip.augment.mirror import Axis, image
from revalexo_clip.augment.sensors import mix
from revalexo_clip.core.errors import ConfigError

Float = npt.NDArray[np.float64]


def mirrored_imu(imu_BLC: torch.Tensor, channels: tuple[str, ...] = CHANNELS, lateral: Axis = "y") -> torch.Tensor:
    drawn = torch.from_numpy(image(channels, lateral, ()))
    return mix(imu_BLC, drawn.expand(len(imu_BLC), -1, -1, -1))


def test_mirroring_twice_gives_back_the_window() -> None:
    mirror = Augmentation((), (), (Mirror(p=1.0),), imu_spec=IMU, video_spec=VIDEO)
    twice = Augmentation((), (), (Mirror(p=1.0), Mirror(p=1.0)), imu_spec=IMU, video_spec=VIDEO)
    never = Augmentation((), (), (), imu_spec=IMU, video_spec=VIDEO)
    imu_BLC, video_BTHWC = imu_windows(2), video_windows(2, height=24, width=24)
    results = [augmented(augmentation, imu_BLC, video_BTHWC) for augmentation in (never, mirror, twice)]
    assert torch.equal(results[2][0], imu_BLC)
    assert torch.equal(results[2][1], results[0][1])
    assert torch.equal(results[1][1], results[0][1].flip(-1))
    assert not torch.equal(results[1][0], imu_BLC)
    assert torch.equal(mirrored_imu(results[1][0]), imu_BLC)


def test_sides_are_swapped_and_each_kind_of_vector_changes_its_own_signs() -> None:
    imu_BLC = imu_windows(1)
    turned_BLC = mirrored_imu(imu_BLC)

    def channel(which: torch.Tensor, name: str) -> torch.Tensor:
        return which[0, :, CHANNELS.index(name)]

    for segment in SEGMENTS:
        other = segment.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
        for kind, signs in (("acc", (1, -1, 1)), ("gyro", (-1, 1, -1))):
            for axis, sign in zip("xyz", signs, strict=True):
                was, now = channel(imu_BLC, f"{kind}_{other}_{axis}"), channel(turned_BLC, f"{kind}_{segment}_{axis}")
                assert torch.equal(now, sign * was)


def rotation(rng: np.random.Generator, steps: int) -> Float:
    """Orientations [T, 3, 3] that change smoothly."""
    time = np.linspace(0, 1, steps)
    angles = [sum(rng.normal() * np.sin(f * time + rng.uniform(0, 6)) for f in (2, 5)) for _ in range(3)]
    result = np.eye(3)[None]
    for axis, angle in enumerate(angles):
        matrix = np.tile(np.eye(3), (steps, 1, 1))
        one, two = (axis + 1) % 3, (axis + 2) % 3
        matrix[:, one, one] = matrix[:, two, two] = np.cos(angle)
        matrix[:, two, one], matrix[:, one, two] = np.sin(angle), -np.sin(angle)
        result = result @ matrix
    return result


def measured(position_T3: Float, rotation_T33: Float, interval: float) -> tuple[Float, Float]:
    """What an IMU on a moving body measures: specific force and angular velocity in its own axes."""
    velocity = np.gradient(position_T3, interval, axis=0)
    acceleration = np.gradient(velocity, interval, axis=0) + np.array([0, 0, 9.81])
    turning = np.swapaxes(rotation_T33, 1, 2) @ np.gradient(rotation_T33, interval, axis=0)
    rate = np.stack([turning[:, 2, 1], turning[:, 0, 2], turning[:, 1, 0]], axis=1)
    return np.einsum("tji,tj->ti", rotation_T33, acceleration), rate


@pytest.mark.parametrize("lateral", ["x", "y", "z"])
def test_signs_are_those_of_a_motion_that_is_reflected_in_space(lateral: Axis) -> None:
    """A body moves in the world and its image moves behind a mirror; both carry sensors."""
    rng = np.random.default_rng(0)
    position, orientation = rng.normal(size=(400, 3)).cumsum(0) / 50, rotation(rng, 400)
    across = np.eye(3)
    across["xyz".index(lateral), "xyz".index(lateral)] = -1  # the sensor's own axis that points to the side
    world = np.diag([1.0, -1.0, 1.0])
    acc, gyro = measured(position, orientation, 1 / 400)
    image_acc, image_gyro = measured(position @ world, world @ orientation @ across, 1 / 400)
    channels = tuple(f"{kind}_Pelvis_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
    turned = mirrored_imu(torch.from_numpy(np.hstack([acc, gyro]))[None], channels, lateral)
    np.testing.assert_allclose(turned[0, 5:-5], np.hstack([image_acc, image_gyro])[5:-5], rtol=1e-6, atol=1e-6)


def test_half_of_the_windows_are_mirrored_both_their_video_and_their_imu() -> None:
    draws = [Mirror().sample(rng, IMU, VIDEO) for rng in generators(3000)]
    turned = np.array([drawn.box[1] > drawn.box[3] for drawn in draws])
    assert turned.mean() == pytest.approx(0.5, abs=0.03)
    assert [bool((drawn.drawn[1] < 0).any()) for drawn in draws] == turned.tolist()


def test_axes_can_be_set_for_all_segments_and_for_some() -> None:
    channels = tuple(f"acc_{segment}_{axis}" for segment in ("Pelvis", "Left_Foot", "Right_Foot") for axis in "xyz")
    signs = image(channels, "x", (("Foot", "z"),))[1, :, 0]
    assert signs.tolist() == [-1, 1, 1, 1, 1, -1, 1, 1, -1]
    with pytest.raises(ConfigError, match=r"unknown segments: Hand\. Known segments, without side: Pelvis, Foot"):
        image(channels, "x", (("Hand", "z"),))
    assert Mirror(lateral_of={"Foot": "z"}).model_dump(mode="json")["lateral_of"] == {"Foot": "z"}


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (("acc_Left_Foot_x",), "to mirror acc_Left_Foot_x, add acc_Right_Foot_x to data.channels"),
        (("acc_Pelvis_x", "mag_Pelvis_x"), "channel mag_Pelvis_x cannot be mirrored"),
    ],
)
def test_channels_without_an_image_are_an_error(channels: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        image(channels, "y", ())
