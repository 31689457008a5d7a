"""The index of a dataset: its clips, their files and their labels.

It is stored as arrays, not as objects, so that a hundred thousand clips take a few megabytes in each loader worker.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.recording_time import ClipTimes
from revalexo_clip.data.windows import Floats, Ints, Segments

Stamp = tuple[int, int]
"""Size [bytes] and time of the last change [ns] of a file."""
ABSENT: Stamp = (-1, 0)
"""The stamp of a file that is not there."""


@dataclass(frozen=True)
class ClipIndex:
    """N clips, ordered by (subject, pair id)."""

    root: Path
    subjects: tuple[str, ...]
    """Subject of each clip."""
    names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    video_N: npt.NDArray[np.str_]
    """Video files, relative to the root; "" for clips without video, and for all clips if no video is needed."""
    imu_N: npt.NDArray[np.str_]
    """IMU files, relative to the root."""
    duration_N: Floats
    """[s]"""
    times: ClipTimes
    activity: Segments
    transition: Segments
    """Segments between two activities; their label is always 0."""
    activities: tuple[str, ...]
    num_too_short: int
    """Number of clips that are left out because they are shorter than the minimum."""
    video_stamp_N2: Ints | None = None
    """Size [bytes] and time of the last change [ns] of each video when it was indexed; None if nobody has looked."""
    imu_stamp_N2: Ints | None = None
    """Size [bytes] and time of the last change [ns] of each IMU file, likewise."""

    def __len__(self) -> int:
        return len(self.names)

    def video(self, clip: int) -> Path:
        """Return the path of a clip's video file."""
        return self.root / str(self.video_N[clip])

    def imu(self, clip: int) -> Path:
        """Return the path of a clip's IMU file."""
        return self.root / str(self.imu_N[clip])

    def video_stamp(self, clip: int) -> Stamp | None:
        """Return the stamp of a clip's video, if it is known."""
        return None if self.video_stamp_N2 is None else _stamp(self.video_stamp_N2[clip])

    def pixel_source(self, clip: int) -> str:
        """Describe the video file of a clip: its name, and its size and time of change as they are now, if it is there.

        If the file is missing, they are those of when it was indexed.
        """
        try:
            status = self.video(clip).stat()
            size, changed = status.st_size, status.st_mtime_ns
        except OSError:
            size, changed = self.video_stamp(clip) or ABSENT
        return f"{self.video_N[clip]} {size} {changed}"

    def imu_stamp(self, clip: int) -> Stamp | None:
        """Return the stamp of a clip's IMU file, if it is known."""
        return None if self.imu_stamp_N2 is None else _stamp(self.imu_stamp_N2[clip])

    def take(self, clip_M: Ints, num_too_short: int) -> ClipIndex:
        """Return the index of the given clips, in that order."""
        if len(clip_M) == len(self) and (clip_M == np.arange(len(self))).all():  # a million names are not copied
            return replace(self, times=self.times.take(clip_M), num_too_short=num_too_short)
        places = clip_M.tolist()
        return replace(
            self,
            subjects=tuple(self.subjects[clip] for clip in places),
            names=tuple(self.names[clip] for clip in places),
            video_N=self.video_N[clip_M],
            imu_N=self.imu_N[clip_M],
            duration_N=self.duration_N[clip_M],
            times=self.times.take(clip_M),
            activity=self.activity.take(clip_M),
            transition=self.transition.take(clip_M),
            num_too_short=num_too_short,
            video_stamp_N2=None if self.video_stamp_N2 is None else self.video_stamp_N2[clip_M],
            imu_stamp_N2=None if self.imu_stamp_N2 is None else self.imu_stamp_N2[clip_M],
        )

    def without_video(self) -> ClipIndex:
        """Return the index of the same clips without video."""
        return replace(self, video_N=np.full(len(self), ""), video_stamp_N2=None)


def _stamp(stamp_2: Ints) -> Stamp:
    size, changed = stamp_2.tolist()
    return size, changed


def fingerprint(described: Iterable[str], files: Iterable[tuple[str, int]]) -> str:
    """Compute the SHA-256, in hex, of the digests of the JSON files and the names and sizes of the other files."""
    digest = hashlib.sha256()
    for content in described:
        digest.update(f"{content}\n".encode())
    for name, size in files:
        digest.update(f"{name} {size}\n".encode())
    return digest.hexdigest()


def check_file(root: Path, relative: str, what: str, described_by: Path) -> Stamp:
    """Return the stamp of a file that `described_by` names.

    Raises `DataError` if it is missing, empty or not a regular file.
    """
    path = root / relative
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: the {what} is missing: {error.strerror} (named in {described_by})") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: the {what} is not a file (named in {described_by})")
    if status.st_size == 0:
        raise DataError(f"{path}: the {what} is empty (named in {described_by})")
    return status.st_size, status.st_mtime_ns
