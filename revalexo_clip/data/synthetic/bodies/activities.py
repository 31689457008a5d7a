"""The activities that people do, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.synthetic.bodies import daily
from revalexo_clip.data.synthetic.bodies.gait import Pace, go
from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import Posture
from revalexo_clip.data.synthetic.geometry import Float

KINDS = {"moving": 0.0, "standing": 0.1, "sitting": 1.0, "lying": 3.0}
"""How far postures are from one another."""


class Activity(NamedTuple):
    """What people do."""

    act: Callable[[np.random.Generator, Person, Float], Posture]
    """Returns the posture at some times; from the generator, the person and the times [s]."""
    kind: str
    lasting: tuple[float, float]
    """Range of durations [s]."""
    weight: float = 1.0
    """How often it happens, relative."""


def walk(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Walk at any speed."""
    speed = rng.uniform(0.72, 1.18)
    return go(rng, person, times_T, Pace("walk", person.cadence * speed**0.6, person.step * speed**0.6))


def run(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Jog or run."""
    cadence = float(np.clip(rng.normal(2.62, 0.16), 2.3, 3.1))
    return go(rng, person, times_T, Pace("run", cadence, rng.uniform(0.55, 1.15) * person.size), turning=0.6)


def climb(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Climb stairs."""
    tread, rise = rng.uniform(0.26, 0.32), rng.uniform(0.14, 0.19)
    return go(rng, person, times_T, Pace("up", person.cadence * rng.uniform(0.75, 1.05), tread, rise), turning=0.5)


def descend(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Go down stairs."""
    tread, rise = rng.uniform(0.26, 0.32), rng.uniform(0.14, 0.19)
    return go(rng, person, times_T, Pace("down", person.cadence * rng.uniform(0.8, 1.15), tread, -rise), turning=0.5)


ACTIVITIES: dict[str, Activity] = {
    "walking": Activity(walk, "moving", (8.0, 40.0), 3.0),
    "running": Activity(run, "moving", (8.0, 30.0)),
    "stairs_up": Activity(climb, "moving", (5.0, 16.0)),
    "stairs_down": Activity(descend, "moving", (5.0, 16.0)),
    "standing": Activity(daily.stand, "standing", (8.0, 40.0)),
    "sitting": Activity(daily.sit, "sitting", (10.0, 50.0)),
}
"""What people do, and how."""
