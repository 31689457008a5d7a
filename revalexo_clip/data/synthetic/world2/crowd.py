"""Other people, and things that stand around. Their movement has nothing to do with the wearer's gait.

Shapes: F = frames.
"""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.gait import Terrain
from revalexo_clip.data.synthetic.geometry import Float, smooth, wander
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion
from revalexo_clip.data.synthetic.world2.figures import Indices, Parts, gestures, person
from revalexo_clip.data.synthetic.world2.place import Surroundings, draw_clothes

_KINDS = {"passing": 0.35, "crossing": 0.2, "standing": 0.25, "companion": 0.2}
EMPTY = 0.2
"""Share of recordings without other people."""


def draw_people(
    rng: np.random.Generator, motion: Motion, samples_F: Indices, surroundings: Surroundings, terrain: Terrain
) -> list[Parts]:
    """Draw the people in a recording, who walk by, cross the way, stand and talk, or walk along."""
    if rng.random() < EMPTY:
        return []
    kinds, weights = list(_KINDS), list(_KINDS.values())
    count = min(int(rng.poisson(surroundings.crowd)), 6)
    return [
        _move_person(
            rng, str(rng.choice(kinds, p=weights)), motion, samples_F, surroundings=surroundings, terrain=terrain
        )
        for _ in range(count)
    ]


def _move_person(
    rng: np.random.Generator,
    kind: str,
    motion: Motion,
    samples_F: Indices,
    *,
    surroundings: Surroundings,
    terrain: Terrain,
) -> Parts:
    """Draw one person's way through the recording."""
    times_F = motion.times[samples_F]
    along_F, across_F = motion.pelvis.position[samples_F, 0], motion.pelvis.position[samples_F, 1]
    meeting = int(rng.integers(len(times_F)))
    since_F = times_F - times_F[meeting]
    free = max(surroundings.place.half_width - 0.3, 0.3)
    side, liveliness = rng.choice([-1.0, 1.0]), 0.0
    if kind == "passing":
        speed = rng.choice([-1.0, -1.0, 1.0]) * rng.uniform(0.7, 1.9)
        x_F = along_F[meeting] + speed * since_F
        y_F = across_F[meeting] + side * rng.uniform(0.45, 1.4) + wander(rng, times_F, 0.08, 6.0, 2.0)
    elif kind == "crossing":
        x_F = along_F[meeting] + rng.uniform(0.7, 4.5) + wander(rng, times_F, 0.1, 6.0, 2.0)
        y_F = across_F[meeting] + side * rng.uniform(0.6, 1.6) * since_F
        free += 2.0  # They come through doors.
    elif kind == "standing":
        x_F = along_F[meeting] + rng.uniform(0.5, 3.0) + wander(rng, times_F, 0.03, 6.0, 2.0)
        y_F = across_F[meeting] + side * rng.uniform(0.45, 1.5) + wander(rng, times_F, 0.03, 6.0, 2.0)
        liveliness = rng.uniform(0.3, 1.0)
    else:
        followed = smooth(motion.pelvis.position, 0.8 * MOTION_RATE)[samples_F]
        x_F = followed[:, 0] + rng.uniform(0.6, 2.6) + wander(rng, times_F, 0.15, 8.0, 3.0)
        y_F = followed[:, 1] + side * rng.uniform(0.1, 0.9) + wander(rng, times_F, 0.1, 8.0, 3.0)
        liveliness = rng.uniform(0.0, 0.6)
    y_F = np.clip(y_F, -free, free)
    velocity_F2 = smooth(np.gradient(np.stack([x_F, y_F], axis=1), times_F, axis=0), 6.0)
    speed_F = np.linalg.norm(velocity_F2, axis=1)
    ways = np.cumsum(speed_F) * (times_F[1] - times_F[0])
    facing = rng.uniform(0.7, 1.3) * np.pi if kind == "standing" else 0.0
    heading_F = np.where(speed_F > 0.3, np.arctan2(velocity_F2[:, 1], velocity_F2[:, 0]), facing)
    turns = smooth(np.unwrap(heading_F) if kind != "standing" else heading_F, 5.0)
    clothes = [draw_clothes(rng) for _ in range(3)] + [draw_skin(rng), draw_skin(rng) * rng.uniform(0.1, 0.9)]
    return person(
        rng,
        np.stack([x_F, y_F, terrain.height(x_F)], axis=1),
        turns + wander(rng, times_F, 0.12, 5.0, 1.5),
        ways * np.pi / rng.uniform(0.55, 0.8) + rng.uniform(0.0, 6.0),
        stride_F=np.clip(speed_F / 0.8, 0.0, 1.0),
        gestures_F2=gestures(rng, times_F, liveliness),
        clothes=clothes,
    )


def draw_skin(rng: np.random.Generator) -> Float:
    """Draw the colour [3] of skin."""
    return np.array([0.92, 0.72, 0.58]) * rng.uniform(0.3, 1.05)


def draw_things(rng: np.random.Generator, surroundings: Surroundings, terrain: Terrain, until: float) -> list[Parts]:
    """Draw things along the walls: posts, bins, plants, benches and hanging lamps."""
    count = min(int(rng.poisson(surroundings.clutter * (until + 8.0))), 40)
    things = []
    half_width, headroom = surroundings.place.half_width, min(surroundings.place.headroom, 4.0)
    for _ in range(count):
        x, side = rng.uniform(-4.0, until + 4.0), rng.choice([-1.0, 1.0])
        # The way itself stays free.
        y = side * max(half_width - rng.uniform(0.05, 0.6 * half_width), 0.85)
        floor = float(terrain.height(np.array(x)))
        colour, shade = draw_clothes(rng), rng.uniform(0.6, 1.1)
        kind = rng.choice(["post", "bin", "plant", "bench", "lamp"])
        low, high, radii = {
            "post": ((x, y, floor), (x, y, floor + headroom), (0.06, 0.06) if shade < 0.8 else (0.18, 0.15)),
            "bin": ((x, y, floor + 0.1), (x, y, floor + 0.6), (0.2, 0.22)),
            "plant": ((x, y, floor + 0.5), (x, y, floor + 1.3), (0.25, 0.4)),
            "bench": ((x - 0.6, y, floor + 0.4), (x + 0.6, y, floor + 0.4), (0.2, 0.2)),
            "lamp": ((x, 0.3 * y, floor + headroom), (x, 0.3 * y, floor + headroom - 0.15), (0.15, 0.22)),
        }[str(kind)]
        if kind == "lamp":
            colour = np.array([1.0, 0.97, 0.85]) * shade
        elif kind == "plant":
            colour = np.array([0.25, 0.5, 0.2]) * shade
        things.append(Parts(np.array([[[low, high]]]), np.array([radii]), colour[None]))
    return things
