"""Finding sensors whose axes differ from those of the other subjects, by the direction of gravity.

The mean acceleration of a sensor points up, in its own axes. During the same activity, its direction is the same for
all who wear the sensor in the same way, within some degrees. A subject whose direction agrees only after axes are
exchanged or reversed has another sensor, another export, or wears it the other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.data.magnitudes import Signals, three_axes
from revalexo_clip.data.windows import Floats

Vector = npt.NDArray[np.float64]

FEWEST = 60
"""Samples of an activity that tell a direction."""
OTHERS = 2
"""Fewest other subjects."""
GRAVITY = 5.0
"""Mean accelerations that are weaker do not show gravity [m/s^2]."""
ALIKE = 30.0
"""Directions of subjects who wear a sensor alike differ by less [degrees]."""
DIFFERENT = 45.0
"""Directions that differ by more are looked at [degrees]."""


class Total(NamedTuple):
    """Sums over the samples of a sensor."""

    sum_3: Vector
    samples: int
    product_33: Vector
    """Of the products of two axes."""
    change_33: Vector
    """Of the products of the changes from row to row of two axes."""

    def add(self, other: Total) -> Total:
        """Return the sum of both."""
        return Total(
            self.sum_3 + other.sum_3,
            self.samples + other.samples,
            self.product_33 + other.product_33,
            self.change_33 + other.change_33,
        )


Totals = Mapping[tuple[str, str], Total]
"""By sensor and activity."""


def totals_of(
    by_channel: Signals, time_n: Floats, segments: Sequence[tuple[float, float, str]]
) -> dict[tuple[str, str], Total]:
    """Sum the samples of a recording by sensor and activity; without `segments` (start, end [s], activity), all.

    `time_n` are the times of the samples [s].
    """
    found: dict[tuple[str, str], Total] = {}
    for sensor, axes_n3 in three_axes(by_channel).items():
        for start, end, activity in segments or [(-np.inf, np.inf, "")]:
            inside_n = (time_n >= start) & (time_n < end)
            own_m3 = axes_n3[inside_n]
            change_m3 = np.diff(own_m3, axis=0)
            total = Total(own_m3.sum(axis=0), len(own_m3), own_m3.T @ own_m3, change_m3.T @ change_m3)
            key = sensor, activity
            found[key] = found[key].add(total) if key in found else total
    return found


def merged(totals: Sequence[Totals]) -> dict[tuple[str, str], Total]:
    """Add the totals of several recordings."""
    found: dict[tuple[str, str], Total] = {}
    for one in totals:
        for key, total in one.items():
            found[key] = found[key].add(total) if key in found else total
    return found


def permuted_axes(subjects: Mapping[str, Totals]) -> Iterator[tuple[str, str]]:
    """Yield each subject, and what is unlike the other subjects about the axes of a sensor.

    Needs at least two others with the same activity whose directions agree.
    """
    for sensor in sorted({sensor for totals in subjects.values() for sensor, _ in totals}):
        for subject in subjects if sensor.startswith("acc") else ():
            message = _unlike(subject, sensor, subjects)
            if message is not None:
                yield subject, message


class _Pair(NamedTuple):
    """Mean accelerations of an activity."""

    activity: str
    own_3: Vector
    others_3: Vector
    samples: int


def _unlike(subject: str, sensor: str, subjects: Mapping[str, Totals]) -> str | None:
    pairs = [
        pair
        for (named, activity), total in subjects[subject].items()
        if named == sensor and (pair := _pair(subject, sensor, activity, total, subjects)) is not None
    ]
    if not pairs:
        return None
    now = _disagreement(pairs, np.eye(3))
    if now < DIFFERENT:
        return None
    after = {name: _disagreement(pairs, turn_33) for name, turn_33 in TURNS.items()}
    best = min(after.values())
    if best > ALIKE or now - best < ALIKE:
        return None
    name = next(name for name, angle in after.items() if angle < best + 5)  # the simplest ones come first
    shown = max(pairs, key=lambda pair: pair.samples)
    when = f" while {shown.activity}" if shown.activity else ""
    return (
        f"{sensor}: the mean acceleration{when} is {_shown(shown.own_3)} m/s^2, and that of the other subjects "
        f"{_shown(shown.others_3)}: {now:.0f} degrees apart. With the axes ({name}) it would be {after[name]:.0f}: are "
        "the axes of this sensor permuted, or is it worn the other way?"
    )


def _pair(subject: str, sensor: str, activity: str, own: Total, subjects: Mapping[str, Totals]) -> _Pair | None:
    """Compare an activity with what most others show; None if it tells nothing."""
    own_3 = _mean(own)
    others = [
        mean_3
        for name, totals in subjects.items()
        if name != subject and (total := totals.get((sensor, activity))) is not None
        if (mean_3 := _mean(total)) is not None
    ]
    if own_3 is None or len(others) < OTHERS:
        return None
    angle_OO = np.array([[_angle(one, other) for other in others] for one in others])
    middle = int((angle_OO < ALIKE).sum(axis=1).argmax())
    alike_O = angle_OO[middle] < ALIKE
    if alike_O.sum() < OTHERS or 2 * alike_O.sum() <= len(others):
        return None
    return _Pair(activity, own_3, np.mean([others[place] for place in np.flatnonzero(alike_O)], axis=0), own.samples)


def _mean(total: Total) -> Vector | None:
    if total.samples < FEWEST:
        return None
    mean_3: Vector = total.sum_3 / total.samples
    return mean_3 if np.linalg.norm(mean_3) > GRAVITY else None


def _angle(one_3: Vector, other_3: Vector) -> float:
    """Return the angle between two vectors [degrees]."""
    cosine = one_3 @ other_3 / (np.linalg.norm(one_3) * np.linalg.norm(other_3))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _disagreement(pairs: Sequence[_Pair], turn_33: Vector) -> float:
    """Return the mean angle between own and others' directions after axes are exchanged [degrees]."""
    angles = [_angle(turn_33 @ pair.own_3, pair.others_3) for pair in pairs]
    return float(np.average(angles, weights=[pair.samples for pair in pairs]))


def _shown(mean_3: Vector) -> str:
    return f"({', '.join(f'{value:.1f}' for value in mean_3)})"


def _turns() -> dict[str, Vector]:
    """Return all ways to exchange and reverse axes by name, those that change the fewest axes first."""
    found = {}
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        name = ", ".join(f"{'-' if sign < 0 else ''}{'xyz'[axis]}" for axis, sign in zip(order, signs, strict=True))
        found[name] = np.diag(signs).astype(np.float64) @ np.eye(3)[list(order)]
    return dict(sorted(found.items(), key=lambda item: (3 - np.trace(item[1] > 0), item[0].count("-"))))


TURNS = _turns()
"""All ways to exchange and reverse axes, by name; those that change the fewest axes first."""
