"""Checking the files of one clip: its video, and the lengths of video and IMU recording."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.revalexo.check.description import ClipFiles
from revalexo_clip.data.revalexo.check.problem import Finding, Problem
from revalexo_clip.data.revalexo.check.recording import check_recording
from revalexo_clip.data.video import Survey, survey

UNEVEN = 3.0
"""Gaps between frames that are longer than this many median intervals are reported."""


def check_video(path: Path, duration: float) -> tuple[list[Finding], float | None]:
    """Check the video of a clip of `duration` [s]; return also the video's length [s], if it can be decoded."""
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
        yield "not_a_video", "has no frames"
        return
    end = float(seen.time_P[-1])
    if duration - end > seen.tolerance:
        yield "video_short", f"ends at {end:.3f} s, before the end of the clip's last activity at {duration:.3f} s"
    yield from _gaps(seen, duration)


def _gaps(seen: Survey, duration: float) -> Iterator[Finding]:
    """Find gaps between frames within the clip; the message describes the longest one."""
    before_P = np.concatenate([[-seen.tolerance], seen.time_P[:-1]])  # the first frame may be late by the tolerance
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


DIFFERENCE = 0.1
"""Allowed difference in length between a clip's video and recording, as a fraction of the longer one."""

SHORTEST_DIFFERENCE = 0.5
"""Difference in length that is always allowed [s]."""


@dataclass
class ClipCheck:
    """Problems and content of the files of one clip."""

    clip: ClipFiles
    problems: list[Problem] = field(default_factory=list)
    channels: tuple[str, ...] | None = None
    """The ordered channels of the recording, if every pattern matches."""
    digests: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of each file that can be read."""


def check_clip(clip: ClipFiles, patterns: Sequence[str], rate: float) -> ClipCheck:
    """Read both files of a clip from beginning to end."""
    found = ClipCheck(clip)
    lengths: dict[str, float | None] = {}
    if clip.video is not None and _can_be_opened(clip.video, "video", found):
        findings, lengths["video"] = check_video(clip.video, clip.duration)
        found.problems += _of(clip, clip.video, findings)
    if _can_be_opened(clip.imu, "IMU recording", found):
        recording = check_recording(clip.imu, patterns, rate, clip.duration)
        found.problems += _of(clip, clip.imu, recording.findings)
        found.channels, lengths["imu"] = recording.channels, recording.length
    video, imu = lengths.get("video"), lengths.get("imu")
    if video and imu and abs(video - imu) > max(DIFFERENCE * max(video, imu), SHORTEST_DIFFERENCE):
        message = (
            f"lasts {imu:.2f} s at {rate:g} Hz, but the video lasts {video:.2f} s: check the rate, and that both files "
            "belong to this clip"
        )
        found.problems.append(Problem("length_mismatch", clip.imu, message, clip.name))
    return found


def _of(clip: ClipFiles, file: Path, findings: Sequence[Finding]) -> list[Problem]:
    return [Problem(kind, file, message, clip.name) for kind, message in findings]


def _can_be_opened(path: Path, what: str, found: ClipCheck) -> bool:
    """Return whether a file can be read; store its digest in `found`, or its problem."""
    named = f"(named in {found.clip.described_by})"
    try:
        status = path.stat()
    except OSError as error:
        finding = "missing_file", f"the {what} of {found.clip.name} is missing: {error.strerror} {named}"
    else:
        if not stat.S_ISREG(status.st_mode):
            finding = "not_a_file", f"the {what} of {found.clip.name} is not a file {named}"
        elif status.st_size == 0:
            finding = "empty_file", f"the {what} of {found.clip.name} is empty {named}"
        else:
            try:
                found.digests[path] = sha256_of(path)
            except OSError as error:
                finding = "unreadable_file", f"cannot be read: {error.strerror}"
            else:
                return True
    found.problems += _of(found.clip, path, [finding])
    return False
