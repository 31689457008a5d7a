"""What is wrong with the files of one clip."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.revalexo.check.description import ClipFiles
from revalexo_clip.data.revalexo.check.footage import check_video
from revalexo_clip.data.revalexo.check.problem import Finding, Problem
from revalexo_clip.data.revalexo.check.recording import check_recording

DIFFERENCE = 0.1
"""Share by which a clip's video and recording may differ in length: one can begin before and end after the other."""
SHORTEST_DIFFERENCE = 0.5
"""A difference in length under this is none [s]."""


@dataclass
class ClipCheck:
    """What was found in the files of one clip."""

    clip: ClipFiles
    problems: list[Problem] = field(default_factory=list)
    channels: tuple[str, ...] | None = None
    """The ordered channels of the recording, where it has what was asked for."""
    digests: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of each file that can be opened."""


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
            f"lasts {imu:.2f} s at {rate:g} Hz, the video {video:.2f} s: is the rate another, or one of another clip?"
        )
        found.problems.append(Problem("length_mismatch", clip.imu, message, clip.name))
    return found


def _of(clip: ClipFiles, file: Path, findings: Sequence[Finding]) -> list[Problem]:
    return [Problem(kind, file, message, clip.name) for kind, message in findings]


def _can_be_opened(path: Path, what: str, found: ClipCheck) -> bool:
    """Whether a file is there to be read. Notes what it holds, or what is wrong with it."""
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
