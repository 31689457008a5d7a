"""What people do with their hands while they sit or stand: at a desk, eating, brushing teeth, talking, cleaning.

Shapes: T = samples in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revalexo_clip.data.synthetic.bodies.curves import bursts, cycles, drift, shifts, timeline, visits
from revalexo_clip.data.synthetic.bodies.daily import HANG, LAP, TABLE, look, sit, stand
from revalexo_clip.data.synthetic.bodies.people import Person
from revalexo_clip.data.synthetic.bodies.posture import SIDES, Impact, Posture
from revalexo_clip.data.synthetic.geometry import Float

_KEYS = (0.45, 0.18, 0.3, 1.45, 1.4)
_MOUSE = (0.55, 0.3, 0.05, 1.2, 1.4)
_BOOK = (0.4, 0.1, 0.4, 1.6, 0.5)
_PLATE = (0.65, 0.25, 0.45, 1.1, 1.0)
_MOUTH = (0.8, 0.4, 0.75, 2.15, 0.3)
_TEETH = (0.85, 0.55, 0.8, 2.1, 0.4)
_PHONE = (0.4, 0.1, 0.4, 1.75, 0.5)
_GESTURES = (
    LAP,
    (0.4, 0.3, 0.1, 1.5, 0.6),
    (0.7, 0.4, -0.1, 1.2, 0.3),
    (0.3, 0.15, 0.5, 1.8, 1.0),
    (0.9, 0.5, 0.0, 0.8, 0.2),
)
"""Postures of an arm, see `posture.ARM`."""


def _sides(person: Person) -> tuple[str, str]:
    """Return the dominant side, and the other one."""
    return ("R", "L") if person.right_handed else ("L", "R")


def _settled(rng: np.random.Generator, person: Person, times_T: Float, lively: tuple[float, float]) -> Posture:
    """Sit at a table, more or less calmly, with both arms on it."""
    calm = float(np.exp(rng.uniform(*np.log(lively))))
    posture = sit(rng, person, times_T, lively=calm, lean=(-0.05, 0.3))
    for side in SIDES:
        _place(rng, posture, side, TABLE)
    return posture


def _sit_or_stand(rng: np.random.Generator, person: Person, times_T: Float, lively: float) -> Posture:
    if rng.random() < 0.5:
        return sit(rng, person, times_T, lively=lively)
    return stand(rng, person, times_T, lively=lively)


def _place(rng: np.random.Generator, posture: Posture, side: str, angles: Sequence[float]) -> None:
    """Put an arm somewhere, a little different each time."""
    posture.arm(side, [angle + rng.normal(0.0, 0.08) for angle in angles])


def _visit(posture: Posture, side: str, angles_5T: Float) -> None:
    posture.arm(side, list(angles_5T))


def write(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Write by hand, line after line."""
    posture = _settled(rng, person, times_T, (0.15, 0.9))
    posture.add(head_pitch=rng.uniform(0.2, 0.7), trunk_pitch=rng.uniform(0.0, 0.15))
    hand, _ = _sides(person)
    busy_T = bursts(rng, times_T, 0.85)
    strokes_T = cycles(rng, times_T, rng.uniform(3.0, 5.5), 0.3)
    line_T = np.interp(np.mod(cycles(rng, times_T, rng.uniform(0.07, 0.15)), 1.0), [0.0, 0.92, 1.0], [-1.0, 1.0, -1.0])
    size = rng.uniform(0.008, 0.02)
    wave_T = np.sin(2.0 * np.pi * strokes_T)
    posture.add(
        **{
            f"spin_{hand}": 0.07 * _settle(line_T, times_T) + 0.5 * size * busy_T * wave_T,
            f"pronate_{hand}": size * busy_T * np.sin(2.0 * np.pi * strokes_T + 1.0)
            + drift(rng, times_T, 0.03, 5.0, 0.8),
            f"elbow_{hand}": 0.3 * size * busy_T * wave_T + drift(rng, times_T, 0.3 * size, 0.8, 0.2),
        }
    )
    return posture


def _settle(curve_T: Float, times_T: Float) -> Float:
    """Smooth a curve with corners over 0.1 s, so that its acceleration is bounded."""
    width = max(3, int(0.1 / float(times_T[1] - times_T[0])))
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(curve_T, width, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="same")[width:-width]


