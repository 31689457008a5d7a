"""Figures made of rounded limbs: people, things that stand around, and the wearer's own arms and legs.

Shapes: F = frames, P = parts of figures, H, W = rows and columns of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.data.synthetic.body import draw_limb
from revalexo_clip.data.synthetic.geometry import Float, wander
from revalexo_clip.data.synthetic.person import Motion
from revalexo_clip.data.synthetic.world import HEIGHT, WIDTH, Float32, Place

_NEAREST, _FARTHEST = 0.12, 40.0

Indices = NDArray[np.intp]


class Parts(NamedTuple):
    """Limbs over time: ends [F, P, 2, 3] in m (F is 1 if they do not move), radii [P, 2] in m, colours [P, 3]."""

    ends: Float
    radii: Float
    colours: Float


def join(figures: Sequence[Parts], frames: int) -> Parts:
    """Put figures together."""
    return Parts(
        np.concatenate([np.broadcast_to(each.ends, (frames, *each.ends.shape[1:])) for each in figures], axis=1),
        np.concatenate([each.radii for each in figures]),
        np.concatenate([each.colours for each in figures]),
    )


def draw_parts(
    picture: Float32, depth: Float32, parts: Parts, frame: int, *, camera: tuple[Float, Float, float], place: Place
) -> None:
    """Draw all parts of a frame into an image [H, W, 3] of depth [H, W], farthest first.

    `camera` is its position [3], its rotation [3, 3] and its focal length [px].
    """
    position, rotation, focal = camera
    seen_P23 = ((parts.ends[frame].reshape(-1, 3) - position) @ rotation).reshape(-1, 2, 3)
    order = _visible(seen_P23, parts.radii, focal)
    for index in order[np.argsort(-seen_P23[order, :, 0].sum(axis=1), kind="stable")]:
        a, b = seen_P23[index]
        (width_a, width_b), colour = parts.radii[index].tolist(), 255.0 * parts.colours[index]
        clear = np.exp(-max(0.5 * (a[0] + b[0]), 0.0) / place.sight)
        colour = clear * colour + (1.0 - clear) * 255.0 * place.air
        draw_limb(picture, (a, b), (width_a, width_b), colour, focal=focal, depth=depth)


def _visible(seen_P23: Float, radii_P2: Float, focal: float) -> Indices:
    """Return the indices of parts that reach into the image."""
    depth = np.maximum(seen_P23[:, :, 0], _NEAREST)
    reach = focal * radii_P2 / depth
    inside = (seen_P23[:, :, 0].max(axis=1) > _NEAREST) & (seen_P23[:, :, 0].min(axis=1) < _FARTHEST)
    for axis, size in ((1, WIDTH), (2, HEIGHT)):
        along = focal * seen_P23[:, :, axis] / depth
        inside &= ((along - reach).min(axis=1) < 0.5 * size) & ((along + reach).max(axis=1) > -0.5 * size)
    return np.flatnonzero(inside)


def _limb_end(start_F3: Float, length: float, angle_F: Float, forward_F3: Float, side_F3: Float | float = 0.0) -> Float:
    """Return the end [F, 3] of a limb that hangs down and is raised forward by `angle_F` [rad]."""
    down = np.array([0.0, 0.0, -1.0])
    along = np.sin(angle_F)[:, None] * forward_F3 + np.cos(angle_F)[:, None] * down + side_F3
    end_F3: Float = start_F3 + length * along
    return end_F3


def person(
    rng: np.random.Generator,
    ground_F3: Float,
    heading_F: Float,
    phase_F: Float,
    *,
    stride_F: Float,
    gestures_F2: Float,
    clothes: Sequence[Float],
) -> Parts:
    """Return a person who stands at `ground_F3` [m] and faces `heading_F` [rad].

    `phase_F` is the phase of the gait [rad], `stride_F` the amount of gait motion and `gestures_F2` how high each
    forearm is raised, both 0 to 1. `clothes` are the colours [3] of jacket, trousers, shoes, skin and hair.
    """
    size, stout = rng.uniform(1.5, 1.95), rng.uniform(0.85, 1.35)
    forward_F3 = np.stack([np.cos(heading_F), np.sin(heading_F), np.zeros_like(heading_F)], axis=1)
    left_F3 = np.stack([-forward_F3[:, 1], forward_F3[:, 0], forward_F3[:, 2]], axis=1)
    bounce_F = 0.02 * np.abs(np.sin(phase_F)) * stride_F

    def at(left: float, up: float) -> Float:
        point_F3: Float = ground_F3 + size * (left * left_F3 + np.array([0.0, 0.0, up]))
        point_F3[:, 2] += bounce_F
        return point_F3

    jacket, trousers, shoes, skin, hair = clothes
    limbs: list[tuple[Float, Float, float, float, Float]] = []
    for number, side in enumerate((-1.0, 1.0)):
        swing_F = np.sin(phase_F + np.pi * number) * stride_F
        bend_F = np.maximum(np.sin(phase_F + np.pi * number + 1.2), 0.0) * stride_F
        hip = at(0.05 * side, 0.5)
        knee = _limb_end(hip, 0.25 * size, 0.45 * swing_F + 0.2 * bend_F, forward_F3)
        ankle = _limb_end(knee, 0.23 * size, 0.45 * swing_F - 0.6 * bend_F, forward_F3)
        limbs += [
            (at(0.045 * side, 0.52), at(0.05 * side, 0.78), 0.075 * stout, 0.07 * stout, jacket),
            (hip, knee, 0.055 * stout, 0.042, trousers),
            (knee, ankle, 0.04, 0.03, trousers),
            (ankle, ankle + 0.1 * size * forward_F3 - 0.015 * size * np.array([0.0, 0.0, 1.0]), 0.03, 0.025, shoes),
        ]
        raised_F, shoulder = gestures_F2[:, number], at(0.125 * side, 0.79)
        elbow = _limb_end(shoulder, 0.17 * size, -0.4 * swing_F + 0.35 * raised_F, forward_F3, 0.1 * side * left_F3)
        hand = _limb_end(elbow, 0.17 * size, 0.25 - 0.5 * swing_F + 2.0 * raised_F, forward_F3, -0.15 * side * left_F3)
        limbs += [(shoulder, elbow, 0.036, 0.03, jacket), (elbow, hand, 0.028, 0.024, skin)]
    limbs += [
        (at(0.0, 0.84), at(0.0, 0.93), 0.03, 0.06, skin),
        (at(0.0, 0.95) - 0.02 * size * forward_F3, at(0.0, 0.96) - 0.02 * size * forward_F3, 0.062, 0.06, hair),
    ]
    starts, ends, first, second, colours = zip(*limbs, strict=True)
    return Parts(
        np.stack([np.stack(starts, axis=1), np.stack(ends, axis=1)], axis=2),
        size * np.stack([np.array(first), np.array(second)], axis=1),
        np.stack(colours),
    )


def gestures(rng: np.random.Generator, times_F: Float, liveliness: float) -> Float:
    """Draw how high two forearms are raised, [F, 2], 0 to 1: bursts of movement, now and then."""
    raised = []
    for _ in range(2):
        burst = np.clip(wander(rng, times_F, 1.0, 7.0, 2.0) - 0.3, 0.0, 1.0)
        raised.append(liveliness * np.clip(burst * (0.8 + wander(rng, times_F, 0.5, 1.6, 0.5)), 0.0, 1.0))
    return np.stack(raised, axis=1)


def wearer(motion: Motion, samples_F: Indices, gestures_F2: Float, clothes: Sequence[Float]) -> Parts:
    """Return the wearer's legs and arms at `samples_F`. Arms swing with the legs; gestures come on top."""
    jacket, trousers, shoes, skin, _ = clothes
    position_F3, trunk_F33 = motion.pelvis.position[samples_F], motion.trunk[samples_F]
    scale = float(np.linalg.norm(motion.legs[0].hip[0] - motion.legs[0].knee[0])) / 0.44
    limbs: list[tuple[Float, Float, float, float, Float]] = []
    for number, (side, leg) in enumerate(zip((-1.0, 1.0), motion.legs, strict=True)):
        hip, knee, ankle, toe = (point[samples_F] for point in (leg.hip, leg.knee, leg.ankle, leg.toe))
        limbs += [
            (hip, knee, 0.09, 0.07, trousers),
            (knee, ankle, 0.065, 0.05, trousers),
            (ankle, toe, 0.06, 0.055, shoes),
        ]
        other = motion.legs[1 - number]
        swing_F = np.clip((other.ankle[samples_F] - other.hip[samples_F])[:, 0] / 0.5, -1.0, 1.0)
        lap_F = np.clip((knee - hip)[:, 0] / 0.4, 0.0, 1.0) ** 4
        swing_F = 0.5 * swing_F * (1.0 - lap_F)
        raised_F = gestures_F2[:, number]
        hanging = [0.0, 1.0, 0.0]
        shoulder = np.tile(scale * np.array([0.0, 0.2 * side, 0.46]), (len(samples_F), 1))
        ahead = np.tile([1.0, 0.0, 0.0], (len(samples_F), 1))
        elbow = _limb_end(shoulder, 0.3 * scale, swing_F + 0.35 * raised_F, ahead, 0.15 * side * np.array(hanging))
        angle_F = 0.3 + swing_F + 1.5 * raised_F + 0.8 * lap_F
        hand = _limb_end(elbow, 0.27 * scale, angle_F, ahead, -0.25 * side * np.array(hanging))
        elbow, hand, shoulder = (
            position_F3 + np.einsum("fij,fj->fi", trunk_F33, point) for point in (elbow, hand, shoulder)
        )
        knuckles = hand + 0.25 * (hand - elbow)
        limbs += [
            (shoulder, elbow, 0.05, 0.045, jacket),
            (elbow, hand, 0.042, 0.035, jacket),
            (hand, knuckles, 0.036, 0.04, skin),
        ]
    starts, ends, first, second, colours = zip(*limbs, strict=True)
    return Parts(
        np.stack([np.stack(starts, axis=1), np.stack(ends, axis=1)], axis=2),
        np.stack([np.array(first), np.array(second)], axis=1),
        np.stack(colours),
    )
