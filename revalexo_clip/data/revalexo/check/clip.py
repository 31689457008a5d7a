"""Checking the files of one clip: its video, and the lengths of video and IMU recording."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.axes import Totals
from revalexo_clip.data.revalexo.check.description import ClipFiles
from revalexo_clip.data.revalexo.check.problem import Finding, Problem
from revalexo_clip.data.revalexo.check.recording import Recording, check_recording
from revalexo_clip.data.revalexo.clocked import Clock
from revalexo_clip.data.revalexo.survey import Span
from revalexo_clip.data.revalexo.timing import common_span, too_little
from revalexo_clip.data.video import Survey, survey, video_span
from revalexo_clip.data.windows import TIME_DECIMALS

UNEVEN = 3.0
"""Gaps between frames that are longer than this many median intervals are reported."""


@dataclass(frozen=True)
class VideoCheck:
    """Problems and times of a video."""

    findings: list[Finding]
    length: float | None = None
    """[s], if it can be decoded."""
    span: Span | None = None
    """The time for which training finds frames [s in the clip]."""


def check_video(path: Path, duration: float) -> VideoCheck:
    """Check the video of a clip of `duration` [s]."""
    try:
        seen, span = survey(path), Span(*video_span(path))
    except DataError as error:
        return VideoCheck([("not_a_video", str(error).removeprefix(f"{path}: "))])
    length = float(seen.time_P[-1]) + _interval(seen) if len(seen.time_P) else None
    return VideoCheck([*_findings(seen, span, duration)], length, span)


def _interval(seen: Survey) -> float:
    return float(np.median(np.diff(seen.time_P))) if len(seen.time_P) > 1 else 0.0


def _findings(seen: Survey, span: Span, duration: float) -> Iterator[Finding]:
    if seen.damage is not None:
        yield "damaged_video", seen.damage
    if not len(seen.time_P):
        yield "not_a_video", "has no frames"
        return
    start, end = float(seen.time_P[0]), float(seen.time_P[-1])
    if start > seen.tolerance:
        cut = min(span.begin, duration)
        yield "late_video", f"starts at {start:.3f} s: the first {cut:.3f} s of the clip are cut"
    if math.isfinite(duration) and duration - end > seen.tolerance:
        yield (
            "video_short",
            f"ends at {end:.3f} s, before the end of the clip's last activity at {duration:.3f} s: the last "
            f"{duration - max(span.end, 0.0):.3f} s of the clip are cut",
        )
    yield from _gaps(seen, span, duration)


def _gaps(seen: Survey, span: Span, duration: float) -> Iterator[Finding]:
    """Find gaps between frames within the clip; the message describes the longest one.

    Frames that the header promises and that are not there are gaps, too.
    """
    promised = [time for time in (min(span.end, duration) - seen.tolerance,) if time > seen.time_P[-1]]
    time_Q = np.concatenate([seen.time_P, promised])
    before_P, after_P = time_Q[:-1], time_Q[1:]
    gap_P = np.where(before_P + seen.tolerance < duration, after_P - before_P, 0.0)
    if promised:
        gap_P[-1] *= 2 if gap_P[-1] > seen.tolerance else 0  # no frame follows that could be the nearer one
    stops_P = gap_P > 2 * seen.tolerance
    uneven_P = (gap_P > UNEVEN * _interval(seen)) & ~stops_P
    for kind, wrong_P in (("frame_gap", stops_P), ("uneven_frames", uneven_P)):
        if wrong_P.any():
            worst = int(np.where(wrong_P, gap_P, 0.0).argmax())
            count = int(wrong_P.sum())
            more = f" ({count} such gaps, this is the longest)" if count > 1 else ""
            yield kind, f"has no frame between {before_P[worst]:.3f} s and {after_P[worst]:.3f} s{more}"


@dataclass(frozen=True)
class Settings:
    """What clips are checked against."""

    channels: Sequence[str]
    """Glob patterns."""
    rate: float
    """Sampling rate of the IMU recordings, or of windows if they have a clock [Hz]."""
    clock: Clock | None = None
    """How rows are placed, if they are not simply 1 / `rate` apart from the first frame on."""
    check_clock: bool = True
    """Whether a column that looks like a clock is compared with the rate."""
    min_common: float = 0.0
    """Shortest time that annotations, IMU and video must share in clips that are annotated for so long [s]."""


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
    first: float = 0.0
    """First reading of a column that looks like a clock [s]."""
    totals: Totals = field(default_factory=dict)
    """Mean accelerations, by sensor and activity."""
    common: Span | None = None
    """The time that annotations, IMU and video share [s in the clip], if it is known."""


def check_clip(clip: ClipFiles, settings: Settings) -> ClipCheck:
    """Read both files of a clip from beginning to end."""
    found = ClipCheck(clip)
    video, imu = VideoCheck([]), Recording()
    if clip.video is not None and _can_be_opened(clip.video, "video", found):
        video = check_video(clip.video, clip.duration)
        found.problems += _of(clip, clip.video, video.findings)
    if _can_be_opened(clip.imu, "IMU recording", found):
        imu = check_recording(
            clip.imu,
            settings.channels,
            settings.rate,
            clip.duration,
            clock=settings.clock,
            check_clock=settings.check_clock,
            segments=clip.segments,
        )
        found.problems += _of(clip, clip.imu, imu.findings)
        found.channels, found.first, found.totals = imu.channels, imu.first, imu.totals
    found.problems += _lengths(clip, video.length, imu.length, settings)
    shown = Span(0.0, clip.duration) if clip.video is None else video.span
    if imu.spans and shown is not None:
        found.common = max((common_span(span, shown, clip.duration) for span in imu.spans), key=_length)
        least = settings.min_common
        annotated = clip.duration if math.isfinite(clip.duration) else 0.0
        if round(_length(found.common), TIME_DECIMALS) < least <= round(annotated, TIME_DECIMALS):
            is_imu, message = too_little(clip.name, imu.spans, shown, clip.duration, least)
            file = clip.imu if is_imu or clip.video is None else clip.video
            found.problems.append(Problem("too_little_in_common", file, message, clip.name))
    if math.isinf(clip.duration):
        found.clip = replace(clip, duration=found.common.end if found.common is not None else 0.0)
    return found


def _length(span: Span) -> float:
    return span.end - span.begin


def _lengths(clip: ClipFiles, video: float | None, imu: float | None, settings: Settings) -> Iterator[Problem]:
    """Compare the lengths of video and IMU [s]; a clock says by itself how long a recording is."""
    if not video or not imu or (settings.clock is not None and settings.clock.time is not None):
        return
    if abs(video - imu) > max(DIFFERENCE * max(video, imu), SHORTEST_DIFFERENCE):
        message = (
            f"lasts {imu:.2f} s at {settings.rate:g} Hz, but the video lasts {video:.2f} s: check the rate, and that "
            "both files belong to this clip"
        )
        yield Problem("length_mismatch", clip.imu, message, clip.name)


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
