"""Ego4D: egocentric videos of everyday activities, many with the IMU of the camera, and narrations.

Grauman et al., arXiv:2110.07058; https://ego4d-data.org. The class reads any dataset in the same layout.
"""

from __future__ import annotations

from pathlib import Path

from revalexo_clip.data.ego4d.dataset import NarratedTakes
from revalexo_clip.data.ego4d.layout import CHANNELS, Ego4DLayout, VideoFolder, of_wearer
from revalexo_clip.data.ego4d.take import Layout


class Ego4D(NarratedTakes):
    """Windows of the videos of Ego4D that have an IMU, around narrations or anywhere; subjects are participants.

    A subject is `participant_` and the number of the participant in `ego4d.json`, or the `video_uid` of a video without
    one. Accelerations [m/s^2] and angular velocities [rad/s] are those of the tables, in the axes of each camera. Rows
    are placed by `canonical_timestamp_ms`.
    """

    root: Path
    """Folder with `ego4d.json`, `narration.json`, `imu/` and videos, which may also be in its folder `v2`; annotations
    also in `annotations`."""
    videos: VideoFolder | None = None
    """Folder of the videos: `video_540ss` or `full_scale` (by `video_uid`), or `clips` (by `clip_uid`). Default: the
    first of them that exists."""
    wearer_only: bool = True
    """Whether only narrations of what the camera wearer does, those that are marked with `#C`, describe windows, and
    windows lie around these only."""

    def open_layout(self) -> Layout:
        """See `NarratedTakes.open_layout`."""
        return Ego4DLayout(self.root.expanduser(), self.videos)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels: `acc_Camera_x` to `gyro_Camera_z`."""
        return tuple(CHANNELS)

    def places_windows(self, text: str) -> bool:
        """See `NarratedTakes.places_windows`."""
        return not self.wearer_only or of_wearer(text)
