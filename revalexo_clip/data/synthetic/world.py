"""Rendering the surroundings as the camera sees them.

A world is a straight passage: ground of varying height, two walls, and a ceiling or sky. Heights depend on x only, so
the point where a ray hits ground or ceiling depends only on the ray's slope in the x-z plane. Therefore one small table
per frame replaces a search per pixel.

Shapes: H, W = rows and columns of the image, S = surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.data.synthetic.gait import FLOOR, NOSING, RAMP, RISER, Terrain
from revalexo_clip.data.synthetic.geometry import Float, smooth
from revalexo_clip.data.synthetic.textures import CEILINGS, FLOORS, LEVELS, SIZE, WALLS, clouds, paint

HEIGHT, WIDTH = 120, 160
FOCAL = 0.36 * WIDTH
"""Focal length [px], as of a wide-angle action camera with a horizontal field of view of 109 degrees."""
ANGLES = 2048
"""Number of slopes in the table that finds ground and ceiling."""
_PSEUDO_ANGLES = np.linspace(-1.0, 1.0, ANGLES + 1)[:-1] + 1.0 / ANGLES
SLOPES = _PSEUDO_ANGLES / (1.0 - np.abs(_PSEUDO_ANGLES))
"""Slopes of the table, evenly spaced in slope / (1 + |slope|)."""
_WALL_LEFT, _WALL_RIGHT, _CEILING, _GROUND = range(4)
METRES = np.array([8.0, 8.0, 5.0, 4.0, 4.0, 4.0, 4.0], dtype=np.float32)
"""Side length of each texture in the world [m]: two walls, ceiling, floor, riser, ramp, nosing."""
_TEXTURE = {FLOOR: 3, RISER: 4, RAMP: 5, NOSING: 6}
_RAMP_TINT, _NOSING_COLOUR = np.array([0.5, 1.1, 0.7]), np.array([1.0, 0.85, 0.15])
"""Ramps are green and step edges are yellow, as in public buildings."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Dimensions, surfaces and light of a place. Lengths in m, colours from 0 to 1."""

    half_width: float
    headroom: float
    """Height of the ceiling above the ground; the sky is a very high ceiling."""
    textures: NDArray[np.uint32]
    """[7, L, S, S] packed RGB: left wall, right wall, ceiling, floor, riser, ramp, nosing."""
    air: Float
    """Colour that distant surfaces fade to."""
    sight: float
    """Distance at which two thirds of a surface's colour has faded."""
    metres: Float32 = field(default_factory=lambda: METRES)
    """Side length of each texture in the world [m], [7], in the order of `textures`."""


@dataclass(frozen=True)
class World:
    """A place, with the ground and exposure of one clip."""

    place: Place
    terrain: Terrain
    exposure: float
    focal: float = FOCAL
    """Focal length of the camera [px]."""


def draw_place(rng: np.random.Generator, *, indoors: bool) -> Place:
    """Draw a random place: a corridor, or a street under the sky."""

    def colour(darkest: float, lightest: float) -> Float:
        return np.clip(rng.uniform(darkest, lightest) + rng.normal(0.0, 0.05, size=3), 0.05, 0.95)

    floor = FLOORS[rng.integers(len(FLOORS))]
    walls = [WALLS[rng.integers(len(WALLS))] for _ in range(2)]
    above = CEILINGS[rng.integers(len(CEILINGS))] if indoors else clouds
    sky = np.array([0.62, 0.74, 0.9]) * rng.uniform(0.8, 1.05)
    ground = colour(0.35, 0.6)
    textures = [
        *(paint(rng, wall, colour(0.35, 0.7), rng.uniform(0.35, 0.6)) for wall in walls),
        paint(rng, above, colour(0.6, 0.85) if indoors else sky, 0.15),
        paint(rng, floor, ground, rng.uniform(0.35, 0.55)),
        paint(rng, floor, ground * 0.5, 0.2),
        paint(rng, floor, ground * _RAMP_TINT, rng.uniform(0.35, 0.55)),
        paint(rng, clouds, _NOSING_COLOUR, 0.1),
    ]
    return Place(
        half_width=rng.uniform(1.5, 2.2) if indoors else rng.uniform(2.2, 4.0),
        headroom=rng.uniform(2.7, 3.4) if indoors else 25.0,
        textures=np.stack(textures),
        air=colour(0.2, 0.5) if indoors else sky,
        sight=rng.uniform(12.0, 20.0) if indoors else rng.uniform(25.0, 40.0),
    )


