"""Standing, sitting and what people do with their hands meanwhile.

Shapes: T = samples in time.
"""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.bodies.curves import bursts, cycles, drift, shifts
from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import SIDES, Posture
from revalexo_clip.data.synthetic.geometry import Float

LAP = (0.35, 0.12, 0.35, 1.25, 0.9)
TABLE = (0.6, 0.2, 0.35, 1.3, 1.2)
HANG = (0.0, 0.1, 0.1, 0.25, 0.4)
"""Postures of an arm, see `posture.ARM`."""


def stand(rng: np.random.Generator, person: Person, times_T: Float, *, lively: float = 1.0) -> Posture:
    """Stand: sway, shift the weight from leg to leg, look around."""
    lively = lively * person.liveliness
    # Sway of a few mm to cm about the ankles.
    forth = drift(rng, times_T, 0.005, 8.0, 1.2) + drift(rng, times_T, 0.0008, 1.2, 0.3)
    side = drift(rng, times_T, 0.004, 9.0, 1.5) + shifts(rng, times_T, 0.03 * min(lively, 1.5), (3.0, 15.0), (0.7, 1.6))
    posture = Posture(planted=1.0)
    bend = rng.uniform(0.03, 0.1)
    for leg, sign in (("R", -1.0), ("L", 1.0)):
        loose = bend + 0.2 * (sign * side + np.hypot(side, 0.02))
        joints: dict[str, Float | float] = {
            f"thigh_{leg}": 0.5 * loose - forth,
            f"knee_{leg}": loose,
            f"ankle_{leg}": 0.5 * loose + forth,
            f"abduct_{leg}": 0.06 - sign * side,
            f"rotate_{leg}": 0.12,
        }
        posture.set(**joints)
    posture.set(
        pelvis_pitch=0.3 * person.lean - 0.5 * forth,
        pelvis_roll=0.5 * side,
        trunk_pitch=person.lean + forth + drift(rng, times_T, 0.01 * lively, 8.0, 1.5),
        trunk_roll=-0.4 * side + drift(rng, times_T, 0.01 * lively, 8.0, 1.5),
        trunk_yaw=drift(rng, times_T, 0.03 * lively, 9.0, 2.0),
        turn=np.gradient(shifts(rng, times_T, 0.4 * lively, (2.0, 12.0), (0.8, 1.8)), times_T),
    )
    for arm in SIDES:
        posture.arm(arm, HANG).add(
            **{
                f"shoulder_{arm}": drift(rng, times_T, 0.03 * lively, 6.0, 1.0),
                f"elbow_{arm}": 0.5 * person.elbow + drift(rng, times_T, 0.03 * lively, 6.0, 1.0),
                f"spin_{arm}": drift(rng, times_T, 0.04 * lively, 6.0, 1.0),
            }
        )
    look(rng, person, posture, times_T, lively)
    return posture


def sit(
    rng: np.random.Generator,
    person: Person,
    times_T: Float,
    *,
    lively: float = 1.0,
    lean: tuple[float, float] = (-0.25, 0.2),
) -> Posture:
    """Sit: lean, shift now and then, move a foot."""
    lively = lively * person.liveliness
    posture = Posture(planted=1.0)
    seat = rng.uniform(1.35, 1.6)
    reach = rng.uniform(-0.25, 0.35)
    lean_T = rng.uniform(*lean) + shifts(rng, times_T, 0.05 * lively, (4.0, 25.0), (0.8, 2.0), back=0.2)
    lean_T = lean_T + drift(rng, times_T, 0.004 * lively, 8.0, 1.5)
    roll_T = shifts(rng, times_T, 0.025 * lively, (6.0, 30.0), (0.8, 1.8)) + drift(
        rng, times_T, 0.003 * lively, 8.0, 1.5
    )
    posture.set(
        pelvis_pitch=0.5 * lean_T - 0.15,
        pelvis_roll=0.5 * roll_T,
        trunk_pitch=lean_T,
        trunk_roll=roll_T,
        trunk_yaw=shifts(rng, times_T, 0.04 * lively, (4.0, 20.0), (0.8, 1.8))
        + drift(rng, times_T, 0.006 * lively, 8.0, 2.0),
    )
    for leg in SIDES:
        own = reach + rng.normal(0.0, 0.06)
        moved = shifts(rng, times_T, 0.12 * min(lively, 1.5), (4.0, 30.0), (0.5, 1.2), back=0.3)
        jiggle_T = 0.0 * times_T
        if rng.random() < 0.12 * lively:
            jiggle_T = (
                0.02
                * bursts(rng, times_T, 0.3, (3.0, 12.0))
                * np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(3.5, 6.0)))
            )
        joints: dict[str, Float | float] = {
            f"thigh_{leg}": seat,
            f"knee_{leg}": seat - own,
            f"ankle_{leg}": -own,
            f"abduct_{leg}": rng.uniform(0.0, 0.25),
            f"rotate_{leg}": rng.uniform(0.0, 0.2),
            f"free_knee_{leg}": moved,
            f"free_ankle_{leg}": moved + 2.0 * jiggle_T,
            f"free_thigh_{leg}": jiggle_T,
        }
        posture.set(**joints)
    for arm in SIDES:
        posture.arm(arm, LAP).add(
            **{
                f"shoulder_{arm}": shifts(rng, times_T, 0.12 * lively, (4.0, 25.0), (0.5, 1.2)),
                f"elbow_{arm}": shifts(rng, times_T, 0.15 * lively, (4.0, 25.0), (0.5, 1.2)),
                f"spin_{arm}": drift(rng, times_T, 0.006 * lively, 6.0, 1.0),
            }
        )
    look(rng, person, posture, times_T, 0.8 * lively)
    return posture


def look(rng: np.random.Generator, person: Person, posture: Posture, times_T: Float, lively: float) -> None:
    """Turn the head: glances to the sides, up and down, nods."""
    yaw_T = 1.2 * np.tanh(shifts(rng, times_T, 0.5 * lively, (0.4, 5.0), (0.3, 0.9)) / 1.2)
    pitch_T = shifts(rng, times_T, 0.18 * lively, (0.8, 7.0), (0.35, 1.0))
    nod_T = (
        0.03 * lively * bursts(rng, times_T, 0.12) * np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(1.5, 3.0)))
    )
    posture.add(
        head_yaw=yaw_T + 0.5 * posture.get("trunk_yaw"),
        head_pitch=person.neck + pitch_T + nod_T + 0.3 * (posture.get("trunk_pitch") - person.lean),
        head_roll=shifts(rng, times_T, 0.09 * lively, (1.5, 9.0), (0.4, 1.2)) + 0.3 * posture.get("trunk_roll"),
        trunk_yaw=0.12 * yaw_T,
    )
