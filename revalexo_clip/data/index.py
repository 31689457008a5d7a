"""The index of a dataset on disk: which clips there are, what their files are called, what happens in them.

It is arrays, not objects, so that a hundred thousand clips cost a loader worker a few megabytes.
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
from revalexo_clip.data.windows import Floats, Ints, Segments


@dataclass(frozen=True)
class ClipIndex:
    """N clips, ordered by (subject, pair id)."""

    root: Path
    subjects: tuple[str, ...]
    """Subject of each clip."""
    names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    video_N: npt.NDArray[np.str_]
    """Video files, from the root; "" for a clip that has none, and for all of them where no video is wanted."""
    imu_N: npt.NDArray[np.str_]
    """IMU files, from the root."""
    duration_N: Floats
    """[s]"""
    activity: Segments
    transition: Segments
    """The stretches between two activities; their label is always 0."""
    activities: tuple[str, ...]
    num_too_short: int
    """Clips that were shorter than the minimum."""

    def __len__(self) -> int:
        return len(self.names)

    def video(self, clip: int) -> Path:
        """A clip's video file."""
        return self.root / str(self.video_N[clip])

    def imu(self, clip: int) -> Path:
        """A clip's IMU file."""
        return self.root / str(self.imu_N[clip])

    def take(self, clip_M: Ints, num_too_short: int) -> ClipIndex:
        """Some of the clips, in that order."""
        return replace(
            self,
            subjects=tuple(self.subjects[clip] for clip in clip_M),
            names=tuple(self.names[clip] for clip in clip_M),
            video_N=self.video_N[clip_M],
            imu_N=self.imu_N[clip_M],
            duration_N=self.duration_N[clip_M],
            activity=self.activity.take(clip_M),
            transition=self.transition.take(clip_M),
            num_too_short=num_too_short,
        )

    def without_video(self) -> ClipIndex:
        """The same clips, of which no video is wanted."""
        return replace(self, video_N=np.full(len(self), ""))


def fingerprint(described: Iterable[str], files: Iterable[tuple[str, int]]) -> str:
    """SHA-256, in hex, of the digests of the JSON files and of names and sizes of all others."""
    digest = hashlib.sha256()
    for content in described:
        digest.update(f"{content}\n".encode())
    for name, size in files:
        digest.update(f"{name} {size}\n".encode())
    return digest.hexdigest()


def check_file(root: Path, relative: str, what: str, described_by: Path) -> None:
    """Raise the `DataError` that a file which another one names is not there, is empty or no file."""
    path = root / relative
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: the {what} is missing: {error.strerror} (named in {described_by})") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: the {what} is not a file (named in {described_by})")
    if status.st_size == 0:
        raise DataError(f"{path}: the {what} is empty (named in {described_by})")
