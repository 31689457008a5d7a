"""Sensors that move unlike those of the other subjects: exchanged sides, permuted axes that gravity does not show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from revalexo_clip.data.axes import Total, Totals, merged, totals_of
from revalexo_clip.data.sensor_motion import unlike_sensors
from revalexo_clip.data.synthetic import clip as world

Rows = npt.NDArray[np.float64]
LEVEL = np.array([0.6, 0.3, 0.74])
"""Direction of gravity at the left wrist, mirrored at the right one."""


def wrist(seed: int, side: int) -> dict[str, Rows]:
    """Return [n, 3] of a wrist's sensors, which are worn as mirror images; people differ a little."""
    rng = np.random.default_rng([seed, side])
    time_n = np.arange(600) / 60 * rng.uniform(0.8, 1.2)
    mirror_3 = np.array([1.0, 1.0 if side else -1.0, 1.0])
    swing_n = np.sin(5 * time_n) + rng.normal(0, 0.1, 600)
    gyro_n3 = (
        np.outer(swing_n, [0.5, 2.0, 0.2]) + rng.normal(0, 0.1, (600, 3)) + np.outer(np.cos(9 * time_n), [0, 0, 1])
    )
    acc_n3 = 9.81 * (LEVEL + rng.normal(0, 0.05, 3)) + np.outer(swing_n, [1.0, 3.0, 0.4]) + rng.normal(0, 0.3, (600, 3))
    return {"acc": acc_n3 * mirror_3, "gyro": gyro_n3 * mirror_3}


def wearer(seed: int, *, swapped: bool = False, turn: tuple[int, ...] = (0, 1, 2), turned: str = "gyro") -> Totals:
    """Return what both wrists of a person show; `turn` permutes the axes of the left sensor of the kind `turned`."""
    by_channel = {}
    for side, name in enumerate(("Right", "Left") if swapped else ("Left", "Right")):
        for kind, rows_n3 in wrist(seed, side).items():
            order = turn if kind == turned and name == "Left" else (0, 1, 2)
            for axis, column_n in zip("xyz", rows_n3[:, order].T, strict=True):
                by_channel[f"{kind}_{name}_Wrist_{axis}"] = column_n
    return totals_of(by_channel, np.arange(600) / 60, [(0.0, 10.0, "walking")])


def found(odd: Totals) -> list[tuple[str, str, str]]:
    return list(unlike_sensors({f"s{seed}": wearer(seed) for seed in range(5)} | {"odd": odd}))


def test_subjects_who_move_alike_are_no_problem() -> None:
    assert found(wearer(9)) == []


def test_left_and_right_exchanged_are_one_problem_of_one_subject() -> None:
    ((kind, subject, message),) = found(wearer(9, swapped=True))
    assert (kind, subject) == ("swapped_sides", "odd")
    assert message.startswith("Left_Wrist and Right_Wrist: each moves and lies as the other one does in the other")


@pytest.mark.parametrize(("turn", "axes"), [((1, 0, 2), "(y, x, z)"), ((0, 2, 1), "(x, z, y)")])
def test_permuted_axes_of_a_gyroscope_are_found_by_how_they_move(turn: tuple[int, ...], axes: str) -> None:
    ((kind, subject, message),) = found(wearer(9, turn=turn))
    assert (kind, subject) == ("permuted_axes", "odd")
    assert message.startswith("gyro_Left_Wrist: x, y and z have ")
    assert "of the motion while walking, and those of the other subjects 5%, 76%, 19%. With" in message
    assert f"With the axes {axes} they would agree" in message


def test_too_few_others_and_sensors_at_rest_tell_nothing() -> None:
    odd = wearer(9, turn=(1, 0, 2))
    assert list(unlike_sensors({"a": wearer(0), "b": wearer(1), "odd": odd})) == []
    still = {
        key: Total(total.sum_3, total.samples, total.product_33 / 1e3, total.change_33)
        for key, total in odd.items()
        if key[0].startswith("gyro")
    }
    assert found(still) == []


def simulated(subject: int) -> Totals:
    """Return two clips of a simulated subject."""
    clips = [world.simulate(0, subject, clip) for clip in range(2)]
    return merged(
        [
            totals_of(
                dict(zip(clip.channels, clip.imu().T, strict=True)),
                np.arange(720) / 60,
                [(one.start, one.end, one.activity) for one in world.clip_plan(0, subject, number)],
            )
            for number, clip in enumerate(clips)
        ]
    )


@pytest.mark.long
def test_simulated_subjects_are_alike_until_axes_are_permuted() -> None:
    subjects = {f"s{number}": simulated(number) for number in range(6)}
    assert list(unlike_sensors(subjects)) == []
    turn_33 = np.eye(3)[[1, 0, 2]]
    subjects["s3"] = {
        (sensor, activity): total
        if sensor != "gyro_Left_Foot"
        else Total(
            turn_33 @ total.sum_3,
            total.samples,
            turn_33 @ total.product_33 @ turn_33.T,
            turn_33 @ total.change_33 @ turn_33.T,
        )
        for (sensor, activity), total in subjects["s3"].items()
    }
    ((kind, subject, message),) = unlike_sensors(subjects)
    assert (kind, subject, message.partition(":")[0]) == ("permuted_axes", "s3", "gyro_Left_Foot")
