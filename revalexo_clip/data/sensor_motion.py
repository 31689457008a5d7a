"""Finding sensors that move unlike those of the other subjects: left and right exchanged, axes of gyroscopes permuted.

During the same activity, the same axes of a sensor move in all who wear it in the same way, slowly (covariances of the
values) and fast (those of the changes from row to row). What is said of a subject is relative to how much the others
differ among themselves, so that sensors that everybody wears in another way give no findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.axes import GRAVITY, TURNS, Total, Totals, Vector, permuted_axes

FEWEST = 120
"""Samples of an activity that tell how a sensor moves."""
OTHERS = 3
"""Fewest other subjects."""
STILL = {"acc": 0.5, "gyro": 0.2}
"""Sensors with a smaller standard deviation do not move [m/s^2, rad/s]."""
UNLIKE = 0.5
"""Shapes that differ by less are alike; 0 if they are equal, at most 2."""
TIMES = 1.6
"""A subject is unlike the others if it differs from them by this many times more than any of them from the rest."""
CLEARLY = 0.6
"""An explanation has to leave at most this share of a difference."""

_SIDE = re.compile(r"left|right|(?<![a-z])[lr](?![a-z])", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


class _Shape(NamedTuple):
    """How a sensor moves during an activity, whatever its size."""

    upward_3: Vector
    """Direction of the mean acceleration; zeros for a gyroscope."""
    slow_33: Vector
    """Covariance of the values, with trace 1."""
    fast_33: Vector
    """Covariance of the changes, with trace 1."""
    samples: int


_Shapes = Mapping[tuple[str, str], _Shape]
"""By sensor and activity."""


def unlike_sensors(subjects: Mapping[str, Totals]) -> Iterator[tuple[str, str, str]]:
    """Yield kind of problem, subject, and what is unlike the other subjects: `swapped_sides` or `permuted_axes`.

    The axes of a sensor are looked at by gravity first, see `axes.permuted_axes`, and then by how it moves.
    """
    shapes = {subject: _shapes(totals) for subject, totals in subjects.items()}
    sensors = sorted({sensor for totals in subjects.values() for sensor, _ in totals})
    explained: set[tuple[str, str]] = set()
    places = {sensor.partition("_")[2] for sensor in sensors if sensor.partition("_")[2]}
    for left, right in sorted({pair for place in places if (pair := _sides(place)) is not None and pair[1] in places}):
        for subject, message in _swapped(left, right, shapes):
            explained |= {(subject, f"{kind}_{place}") for kind in STILL for place in (left, right)}
            yield "swapped_sides", subject, message
    for subject, message in permuted_axes(subjects):
        sensor = message.partition(":")[0]
        if (subject, sensor) not in explained:
            explained.add((subject, sensor))
            yield "permuted_axes", subject, message
    for sensor in sensors:
        for subject, message in _turned(sensor, shapes):
            if (subject, sensor) not in explained:
                yield "permuted_axes", subject, message


def _shapes(totals: Totals) -> dict[tuple[str, str], _Shape]:
    found = {key: _shape(key[0].partition("_")[0], total) for key, total in totals.items()}
    return {key: shape for key, shape in found.items() if shape is not None}


def _shape(kind: str, total: Total) -> _Shape | None:
    """Return the shape of a sensor's motion; None if it is too short or too still to tell."""
    if total.samples < FEWEST:
        return None
    mean_3 = total.sum_3 / total.samples
    slow_33 = total.product_33 / total.samples - np.outer(mean_3, mean_3)
    if np.trace(slow_33) < STILL[kind] ** 2 or not np.trace(total.change_33) > 0:
        return None
    upward_3 = np.zeros(3)
    if kind == "acc" and (size := float(np.linalg.norm(mean_3))) > GRAVITY:
        upward_3 = mean_3 / size
    fast_33 = total.change_33 / np.trace(total.change_33)
    return _Shape(upward_3, slow_33 / np.trace(slow_33), fast_33, total.samples)


def _difference(one: _Shape, other: _Shape, turn_33: Vector | None = None, *, upward: bool = True) -> float:
    """Return how unlike two shapes are, the first one turned."""
    turn_33 = np.eye(3) if turn_33 is None else turn_33
    parts = [np.linalg.norm(turn_33 @ one.slow_33 @ turn_33.T - other.slow_33)]
    parts.append(np.linalg.norm(turn_33 @ one.fast_33 @ turn_33.T - other.fast_33))
    if upward:
        parts.append(np.linalg.norm(turn_33 @ one.upward_3 - other.upward_3))
    return float(np.linalg.norm(parts))


class _Pair(NamedTuple):
    """A sensor of a subject, and what that of the others does on average in the same activity."""

    activity: str
    own: _Shape
    others: _Shape


