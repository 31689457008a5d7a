"""Perturbations of IMU windows against plain computations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.evaluation.perturbations import half_rate, sensors, turned, without_sensor

CHANNELS = tuple(f"{kind}_{part}_{axis}" for part in ("Foot", "Pelvis") for kind in ("acc", "gyro") for axis in "xyz")
SPEC = ImuSpec((*CHANNELS, "pressure"), (*("m/s^2",) * 3, *("rad/s",) * 3) * 2 + ("Pa",), rate=10.0, window=2.0)
RECORDING_B = torch.tensor([3, 3, 8])


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randn(3, 20, 13, generator=torch.Generator().manual_seed(1))


def test_sensors_are_body_segments() -> None:
    assert sensors(SPEC.channels) == {"Foot": list(range(6)), "Pelvis": list(range(6, 12))}


@pytest.mark.parametrize("mean", [None, tuple(float(channel) for channel in range(13))])
def test_a_missing_sensor_is_constant(mean: tuple[float, ...] | None, windows: torch.Tensor) -> None:
    spec = ImuSpec(SPEC.channels, SPEC.units, rate=10.0, window=2.0, mean=mean, std=mean)
    before_BLC = windows.clone()
    found_BLC = without_sensor(spec, [0, 1, 2])(windows, RECORDING_B)
    assert torch.equal(found_BLC[..., 3:], before_BLC[..., 3:])
    assert (found_BLC[..., :3] == torch.tensor(mean[:3] if mean else (0.0, 0.0, 0.0))).all()
    assert torch.equal(windows, before_BLC)


def test_sensors_are_turned_by_the_angle_and_stay_rigid(windows: torch.Tensor) -> None:
    turn = turned(SPEC, 30.0, seed=0)
    assert turn is not None
    found_BLC = turn(windows, RECORDING_B)
    assert torch.equal(found_BLC[..., 12], windows[..., 12])
    rotations: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
    for place, recording in enumerate(RECORDING_B.tolist()):
        for first in (0, 3, 6, 9):
            before_L3, after_L3 = (x[place, :, first : first + 3].double().numpy() for x in (windows, found_BLC))
            rotation_33 = np.linalg.lstsq(before_L3, after_L3, rcond=None)[0].T
            np.testing.assert_allclose(rotation_33 @ rotation_33.T, np.eye(3), atol=1e-5)
            assert np.degrees(np.arccos((np.trace(rotation_33) - 1) / 2)) == pytest.approx(30.0, abs=1e-3)
            known = rotations.setdefault((recording, first // 6), rotation_33)
            np.testing.assert_allclose(rotation_33, known, atol=1e-5)  # of both kinds, and in each window
    assert len(rotations) == 4
    for key in ((3, 1), (8, 0)):
        assert np.abs(rotations[key] - rotations[3, 0]).max() > 0.05
    again = turned(SPEC, 30.0, seed=0)
    other = turned(SPEC, 30.0, seed=1)
    assert again is not None
    assert other is not None
    assert torch.equal(again(windows, RECORDING_B), found_BLC)
    assert not torch.equal(other(windows, RECORDING_B), found_BLC)


def test_sensors_without_three_axes_are_not_turned() -> None:
    flat = ImuSpec(("acc_Foot_x", "acc_Foot_y", "gyro_Foot_x"), ("m/s^2", "m/s^2", "rad/s"), rate=10.0, window=2.0)
    assert turned(flat, 30.0, seed=0) is None


@pytest.mark.parametrize("length", [1, 2, 19, 20])
def test_half_the_rate_is_linear_interpolation(length: int, windows: torch.Tensor) -> None:
    part_BLC = windows[:, :length]
    found_BLC = half_rate(part_BLC, RECORDING_B)
    time_L = np.arange(length)
    for place in range(3):
        for channel in range(13):
            samples_L = part_BLC[place, :, channel].numpy()
            expected_L = np.interp(time_L, time_L[::2], samples_L[::2])
            np.testing.assert_allclose(found_BLC[place, :, channel].numpy(), expected_L, rtol=1e-5, atol=1e-6)
