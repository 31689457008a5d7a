"""A session: activities in random order, the motion of a body, and the signals of its sensors.

Shapes: T = samples of the simulation in time, L = samples of the sensors, C = channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.data.synthetic.bodies.activities import ACTIVITIES, KINDS
from revalexo_clip.data.synthetic.bodies.curves import bursts, cycles, drift
from revalexo_clip.data.synthetic.bodies.people import Person, draw_person, vary_person
from revalexo_clip.data.synthetic.bodies.posture import SIDES, Impact, Part, Posture, blended, spans
from revalexo_clip.data.synthetic.bodies.sensors import PLACES, draw_device, draw_mount, ideal, measured, worn
from revalexo_clip.data.synthetic.bodies.skeleton import Skeleton, pose
from revalexo_clip.data.synthetic.geometry import Float

_FINE = 240.0
"""Lowest rate at which motion is simulated [Hz]; it is a multiple of the rate of the sensors."""
_MARGIN = 1.5
"""Time simulated before and after a session, so that filters have settled [s]."""
_PERSON, _DAY, _PLAN, _MOTION, _DEVICE, _MOUNT, _ERRORS = range(100, 107)


def _generator(purpose: int, *key: int) -> np.random.Generator:
    return np.random.default_rng([purpose, *key])


class Session(NamedTuple):
    """The signals of all sensors in a session, and what the person does when."""

    samples_LC: Float
    parts: tuple[Part, ...]


class Motion(NamedTuple):
    """The motion of a person in a session, at a multiple of the rate of the sensors."""

    person: Person
    skeleton: Skeleton
    times_T: Float
    impacts: Sequence[Impact]
    parts: tuple[Part, ...]


def plan(rng: np.random.Generator, person: Person, seconds: float, activities: Sequence[str]) -> tuple[Part, ...]:
    """Draw what a person does in a session: activities of random duration, without gaps."""
    parts: list[Part] = []
    time = 0.0
    weights = np.array([ACTIVITIES[name].weight for name in activities])
    while time < seconds:
        if person.gait in {"hemiparetic", "shuffling"}:
            weights = weights * np.array([0.0 if name == "running" else 1.0 for name in activities])
        name = str(rng.choice(activities, p=weights / weights.sum())) if weights.sum() else activities[0]
        activity = ACTIVITIES[name]
        lasting = rng.uniform(*activity.lasting)
        # Who goes from standing to sitting or lying takes longer than who starts to walk.
        before = KINDS[ACTIVITIES[parts[-1].activity].kind] if parts else KINDS[activity.kind]
        effort = abs(before - KINDS[activity.kind])
        blend = rng.uniform(0.7, 1.6) + effort * rng.uniform(0.6, 1.1)
        parts.append(Part(name, time, time + lasting, blend / person.tempo))
        time += lasting
    if len(parts) > 1 and seconds - parts[-1].start < 3.0:
        parts.pop()
    parts[-1] = parts[-1]._replace(end=seconds)
    return tuple(parts)


def move(
    key: tuple[int, int, int], seconds: float, rate: float, activities: Sequence[str] = tuple(ACTIVITIES)
) -> Motion:
    """Simulate the motion of a session; `key` is seed, subject and session."""
    person = vary_person(_generator(_DAY, *key), draw_person(_generator(_PERSON, *key[:2])))
    parts = plan(_generator(_PLAN, *key), person, seconds, activities)
    fine = rate * np.ceil(_FINE / rate)
    count = round(seconds * rate) * round(fine / rate)
    margin = round(_MARGIN * fine)
    times_T = (np.arange(count + 2 * margin) - margin) / fine
    postures = [
        ACTIVITIES[part.activity].act(_generator(_MOTION, *key, number), person, times_T[span])
        for number, (part, span) in enumerate(zip(parts, spans(parts, times_T), strict=True))
    ]
    posture = blended(parts, postures, times_T)
    _live(_generator(_MOTION, *key), person, posture, times_T)
    return Motion(person, pose(person, posture, times_T), times_T, posture.impacts, parts)


def record(key: tuple[int, int, int], motion: Motion, rate: float, places: Sequence[str]) -> Float:
    """Simulate the sensors, [L, C]: acceleration, then angular velocity, of each place in order."""
    fine = 1.0 / float(motion.times_T[1] - motion.times_T[0])
    every = round(fine / rate)
    margin = round(_MARGIN * fine)
    device = draw_device(_generator(_DEVICE, *key[:2]))
    signals = []
    for place in places:
        number = PLACES.index(place)
        mount = draw_mount(_generator(_MOUNT, *key, number), motion.person, place)
        sensor = worn(motion.skeleton, mount, motion.person, motion.impacts, motion.times_T)
        keep = slice(margin, len(motion.times_T) - margin)
        true = ideal(sensor, motion.times_T)
        signals.append(measured(_generator(_ERRORS, *key, number), device, true, every=every, keep=keep, rate=rate))
    return np.concatenate([*(signal[:, :3] for signal in signals), *(signal[:, 3:] for signal in signals)], axis=1)


def simulate_session(
    key: tuple[int, int, int],
    seconds: float,
    rate: float,
    places: Sequence[str] = PLACES,
    activities: Sequence[str] = tuple(ACTIVITIES),
) -> Session:
    """Simulate a session; `key` is seed, subject and session."""
    motion = move(key, seconds, rate, activities)
    return Session(record(key, motion, rate, places), motion.parts)


def _live(rng: np.random.Generator, person: Person, posture: Posture, times_T: Float) -> None:
    """Add what nobody can help: breath, heartbeat and tremor."""
    breath_T = np.sin(2.0 * np.pi * cycles(rng, times_T, person.breath, 0.3))
    unrest = person.tremor * rng.uniform(0.5, 1.5)
    posture.add(
        stretch=0.001 * breath_T + drift(rng, times_T, 0.00011 * unrest, 1 / 1.5, 1 / 5),
        trunk_pitch=0.006 * breath_T + drift(rng, times_T, 0.0007 * unrest, 1.5, 1 / 4),
        trunk_roll=drift(rng, times_T, 0.0005 * unrest, 1.5, 1 / 4),
        pelvis_pitch=-0.0015 * breath_T,
        head_pitch=drift(rng, times_T, 0.003 * unrest, 1.8, 1 / 3)
        + drift(rng, times_T, 0.00005 * unrest, 1 / 6, 1 / 11),
        head_yaw=drift(rng, times_T, 0.003 * unrest, 1.8, 1 / 3) + drift(rng, times_T, 0.00005 * unrest, 1 / 6, 1 / 11),
        head_roll=drift(rng, times_T, 0.002 * unrest, 1.8, 1 / 3),
    )
    for side, sign in zip(SIDES, (-1, 1), strict=True):
        shaking_T = np.zeros_like(times_T)
        if person.rest_tremor:
            share = 1.0 if sign == person.weak else 0.2
            rhythm_T = np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(4.0, 6.0)))
            shaking_T = share * person.rest_tremor * bursts(rng, times_T, 0.6, (3.0, 15.0)) * rhythm_T
        for joint, share in (("elbow", 1.0), ("spin", 0.6), ("shoulder", 0.4), ("pronate", 2.0)):
            own_T = drift(rng, times_T, 0.00008 * person.tremor * share, 1 / 7, 1 / 12)
            posture.add(**{f"{joint}_{side}": own_T + share * shaking_T})
    beats = np.interp(
        np.arange(0.0, (times_T[-1] - times_T[0]) * person.heart * 0.98),
        cycles(rng, times_T - times_T[0], person.heart, 0.2),
        times_T,
    )
    posture.impacts += [Impact(float(beat), 0.1 / person.impact, "heart") for beat in beats]
