"""Sources of IMU samples and video frames: interfaces, and recordings in memory.

The other sources are `RawFiles` and `PackedFiles`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.types import MotionSpec
from revalexo_clip.data import windows
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.video import Pixels
from revalexo_clip.motion.track import Float32


class ImuSource(ABC):
    """Source of the IMU recordings of indexed clips. It can be forked and pickled."""

    @abstractmethod
    def samples(self, clip: int) -> int:
        """Return the number of IMU samples of a clip. Raises `DataError` if they cannot be read."""

    def first(self, clip: int) -> int:
        """Return when the first sample of a clip was taken [samples from the start of the clip]."""
        return 0

    @abstractmethod
    def imu(self, clip: int, place: slice) -> Samples:
        """Return some of a clip's samples, [L, C] float32, as a new array."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return the fingerprint of the data, see `index_fingerprint`; it is the same for all sources."""


class FrameTimes(NamedTuple):
    """The frames of a clip that can be read."""

    time_P: windows.Floats
    """Ascending presentation times [s in the clip]."""
    tolerance: float
    """Largest allowed difference between a requested time and the presentation time [s]."""


class ClipSource(ImuSource):
    """Source of the IMU recordings and video frames of indexed clips."""

    @abstractmethod
    def frames(self, clip: int, time_T: windows.Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """Return the frames or bursts nearest to the given times [s], [T, H, W, 3] uint8. See `read_frames`."""

    @abstractmethod
    def frame_times(self, clip: int) -> FrameTimes:
        """Return the times of all frames of a clip. Raises `DataError` if they cannot be read."""

    @abstractmethod
    def pixel_source(self, clip: int) -> str:
        """Describe where the pixels of a clip come from. It changes if the video or the way it is stored changes."""


class MotionSource(ABC):
    """Source of the measured image motion of indexed clips. It can be forked and pickled."""

    @abstractmethod
    def motion(self, clip: int, start: float, spec: MotionSpec) -> Float32:
        """Return the motion of a window that starts at `start` [s in the clip], [M, Y, X, 3]. See `resample`.

        Raises `DataError`, naming the video, if it could not be measured.
        """


class InMemory(ImuSource):
    """Recordings in one array, which forked processes share."""

    def __init__(self, recordings: Sequence[Samples], digest: str) -> None:
        """Store the samples [n, C] float32 of each recording; `digest` is their fingerprint."""
        self.samples_nC = np.concatenate(recordings)
        self.offset_N1 = np.cumsum([0, *map(len, recordings)])
        self.digest = digest

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        return int(self.offset_N1[clip + 1] - self.offset_N1[clip])

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        return self.samples_nC[self.offset_N1[clip] : self.offset_N1[clip + 1]][place].copy()

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return self.digest
