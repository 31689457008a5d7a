"""The kinds of problem that a dataset can have. Their names are part of the machine-readable report and stay."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]
"""`error`: training would stop there. `warning`: training would go on, and what it is given is doubtful."""

Finding = tuple[str, str]
"""A kind of problem, and what to say about the file that has it."""


class Kind(NamedTuple):
    """What a kind of problem is."""

    severity: Severity
    meaning: str


KINDS: dict[str, Kind] = {
    # The JSON files.
    "label_mapping": Kind("error", "label_mapping.json is missing, unreadable or contradicts itself"),
    "subject_file": Kind("error", "a subject's file cannot be read, or has not the shape that it should have"),
    "subject_twice": Kind("error", "two files describe one subject"),
    "clip_description": Kind("error", "a clip lacks a key, or has a time or a segment that cannot be"),
    "unknown_activity": Kind("error", "a segment's activity is not in the label mapping"),
    "outside_root": Kind("error", "a clip's file lies outside of the dataset"),
    "no_video": Kind("error", "a clip has no video, though its subject has some"),
    # Both files of a clip.
    "missing_file": Kind("error", "a clip's file is not there"),
    "empty_file": Kind("error", "a clip's file holds nothing"),
    "not_a_file": Kind("error", "a clip's file is a folder or something else"),
    "unreadable_file": Kind("error", "a clip's file cannot be opened"),
    # Videos.
    "not_a_video": Kind("error", "a file cannot be decoded as video at all"),
    "damaged_video": Kind("error", "decoding a video fails at some frame"),
    "frame_gap": Kind("error", "a moment of a clip has no frame near it"),
    "video_short": Kind("error", "a video ends before its last activity does"),
    # IMU recordings.
    "not_a_csv": Kind("error", "a file is not CSV text"),
    "missing_channel": Kind("error", "a channel pattern matches no column"),
    "repeated_column": Kind("error", "a channel's name is that of two columns"),
    "other_channels": Kind("error", "a recording gives other channels than most"),
    "no_samples": Kind("error", "a recording holds a header and nothing else"),
    "ragged_rows": Kind("error", "rows have more or fewer cells than the header"),
    "not_a_number": Kind("error", "cells of a channel hold no number"),
    "not_finite": Kind("error", "cells of a channel hold NaN or an infinity"),
    "imu_short": Kind("error", "a recording ends before its last activity does"),
    # What training does not notice.
    "repeated_key": Kind("warning", "a JSON object has a key twice; only the last is read"),
    "overlapping_segments": Kind("warning", "two activities, or two transitions, claim the same time"),
    "uneven_frames": Kind("warning", "frames are missing, fewer than would stop training"),
    "length_mismatch": Kind("warning", "video and recording differ in length: another rate, or another clip"),
    "flat_channel": Kind("warning", "a channel does not change for a second or more"),
    "saturated_channel": Kind("warning", "a channel is cut off at its extreme value"),
    "out_of_range": Kind("warning", "a channel has values that no worn sensor can measure"),
    "acc_units": Kind("warning", "accelerations seem not to be in m/s^2"),
    "gyro_units": Kind("warning", "angular velocities seem not to be in rad/s"),
    "shared_file": Kind("warning", "two clips name one file"),
    "duplicate_file": Kind("warning", "two clips' files have the same content"),
}
"""Every kind, in the order in which they are shown."""

ORDER = {kind: place for place, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file."""

    kind: str
    """A key of `KINDS`."""
    file: Path
    """The file to look at, or the folder that it should be in."""
    message: str
    """What is wrong with it, and where in the file."""
    clip: str | None = None
    """`subject/pair id` of the clip, where it is one clip's problem."""

    @property
    def severity(self) -> Severity:
        """Whether it stops training."""
        return KINDS[self.kind].severity

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Sorts by kind, then by file."""
        return ORDER[self.kind], str(self.file), self.clip or "", self.message

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"
