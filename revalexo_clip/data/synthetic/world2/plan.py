"""Activities of a recording, in random order."""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.synthetic.script import CLIP_SECONDS, Segment

_STARTS = (
    *("walking", "stairs_up", "standing", "ramp_up", "sitting", "stairs_down", "walking", "ramp_down", "standing"),
    "sitting",
)
_NEXT: dict[str, dict[str, float]] = {
    "walking": {
        "standing": 2.0,
        "stairs_up": 2.0,
        "stairs_down": 2.0,
        "ramp_up": 2.0,
        "ramp_down": 2.0,
        "sitting_down": 1.0,
    },
    "standing": {
        "walking": 3.0,
        "sitting_down": 2.5,
        "stairs_up": 0.5,
        "stairs_down": 0.5,
        "ramp_up": 0.5,
        "ramp_down": 0.5,
    },
    "stairs_up": {"walking": 3.0, "standing": 1.0},
    "stairs_down": {"walking": 3.0, "standing": 1.0},
    "ramp_up": {"walking": 3.0, "standing": 1.0},
    "ramp_down": {"walking": 3.0, "standing": 1.0},
    "sitting": {"standing_up": 1.0},
    "standing_up": {"walking": 2.0, "standing": 1.0},
    "sitting_down": {"sitting": 1.0},
}
"""Activities that may follow each activity, with their weights."""
_SECONDS = {"sitting_down": (1.1, 2.8), "standing_up": (1.0, 2.6), "sitting": (2.0, 8.0), "standing": (1.5, 7.0)}
_OTHER_SECONDS = (2.0, 7.0)


def plan_recording(rng: np.random.Generator, start: int, seconds: float = CLIP_SECONDS) -> tuple[Segment, ...]:
    """Draw the segments of `seconds`: a walk through the graph of activities.

    Successive values of `start` begin with different activities. The last activity is never a change of posture.
    """
    activities, lengths = [_STARTS[start % len(_STARTS)]], []
    while True:
        lengths.append(rng.uniform(*_SECONDS.get(activities[-1], _OTHER_SECONDS)))
        if sum(lengths) > seconds and activities[-1] not in {"sitting_down", "standing_up"}:
            break
        names, weights = zip(*_NEXT[activities[-1]].items(), strict=True)
        activities.append(str(rng.choice(names, p=np.array(weights) / sum(weights))))
    ends = np.round(np.cumsum(np.array(lengths)) * (seconds / sum(lengths)), 2)
    ends[-1] = seconds
    starts = [0.0, *ends[:-1].tolist()]
    return tuple(Segment(a, s, e) for a, s, e in zip(activities, starts, ends.tolist(), strict=True))
