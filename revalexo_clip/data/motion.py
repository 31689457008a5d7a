"""Measuring the image motion of videos: settings, and the motion of one file."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from revalexo_clip.core.component import Config
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import MotionSpec
from revalexo_clip.data.video import grey_frames
from revalexo_clip.motion import FRONTS, FrontName, MotionTrack, measure


class Motion(Config):
    """Image motion, measured once from the decoded frames of each video, on a grid of cells."""

    rate: PositiveFloat = 30.0
    """Moments per second in a window [Hz], whatever the frame rate of videos."""
    rows: PositiveInt = 3
    """Rows of the grid."""
    columns: PositiveInt = 4
    """Columns of the grid."""
    width: PositiveInt = Field(default=160, ge=32, le=1920)
    """Width to which upright frames are resized before motion is measured [px]."""
    front: FrontName = "phase"
    """How motion is measured: `phase`, by phase correlation; `gradient`, by least squares on image gradients."""

    def spec(self, window: float) -> MotionSpec:
        """Return the format of the motion of windows of a length [s]."""
        return MotionSpec(self.rate, window, self.rows, self.columns)

    @property
    def measurement(self) -> str:
        """Name of all that measured values depend on, apart from the video; the rate of windows is not part of it."""
        return f"{self.front}{FRONTS[self.front].version}-{self.rows}x{self.columns}-{self.width}"


def measure_video(path: Path, motion: Motion) -> MotionTrack:
    """Measure the motion of a video. Raises `DataError`, naming it, if it cannot be decoded or has a single frame."""
    frames = grey_frames(path, motion.width)
    first, second = next(frames, None), next(frames, None)
    if first is None or second is None:
        raise DataError(f"{path}: has fewer than two frames, so that no motion can be measured")
    height, width = first[1].shape
    try:
        front = FRONTS[motion.front](height, width, motion.rows, motion.columns).eval()
    except ValueError as error:
        raise DataError(f"{path}: {error}; change data.motion.rows, columns or width") from error
    return measure(front, chain((first, second), frames))
