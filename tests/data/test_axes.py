"""Axes of a subject's sensor that are not those of the others are found by the direction of gravity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from revalexo_clip.data.axes import Totals, permuted_axes, totals_of
from revalexo_clip.data.magnitudes import implausible

Directions = dict[str, tuple[float, float, float]]
STANDING: Directions = {"standing": (0.5, 0.3, 9.7)}


def wearer(directions: Directions, seed: int, turn: Sequence[int] = (0, 1, 2), samples: int = 300) -> Totals:
    """Return what a sensor shows of a person who wears it within some degrees of others; `turn` permutes its axes."""
    rng = np.random.default_rng(seed)
    rows, segments = [], []
    for number, (activity, direction) in enumerate(directions.items()):
        rows.append(np.array(direction) + rng.normal(0, 0.5, 3) + rng.normal(0, 2, (samples, 3)))
        segments.append((number * samples / 60, (number + 1) * samples / 60, activity))
    axes_n3 = np.concatenate(rows)[:, list(turn)]
    by_channel = {f"acc_Head_{axis}": axes_n3[:, place] for place, axis in enumerate("xyz")}
    return totals_of(by_channel, np.arange(len(axes_n3)) / 60, segments)


@pytest.mark.parametrize(
    ("turn", "axes"), [((2, 1, 0), "(z, y, x)"), ((0, 2, 1), "(x, z, y)"), ((1, 2, 0), "(x, z, y)")]
)
def test_permuted_axes_are_found_with_numbers(turn: Sequence[int], axes: str) -> None:
    subjects = {f"s{seed}": wearer(STANDING, seed) for seed in range(4)} | {"odd": wearer(STANDING, 9, turn)}
    ((subject, message),) = permuted_axes(subjects)
    assert subject == "odd"
    assert message.startswith("acc_Head: the mean acceleration while standing is (")
    assert f"With the axes {axes} it would be" in message


def test_subjects_who_wear_a_sensor_alike_are_not() -> None:
    assert list(permuted_axes({f"s{seed}": wearer(STANDING, seed) for seed in range(8)})) == []


def test_another_activity_is_not_another_axis() -> None:
    """A thigh is upright in standing and level in sitting."""
    subjects = {f"s{seed}": wearer(STANDING, seed) for seed in range(3)}
    assert list(permuted_axes({**subjects, "sitter": wearer({"sitting": (9.7, 0.5, 0.3)}, 9)})) == []
    both: Directions = {"standing": (0.5, 0.3, 9.7), "sitting": (9.7, 0.5, 0.3)}
    subjects = {f"s{seed}": wearer(both, seed) for seed in range(3)} | {"odd": wearer(both, 9, (1, 0, 2))}
    assert list(permuted_axes(subjects)) == [], "gravity shows nothing of an exchange of two other axes"
    subjects["odd"] = wearer(both, 9, (1, 2, 0))
    ((_, message),) = permuted_axes(subjects)
    assert "With the axes (z, x, y)" in message, "two activities tell which permutation it is"


def test_too_few_others_and_no_gravity_tell_nothing() -> None:
    odd = wearer(STANDING, 9, (2, 1, 0))
    assert list(permuted_axes({"a": wearer(STANDING, 0), "odd": odd})) == []
    weak: Directions = {"standing": (0.1, 0.1, 2.0)}
    subjects = {f"s{seed}": wearer(weak, seed) for seed in range(4)} | {"odd": wearer(weak, 9, (2, 1, 0))}
    assert list(permuted_axes(subjects)) == []
    assert list(permuted_axes({f"s{seed}": wearer(STANDING, seed) for seed in range(3)} | {"odd": wearer(STANDING, 9, (2, 1, 0), 40)})) == []  # fmt: skip  # noqa: E501


def test_units_and_missing_gravity_are_told_by_magnitude() -> None:
    rng = np.random.default_rng(0)
    rest_n3 = np.array([0.0, 0.0, 9.81]) + rng.normal(0, 0.3, (300, 3))

    def found(kind: str, axes_n3: np.ndarray) -> list[tuple[str, str | None]]:
        by_channel = {f"{kind}_{axis}": axes_n3[:, place] for place, axis in enumerate("xyz")}
        return [(one.kind, one.unit) for one in implausible(by_channel)]

    assert found("acc", rest_n3) == []
    assert found("acc", rest_n3 / 9.81) == [("acc_units", "g")]
    assert found("acc", 1000 * rest_n3) == [("acc_units", None)]
    assert found("acc", rest_n3 - np.array([0, 0, 9.81])) == [("no_gravity", None)]
    assert found("gyro", rng.normal(0, 2, (300, 3))) == []
    assert found("gyro", np.rad2deg(rng.normal(0, 2, (300, 3)))) == [("gyro_units", "deg/s")]
    assert found("acc_Head", (rest_n3 / 9.81)[:20]) == [("acc_units", "g")]
