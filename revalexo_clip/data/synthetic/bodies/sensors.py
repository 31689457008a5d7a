"""IMUs on a body: where they are worn, how they sit on soft tissue, what they measure, and their errors.

Shapes: T = samples of the simulation in time, L = samples of a sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import bilinear, lfilter, oaconvolve

from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import Impact
from revalexo_clip.data.synthetic.bodies.skeleton import Segment, Skeleton
from revalexo_clip.data.synthetic.bodies.turns import Turns, angular_rate, by_vector
from revalexo_clip.data.synthetic.geometry import Float

GRAVITY = np.array([[0.0], [0.0], [-9.81]])
_G = 9.81


@dataclass(frozen=True)
class Site:
    """A kind of place on the body."""

    segment: str
    at: tuple[float, float, float]
    """Position on the segment: forward [m], outward [m], along the segment from its joint as a share of its length."""
    spread: float
    """Standard deviation of the position along each axis [m]."""
    tissue: tuple[float, float]
    """Range of the frequency at which the sensor shakes on soft tissue or clothes [Hz]."""
    jolt: float
    """Share of the shock of a landing foot that arrives from its own side."""
    ring: float
    """Frequency of that shock [Hz]."""
    tilt: float = 11.0
    """Standard deviation of the mounting rotation about each axis [degrees]."""


_SITES = {
    "Pelvis": Site("pelvis", (-0.10, 0.0, 0.3), 0.03, (8.0, 18.0), 0.24, 12.0),
    "Trunk": Site("trunk", (0.10, 0.0, 0.72), 0.03, (8.0, 18.0), 0.18, 10.5),
    "Head": Site("head", (0.08, 0.06, 1.0), 0.02, (12.0, 28.0), 0.14, 9.5),
    "Forearm": Site("forearm", (0.0, 0.03, 0.92), 0.015, (10.0, 22.0), 0.1, 10.0),
    "Upper_Arm": Site("upper_arm", (0.0, 0.05, 0.5), 0.03, (7.0, 16.0), 0.13, 10.0),
    "Pocket": Site("thigh", (0.07, 0.06, 0.2), 0.03, (4.0, 10.0), 0.26, 13.0, 90.0),
    "Upper_Leg": Site("thigh", (0.05, 0.04, 0.5), 0.04, (7.0, 16.0), 0.3, 14.0),
    "Lower_Leg": Site("shank", (0.04, 0.03, 0.5), 0.05, (12.0, 28.0), 0.6, 19.0),
    "Foot": Site("foot", (0.07, 0.0, 0.6), 0.015, (25.0, 45.0), 1.0, 24.0),
}
_MIDDLE = ("Pelvis", "Trunk", "Head")
PLACES = (
    *_MIDDLE,
    *(f"{side}_{place}" for side in ("Right", "Left") for place in _SITES if place not in _MIDDLE),
)
"""All places that sensors can be worn at."""
_LENGTH = {
    "pelvis": lambda person: 0.1 * person.height,
    "trunk": lambda person: person.trunk,
    "head": lambda person: 0.07 * person.height,
    "upper_arm": lambda person: -person.upper_arm,
    "forearm": lambda person: -person.forearm,
    "thigh": lambda person: -person.thigh,
    "shank": lambda person: -person.shank,
    "foot": lambda person: -person.ankle,
}


@dataclass(frozen=True)
class Device:
    """A model of sensor, and how noisy it is."""

    force_range: float
    rate_range: float
    force_noise: float
    """Standard deviation of white noise [m/s^2]."""
    rate_noise: float
    bandwidth: float
    """Frequency at which the sensor's filter halves the power, as a share of the sampling rate."""
    bits: int