def _pairs(subject: str, own: str, theirs: str, shapes: Mapping[str, _Shapes], without: str = "") -> list[_Pair]:
    """Compare a subject's sensor with the sensor `theirs` of all others, except for the subject `without`."""
    found = []
    for (sensor, activity), shape in shapes[subject].items():
        others = [
            other[theirs, activity]
            for name, other in shapes.items()
            if name not in {subject, without} and (theirs, activity) in other
        ]
        if sensor == own and len(others) >= OTHERS - bool(without):
            upward_3: Vector = np.mean([one.upward_3 for one in others], axis=0)
            slow_33: Vector = np.mean([one.slow_33 for one in others], axis=0)
            fast_33: Vector = np.mean([one.fast_33 for one in others], axis=0)
            found.append(_Pair(activity, shape, _Shape(upward_3, slow_33, fast_33, shape.samples)))
    return found


def _mean(pairs: Sequence[_Pair], turn_33: Vector | None = None, *, upward: bool = True) -> float:
    """Return the mean difference over activities."""
    differences = [_difference(pair.own, pair.others, turn_33, upward=upward) for pair in pairs]
    return float(np.average(differences, weights=[pair.own.samples for pair in pairs]))


def _turned(sensor: str, shapes: Mapping[str, _Shapes]) -> Iterator[tuple[str, str]]:
    """Yield each subject whose sensor moves as that of the others only after its axes are exchanged."""
    for subject in shapes:
        pairs = _pairs(subject, sensor, sensor, shapes)
        if not pairs or (now := _mean(pairs, upward=False)) < UNLIKE:
            continue
        others = [_pairs(other, sensor, sensor, shapes, subject) for other in shapes if other != subject]
        usual = max((_mean(each, upward=False) for each in others if each), default=np.inf)
        after = {name: _mean(pairs, turn_33, upward=False) for name, turn_33 in TURNS.items()}
        best = min(after.values())
        if now < TIMES * usual or best > CLEARLY * now or best > TIMES * usual:
            continue
        name = next(name for name, left in after.items() if left < best + 0.05)  # the simplest ones come first
        shown = max(pairs, key=lambda pair: pair.own.samples)
        when = f" while {shown.activity}" if shown.activity else ""
        yield (
            subject,
            f"{sensor}: x, y and z have {_shares(shown.own)} of the motion{when}, and those of the other subjects "
            f"{_shares(shown.others)}. With the axes ({name}) they would agree, or with some reversed: are the axes of "
            "this sensor permuted?",
        )


def _shares(shape: _Shape) -> str:
    return ", ".join(f"{100 * share:.0f}%" for share in np.diag(shape.slow_33))


def _swapped(left: str, right: str, shapes: Mapping[str, _Shapes]) -> Iterator[tuple[str, str]]:
    """Yield each subject whose left sensor is as the right one of the others, and the other way round.

    All others have to be like one another without an exchange.
    """
    for subject in shapes:
        found = _straight_and_crossed(subject, left, right, shapes)
        if found is None or found[0] < UNLIKE or found[1] > CLEARLY * found[0]:
            continue
        others = [_straight_and_crossed(other, left, right, shapes, subject) for other in shapes if other != subject]
        told = [other for other in others if other is not None]
        if len(told) < OTHERS or any(straight > CLEARLY * crossed for straight, crossed in told):
            continue
        yield (
            subject,
            f"{left} and {right}: each moves and lies as the other one does in the other subjects (difference "
            f"{found[0]:.2f}; {found[1]:.2f} if they are exchanged): are left and right swapped?",
        )


def _straight_and_crossed(
    subject: str, left: str, right: str, shapes: Mapping[str, _Shapes], without: str = ""
) -> tuple[float, float] | None:
    """Return how unlike the others both sides are as they are named, and exchanged; None if that is not known."""
    straight: list[float] = []
    crossed: list[float] = []
    for kind in STILL:
        sides = f"{kind}_{left}", f"{kind}_{right}"
        for own in sides:
            for theirs in sides:
                pairs = _pairs(subject, own, theirs, shapes, without)
                if not pairs:
                    continue
                (straight if own == theirs else crossed).append(_mean(pairs))
    if not straight or len(straight) != len(crossed):
        return None
    return float(np.mean(straight)), float(np.mean(crossed))


def _sides(place: str) -> tuple[str, str] | None:
    """Return the names of the left and right sensor for the name of the left one; None if it names no left side."""
    found = _SIDE.findall(place)
    if len(found) != 1 or found[0].lower() not in ("left", "l"):
        return None
    other = _OTHER_SIDE[found[0].lower()]
    spelled = other.upper() if found[0].isupper() else other.capitalize() if found[0][0].isupper() else other
    return place, _SIDE.sub(spelled, place)