class View:
    """Renderer of one world; stores everything that is the same for all frames."""

    def __init__(self, world: World):
        self.world = world
        terrain = world.terrain
        self.x = np.array(terrain.x)
        self.z = np.array(terrain.z)
        self.ceiling_x = np.arange(self.x[0], self.x[-1], 0.5)
        ceiling = smooth(terrain.height(self.ceiling_x), 1.5) + world.place.headroom
        self.ceiling_z = np.maximum(ceiling, terrain.height(self.ceiling_x) + 0.8 * world.place.headroom)
        self.texels = world.place.textures.reshape(-1)
        # Surfaces: the segments of the ceiling, those of the ground, and a plane at the end of the world.
        end = np.array([[1.0], [0.0], [self.x[-1]]])
        lines = [_lines(self.ceiling_x, self.ceiling_z), _lines(self.x, self.z), end]
        self.lines = np.concatenate(lines, axis=1).astype(np.float32)
        self.first_ground = len(self.ceiling_x) - 1
        texture = [_CEILING] * self.first_ground + [_TEXTURE[kind] for kind in terrain.kinds] + [_CEILING]
        self.texture = np.array(texture, dtype=np.int32)
        across = (np.arange(WIDTH) + 0.5 - 0.5 * WIDTH) / world.focal
        down = (np.arange(HEIGHT) + 0.5 - 0.5 * HEIGHT) / world.focal
        self.left_W, self.up_H1 = -across, -down[:, None]

    def rays(self, rotation: Float) -> tuple[Float32, Float32, Float32]:
        """Compute the world components [H, W] of the rays through the pixels, with depth 1 along the optical axis."""
        ahead, left, up = rotation[:, 0], rotation[:, 1], rotation[:, 2]
        x, y, z = (((ahead[i] + up[i] * self.up_H1) + left[i] * self.left_W).astype(np.float32) for i in range(3))
        # The camera always faces forward. The few rays that point backwards, below it, are made to point down.
        return np.maximum(x, np.float32(1e-3)), y, z

    def surfaces(self, position: Float, x: Float32, z: Float32) -> NDArray[np.int32]:
        """Find the segment of ground or ceiling that each ray hits if there are no walls, [H, W]."""
        below = first_hit(position, self.x, self.z, SLOPES, 1.0)
        above = first_hit(position, self.ceiling_x, self.ceiling_z, SLOPES, -1.0)
        nearer = np.where(below[1] <= above[1], below[0] + self.first_ground, above[0])
        nearer[np.isinf(np.minimum(below[1], above[1]))] = len(self.texture) - 1
        index = ((z / (x + np.abs(z)) + np.float32(1.0)) * np.float32(0.5 * ANGLES)).astype(np.int32)
        return nearer.astype(np.int32)[np.minimum(index, ANGLES - 1)]

    def render(self, position: Float, rotation: Float) -> Float32:
        """Render the world without the wearer, [H, W, 3], 0 to 255, from camera position [3] and rotation [3, 3]."""
        world = self.world
        x, y, z = self.rays(rotation)
        surface = self.surfaces(position, x, z)
        ox, oy, oz = (np.float32(value) for value in position)
        a, c, k = (line[surface] for line in self.lines)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (k - a * ox - c * oz) / (a * x + c * z)
            wall_depth = (np.copysign(np.float32(world.place.half_width), y) - oy) / y
        depth = np.where(depth > 0, depth, np.float32(300.0))
        is_wall = wall_depth < depth
        depth = np.minimum(np.minimum(depth, wall_depth), np.float32(300.0))
        texture = np.where(is_wall, (y < 0).astype(np.int32), self.texture[surface])
        along, across, height = ox + depth * x, oy + depth * y, oz + depth * z
        u = np.where(is_wall, along, along + height)
        v = np.where(is_wall, height, across)
        return self.shaded(texture, u, v, depth, np.float32(world.exposure))

    def shaded(
        self, texture: NDArray[np.int32], u: Float32, v: Float32, depth: Float32, exposure: Float32 | np.float32
    ) -> Float32:
        """Compute the colours [H, W, 3] of texture points `u`, `v` [m] seen from `depth` [m].

        `exposure` is a factor for the whole image, or one for each pixel, [H, W, 1].
        """
        density = (SIZE / self.world.place.metres)[texture]
        level = np.clip(np.log2(depth * density * np.float32(1.5 / self.world.focal)), 0, LEVELS - 1).astype(np.int32)
        column = (u * density).astype(np.int32) & (SIZE - 1)
        row = (v * density).astype(np.int32) & (SIZE - 1)
        texel = self.texels[((texture * LEVELS + level) * SIZE + row) * SIZE + column]
        clear = np.exp(depth * np.float32(-1.0 / self.world.place.sight))
        light = clear[:, :, None]
        colour: Float32 = texel.view(np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, :3] * light
        colour += (1.0 - clear)[:, :, None] * (255.0 * self.world.place.air).astype(np.float32)
        colour *= exposure
        return colour


def _lines(x: Float, z: Float) -> Float:
    """Compute the coefficients [3, S] of a*x + c*z = k for the segments between neighbouring vertices."""
    a, c = np.diff(z), -np.diff(x)
    return np.stack([a, c, a * x[:-1] + c * z[:-1]])


def first_hit(position: Float, x: Float, z: Float, slope: Float, side: float) -> tuple[NDArray[np.int64], Float]:
    """Find the segment that each ray slope hits first, and its distance along x; infinity if there is none.

    `side` is 1 for ground, which hides everything behind its highest vertex so far, and -1 for a ceiling.
    """
    first = int(np.searchsorted(x, position[0], side="right"))
    horizon = np.maximum.accumulate(side * (z[first:] - position[2]) / np.maximum(x[first:] - position[0], 1e-3))
    index = np.searchsorted(horizon, side * slope)
    hit = np.minimum(index, len(horizon) - 1) + first - 1
    rise, run = z[hit + 1] - z[hit], x[hit + 1] - x[hit]
    # Distance along the ray to the intersection with the segment's line.
    offset = (z[hit] - position[2]) * run - (x[hit] - position[0]) * rise
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = offset / (slope * run - rise)
    return hit, np.where(index < len(horizon), distance, np.inf)
