"""Places: corridors, halls, streets and parks, in many colours. Ramps and step edges look like the rest of the floor.

Shapes: S = texels along a texture's side.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.textures import CEILINGS, FLOORS, WALLS, Pattern, clouds, paint
from revalexo_clip.data.synthetic.world import Place


@dataclass(frozen=True)
class Surroundings:
    """A place, with what world 1's places do not have. Lengths in m."""

    place: Place
    wall_height: float
    """Height of the walls above the ground; infinite indoors."""
    lamps: float
    """Amplitude of the light of lamps, or of shadows, along the way."""
    lamp_distance: float
    clutter: float
    """Number of things that stand around, per metre."""
    crowd: float
    """Mean number of other people in a recording."""
    indoors: bool


def _noise(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return brightness [S, S] of carpet, concrete or asphalt: random cells of several sizes, softened."""
    total = np.zeros_like(u)
    for cells, weight in ((4, 0.3), (16, 0.35), (64, 0.5)):
        row, column = (np.floor(axis * cells).astype(int) for axis in (v, u))
        total += weight * rng.uniform(-1.0, 1.0, size=(cells, cells))[row, column]
    soft: Float = (total + np.roll(total, 1, 0) + np.roll(total, 1, 1) + np.roll(total, (1, 1), (0, 1))) / 4.0
    return soft


def _plain(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return a painted wall with a skirting board and the dirt of years."""
    wall: Float = 0.25 * _noise(rng, u, v) - 0.8 * (v < 0.02) - 0.2 * (v < 0.15) * rng.uniform()
    return wall


def _posters(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return a wall with pictures, notices and switches of random sizes."""
    wall = 0.15 * _noise(rng, u, v) - 0.7 * (v < 0.02)
    for _ in range(int(rng.integers(4, 10))):
        left, low, width, height = rng.uniform([0.0, 0.1, 0.03, 0.03], [0.9, 0.6, 0.22, 0.2])
        inside = (u > left) & (u < left + width) & (v > low) & (v < low + height)
        print_ = rng.uniform(-1.2, 1.2) + rng.uniform(0.0, 0.5) * _noise(rng, (4.0 * u) % 1.0, (4.0 * v) % 1.0)
        wall = np.where(inside, print_, wall)
    return wall


def _shelves(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return shelves full of things."""
    shelf, slot = np.floor(v * 16).astype(int), np.floor(u * 32).astype(int)
    top = rng.uniform(0.4, 1.0, size=(16, 32))[shelf, slot]
    thing = rng.uniform(-0.8, 1.0, size=(16, 32))[shelf, slot]
    return np.where((v * 16) % 1.0 < top, thing, -1.0)


def _hedge(rng: np.random.Generator, u: Float, v: Float) -> Float:
    return 1.4 * _noise(rng, u, v) - 0.4 * np.cos(2.0 * np.pi * v * 2.0)


def _slabs(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return slabs with joints, some of them stained."""
    count = int(rng.choice([2, 4, 8]))
    joint = np.minimum((u * count) % 1.0, (v * count) % 1.0) < 0.012 * count
    return 0.7 * _noise(rng, u, v) - 0.6 * joint


def _stripes(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return diagonal stripes, as of a carpet."""
    count, slant = int(rng.integers(2, 9)), int(rng.integers(-2, 3))
    brightness: Float = np.sign(np.sin(2.0 * np.pi * (count * v + slant * u))) * 0.5 + 0.4 * _noise(rng, u, v)
    return brightness


_FLOORS_INSIDE: tuple[Pattern, ...] = (*FLOORS, _noise, _slabs, _stripes, _noise)
_FLOORS_OUTSIDE: tuple[Pattern, ...] = (_noise, _slabs, _hedge, FLOORS[0])
_WALLS_INSIDE: tuple[Pattern, ...] = (*WALLS, _plain, _posters, _shelves, _posters, _plain)
_WALLS_OUTSIDE: tuple[Pattern, ...] = (WALLS[0], WALLS[1], WALLS[2], _hedge, _hedge, _posters)


def draw_surroundings(rng: np.random.Generator) -> Surroundings:
    """Draw a random place."""
    indoors = rng.random() < 0.6
    floors, walls = (_FLOORS_INSIDE, _WALLS_INSIDE) if indoors else (_FLOORS_OUTSIDE, _WALLS_OUTSIDE)
    floor, steps = (floors[rng.integers(len(floors))] for _ in range(2))
    sides = [walls[rng.integers(len(walls))] for _ in range(2)]
    if rng.random() < 0.5:
        sides[1] = sides[0]
    above = CEILINGS[rng.integers(len(CEILINGS))] if indoors else clouds
    sky = _colour(rng, (0.5, 0.65), (0.0, 0.5), (0.55, 1.0))
    ground = _colour(rng, (0.0, 0.4), (0.0, 0.35), (0.2, 0.75))
    # Stairs are of the floor's material, or of another one; their edges hardly differ from them.
    stairs = ground if rng.random() < 0.6 else _colour(rng, (0.0, 1.0), (0.0, 0.3), (0.15, 0.75))
    contrast = rng.uniform(0.15, 0.55)
    textures = [
        *(
            paint(rng, side, _colour(rng, (0.0, 1.0), (0.0, 0.55), (0.2, 0.9)), rng.uniform(0.12, 0.6))
            for side in sides
        ),
        paint(rng, above, _colour(rng, (0.0, 1.0), (0.0, 0.15), (0.4, 0.95)) if indoors else sky, 0.15),
        paint(rng, floor, ground, contrast),
        paint(rng, steps, np.clip(stairs * rng.uniform(0.55, 1.15), 0.0, 1.0), rng.uniform(0.1, 0.4)),
        paint(rng, floor if rng.random() < 0.7 else steps, ground * rng.uniform(0.85, 1.1), contrast),
        paint(rng, steps, np.clip(stairs * rng.uniform(0.8, 1.25), 0.0, 1.0), rng.uniform(0.1, 0.4)),
    ]
    sizes = rng.uniform([5.0, 5.0, 3.0, 1.5, 1.5, 1.5, 1.5], [12.0, 12.0, 8.0, 6.0, 5.0, 6.0, 5.0])
    if not indoors:
        sizes[2] = rng.uniform(40.0, 90.0)
    # Narrow corridors and wide halls are as frequent as what lies between.
    half_width = float(np.exp(rng.uniform(np.log(1.1), np.log(5.0)) if indoors else rng.uniform(np.log(2), np.log(12))))
    headroom = rng.uniform(2.4, 3.6) if half_width < 2.5 else rng.uniform(2.7, 7.0)
    place = Place(
        half_width=half_width,
        headroom=headroom if indoors else rng.uniform(20.0, 60.0),
        textures=np.stack(textures),
        air=_colour(rng, (0.0, 1.0), (0.0, 0.2), (0.2, 0.7)) if indoors else sky,
        sight=rng.uniform(10.0, 40.0) if indoors else rng.uniform(20.0, 60.0),
        metres=sizes.astype(np.float32),
    )
    return Surroundings(
        place=place,
        wall_height=np.inf if indoors else float(np.exp(rng.uniform(np.log(0.8), np.log(15.0)))),
        lamps=rng.uniform(0.0, 0.45),
        lamp_distance=rng.uniform(2.5, 9.0),
        clutter=rng.uniform(0.0, 0.7),
        crowd=float(rng.choice([0.3, 1.2, 3.0], p=[0.4, 0.4, 0.2])),
        indoors=indoors,
    )


def _colour(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Float:
    """Draw a colour [3], 0 to 1, from ranges of hue, saturation and brightness."""
    return np.array(colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)))


def draw_clothes(rng: np.random.Generator) -> Float:
    """Draw the colour [3] of clothes: mostly dark and pale ones."""
    return _colour(rng, (0.0, 1.0), (0.0, 0.7), (0.08, 0.85))
