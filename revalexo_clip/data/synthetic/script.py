"""Activities and transitions of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

CLIP_SECONDS = 12.0
THEME_SECONDS = 10.0
"""Time that a theme gets in a recording of several."""
ACTIVITIES = (
    "standing",
    "walking",
    "stairs_up",
    "stairs_down",
    "ramp_up",
    "ramp_down",
    "sitting_down",
    "sitting",
    "standing_up",
)
STEPPING = frozenset({"walking", "stairs_up", "stairs_down", "ramp_up", "ramp_down"})
"""Activities with footsteps."""

THEMES: tuple[tuple[str, ...], ...] = (
    ("walking", "stairs_up", "walking"),
    ("standing", "walking", "ramp_up"),
    ("sitting", "standing_up", "walking"),
    ("walking", "stairs_down", "walking"),
    ("walking", "standing", "sitting_down", "sitting"),
    ("ramp_down", "walking", "standing"),
    ("stairs_up", "walking", "stairs_down"),
    ("walking", "standing", "walking"),
    ("ramp_up", "walking", "ramp_down"),
    ("sitting", "standing_up", "standing", "sitting_down", "sitting"),
    ("stairs_down", "walking", "stairs_up"),
    ("walking", "ramp_down", "walking"),
)
_TRANSITION_HALF_WIDTH = 0.5


@dataclass(frozen=True)
class Segment:
    """One activity, from `start` to `end` [s from the start of the clip]."""

    activity: str
    start: float
    end: float


def plan_clip(rng: np.random.Generator, theme: int, seconds: float = CLIP_SECONDS) -> tuple[Segment, ...]:
    """Draw the segments of `seconds`. Themes repeat after `len(THEMES)` clips, with different timing.

    What is longer than a clip has a theme for each `THEME_SECONDS`.
    """
    activities = join_themes([THEMES[(theme + more) % len(THEMES)] for more in range(round(seconds / THEME_SECONDS))])
    is_brief = np.array([activity in {"sitting_down", "standing_up"} for activity in activities])
    brief = rng.uniform(1.3, 2.2, size=len(activities)) * is_brief
    share = rng.uniform(0.6, 1.4, size=len(activities)) * ~is_brief
    lengths = brief + share / share.sum() * (seconds - brief.sum())
    ends = np.round(np.cumsum(lengths), 2)
    ends[-1] = seconds
    starts = [0.0, *ends[:-1].tolist()]
    return tuple(Segment(a, s, e) for a, s, e in zip(activities, starts, ends.tolist(), strict=True))


def join_themes(themes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Put themes after one another, with the changes of posture that lie between them."""
    joined: list[str] = []
    for theme in themes:
        if joined and (joined[-1] == "sitting") is not (theme[0] == "sitting"):
            joined.append("standing_up" if joined[-1] == "sitting" else "sitting_down")
        joined += theme[1:] if joined and joined[-1] == theme[0] else theme
    return tuple(joined)


def transitions(plan: tuple[Segment, ...]) -> list[dict[str, float | str]]:
    """Return the transition segments of a clip, named `<from>_to_<to>`, and `no_transition` segments between them."""
    found: list[dict[str, float | str]] = []
    steady_from = 0.0
    for before, after in pairwise(plan):
        start, end = after.start - _TRANSITION_HALF_WIDTH, after.start + _TRANSITION_HALF_WIDTH
        if start > steady_from:
            found.append({"start": steady_from, "end": round(start, 2), "transition": "no_transition"})
        name = f"{before.activity}_to_{after.activity}"
        found.append({"start": round(max(start, steady_from), 2), "end": round(end, 2), "transition": name})
        steady_from = round(end, 2)
    found.append({"start": steady_from, "end": plan[-1].end, "transition": "no_transition"})
    return found
