"""What is wrong with a clip's video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.check.problem import Finding
from revalexo_clip.data.video import Survey, survey

UNEVEN = 3.0
"""A gap between two frames is worth a word from this many median intervals on."""


def check_video(path: Path, duration: float) -> tuple[list[Finding], float | None]:
    """What is wrong with a video of a clip of `duration` [s]; and how long it is [s], where it can be decoded."""
    try:
        seen = survey(path)
    except DataError as error:
        return [("not_a_video", str(error).removeprefix(f"{path}: "))], None
    return [*_findings(seen, duration)], float(seen.time_P[-1]) + _interval(seen) if len(seen.time_P) else None


def _interval(seen: Survey) -> float:
    return float(np.median(np.diff(seen.time_P))) if len(seen.time_P) > 1 else 0.0


def _findings(seen: Survey, duration: float) -> Iterator[Finding]:
    if seen.damage is not None:
        yield "damaged_video", seen.damage
    if not len(seen.time_P):
        yield "not_a_video", "shows no frame"
        return
    end = float(seen.time_P[-1])
    if duration - end > seen.tolerance:
        yield "video_short", f"ends at {end:.3f} s, the clip's last activity at {duration:.3f} s"
    yield from _gaps(seen, duration)


def _gaps(seen: Survey, duration: float) -> Iterator[Finding]:
    """The gaps between frames with moments of the clip in them, the longest named."""
    before_P = np.concatenate([[-seen.tolerance], seen.time_P[:-1]])  # before the first frame, nothing else is needed
    gap_P = np.where(before_P + seen.tolerance < duration, seen.time_P - before_P, 0.0)
    stops_P = gap_P > 2 * seen.tolerance
    uneven_P = (gap_P > UNEVEN * _interval(seen)) & ~stops_P
    uneven_P[0] = False
    for kind, wrong_P in (("frame_gap", stops_P), ("uneven_frames", uneven_P)):
        if wrong_P.any():
            worst = int(np.where(wrong_P, gap_P, 0.0).argmax())
            start = max(float(before_P[worst]), 0.0)
            end = float(seen.time_P[worst])
            count = int(wrong_P.sum())
            more = f" ({count} such gaps, this is the longest)" if count > 1 else ""
            yield kind, f"has no frame between {start:.3f} s and {end:.3f} s{more}"