def type_keys(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Type on a keyboard."""
    posture = _settled(rng, person, times_T, (0.15, 0.9))
    posture.add(head_pitch=rng.uniform(0.0, 0.35))
    busy_T = bursts(rng, times_T, 0.8)
    for side in SIDES:
        _place(rng, posture, side, _KEYS)
        size = rng.uniform(0.002, 0.008)
        posture.add(
            **{
                f"elbow_{side}": busy_T * drift(rng, times_T, size, 0.4, 0.12),
                f"pronate_{side}": busy_T * drift(rng, times_T, 3.0 * size, 0.4, 0.12),
                f"spin_{side}": shifts(rng, times_T, 0.03, (0.3, 2.0), (0.2, 0.5)) * busy_T,
            }
        )
        start_K, _ = timeline(rng, times_T, (0.15, 0.9), (0.08, 0.1))
        pressed = start_K[np.interp(start_K, times_T, busy_T) > 0.5]
        posture.impacts += [Impact(float(at), rng.uniform(0.01, 0.05), f"hand_{side}") for at in pressed]
    return posture


def browse(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Look at a screen, with a hand on a mouse."""
    posture = _settled(rng, person, times_T, (0.1, 0.9))
    posture.add(head_pitch=rng.uniform(-0.1, 0.2))
    hand, other = _sides(person)
    _place(rng, posture, hand, _MOUSE)
    if rng.random() < 0.5:
        _place(rng, posture, other, LAP)
    posture.add(
        **{
            f"spin_{hand}": shifts(rng, times_T, 0.06, (0.2, 4.0), (0.2, 0.6)),
            f"elbow_{hand}": shifts(rng, times_T, 0.03, (0.2, 4.0), (0.2, 0.6)),
        }
    )
    return posture


def read(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Read a book or a sheet, in the hands or on the table."""
    posture = _settled(rng, person, times_T, (0.3, 1.6))
    posture.add(head_pitch=rng.uniform(0.15, 0.6))
    hand, _ = _sides(person)
    if rng.random() < 0.6:
        for side in SIDES:
            _place(rng, posture, side, _BOOK)
            posture.add(**{f"elbow_{side}": drift(rng, times_T, 0.01, 5.0, 0.8)})
    lines_T = np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(0.2, 0.45)))
    posture.add(head_yaw=rng.uniform(0.0, 0.05) * lines_T)
    page_T = bursts(rng, times_T, 0.12, (1.5, 3.0))
    posture.add(**{f"spin_{hand}": 0.3 * page_T, f"shoulder_{hand}": 0.12 * page_T, f"pronate_{hand}": -0.6 * page_T})
    return posture


def eat(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Eat at a table: the hand goes from the plate to the mouth."""
    posture = _settled(rng, person, times_T, (0.4, 1.6))
    hand, other = _sides(person)
    angles = visits(rng, times_T, (_PLATE, _MOUTH), (0.2, 1.8), (0.6, 1.2), order=(0, 1, 0, 0))
    _visit(posture, hand, angles)
    raised_T = (angles[3] - _PLATE[3]) / (_MOUTH[3] - _PLATE[3])
    posture.add(head_pitch=0.3 - 0.15 * raised_T, trunk_pitch=0.08 * raised_T)
    if rng.random() < 0.5:  # with a knife in the other hand
        _place(rng, posture, other, _PLATE)
        cut_T = bursts(rng, times_T, 0.25, (1.0, 4.0)) * np.sin(
            2.0 * np.pi * cycles(rng, times_T, rng.uniform(1.5, 3.0))
        )
        posture.add(**{f"elbow_{other}": 0.06 * cut_T, f"shoulder_{other}": 0.05 * cut_T})
    chew_T = bursts(rng, times_T, 0.6, (3.0, 10.0)) * np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(1.1, 1.8)))
    return posture.add(head_pitch=0.004 * chew_T)


def drink(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Drink from a cup or a glass."""
    posture = _sit_or_stand(rng, person, times_T, rng.uniform(0.4, 1.5))
    hand, _ = _sides(person)
    low = TABLE if rng.random() < 0.6 else (0.3, 0.15, 0.4, 1.5, 0.3)
    angles = visits(rng, times_T, (low, _MOUTH), (0.8, 3.5), (0.7, 1.4), order=(0, 1))
    _visit(posture, hand, angles)
    raised_T = (angles[3] - low[3]) / (_MOUTH[3] - low[3])
    return posture.add(head_pitch=-0.25 * raised_T, **{f"raise_{hand}": 0.2 * raised_T})


def brush_teeth(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Brush teeth."""
    posture = stand(rng, person, times_T, lively=rng.uniform(0.2, 0.8))
    hand, _ = _sides(person)
    _visit(
        posture,
        hand,
        visits(rng, times_T, (_TEETH, (0.9, 0.7, 0.6, 2.05, 0.9), (0.8, 0.4, 0.9, 2.15, 0.1)), (2.0, 8.0), (0.4, 0.9)),
    )
    strokes_T = np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(2.5, 5.5), 0.3)) * bursts(rng, times_T, 0.85)
    size = rng.uniform(0.03, 0.12)
    posture.add(
        head_pitch=rng.uniform(0.0, 0.25) + 0.06 * size * strokes_T,
        head_yaw=0.08 * size * strokes_T,
        **{
            f"elbow_{hand}": size * strokes_T,
            f"spin_{hand}": 0.7 * size * strokes_T,
            f"pronate_{hand}": 0.6 * size * strokes_T,
        },
    )
    return posture


