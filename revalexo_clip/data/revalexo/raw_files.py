"""Source of samples and frames that reads the CSV and mp4 files of a dataset in RevalExo's layout."""

from __future__ import annotations

from revalexo_clip.data import windows
from revalexo_clip.data.imu import ImuCache, Samples
from revalexo_clip.data.index import ClipIndex
from revalexo_clip.data.packets import presentation_times
from revalexo_clip.data.revalexo.index import index_fingerprint
from revalexo_clip.data.source import ClipSource, FrameTimes
from revalexo_clip.data.video import Pixels, read_frames


class RawFiles(ClipSource):
    """mp4 and CSV files, decoded and parsed when they are needed."""

    def __init__(self, index: ClipIndex, channels: tuple[str, ...]) -> None:
        self.index = index
        self.recordings = ImuCache(channels)

    def samples(self, clip: int) -> int:
        """See `ImuSource.samples`."""
        return len(self.recordings.read(self.index.imu(clip)))

    def imu(self, clip: int, place: slice) -> Samples:
        """See `ImuSource.imu`."""
        return self.recordings.read(self.index.imu(clip))[place].copy()

    def frames(self, clip: int, time_T: windows.Floats, short_side: int, crop: int | None, burst: int = 1) -> Pixels:
        """See `ClipSource.frames`."""
        return read_frames(self.index.video(clip), time_T, short_side, crop, burst)

    def frame_times(self, clip: int) -> FrameTimes:
        """See `ClipSource.frame_times`."""
        return FrameTimes(*presentation_times(self.index.video(clip)))

    def pixel_source(self, clip: int) -> str:
        """See `ClipSource.pixel_source`."""
        return self.index.pixel_source(clip)

    def fingerprint(self) -> str:
        """See `ImuSource.fingerprint`."""
        return index_fingerprint(self.index)
