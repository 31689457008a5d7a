"""Rendering the surroundings for a camera that looks in any direction.

World 1's camera always faces forward; a head turns further. The ground ahead and behind are looked up in a table each.

Shapes: H, W = rows and columns of the image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.data.synthetic.gait import FLOOR, Terrain
from revalexo_clip.data.synthetic.geometry import Float, smooth
from revalexo_clip.data.synthetic.person import MOTION_RATE
from revalexo_clip.data.synthetic.world import (
    ANGLES,
    SLOPES,
    Float32,
    View,
    World,
    first_hit,
)
from revalexo_clip.data.synthetic.world2.place import Surroundings

_BEHIND = 60.0
"""Length of the ground behind the start [m]."""
_CELL = 0.25
"""Distance between tabulated heights and lights along the way [m]."""
_FAR = np.float32(300.0)


def stabilise(rotation_T33: Float, seconds: float) -> Float:
    """Smooth the rotations [T, 3, 3] of a camera at `MOTION_RATE`, as electronic image stabilisation does.

    `seconds` is the standard deviation of the Gaussian. Position is not stabilised: a step still lifts the view.
    """
    left, _, right = np.linalg.svd(smooth(rotation_T33, seconds * MOTION_RATE))
    rotation: Float = left @ right  # the nearest rotation to the mean of matrices
    return rotation


class HeadView(View):
    """Renderer of one recording's surroundings."""

    def __init__(self, surroundings: Surroundings, terrain: Terrain, focal: float, phase: float):
        terrain = replace(
            terrain, x=[terrain.x[0] - _BEHIND, *terrain.x], z=[terrain.z[0], *terrain.z], kinds=[FLOOR, *terrain.kinds]
        )
        super().__init__(World(surroundings.place, terrain, exposure=1.0, focal=focal))
        self.wall_height = surroundings.wall_height
        cells = np.arange(self.x[0] - 1.0, self.x[-1] + 1.0, _CELL)
        self.first_cell = np.float32(cells[0])
        self.wall_top = (terrain.height(cells) + min(surroundings.wall_height, 1e3)).astype(np.float32)
        light = 1.0 + surroundings.lamps * np.sin(2.0 * np.pi * cells / surroundings.lamp_distance + phase)
        self.light = light.astype(np.float32)

    def look(self, position: Float, rotation: Float) -> tuple[Float32, Float32]:
        """Render what a camera at `position` [3] with `rotation` [3, 3] sees: colours [H, W, 3], and depth [H, W] in m.

        Colours are from 0 to 255, depth is along the optical axis.
        """
        place = self.world.place
        ahead, left, up = rotation[:, 0], rotation[:, 1], rotation[:, 2]
        down_H3, across_W3 = np.outer(self.up_H1, up) + ahead, np.outer(self.left_W, left)
        x, y, z = (down_H3[:, i, None].astype(np.float32) + across_W3[:, i].astype(np.float32) for i in range(3))
        surface = self._ground_or_ceiling(position, x, z)
        ox, oy, oz = (np.float32(value) for value in position)
        a, c, k = (line[surface] for line in self.lines)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = (k - a * ox - c * oz) / (a * x + c * z)
            wall_depth = (np.copysign(np.float32(place.half_width), y) - oy) / y
        depth = np.where((depth > 0) & (depth < _FAR), depth, _FAR)
        is_wall = wall_depth < depth
        if np.isfinite(self.wall_height):
            is_wall &= oz + wall_depth * z < self.wall_top[self._cell(ox + np.minimum(wall_depth, _FAR) * x)]
        depth = np.where(is_wall, wall_depth, depth)
        texture = np.where(is_wall, (y < 0).astype(np.int32), self.texture[surface])
        along, across, height = ox + depth * x, oy + depth * y, oz + depth * z
        u = np.where(is_wall, along, along + height)
        v = np.where(is_wall, height, across)
        return self.shaded(texture, u, v, depth, self.light[self._cell(along)][:, :, None]), depth

    def _cell(self, along: Float32) -> NDArray[np.int32]:
        cell = (along - self.first_cell) * np.float32(1.0 / _CELL)
        limited: Float32 = np.clip(cell, np.float32(0.0), np.float32(len(self.light) - 1))
        return limited.astype(np.int32)

    def _ground_or_ceiling(self, position: Float, x: Float32, z: Float32) -> NDArray[np.int32]:
        """Find the segment of ground or ceiling that each ray hits if there are no walls, [H, W]."""
        slope = z / (np.abs(x) + np.abs(z) + np.float32(1e-9))
        index = np.minimum(((slope + np.float32(1.0)) * np.float32(0.5 * ANGLES)).astype(np.int32), ANGLES - 1)
        behind = x < 0
        if not behind.any():
            return self._table(position, 1.0)[index]
        tables = np.concatenate([self._table(position, 1.0), self._table(position, -1.0)])
        return tables[index + ANGLES * behind.astype(np.int32)]

    def _table(self, position: Float, direction: float) -> NDArray[np.int32]:
        """Return the segment that rays of each slope hit ahead (`direction` 1) or behind (-1), [ANGLES]."""
        found = []
        for line_x, line_z, side in ((self.x, self.z, 1.0), (self.ceiling_x, self.ceiling_z, -1.0)):
            if direction > 0:
                segment, distance = first_hit(position, line_x, line_z, SLOPES, side)
            else:
                turned = np.array([-position[0], position[1], position[2]])
                segment, distance = first_hit(turned, -line_x[::-1], line_z[::-1], SLOPES, side)
                segment = len(line_x) - 2 - segment
            found.append((segment, distance))
        (ground, near), (ceiling, above) = found
        nearer = np.where(near <= above, ground + self.first_ground, ceiling)
        nearer[np.isinf(np.minimum(near, above))] = len(self.texture) - 1
        return nearer.astype(np.int32)
