"""What people do with the whole body: get up, turn, bend, carry, cycle, roll on a chair, lie.

Shapes: T = samples in time.
"""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.bodies.curves import Moves, bursts, cycles, drift, shifts, timeline
from revalexo_clip.data.synthetic.bodies.daily import look, sit, stand
from revalexo_clip.data.synthetic.bodies.gait import Pace, bend_leg, go
from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import SIDES, Impact, Posture
from revalexo_clip.data.synthetic.geometry import Float


def sit_to_stand(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Stand up and sit down again and again: lean forward, push up."""
    pause = rng.uniform(0.1, 3.0)
    start_K, lasting_K = timeline(rng, times_T, (0.1, 0.1 + pause), (0.75 / person.tempo, 1.5 / person.tempo))
    up_T = Moves(start_K, lasting_K, (np.arange(len(start_K)) % 2).astype(np.float64)[:, None]).at(times_T)[0]
    lively = rng.uniform(0.1, 1.0)
    posture = sit(rng, person, times_T, lively=lively, lean=(-0.15, 0.15))
    posture = posture.mixed(stand(rng, person, times_T, lively=lively), up_T)
    bow_T = 4.0 * up_T * (1.0 - up_T) * rng.uniform(0.25, 0.75)
    posture.add(trunk_pitch=bow_T, pelvis_pitch=0.6 * bow_T, head_pitch=rng.uniform(0.2, 0.8) * bow_T)
    for side in SIDES:
        posture.add(**{f"shoulder_{side}": rng.uniform(0.4, 1.2) * bow_T})
    ends = (start_K + 0.85 * lasting_K)[::2]
    posture.impacts = [Impact(float(at), rng.uniform(0.05, 0.5), "seat") for at in ends]
    return posture


def turn(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Turn on the spot, with small steps."""
    posture = stand(rng, person, times_T, lively=rng.uniform(0.5, 1.5))
    start_K, lasting_K = timeline(rng, times_T, (0.3, 2.5), (0.9 / person.tempo, 2.2 / person.tempo))
    heading_T = Moves(start_K, lasting_K, np.cumsum(rng.normal(0.0, 1.8, size=len(start_K)))[:, None]).at(times_T)[0]
    turn_T = np.gradient(heading_T, times_T)
    stepping_T = np.tanh(turn_T**2)
    phase_T = cycles(rng, times_T, 0.85 * person.tempo)
    posture.set(turn=turn_T)
    posture.add(head_yaw=0.18 * turn_T, trunk_yaw=0.06 * turn_T)
    for side, shift in zip(SIDES, (0.0, 0.5), strict=True):
        lift_T = stepping_T * np.maximum(np.sin(2.0 * np.pi * (phase_T + shift)), 0.0) ** 3
        posture.add(**{f"free_thigh_{side}": 0.35 * lift_T, f"free_knee_{side}": 0.8 * lift_T})
        landing = np.flatnonzero(np.diff(np.floor(phase_T + shift + 0.5)) > 0)
        posture.impacts += [Impact(float(times_T[at]), 0.4 * float(stepping_T[at]), side) for at in landing]
    return posture.add(trunk_roll=0.02 * stepping_T * np.sin(2.0 * np.pi * phase_T))


def pick_up(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Bend down and up again: stoop or squat, and reach for the floor or a low shelf."""
    posture = stand(rng, person, times_T, lively=rng.uniform(0.4, 1.2))
    start_K, lasting_K = timeline(rng, times_T, (0.1, 2.2), (0.7 / person.tempo, 1.5 / person.tempo))
    depth_K = rng.uniform(0.5, 1.0, size=len(start_K)) * (np.arange(len(start_K)) % 2)
    down_T = Moves(start_K, lasting_K, depth_K[:, None]).at(times_T)[0]
    squat = rng.uniform(0.0, 1.0)
    bow = 1.35 - 0.75 * squat
    thigh, knee = 0.25 + 1.35 * squat, 0.35 + 1.75 * squat
    for side in SIDES:
        posture.add(
            **{
                f"thigh_{side}": thigh * down_T,
                f"knee_{side}": knee * down_T,
                f"ankle_{side}": (knee - thigh) * down_T,
                f"shoulder_{side}": (bow + rng.uniform(-0.1, 0.5)) * down_T,
                f"elbow_{side}": rng.uniform(0.3, 1.0) * (1.0 - down_T) * bursts(rng, times_T, 0.5, (1.0, 3.0)),
            }
        )
    return posture.add(trunk_pitch=bow * down_T, pelvis_pitch=0.55 * bow * down_T, head_pitch=0.65 * bow * down_T)


def carry(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Walk with a load: a box before the body, or bags at the sides."""
    speed = rng.uniform(0.7, 1.05)
    posture = go(rng, person, times_T, Pace("walk", person.cadence * speed**0.6, person.step * speed**0.6))
    before = rng.random() < 0.6
    for side in SIDES if rng.random() < 0.7 else ("L",):
        swing = np.asarray(posture.get(f"shoulder_{side}"))
        held = (0.25, 0.12, 0.4, 1.35, 0.2) if before else (0.0, 0.18, 0.1, 0.12, 0.3)
        loose = 0.06 if before else 0.35
        posture.arm(side, [angle + rng.normal(0.0, 0.06) for angle in held])
        posture.add(**{f"shoulder_{side}": loose * swing + drift(rng, times_T, 0.01, 3.0, 0.6)})
        posture.add(**{f"elbow_{side}": drift(rng, times_T, 0.015, 3.0, 0.5)})
    return posture.add(trunk_pitch=rng.uniform(-0.1, 0.02) if before else rng.uniform(0.0, 0.1))


def cycle(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Ride a bicycle: on the road, which shakes and turns it, or on a trainer."""
    road = rng.random() < 0.7
    pedalling_T = bursts(rng, times_T, 0.85 if road else 1.0, (3.0, 15.0))
    cadence_T = rng.uniform(0.8, 1.6) * pedalling_T * (1.0 + drift(rng, times_T, 0.05, 20.0, 4.0))
    angle_T = 2.0 * np.pi * np.cumsum(cadence_T) * float(times_T[1] - times_T[0])
    crank, lean = 0.099 * person.height, rng.uniform(0.25, 0.95)
    posture = Posture(z=1.0, x=0.0, planted=0.0)
    for side, shift in zip(SIDES, (0.0, np.pi), strict=True):
        forward_T = 0.13 + crank * np.sin(angle_T + shift)
        upward_T = -(0.955 * person.leg - crank) + crank * np.cos(angle_T + shift)
        thigh_T, knee_T = bend_leg(person, forward_T, upward_T)
        pitch_T = 0.25 + 0.2 * np.cos(angle_T + shift + 0.6)
        posture.set(**{f"thigh_{side}": thigh_T, f"knee_{side}": knee_T, f"ankle_{side}": knee_T - thigh_T - pitch_T})
        posture.arm(side, (lean + rng.uniform(0.7, 1.1), 0.1, 0.1, rng.uniform(0.15, 0.6), 0.9))
        posture.add(**{f"elbow_{side}": drift(rng, times_T, 0.01, 3.0, 0.5)})
    rock_T = pedalling_T * np.sin(angle_T)
    posture.set(
        bank=rng.uniform(0.005, 0.03) * rock_T,
        pelvis_pitch=0.4 * lean,
        pelvis_roll=0.02 * rock_T,
        trunk_pitch=lean + shifts(rng, times_T, 0.04, (5.0, 20.0), (0.8, 1.6)),
        trunk_roll=0.015 * rock_T,
    )
    look(rng, person, posture, times_T, rng.uniform(0.4, 1.2))
    posture.add(head_pitch=-0.3 * lean)
    if road:
        steer_T = drift(rng, times_T, 0.12, 8.0, 2.0) + 0.02 * np.sin(angle_T)
        rough = float(np.exp(rng.uniform(np.log(0.00008), np.log(0.0006))))
        shake_T = (0.4 + bursts(rng, times_T, 0.4, (1.0, 6.0))) * drift(rng, times_T, rough, 1 / 6, 1 / 18)
        posture.set(
            speed=rng.uniform(3.0, 7.0) * (1.0 + drift(rng, times_T, 0.1, 20.0, 5.0)), turn=steer_T, z=1.0 + shake_T
        )
        posture.add(bank=-0.25 * steer_T, trunk_pitch=2.0 * shake_T)
        for side in SIDES:
            posture.add(**{f"elbow_{side}": 8.0 * drift(rng, times_T, rough, 1 / 8, 1 / 22)})
        posture.impacts = [
            Impact(float(at), rng.uniform(0.1, 1.2), "seat") for at in timeline(rng, times_T, (0.5, 8.0), (0.1, 0.2))[0]
        ]
    return posture


def roll_chair(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Sit on a chair with wheels, and roll and swivel with it."""
    posture = sit(rng, person, times_T, lively=rng.uniform(0.5, 1.6))
    push_T = shifts(rng, times_T, 0.8, (0.1, 1.2), (0.6, 1.4), back=0.3)
    posture.set(
        speed=push_T,
        turn=np.gradient(shifts(rng, times_T, 0.6, (0.3, 3.0), (0.8, 1.8), back=0.2), times_T),
    )
    strength = rng.uniform(0.12, 0.4)
    rock_T = shifts(rng, times_T, strength, (0.2, 1.6), (0.5, 1.1))
    posture.add(
        trunk_pitch=rock_T,
        pelvis_pitch=0.4 * rock_T,
        head_pitch=0.6 * rock_T,
        trunk_roll=shifts(rng, times_T, 0.5 * strength, (0.4, 2.5), (0.6, 1.2)),
    )
    for side in SIDES:
        kick_T = shifts(rng, times_T, 0.25, (0.2, 1.5), (0.4, 0.9))
        posture.add(**{f"free_knee_{side}": kick_T, f"free_ankle_{side}": kick_T})
    posture.impacts = [
        Impact(float(at), rng.uniform(0.02, 0.9), "seat") for at in timeline(rng, times_T, (0.3, 2.5), (0.1, 0.3))[0]
    ]
    return posture


def lie(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Lie on the back, on a side or on the belly, and move now and then."""
    calm = rng.uniform(0.1, 0.8)
    tilt, bank = ((-1.5, 0.0), (-1.2, 0.0), (0.0, 1.5), (0.0, -1.5), (1.5, 0.0))[
        int(rng.choice(5, p=[0.4, 0.1, 0.2, 0.2, 0.1]))
    ]
    bent = rng.uniform(0.2, 1.1) if bank or rng.random() < 0.3 else 0.05
    posture = Posture(z=0.2, tilt=tilt, bank=bank)
    posture.set(
        trunk_pitch=rng.normal(0.0, 0.1) + shifts(rng, times_T, 0.04 * calm, (8.0, 40.0), (0.8, 2.0)),
        trunk_roll=shifts(rng, times_T, 0.03 * calm, (8.0, 40.0), (0.8, 2.0)),
        pelvis_roll=shifts(rng, times_T, 0.02 * calm, (8.0, 40.0), (0.8, 2.0)),
        head_pitch=0.3 * (tilt < 0.0) + shifts(rng, times_T, 0.1 * calm, (4.0, 25.0), (0.5, 1.2)),
        head_yaw=(1.2 if tilt > 0.0 else 0.0) + shifts(rng, times_T, 0.3 * calm, (4.0, 25.0), (0.5, 1.4)),
    )
    for side in SIDES:
        moved = shifts(rng, times_T, 0.25 * calm, (6.0, 40.0), (0.7, 1.8))
        joints: dict[str, Float | float] = {
            f"thigh_{side}": bent + 0.5 * moved,
            f"knee_{side}": 1.3 * bent + np.hypot(moved, 0.05),
            f"ankle_{side}": -0.4,
            f"rotate_{side}": 0.3,
            f"abduct_{side}": 0.1,
        }
        posture.set(**joints)
        posture.arm(
            side,
            (
                rng.uniform(-0.1, 0.9),
                rng.uniform(0.1, 0.9),
                rng.uniform(0.0, 0.8),
                rng.uniform(0.1, 1.8),
                rng.uniform(0.0, 1.2),
            ),
        )
        posture.add(
            **{
                f"shoulder_{side}": shifts(rng, times_T, 0.25 * calm, (5.0, 40.0), (0.6, 1.4)),
                f"elbow_{side}": np.hypot(shifts(rng, times_T, 0.35 * calm, (5.0, 40.0), (0.6, 1.4)), 0.05),
            }
        )
    return posture