def talk(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Talk, with gestures of both hands and nods."""
    lively = rng.uniform(0.6, 2.2)
    posture = _sit_or_stand(rng, person, times_T, lively)
    speaking_T = bursts(rng, times_T, 0.65, (2.0, 9.0))
    rest = [np.asarray(angle) for angle in (HANG if rng.random() < 0.5 else LAP)]
    for side in SIDES:
        angles = visits(rng, times_T, _GESTURES, (0.05, 1.6), (0.3, 0.8), spread=0.15)
        posture.arm(side, [low + speaking_T * (angle - low) for low, angle in zip(rest, angles, strict=True)])
    nods_T = np.sin(2.0 * np.pi * cycles(rng, times_T, rng.uniform(1.5, 3.0))) * bursts(rng, times_T, 0.3, (0.5, 2.0))
    return posture.add(
        head_pitch=0.05 * lively * nods_T + speaking_T * drift(rng, times_T, 0.04, 1.5, 0.3),
        head_yaw=speaking_T * drift(rng, times_T, 0.05, 1.5, 0.35),
        head_roll=speaking_T * drift(rng, times_T, 0.03, 1.5, 0.35),
    )


def phone(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Look at a phone, and type on it."""
    posture = _sit_or_stand(rng, person, times_T, rng.uniform(0.15, 0.7))
    hand, other = _sides(person)
    _place(rng, posture, hand, _PHONE)
    busy_T = bursts(rng, times_T, 0.5)
    if rng.random() < 0.4:
        _place(rng, posture, other, _PHONE)
    for side in (hand, other):
        posture.add(
            **{
                f"pronate_{side}": busy_T * drift(rng, times_T, 0.02, 0.6, 0.15),
                f"elbow_{side}": drift(rng, times_T, 0.012, 4.0, 0.6),
            }
        )
    return posture.add(head_pitch=rng.uniform(0.25, 0.7))


def clean(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Wipe, stir, sweep: cycles of one or both arms, with small steps."""
    posture = stand(rng, person, times_T, lively=rng.uniform(0.6, 1.6))
    hand, other = _sides(person)
    stroke_T = cycles(rng, times_T, rng.uniform(0.6, 2.2), 0.3)
    size_T = rng.uniform(0.1, 0.4) * bursts(rng, times_T, 0.8)
    angles = visits(
        rng,
        times_T,
        ((0.8, 0.3, 0.2, 0.9, 1.0), (1.1, 0.5, 0.0, 0.6, 1.1), (0.6, 0.2, 0.6, 1.2, 0.8)),
        (1.5, 6.0),
        (0.6, 1.2),
        spread=0.12,
    )
    wave_T, other_T = np.sin(2.0 * np.pi * stroke_T), np.cos(2.0 * np.pi * stroke_T)
    circling = rng.uniform(0.0, 1.0)
    for side, share in ((hand, 1.0), (other, 1.0 if rng.random() < 0.4 else 0.0)):
        if share:
            _visit(posture, side, angles)
            posture.add(
                **{
                    f"shoulder_{side}": size_T * wave_T,
                    f"spin_{side}": size_T * circling * other_T,
                    f"elbow_{side}": -0.6 * size_T * wave_T,
                }
            )
    posture.add(
        trunk_pitch=rng.uniform(0.0, 0.4) + 0.12 * size_T * wave_T,
        trunk_yaw=0.15 * size_T * other_T,
        pelvis_pitch=0.1 + 0.04 * size_T * wave_T,
        head_pitch=rng.uniform(0.2, 0.5),
    )
    return posture


def fidget(rng: np.random.Generator, person: Person, times_T: Float) -> Posture:
    """Sit restlessly: turn head and trunk, shift, scratch."""
    posture = sit(rng, person, times_T, lively=rng.uniform(1.0, 2.0))
    look(rng, person, posture, times_T, rng.uniform(0.5, 1.5))
    yaw_T = shifts(rng, times_T, 0.2, (0.8, 6.0), (0.8, 1.8))
    posture.add(
        trunk_yaw=yaw_T,
        head_yaw=yaw_T,
        trunk_pitch=shifts(rng, times_T, 0.08, (1.0, 8.0), (0.8, 1.8)),
        trunk_roll=shifts(rng, times_T, 0.06, (1.0, 8.0), (0.8, 1.8)),
    )
    for side in SIDES:
        _visit(
            posture, side, visits(rng, times_T, (*_GESTURES, TABLE, (1.0, 0.5, 0.6, 2.3, 0.6)), (0.8, 8.0), (0.5, 1.1))
        )
    return posture