@dataclass(frozen=True)
class Mount:
    """A sensor as somebody wears it."""

    place: str
    segment: str
    offset_3: Float
    """Position on the segment [m]."""
    rotation: Turns
    """From the sensor to the segment."""
    tissue: float
    damping: float
    rocking_33: Float
    """Rotation of the sensor for a displacement on soft tissue [rad/m]."""
    slip_3: Float
    """Rotation by which the sensor slips within a session [rad]."""


def draw_device(rng: np.random.Generator) -> Device:
    """Draw a model of sensor; all sensors of a person are of the same."""
    noise = float(np.exp(rng.normal(0.0, 0.6)))
    return Device(
        force_range=float(rng.choice([4.0, 8.0, 16.0], p=[0.12, 0.28, 0.6])) * _G,
        rate_range=float(np.radians(rng.choice([500.0, 1000.0, 2000.0], p=[0.15, 0.25, 0.6]))),
        force_noise=0.025 * noise,
        rate_noise=0.003 * noise,
        bandwidth=rng.uniform(0.3, 0.48),
        bits=int(rng.choice([12, 16], p=[0.2, 0.8])),
    )


def draw_mount(rng: np.random.Generator, person: Person, place: str) -> Mount:
    """Draw how a person wears a sensor."""
    site = _SITES[place.removeprefix("Right_").removeprefix("Left_")]
    sign = 1.0 if place.startswith("Left_") else -1.0
    segment = site.segment
    if place not in _MIDDLE:
        segment += "_L" if sign > 0 else "_R"
    if place in _MIDDLE:
        sign = rng.choice([-1.0, 1.0])
    forward, outward, along = site.at
    along = along * _LENGTH[site.segment](person)
    if place.endswith("Pocket") and rng.random() < 0.3:
        forward = -0.1  # a back pocket
    offset = np.array([forward, sign * outward, along]) + rng.normal(0.0, site.spread, size=3)
    if site.tilt >= 90.0:
        anyhow = rng.normal(size=(4, 1))
        rotation = Turns(anyhow / np.linalg.norm(anyhow))
    else:
        rotation = by_vector(np.radians(np.clip(rng.normal(0.0, site.tilt, size=(3, 1)), -35.0, 35.0)))
    slip = rng.normal(0.0, np.radians(1.0 if place.endswith("Foot") else 3.0), size=3)
    return Mount(
        place=place,
        segment=segment,
        offset_3=offset,
        rotation=rotation,
        tissue=rng.uniform(*site.tissue),
        damping=rng.uniform(0.2, 0.6),
        rocking_33=rng.normal(0.0, 5.0, size=(3, 3)),
        slip_3=slip,
    )


def acceleration(position_3T: Float, rate: float) -> Float:
    """Return the acceleration [3, T] in the axes of the world [m/s^2]."""
    inner = np.diff(position_3T, n=2) * rate**2
    return np.concatenate([inner[:, :1], inner, inner[:, -1:]], axis=1)


def worn(skeleton: Skeleton, mount: Mount, person: Person, impacts: Sequence[Impact], times_T: Float) -> Segment:
    """Return position [3, T] and rotation of a sensor: that of its segment, shaken by impacts and by soft tissue."""
    rate = 1.0 / float(times_T[1] - times_T[0])
    segment = skeleton.segments[mount.segment]
    slipping_T = np.linspace(0.0, 1.0, len(times_T))
    rotation = segment.rotation @ by_vector(np.outer(mount.slip_3, slipping_T)) @ mount.rotation
    rigid_3T = segment.point(*mount.offset_3) + _jolts(skeleton, mount, person, impacts, times_T)
    loose_3T = _tissue(rotation.inverse().apply(acceleration(rigid_3T, rate)), mount, rate)
    return Segment(rigid_3T + rotation.apply(loose_3T), rotation @ by_vector(mount.rocking_33 @ loose_3T))


def _tissue(shaken_3T: Float, mount: Mount, rate: float) -> Float:
    """Return how a mass on a damped spring is displaced by the acceleration of what carries it [m]."""
    stiffness = 2.0 * np.pi * mount.tissue
    below, above = bilinear([-1.0], [1.0, 2.0 * mount.damping * stiffness, stiffness**2], fs=rate)
    return np.asarray(lfilter(below, above, shaken_3T))


