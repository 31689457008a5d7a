"""The kinds of problem of a dataset. Their names are part of the JSON output, so they must not change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]
"""`error`: training would stop. `warning`: training would continue, but the data may be wrong."""

Finding = tuple[str, str]
"""Kind and message of a problem of one file."""


class Kind(NamedTuple):
    """Severity and meaning of a kind of problem."""

    severity: Severity
    meaning: str


KINDS: dict[str, Kind] = {
    # The JSON files.
    "label_mapping": Kind("error", "label_mapping.json is missing, unreadable or contradicts itself"),
    "subject_file": Kind("error", "a subject's file cannot be read or has the wrong structure"),
    "subject_twice": Kind("error", "two files of a subject describe the same recording"),
    "clip_description": Kind("error", "a clip lacks a key, or has an invalid time or segment"),
    "unknown_activity": Kind("error", "a segment's activity is not in the label mapping"),
    "outside_root": Kind("error", "a clip's file is outside the dataset"),
    "no_video": Kind("error", "a clip has no video, but its subject has some"),
    # Both files of a clip.
    "missing_file": Kind("error", "a clip's file is missing"),
    "empty_file": Kind("error", "a clip's file is empty"),
    "not_a_file": Kind("error", "a clip's file is not a regular file"),
    "unreadable_file": Kind("error", "a clip's file cannot be opened"),
    # Videos.
    "not_a_video": Kind("error", "a file cannot be decoded as video"),
    "damaged_video": Kind("error", "a video is corrupt: decoding fails at a frame (not every codec notices damage)"),
    "frame_gap": Kind("error", "part of a clip has no frame near it"),
    # IMU recordings.
    "not_a_csv": Kind("error", "a file is not a CSV text file"),
    "missing_channel": Kind("error", "a channel pattern matches no column"),
    "repeated_column": Kind("error", "two columns have the name of one channel"),
    "other_channels": Kind("error", "a recording has different channels than most"),
    "no_samples": Kind("error", "a recording has a header but no samples"),
    "ragged_rows": Kind("error", "rows have more or fewer cells than the header"),
    "not_a_number": Kind("error", "cells of a channel are not numbers"),
    "not_finite": Kind("error", "cells of a channel are NaN or infinite"),
    # Clocks, and what files share.
    "clock_contradicts_rate": Kind("error", "a column that looks like a clock contradicts the sampling rate"),
    "late_clock": Kind("error", "a clock starts late, and nothing says whether the recording does"),
    "bad_clock": Kind("error", "the clock of a recording cannot be used"),
    "too_little_in_common": Kind("error", "annotations, IMU and video of a clip share too little time"),
    "contradictory_offsets": Kind("error", "equal IMU rows put a clip at two places of a recording"),
    # Labelled recordings in other layouts, and packs.
    "recording_table": Kind("error", "recordings.csv, segments.csv or an .npz file is invalid, or contradicts a file"),
    "near_miss": Kind("error", "columns look like sensors, and are named so that they would be left out"),
    "undeclared_units": Kind("error", "the unit of a sensor is another one, and is not declared"),
    "corrupt_pack": Kind("error", "a pack or a motion file is not what was written"),
    # Problems that do not stop training.
    "repeated_key": Kind("warning", "a JSON object has a key twice; only the last one is read"),
    "unlabelled": Kind("warning", "a clip has no activity, although the label mapping has some"),
    "overlapping_segments": Kind("warning", "two activities, or two transitions, overlap in time"),
    "late_video": Kind("warning", "a video starts later than its file: the clip is cut"),
    "video_short": Kind("warning", "a video ends before the last activity: the clip is cut"),
    "late_imu": Kind("warning", "a recording starts after the first frame: the clip is cut"),
    "imu_short": Kind("warning", "a recording ends before the last activity: the clip is cut"),
    "uneven_frames": Kind("warning", "frames are missing, but too few to stop training"),
    "length_mismatch": Kind("warning", "video and recording differ in length: wrong rate, or wrong clip"),
    "counting_channel": Kind("warning", "a channel ascends with every row: a clock or a counter, not a sensor"),
    "unusable_take": Kind("warning", "a take has no usable IMU table or no video; it is left out"),
    "missing_time": Kind("warning", "rows have no time; they are left out"),
    "backward_time": Kind("warning", "rows go back in time; they are left out"),
    "missing_value": Kind("warning", "rows lack a value; they are left out"),
    "absent_component": Kind("warning", "a component of a recording has no rows"),
    "imu_gap": Kind("warning", "a recording has stretches without rows; windows leave them out"),
    "flat_channel": Kind("warning", "a channel is constant for a second or more"),
    "clock_jump": Kind("warning", "a column that looks like a clock goes back, or jumps ahead"),
    "lost_rows": Kind("warning", "a clock says that rows are missing: dropped packets"),
    "held_rows": Kind("warning", "all axes of a sensor stand still for some rows in motion: dropped packets"),
    "saturated_channel": Kind("warning", "a channel is clipped at its extreme value"),
    "out_of_range": Kind("warning", "a channel has values beyond the range of worn sensors"),
    "acc_units": Kind("warning", "accelerations seem not to be in m/s^2"),
    "gyro_units": Kind("warning", "angular velocities seem not to be in rad/s"),
    "no_gravity": Kind("warning", "accelerations seem to be without gravity"),
    "permuted_axes": Kind("warning", "the axes of a subject's sensor are not those of the other subjects"),
    "swapped_sides": Kind("warning", "the left and the right sensor of a subject seem to be exchanged"),
    "changed_content": Kind("warning", "a file's content is not what was packed, although nobody changed it"),
    "shared_file": Kind("warning", "two clips name the same file"),
    "duplicate_file": Kind("warning", "files of two clips have the same content"),
    "wrong_offset": Kind("warning", "equal IMU rows contradict the declared offset of a clip"),
    "shared_across_subjects": Kind("warning", "clips of two subjects share IMU rows"),
}
"""All kinds, in display order."""

ORDER = {kind: place for place, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Problem:
    """One problem of one file."""

    kind: str
    """A key of `KINDS`."""
    file: Path
    """The file with the problem, or the folder that should contain it."""
    message: str
    """What is wrong, and where in the file."""
    clip: str | None = None
    """`subject/pair id` of the clip, if the problem belongs to one clip."""

    @property
    def severity(self) -> Severity:
        """`error` if it stops training, else `warning`."""
        return KINDS[self.kind].severity

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Sort key: kind, then file."""
        return ORDER[self.kind], str(self.file), self.clip or "", self.message

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"
