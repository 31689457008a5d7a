"""Pieces of takes that windows can lie in: between gaps of the IMU, within the video."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import Split
from revalexo_clip.data.ego4d.rows import Faults
from revalexo_clip.data.ego4d.store import Kept, Stretch, TakeFiles
from revalexo_clip.data.ego4d.take import Footage, Narrations, Take
from revalexo_clip.data.index import ClipIndex, fingerprint
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.video import video_span
from revalexo_clip.data.windows import Segments

log = logging.getLogger("revalexo_clip")

LISTED = 20
"""Takes that the log names; `rxclip check-data` lists all."""


@dataclass(frozen=True)
class Usable:
    """A piece of a take that a window can lie in: between gaps, with video."""

    footage: Footage
    number: int
    """Number of the piece in its footage."""
    stretch: Stretch
    begin: float
    """Start of what can be used [s in the clip]."""
    end: float


@dataclass(frozen=True)
class TakeClips:
    """The clips of a split."""

    index: ClipIndex
    source: TakeFiles
    narrations: tuple[Narrations, ...]
    """Those of each recording that describe windows, with times counted from its start."""
    faults: dict[str, Faults]
    excluded: dict[str, str]


@dataclass(frozen=True)
class Shown:
    """A video, and the time in which it has frames."""

    footage: Footage
    begin: float = 0.0
    """[s in the video]"""
    end: float = float("inf")


def shown_footage(take: Take, *, video: bool) -> tuple[list[Shown], dict[str, str]]:
    """Return the videos of a take that can be used, and the others by their name, with the reason.

    Only headers are read. If no video is needed, the take is taken as one that has a frame at all times.
    """
    if not video:
        return [Shown(Footage(take.name, Path()))], {}
    shown, unusable = [], {}
    for footage in take.footage:
        try:
            if not footage.video.is_file():
                raise DataError(f"{footage.video}: the video is missing")
            shown.append(Shown(footage, *video_span(footage.video)))
        except DataError as error:
            unusable[footage.name] = str(error)
    if not take.footage:
        unusable[take.name] = f"{take.imu}: there is no video of this take"
    return shown, unusable


def usable_pieces(kept: Kept, rate: float, footage: Sequence[Shown]) -> Iterator[Usable]:
    """Yield the pieces of a take in each of its videos."""
    begin_P = np.cumsum([0, *kept.count_P]).tolist()
    for shown in footage:
        start = round(shown.footage.start * rate)
        for number, (first, count) in enumerate(zip(kept.first_P, kept.count_P, strict=True)):
            begin = max((first - start) / rate, shown.begin)
            end = min((first - start + count) / rate, shown.end)
            if end > begin:
                stretch = Stretch(kept.samples, begin_P[number], count, first - start)
                yield Usable(shown.footage, number, stretch, begin, end)


def take_index(root: Path, clips: Sequence[tuple[int, Usable]], takes: Sequence[Take], too_short: int) -> ClipIndex:
    """Return the index of clips, each with the number of its take."""
    names = [
        f"{takes[number].subject}/{clip.footage.name}{f'#{clip.number}' if clip.number else ''}"
        for number, clip in clips
    ]
    nothing = Segments.gather(() for _ in clips)
    end_N = np.array([clip.end for _, clip in clips])
    times = ClipTimes(
        recording_N=np.array([number for number, _ in clips], dtype=np.int64),
        offset_N=np.array([clip.footage.start for _, clip in clips]),
        declared_N=np.ones(len(clips), dtype=bool),
        begin_N=np.array([clip.begin for _, clip in clips]),
        end_N=end_N,
    )
    return ClipIndex(
        root=root,
        subjects=tuple(takes[number].subject for number, _ in clips),
        names=tuple(names),
        video_N=np.array([str(clip.footage.video.absolute()) for _, clip in clips], dtype=np.str_),
        imu_N=np.array([str(takes[number].imu.absolute()) for number, _ in clips], dtype=np.str_),
        duration_N=end_N,
        times=times,
        activity=nothing,
        transition=nothing,
        activities=(),
        num_too_short=too_short,
    )


def takes_fingerprint(takes: Sequence[Take]) -> str:
    """Compute the fingerprint of takes, see `LabelledWindows.fingerprint`."""
    files = [path for take in takes for path in (take.imu, *(footage.video for footage in take.footage))]
    sized = [(path.name, path.stat().st_size) for path in files if path.is_file()]
    return fingerprint((f"{take.name} {take.subject} {_digest(take.narrations)}" for take in takes), sized)


def _digest(narrations: Narrations) -> str:
    return hashlib.sha256(narrations.time_S.tobytes() + "\n".join(narrations.texts).encode()).hexdigest()


def report_faults(split: Split, faults: dict[str, Faults], excluded: dict[str, str]) -> None:
    """Log what is left out of the takes of a split."""
    for name, found in faults.items():
        for _, message in found.findings():
            log.debug("%s: %s", name, message)
    rows = sum(found.left_out for found in faults.values())
    if rows:
        parts = {
            "without time": sum(found.without_time for found in faults.values()),
            "that go back in time": sum(found.backward for found in faults.values()),
            "that lack a value": sum(found.not_finite for found in faults.values()),
        }
        listed = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
        total = sum(found.rows for found in faults.values())
        log.warning("%s: %d of %d IMU rows are left out: %s", split, rows, total, listed)
    if absent := [name for name, found in faults.items() if found.absent_components]:
        log.warning("%s: %s without IMU components: %s", split, counted(len(absent), "take"), ", ".join(absent))
    for name, reason in list(excluded.items())[:LISTED]:
        log.warning("%s: %s is left out: %s", split, name, reason)
    if len(excluded) > LISTED:
        more = counted(len(excluded) - LISTED, "more take")
        log.warning("%s: %s left out; rxclip check-data lists all", split, more)