def _jolts(skeleton: Skeleton, mount: Mount, person: Person, impacts: Sequence[Impact], times_T: Float) -> Float:
    """Return the displacement [3, T] by shocks: short damped oscillations, slower and weaker higher up the body."""
    site = _SITES[mount.place.removeprefix("Right_").removeprefix("Left_")]
    rate, side = 1.0 / float(times_T[1] - times_T[0]), mount.segment[-1]
    knocks_T = np.zeros(len(times_T))
    for impact in impacts:
        share = site.jolt
        if impact.place.startswith("hand"):
            share = 0.5 if impact.place[-1] == side and "arm" in mount.segment else 0.02
        elif impact.place == "heart":
            share = {"trunk": 1.0, "head": 0.7, "pelvis": 0.5}.get(mount.segment, 0.12)
        elif impact.place == "seat":
            share = {"pelvis": 0.4, "trunk": 0.25, "head": 0.16}.get(mount.segment, 0.12)
        elif mount.place not in _MIDDLE and impact.place != side:
            share *= 0.8 if "arm" in mount.segment else 0.12
        where = (impact.time - times_T[0]) * rate
        index = int(where)
        if 0 <= index < len(times_T) - 1:
            knocks_T[index] += share * impact.strength * (1.0 - where + index)
            knocks_T[index + 1] += share * impact.strength * (where - index)
    if not knocks_T.any():
        return np.zeros((3, 1))
    turns = 2.0 * np.pi * site.ring
    since = np.arange(int(0.35 * rate)) / rate
    shock = (1.0 - np.exp(-since / 0.006)) * np.exp(-since * 0.35 * turns) * np.sin(turns * since) / turns**2
    along_T = oaconvolve(knocks_T, person.impact * shock)[: len(times_T)]
    back_T = -0.4 * along_T
    heading_T = skeleton.heading_T
    return np.stack([back_T * np.cos(heading_T), back_T * np.sin(heading_T), along_T])


def ideal(sensor: Segment, times_T: Float) -> tuple[Float, Float]:
    """Return what ideal sensors measure, in their axes: specific force [m/s^2] and angular velocity [rad/s], [3, T]."""
    rate = 1.0 / float(times_T[1] - times_T[0])
    force_3T = sensor.rotation.inverse().apply(acceleration(sensor.joint_3T, rate) - GRAVITY)
    return force_3T, angular_rate(sensor.rotation, rate)


def measured(
    rng: np.random.Generator, device: Device, signals: tuple[Float, Float], *, every: int, keep: slice, rate: float
) -> Float:
    """Return what real sensors report, [L, 6]: filtered, sampled every `every` samples, with errors and rounding."""
    found = []
    fine = rate * every
    sigma = 0.1325 * fine / min(device.bandwidth * rate, 80.0)
    for signal_3T, limit, noise, bias in (
        (signals[0], device.force_range, device.force_noise, 0.1),
        (signals[1], device.rate_range, device.rate_noise, 0.01),
    ):
        signal = gaussian_filter1d(signal_3T, sigma)[:, keep][:, ::every].T
        gain_33 = np.eye(3) + rng.normal(0.0, 0.006, size=(3, 3)) + np.diag(rng.normal(0.0, 0.012, size=3))
        drifting = np.linspace(0.0, 1.0, len(signal))[:, None] * rng.normal(0.0, 0.3 * bias, size=3)
        signal = signal @ gain_33 + rng.normal(0.0, bias, size=3) + drifting
        signal += noise * rng.standard_normal(signal.shape)
        step = limit / 2.0 ** (device.bits - 1)
        found.append(np.clip(np.round(signal / step) * step, -limit, limit))
    return np.concatenate(found, axis=1)
