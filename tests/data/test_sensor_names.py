"""Names of columns that look like sensors."""

from __future__ import annotations

import pytest

from revalexo_clip.data.sensor_names import near_misses, suggested

ACC = "accl_x Accl_Y acc-x accX AccX_g acceleration_z ax a_x Acc_x wrist_acc_x linear_acceleration_y userAcceleration.x"
GYRO = "gyr_x gyro.y GyroscopeZ gx wz angular_velocity_x ang_vel_y rotationRate.x gyroRotationX(rad/s)"
OTHERS = (
    "time acc_Head_x gyro_x mag_x accuracy gps_accuracy_y acceleration_magnitude gyro_quality max index x taxy angle_x"
)


@pytest.mark.parametrize("column", [*ACC.split(), "Accel Y (g)", "Linear Acceleration x (m/s^2)"])
def test_accelerometers_are_found(column: str) -> None:
    assert near_misses([column]) == {column: "acc"}


@pytest.mark.parametrize("column", [*GYRO.split(), "Gyroscope x (deg/s)"])
def test_gyroscopes_are_found(column: str) -> None:
    assert near_misses([column]) == {column: "gyro"}


@pytest.mark.parametrize("column", OTHERS.split())
def test_other_columns_are_not(column: str) -> None:
    assert near_misses([column]) == {}


def test_a_setting_is_suggested() -> None:
    assert (
        suggested(["t", "accl_x", "Accel Y (g)", "gz"]) == '{"acc_x": "accl_x", "acc_y": "Accel Y (g)", "gyro_z": "gz"}'
    )
