"""Drawing the wearer's legs into the camera image."""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import Motion
from revalexo_clip.data.synthetic.world import HEIGHT, WIDTH, Float32, World

_NEAREST = 0.12
_TROUSERS, _SHOES = np.array([0.1, 0.15, 0.4]), np.array([1.0, 0.75, 0.2])
_COLUMNS = np.arange(WIDTH, dtype=np.float32) + 0.5
_ROWS = np.arange(HEIGHT, dtype=np.float32)[:, None] + 0.5


def draw_legs(picture: Float32, motion: Motion, index: int, world: World) -> None:
    """Draw both legs at sample `index` into an image [H, W, 3], farthest parts first."""
    position, rotation = motion.camera.position[index], motion.camera.rotation[index]
    parts = []
    for leg in motion.legs:
        hip, knee, ankle, toe = (point[index] for point in (leg.hip, leg.knee, leg.ankle, leg.toe))
        parts.append((ankle, toe, (0.06, 0.055), _SHOES))
        parts.append((knee, ankle, (0.065, 0.05), _TROUSERS))
        parts.append((hip, knee, (0.09, 0.07), _TROUSERS))
    seen = [((a - position) @ rotation, (b - position) @ rotation, *rest) for a, b, *rest in parts]
    for a, b, widths, colour in sorted(seen, key=lambda part: -(part[0][0] + part[1][0])):
        draw_limb(picture, (a, b), widths, colour * 255.0 * world.exposure, focal=world.focal)


def draw_limb(
    picture: Float32,
    ends: tuple[Float, Float],
    widths: tuple[float, float],
    colour: Float,
    *,
    focal: float,
    depth: Float32 | None = None,
) -> None:
    """Draw a rounded limb between two points [3] in camera axes, with the radius at each end [m].

    What is behind `depth` [H, W], in m along the optical axis, is hidden.
    """
    (a, b), (width_a, width_b) = ends, widths
    if a[0] < b[0]:
        a, b, width_a, width_b = b, a, width_b, width_a
    if a[0] <= _NEAREST:
        return
    if b[0] < _NEAREST:
        share = (a[0] - _NEAREST) / (a[0] - b[0])
        b, width_b = a + share * (b - a), width_a + share * (width_b - width_a)
    (xa, ya, ra), (xb, yb, rb) = (
        (0.5 * WIDTH - focal * p[1] / p[0], 0.5 * HEIGHT - focal * p[2] / p[0], focal * r / p[0])
        for p, r in ((a, width_a), (b, width_b))
    )
    left, right = _span(min(xa - ra, xb - rb), max(xa + ra, xb + rb), WIDTH)
    top, bottom = _span(min(ya - ra, yb - rb), max(ya + ra, yb + rb), HEIGHT)
    if left >= right or top >= bottom:
        return
    x, y = _COLUMNS[left:right] - np.float32(xa), _ROWS[top:bottom] - np.float32(ya)
    dx, dy = np.float32(xb - xa), np.float32(yb - ya)
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, np.float32(1e-3)), 0.0, 1.0)
    radius = np.float32(ra) + np.float32(rb - ra) * along
    off = ((x - along * dx) ** 2 + (y - along * dy) ** 2) / radius**2
    inside = off < 1.0
    if depth is not None:
        # Half a metre of tolerance: feet touch the ground, and figures are rounder than what is drawn.
        inside &= depth[top:bottom, left:right] + np.float32(0.5) > float(a[0]) + float(b[0] - a[0]) * along
    region = picture[top:bottom, left:right]
    region[inside] = (1.0 - 0.6 * off[inside])[:, None] * colour.astype(np.float32)


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """Return the range of pixels from `low` to `high` that are within an image of `size` pixels."""
    return max(0, int(np.floor(low))), min(size, int(np.ceil(high)))
