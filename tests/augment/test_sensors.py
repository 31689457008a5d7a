from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.augment_specs import CHANNELS, IMU, SEGMENTS, generators, imu_windows

from revalexo_clip.augment import HalfTurn, SensorRotation
from revalexo_clip.augment.sensors import mix, rotations, triads
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec


def drawn(count: int, rotation: SensorRotation | None = None) -> torch.Tensor:
    rotation = rotation or SensorRotation()
    return torch.from_numpy(np.stack([rotation.sample(rng, IMU) for rng in generators(count)]))


def places(kind: str, segment: str) -> list[int]:
    return [CHANNELS.index(f"{kind}_{segment}_{axis}") for axis in "xyz"]


def fitted(before_L3: torch.Tensor, after_L3: torch.Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the matrix that maps one window to the other, by least squares."""
    solution = np.linalg.lstsq(before_L3.double().numpy(), after_L3.double().numpy(), rcond=None)[0]
    return np.asarray(solution.T)


def test_every_sensor_has_its_own_rotation_shared_by_accelerometer_and_gyroscope() -> None:
    imu_BLC = imu_windows(4)
    turned_BLC = SensorRotation().apply(imu_BLC, drawn(4))
    found = []
    for row in range(4):
        for segment in SEGMENTS:
            acc, gyro = (
                fitted(imu_BLC[row][:, place], turned_BLC[row][:, place])
                for place in (places("acc", segment), places("gyro", segment))
            )
            np.testing.assert_allclose(acc, gyro, atol=1e-5)
            np.testing.assert_allclose(acc @ acc.T, np.eye(3), atol=1e-5)
            assert np.linalg.det(acc) == pytest.approx(1, abs=1e-5)
            found.append(acc)
    assert len({tuple(matrix.round(4).ravel()) for matrix in found}) == 4 * len(SEGMENTS)


def test_rotations_do_not_change_norms() -> None:
    imu_BLC = imu_windows(8)
    turned_BLC = SensorRotation(angle=180).apply(imu_BLC, drawn(8, SensorRotation(angle=180)))
    for kind in ("acc", "gyro"):
        for segment in SEGMENTS:
            place = places(kind, segment)
            torch.testing.assert_close(
                turned_BLC[..., place].norm(dim=-1), imu_BLC[..., place].norm(dim=-1), rtol=1e-4, atol=1e-4
            )


def test_angles_go_up_to_the_largest_and_axes_have_any_direction() -> None:
    matrices = np.array(
        [
            rng_drawn[1, places("acc", "Pelvis")]
            for rng_drawn in (SensorRotation().sample(rng, IMU) for rng in generators(2000))
        ]
    )
    angles = np.degrees(np.arccos(np.clip((np.trace(matrices, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert 14.8 < angles.max() < 15.01
    assert angles.mean() == pytest.approx(7.5, abs=0.3)
    axes = np.stack([matrices[:, 2, 1] - matrices[:, 1, 2], matrices[:, 0, 2] - matrices[:, 2, 0]])
    assert np.abs(np.sign(axes).mean(1)).max() < 0.06


@given(st.floats(-3.1, 3.1), st.integers(0, 2))
def test_rotations_turn_around_their_axis_by_their_angle(angle: float, axis: int) -> None:
    (matrix,) = rotations(2.5 * np.eye(3)[[axis]], np.array([angle]))
    following, last = (axis + 1) % 3, (axis + 2) % 3
    expected = np.eye(3)
    expected[following, following] = expected[last, last] = np.cos(angle)
    expected[last, following], expected[following, last] = np.sin(angle), -np.sin(angle)
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_windows_that_are_not_drawn_and_other_channels_do_not_change() -> None:
    imu_BLC = imu_windows(3)
    assert torch.equal(SensorRotation().apply(imu_BLC, drawn(3, SensorRotation(p=0))), imu_BLC)
    spec = ImuSpec(("time", "acc_Pelvis_x", "acc_Pelvis_y", "acc_Pelvis_z"), ("s",) * 4, 60.0, 2.0)
    one = torch.from_numpy(SensorRotation().sample(np.random.default_rng(0), spec))[None]
    turned = SensorRotation().apply(imu_BLC[:1, :, :4], one)
    assert torch.equal(turned[..., 0], imu_BLC[:1, :, 0])
    assert not torch.equal(turned[..., 1], imu_BLC[:1, :, 1])


def test_the_rotation_of_a_window_does_not_depend_on_its_batch() -> None:
    imu_BLC, rotation = imu_windows(5), drawn(5)
    together = mix(imu_BLC, rotation)
    for row in range(5):
        assert torch.equal(mix(imu_BLC[row : row + 1], rotation[row : row + 1])[0], together[row])


def test_sensors_are_found_by_the_names_of_their_channels_in_any_order() -> None:
    assert triads(("gyro_A_B_z", "acc_A_B_y", "acc_A_B_z", "gyro_A_B_y", "gyro_A_B_x", "acc_A_B_x"), "") == {
        "A_B": [[4, 3, 0], [5, 1, 2]]
    }
    assert list(triads(CHANNELS, "")) == list(SEGMENTS)


def test_an_incomplete_sensor_is_an_error_that_names_the_missing_channels() -> None:
    lacking = replace(IMU, channels=tuple(name for name in CHANNELS if name != "gyro_Left_Foot_y"))
    with pytest.raises(ConfigError, match=r"gyroscope of Left_Foot lacks gyro_Left_Foot_y; .* all three axes"):
        SensorRotation().sample(np.random.default_rng(0), lacking)
    with pytest.raises(ConfigError, match=r"no channels acc_<Segment>_<axis> .* among a, b"):
        SensorRotation().sample(np.random.default_rng(0), ImuSpec(("a", "b"), ("", ""), 60.0, 2.0))
    with pytest.raises(ConfigError, match=r"^HalfTurn: the gyroscope of Left_Foot lacks gyro_Left_Foot_y"):
        HalfTurn().sample(np.random.default_rng(0), lacking)


@pytest.mark.long
def test_half_turns_are_rotations_that_a_sensors_accelerometer_and_gyroscope_share() -> None:
    half_turn, found = HalfTurn(), []
    for rng in generators(2000):
        (sign_C,) = half_turn.sample(rng, IMU)[1].T
        for segment in SEGMENTS:
            acc, gyro = (tuple(sign_C[places(kind, segment)].tolist()) for kind in ("acc", "gyro"))
            assert acc == gyro
            found.append(acc)
    shares = {sign: found.count(sign) / len(found) for sign in set(found)}
    kept = {(1, 1, 1): 1 / 2, (1, -1, -1): 1 / 6, (-1, 1, -1): 1 / 6, (-1, -1, 1): 1 / 6}
    assert shares == pytest.approx(kept, abs=0.01)


def test_half_turns_change_signs_and_nothing_else() -> None:
    imu_BLC, half_turn = imu_windows(4), HalfTurn(p=1)
    draws = torch.from_numpy(np.stack([half_turn.sample(rng, IMU) for rng in generators(4)]))
    turned_BLC = half_turn.apply(imu_BLC, draws)
    assert torch.equal(turned_BLC.abs(), imu_BLC.abs())
    assert float((turned_BLC == imu_BLC).double().mean()) == pytest.approx(1 / 3)
    spec = ImuSpec(("time", "acc_Pelvis_x", "acc_Pelvis_y", "acc_Pelvis_z"), ("s",) * 4, 60.0, 2.0)
    assert half_turn.sample(np.random.default_rng(0), spec)[1, 0] == 1
    never = HalfTurn(p=0)
    assert torch.equal(
        never.apply(imu_BLC[0:1], torch.from_numpy(never.sample(generators(1)[0], IMU))[None]), imu_BLC[0:1]
    )
