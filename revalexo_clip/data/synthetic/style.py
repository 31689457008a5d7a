"""Movement style: differences between subjects, and between recordings of one subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Style:
    """Parameters of a subject's movement. Lengths in m, angles in rad, rates per second."""

    thigh: float
    shank: float
    cadence: float
    """Steps per second on level ground."""
    step_length: float
    step_width: float
    asymmetry: float
    """Fraction by which right steps are longer than average, and left steps shorter, in time and length."""
    lift: float
    """Height of the ankle's arc in swing."""
    push_off: float
    """Pitch of the foot when it leaves the ground."""
    toe_out: float
    sway: float
    roll: float
    twist: float
    nod: float
    """Pitch of the trunk in every step."""
    lean: float
    look: float
    """Amplitude of looking around, as yaw."""
    fidget: float
    """Amplitude of foot movements while sitting, 1 on average."""
    shift: float
    """Amplitude of weight shifts, as roll."""
    rock: float
    """Amplitude of bending and straightening the back, as pitch."""
    tempo: float = 0.1
    """Amplitude of changes of walking speed within a recording, as a fraction."""

    @property
    def leg(self) -> float:
        """Length of the straight leg."""
        return self.thigh + self.shank


def draw_style(rng: np.random.Generator) -> Style:
    """Draw the style of a new subject."""
    size = rng.uniform(0.9, 1.1)
    return Style(
        thigh=0.44 * size,
        shank=0.43 * size,
        cadence=rng.uniform(1.6, 2.0),
        step_length=size * rng.uniform(0.52, 0.68),
        step_width=rng.uniform(0.08, 0.18),
        asymmetry=rng.uniform(-0.1, 0.1),
        lift=rng.uniform(0.05, 0.11),
        push_off=rng.uniform(0.6, 1.0),
        toe_out=rng.uniform(0.0, 0.2),
        sway=rng.uniform(0.02, 0.05),
        roll=rng.uniform(0.05, 0.1),
        twist=rng.uniform(0.08, 0.16),
        nod=rng.uniform(0.03, 0.07),
        lean=rng.uniform(0.0, 0.12),
        look=rng.uniform(0.16, 0.28),
        fidget=rng.uniform(0.6, 1.4),
        shift=rng.uniform(0.12, 0.18),
        rock=rng.uniform(0.14, 0.2),
    )


def vary_style(rng: np.random.Generator, style: Style) -> Style:
    """Vary a subject's style for another day; pace and stride vary more within subjects than between them."""
    values = dict(vars(style))
    values["cadence"] *= rng.uniform(0.75, 1.2)
    values["step_length"] *= rng.uniform(0.8, 1.2)
    for name in ("lift", "sway", "roll", "twist", "nod", "look", "fidget"):
        values[name] *= rng.uniform(0.8, 1.25)
    return Style(**values)
