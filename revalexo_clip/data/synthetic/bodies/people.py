"""Simulated people: sizes, gaits healthy and not, habits, and how they vary from session to session."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GAITS = ("healthy", "slow", "limping", "hemiparetic", "shuffling")
"""Kinds of gait: healthy adults, slow and careful ones, a limp, after a stroke, and as in Parkinson's disease."""
_SHARES = (0.66, 0.12, 0.08, 0.08, 0.06)


@dataclass(frozen=True)
class Person:
    """Measures and habits of a person. Lengths in m, angles in rad, rates per second."""

    height: float
    thigh: float
    shank: float
    trunk: float
    """From the lowest joint of the spine to the neck."""
    upper_arm: float
    forearm: float
    hip_width: float
    """Distance of a hip from the middle."""
    shoulder_width: float
    gait: str
    weak: int
    """-1 or 1: the side that is weak if the gait is not symmetric, right or left."""
    right_handed: bool
    cadence: float
    """Steps per second at the usual speed."""
    step: float
    """Usual length of a step."""
    asymmetry: float
    """Share by which steps with the weak side last longer and are shorter."""
    stance: float
    """Share of the stride that a foot is on the ground."""
    lift: float
    heel_rise: float
    """Pitch of the foot when it leaves the ground."""
    toe_up: float
    """Pitch of the foot, toes up, when it lands."""
    bounce: float
    """Height that the pelvis moves up and down, relative to what the length of the step explains."""
    surge: float
    sway: float
    pelvis_roll: float
    pelvis_yaw: float
    trunk_yaw: float
    trunk_pitch: float
    arm_swing: float
    elbow: float
    lean: float
    """Pitch of the trunk when upright."""
    neck: float
    """Pitch of the head when looking ahead."""
    steadiness: float
    """Share of the trunk's rotation that the head cancels."""
    impact: float
    """Acceleration of a foot that lands in walking [m/s^2]."""
    liveliness: float
    """How much the person looks around, shifts and gestures; 1 on average."""
    tempo: float
    """How fast the person moves; 1 on average."""
    tremor: float
    """Amplitude of the physiological tremor; 1 on average."""
    rest_tremor: float
    """Amplitude of a tremor of 4 to 6 Hz at rest, as in Parkinson's disease [rad]."""
    breath: float
    """Breaths per second."""
    heart: float
    """Heartbeats per second."""

    @property
    def leg(self) -> float:
        """Length of the straight leg, from the hip to the ankle."""
        return self.thigh + self.shank

    @property
    def ankle(self) -> float:
        """Height of the ankle."""
        return 0.045 * self.height

    @property
    def size(self) -> float:
        """Height relative to 1.72 m."""
        return self.height / 1.72


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a new person. Proportions vary around those of Winter, Biomechanics and Motor Control of Human Movement."""
    height = float(np.clip(rng.normal(1.70, 0.11), 1.40, 2.02))
    part = rng.normal(1.0, 0.035, size=6)
    gait = str(rng.choice(GAITS, p=_SHARES))
    size = height / 1.72
    person = Person(
        height=height,
        thigh=0.245 * height * part[0],
        shank=0.246 * height * part[1],
        trunk=0.29 * height * part[2],
        upper_arm=0.186 * height * part[3],
        forearm=0.146 * height * part[4],
        hip_width=0.052 * height * part[5],
        shoulder_width=0.115 * height * part[5],
        gait=gait,
        weak=int(rng.choice([-1, 1])),
        right_handed=bool(rng.random() < 0.88),
        cadence=float(np.clip(rng.normal(1.83, 0.13), 1.5, 2.2)) / np.sqrt(size),
        step=float(np.clip(rng.normal(0.66, 0.07), 0.45, 0.85)) * size,
        asymmetry=rng.uniform(-0.04, 0.04),
        stance=rng.uniform(0.59, 0.64),
        lift=rng.uniform(0.015, 0.05),
        heel_rise=rng.uniform(0.75, 1.2),
        toe_up=rng.uniform(0.15, 0.42),
        bounce=rng.uniform(0.6, 1.15),
        surge=rng.uniform(0.5, 1.3),
        sway=rng.uniform(0.01, 0.035),
        pelvis_roll=rng.uniform(0.03, 0.09),
        pelvis_yaw=rng.uniform(0.03, 0.12),
        trunk_yaw=rng.uniform(0.03, 0.11),
        trunk_pitch=rng.uniform(0.01, 0.035),
        arm_swing=rng.uniform(0.12, 0.5),
        elbow=rng.uniform(0.2, 0.65),
        lean=rng.uniform(-0.03, 0.14),
        neck=rng.uniform(-0.05, 0.25),
        steadiness=rng.uniform(0.3, 0.85),
        impact=rng.uniform(8.0, 35.0),
        liveliness=float(np.exp(rng.normal(0.0, 0.35))),
        tempo=float(np.clip(np.exp(rng.normal(0.0, 0.15)), 0.7, 1.4)),
        tremor=rng.uniform(0.4, 2.0),
        rest_tremor=0.0,
        breath=rng.uniform(0.18, 0.36),
        heart=rng.uniform(0.9, 1.5),
    )
    return _with_gait(rng, person)


def _with_gait(rng: np.random.Generator, person: Person) -> Person:
    """Change what differs in people who do not walk as healthy adults do."""
    slower = rng.uniform(0.6, 0.9)
    if person.gait == "slow":
        return replace(
            person,
            cadence=person.cadence * rng.uniform(0.75, 0.95),
            step=person.step * slower,
            stance=rng.uniform(0.64, 0.70),
            heel_rise=0.7 * person.heel_rise,
            toe_up=0.5 * person.toe_up,
            arm_swing=0.6 * person.arm_swing,
            lean=person.lean + rng.uniform(0.0, 0.2),
            impact=0.6 * person.impact,
            tempo=person.tempo * rng.uniform(0.6, 0.9),
        )
    if person.gait == "limping":
        return replace(
            person,
            asymmetry=rng.uniform(0.08, 0.22),
            step=person.step * slower,
            cadence=person.cadence * rng.uniform(0.8, 1.0),
        )
    if person.gait == "hemiparetic":
        return replace(
            person,
            asymmetry=rng.uniform(0.15, 0.35),
            step=person.step * rng.uniform(0.45, 0.75),
            cadence=person.cadence * rng.uniform(0.55, 0.85),
            stance=rng.uniform(0.66, 0.72),
            heel_rise=0.6 * person.heel_rise,
            toe_up=0.2 * person.toe_up,
            pelvis_roll=1.5 * person.pelvis_roll,
            arm_swing=0.5 * person.arm_swing,
            tempo=person.tempo * rng.uniform(0.5, 0.8),
        )
    if person.gait == "shuffling":
        return replace(
            person,
            step=person.step * rng.uniform(0.35, 0.6),
            cadence=person.cadence * rng.uniform(0.95, 1.2),
            stance=rng.uniform(0.66, 0.72),
            lift=0.01,
            heel_rise=0.35 * person.heel_rise,
            toe_up=0.05,
            arm_swing=0.25 * person.arm_swing,
            elbow=person.elbow + rng.uniform(0.2, 0.7),
            lean=person.lean + rng.uniform(0.1, 0.35),
            tempo=person.tempo * rng.uniform(0.5, 0.8),
            rest_tremor=rng.choice([0.0, 1.0]) * rng.uniform(0.01, 0.05),
            liveliness=0.5 * person.liveliness,
        )
    return person


def vary_person(rng: np.random.Generator, person: Person) -> Person:
    """Vary what differs from one session to the next: speed, shoes, mood."""
    return replace(
        person,
        cadence=person.cadence * rng.uniform(0.93, 1.07),
        step=person.step * rng.uniform(0.85, 1.12),
        lift=person.lift * rng.uniform(0.8, 1.3),
        bounce=person.bounce * rng.uniform(0.85, 1.15),
        arm_swing=person.arm_swing * rng.uniform(0.6, 1.3),
        elbow=person.elbow * rng.uniform(0.8, 1.2),
        lean=person.lean + rng.normal(0.0, 0.03),
        neck=person.neck + rng.normal(0.0, 0.06),
        impact=person.impact * rng.uniform(0.6, 1.5),
        liveliness=person.liveliness * rng.uniform(0.6, 1.6),
        tempo=person.tempo * rng.uniform(0.9, 1.1),
        heart=person.heart * rng.uniform(0.9, 1.2),
    )
