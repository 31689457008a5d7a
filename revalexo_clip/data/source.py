"""Where windows get what they show: from the files of a dataset, or from memory. A pack is another source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from revalexo_clip.data import windows
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.video import Pixels


class ImuSource(ABC):
    """Where the IMU recordings of indexed clips are read. It can be forked and pickled."""

    @abstractmethod
    def samples(self, clip: int) -> int:
        """How many IMU samples a clip has. Raises `DataError` where they cannot be read."""

    @abstractmethod
    def imu(self, clip: int, place: slice) -> Samples:
        """[L, C] float32: some of a clip's samples, not shared with anything that is kept."""

    @abstractmethod
    def fingerprint(self) -> str:
        """See `index_fingerprint`; the same whatever the source."""


class ClipSource(ImuSource):
    """Where the recordings and frames of indexed clips are read."""

    @abstractmethod
    def frames(self, clip: int, time_T: windows.Floats, short_side: int, crop: int | None) -> Pixels:
        """[T, H, W, 3] uint8: the frames nearest to the moments [s]. See `read_frames`."""


class InMemory(ImuSource):
    """Recordings that are kept as one array, which processes that are forked share."""

    def __init__(self, recordings: Sequence[Samples], digest: str) -> None:
        """Take over [n, C] float32 of each recording; `digest` is their fingerprint."""
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
