"""Textures of surfaces: repeating patterns with large, simple features that are visible in small images.

Shapes: S = texels along a texture's side, L = levels of detail.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.data.synthetic.geometry import Float

SIZE = 128
LEVELS = 5
Pattern = Callable[[np.random.Generator, Float, Float], Float]
"""Function that computes brightness [S, S], about -1 to 1, from horizontal and vertical coordinates, 0 to 1."""

Grid = tuple[int, int]
"""Number of columns and rows."""


def _cells(rng: np.random.Generator, u: Float, v: Float, grid: Grid, shift: float = 0.0) -> Float:
    """Return a random brightness per cell of a grid; odd rows are shifted by the fraction `shift` of a cell."""
    columns, rows = grid
    row = np.floor(v * rows).astype(int) % rows
    column = np.floor(u * columns + shift * (row % 2)).astype(int) % columns
    brightness: Float = rng.uniform(-1.0, 1.0, size=(rows, columns))[row, column]
    return brightness


def _joints(u: Float, v: Float, grid: Grid, width: float, shift: float = 0.0) -> NDArray[np.bool_]:
    """Return True on the joints between the cells of a grid; `width` is a fraction of the texture's side."""
    columns, rows = grid
    row = np.floor(v * rows)
    across = np.abs((u * columns + shift * (row % 2) + 0.5) % 1.0 - 0.5) / columns
    along = np.abs((v * rows + 0.5) % 1.0 - 0.5) / rows
    return np.minimum(across, along) < width


def _tiles(rng: np.random.Generator, u: Float, v: Float) -> Float:
    count = int(rng.choice([4, 6, 8]))
    return 0.6 * _cells(rng, u, v, (count, count)) - 0.9 * _joints(u, v, (count, count), 0.008)


def _checks(rng: np.random.Generator, u: Float, v: Float) -> Float:
    count = int(rng.choice([4, 6]))
    checks = (np.floor(u * count) + np.floor(v * count)) % 2
    return 1.2 * checks - 0.6 + 0.2 * _cells(rng, u, v, (count, count))


def _planks(rng: np.random.Generator, u: Float, v: Float) -> Float:
    return 0.7 * _cells(rng, u, v, (3, 8), 0.5) - 0.8 * _joints(u, v, (3, 8), 0.006, 0.5)


def _bands(rng: np.random.Generator, u: Float, v: Float) -> Float:
    return 0.8 * _cells(rng, u, v, (int(rng.choice([4, 6])), 1)) + 0.2 * _cells(rng, u, v, (8, 8))


def _bricks(rng: np.random.Generator, u: Float, v: Float) -> Float:
    return 0.5 * _cells(rng, u, v, (8, 16), 0.5) - 0.7 * _joints(u, v, (8, 16), 0.008, 0.5)


def _doors(rng: np.random.Generator, u: Float, v: Float) -> Float:
    door = (np.abs((u * 2 + rng.uniform()) % 1.0 - 0.5) < 0.17) & (v < 0.62)
    return 0.3 - 1.2 * door * (0.7 + 0.3 * _cells(rng, u, v, (2, 1))) - 0.5 * (v < 0.05)


def _windows(rng: np.random.Generator, u: Float, v: Float) -> Float:
    pane = (np.abs((u * 3 + rng.uniform()) % 1.0 - 0.5) < 0.3) & (v > 0.28) & (v < 0.75)
    return 1.3 * pane * (0.6 + 0.4 * _cells(rng, u, v, (6, 4))) - 0.4


def _pillars(rng: np.random.Generator, u: Float, v: Float) -> Float:
    pillar = np.abs((u * 4 + rng.uniform()) % 1.0 - 0.5) < 0.13
    return 1.2 * pillar - 0.5 + 0.3 * _cells(rng, u, v, (8, 4))


FLOORS: tuple[Pattern, ...] = (_tiles, _checks, _planks, _bands)
WALLS: tuple[Pattern, ...] = (_bricks, _doors, _windows, _pillars, _tiles)
CEILINGS: tuple[Pattern, ...] = (_tiles, _bands, _planks)


def clouds(rng: np.random.Generator, u: Float, v: Float) -> Float:
    """Return the brightness of smooth clouds, as a sum of random waves."""
    waves = [(rng.integers(-3, 4), rng.integers(-3, 4), rng.uniform(0, 2 * np.pi)) for _ in range(8)]
    brightness: Float = sum(
        (np.sin(2 * np.pi * (a * u + b * v) + phase) for a, b, phase in waves), start=np.zeros_like(u)
    )
    return 0.3 * brightness


def paint(rng: np.random.Generator, pattern: Pattern, base: Float, contrast: float) -> NDArray[np.uint32]:
    """Paint a texture [L, S, S] of packed RGB; each level has half the resolution of the one before.

    `base` [3] is the colour (0 to 1). The pattern brightens and darkens it by the fraction `contrast`.
    """
    v, u = np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE] * 2, indexing="ij")
    brightness = pattern(rng, u, v) + 0.25 * clouds(rng, u, v) + 0.1 * rng.standard_normal((SIZE, SIZE))
    level = np.clip(base * (1.0 + contrast * brightness[:, :, None]), 0.0, 1.0)
    levels = []
    for index in range(LEVELS):
        side = SIZE >> index
        full = level.repeat(SIZE // side, axis=0).repeat(SIZE // side, axis=1)
        red, green, blue = (np.round(full[:, :, channel] * 255).astype(np.uint32) for channel in range(3))
        levels.append(red | green << 8 | blue << 16)
        level = level.reshape(side // 2, 2, side // 2, 2, 3).mean(axis=(1, 3))
    return np.stack(levels)
