"""The activities that people do, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.synthetic.bodies import daily, hands, whole
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
    return go(rng, person, times_T, Pace("up", person.cadence * rng.uniform(0.75, 1.05), tread, rise), turning=1.2)


def descend(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Go down stairs."""
    tread, rise = rng.uniform(0.26, 0.32), rng.uniform(0.14, 0.19)
    return go(rng, person, times_T, Pace("down", person.cadence * rng.uniform(0.8, 1.15), tread, -rise), turning=1.2)


def stand(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Stand, calmly or looking around."""
    return daily.stand(rng, person, times_T, lively=float(np.exp(rng.uniform(np.log(0.35), np.log(5.0)))))


def sit(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Sit, calmly or not."""
    return daily.sit(rng, person, times_T, lively=float(np.exp(rng.uniform(np.log(0.15), np.log(1.6)))))


ACTIVITIES: dict[str, Activity] = {
    "walking": Activity(walk, "moving", (8.0, 40.0), 3.0),
    "running": Activity(run, "moving", (8.0, 30.0)),
    "stairs_up": Activity(climb, "moving", (5.0, 16.0)),
    "stairs_down": Activity(descend, "moving", (5.0, 16.0)),
    "carrying": Activity(whole.carry, "moving", (8.0, 25.0)),
    "standing": Activity(stand, "standing", (8.0, 40.0), 1.5),
    "turning": Activity(whole.turn, "standing", (4.0, 12.0)),
    "picking_up": Activity(whole.pick_up, "standing", (6.0, 20.0)),
    "cleaning": Activity(hands.clean, "standing", (10.0, 30.0)),
    "brushing_teeth": Activity(hands.brush_teeth, "standing", (10.0, 40.0)),
    "sitting": Activity(sit, "sitting", (10.0, 50.0), 1.5),
    "sit_to_stand": Activity(whole.sit_to_stand, "sitting", (8.0, 30.0)),
    "typing": Activity(hands.type_keys, "sitting", (10.0, 40.0)),
    "writing": Activity(hands.write, "sitting", (10.0, 40.0)),
    "browsing": Activity(hands.browse, "sitting", (10.0, 40.0)),
    "reading": Activity(hands.read, "sitting", (10.0, 40.0)),
    "eating": Activity(hands.eat, "sitting", (10.0, 40.0)),
    "drinking": Activity(hands.drink, "sitting", (6.0, 20.0)),
    "talking": Activity(hands.talk, "sitting", (10.0, 40.0)),
    "using_phone": Activity(hands.phone, "sitting", (10.0, 40.0)),
    "fidgeting": Activity(hands.fidget, "sitting", (8.0, 30.0)),
    "moving_chair": Activity(whole.roll_chair, "sitting", (8.0, 30.0)),
    "cycling": Activity(whole.cycle, "sitting", (15.0, 50.0), 1.5),
    "lying": Activity(whole.lie, "lying", (12.0, 50.0)),
}
"""What people do, and how."""
