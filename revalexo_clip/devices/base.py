"""What a device recorded: IMU streams, a video and labels, on one clock.

Every reader of this room is a function that takes the path of a recording and returns a `DeviceRecording`. It raises
`DataError`, naming the file, if the file is damaged or of another kind, or has no such streams.

All times of a recording are seconds on one clock, whose zero is its first video frame; without a video, its first IMU
sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.types import AXES, Channel

Floats = npt.NDArray[np.float64]

UNITS = {"acc": "m/s^2", "gyro": "rad/s"}
"""Unit of each kind of channel; readers convert to it."""


def channels_of(segment: str, kinds: tuple[str, ...] = ("acc", "gyro")) -> tuple[str, ...]:
    """Return the names of the channels of a sensor, e.g. `acc_Head_x` to `gyro_Head_z`."""
    return tuple(Channel(kind, segment, axis).name for kind, axis in product(kinds, AXES))


@dataclass(frozen=True)
class ImuStream:
    """The samples of one sensor: an accelerometer, a gyroscope, or both on common times."""

    segment: str
    """Place on the body, as in the names of its channels, e.g. `Head`."""
    channels: tuple[str, ...]
    """C channel names, e.g. `acc_Head_x`; see `channels_of`."""
    time_N: Floats
    """Strictly ascending times [s], possibly with jitter, possibly before zero."""
    values_NC: Floats
    """[N, C] float64: accelerations [m/s^2], gravity included unless a note says otherwise, angular rates [rad/s]."""
    units: tuple[str, ...] = ()
    """Unit of each channel; those of `UNITS` if empty."""
    axes: str = ""
    """How the axes are oriented, for the plan, e.g. `x right, y down, z forward`; empty if that is not known."""
    notes: tuple[str, ...] = ()
    """Sentences on faults that were found or repaired, for the plan."""
    gravity: bool = True
    """False if gravity has been removed from the accelerations, by the device or by a program."""

    def __post_init__(self) -> None:
        if not self.units:
            object.__setattr__(self, "units", tuple(UNITS[name.partition("_")[0]] for name in self.channels))
        assert self.values_NC.shape == (len(self.time_N), len(self.channels))
        assert len(self.units) == len(self.channels)
        assert len(self.time_N) > 1
        assert bool((np.diff(self.time_N) > 0).all())

    @property
    def rate(self) -> float:
        """Mean sampling rate [Hz]."""
        return (len(self.time_N) - 1) / float(self.time_N[-1] - self.time_N[0])


@dataclass(frozen=True)
class VideoStream:
    """The video of a recording, in one file or several that follow one another (chapters)."""

    files: tuple[Path, ...]
    """The files, in order of time."""
    time_T: Floats
    """Time of each frame [s], all files together, ascending; the first is zero."""
    width: int
    """Width of the picture as it is stored [px]."""
    height: int
    """Height of the picture as it is stored [px]."""
    counts: tuple[int, ...] = ()
    """Number of frames of each file; may be left out if there is one file."""
    notes: tuple[str, ...] = ()
    """Sentences on faults, for the plan."""
    write: Callable[[int, int, Path], None] | None = field(default=None, compare=False, repr=False)
    """Writes the frames from the first to the last (exclusive) into an MP4 file, if the files are no videos whose
    packets can be copied."""

    def __post_init__(self) -> None:
        if not self.counts:
            object.__setattr__(self, "counts", (len(self.time_T),))
        assert len(self.counts) == len(self.files)
        assert sum(self.counts) == len(self.time_T)

    @property
    def rate(self) -> float:
        """Mean frame rate [Hz]; 0 if there is a single frame."""
        return (len(self.time_T) - 1) / float(self.time_T[-1] - self.time_T[0]) if len(self.time_T) > 1 else 0.0

    @property
    def end(self) -> float:
        """Time at which the last frame ends: one mean interval after it starts [s]."""
        return float(self.time_T[-1]) + (1 / self.rate if self.rate else 0.0)


class Label(NamedTuple):
    """An activity from `start` to `end` [s]."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class LabelTrack:
    """Labels of one track (tier, table) in order of time; they may overlap, and there may be time without any."""

    labels: tuple[Label, ...]
    name: str = ""
    """Name of the track in its file; empty if it has none."""


@dataclass(frozen=True)
class DeviceRecording:
    """All streams of one recording."""

    source: Path
    """File or folder that was given."""
    device: str
    """What recorded it, for the plan, e.g. `GoPro MAX`."""
    imu: tuple[ImuStream, ...]
    """The sensors; each has its own times. Names of channels are unique among them."""
    video: VideoStream | None = None
    """None if there is no video."""
    labels: LabelTrack = field(default_factory=lambda: LabelTrack(()))
    """Labels that come with the recording; empty if there are none."""
    notes: tuple[str, ...] = ()
    """Sentences on the recording as a whole, for the plan."""
