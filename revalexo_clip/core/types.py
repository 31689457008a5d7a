"""What travels between the parts: specifications of the two inputs, and the batch.

Shape letters used throughout the package, also as suffixes of names (`imu_BLC`):

    B  windows in a batch            N  windows in a gathered batch, or in a gallery
    L  IMU samples in a window       C  IMU channels
    T  video frames in a window      H, W  height, width [px]
    D  embedding size                K  prediction horizons

What the names of IMU channels say: `acc_Left_Foot_x` is the accelerometer of Left_Foot along x.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Split = Literal["train", "val", "test"]


Modality = Literal["imu", "video"]

UNLABELLED = -1
"""Label of a time that lies in no activity segment."""


@dataclass(frozen=True)
class ImuSpec:
    """What an IMU window is: the ordered channels, their units, the rate and the length."""

    channels: tuple[str, ...]
    """Ordered channel names, e.g. `acc_Pelvis_x`."""
    units: tuple[str, ...]
    """Unit of each channel, e.g. `m/s^2`."""
    rate: float
    """Sampling rate [Hz]."""
    window: float
    """Length of a window [s]."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel over the training subjects, in its unit; None where channels are taken as they are."""
    std: tuple[float, ...] | None = None
    """Deviation of each channel over the training subjects, in its unit."""

    @property
    def samples(self) -> int:
        """L, the samples in one window."""
        return round(self.rate * self.window)


@dataclass(frozen=True)
class VideoSpec:
    """What a video window is: how many frames over which time, how large, and how colour is normalised."""

    frames: int
    """T, frames spread evenly over the window, first and last moment included."""
    crop: int
    """H = W of what the encoder sees [px]."""
    short_side: int
    """Short side that a frame is resized to before it is cropped [px]."""
    window: float
    """Length of a window [s]."""
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean of red, green and blue on the scale 0 to 1, subtracted."""
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Deviation of red, green and blue on the scale 0 to 1, divided by."""


class Sample(NamedTuple):
    """One window, as a dataset hands it out; collated field by field into a `Batch`."""

    imu_LC: Tensor
    """[L, C] float32, in the channels' units."""
    video_THWC: Tensor
    """[T, H, W, 3] uint8, RGB: whole frames for training, their centre crop for evaluation. [0, 0, 0, 3] where the
    windows are of IMU alone."""
    label_K: Tensor
    """[K] int64, the activity at each horizon, `UNLABELLED` outside every segment."""
    transition_K: Tensor
    """[K] bool, whether the body is between two activities at each horizon."""
    clip: Tensor
    """[] int64, which clip the window was cut from."""
    start: Tensor
    """[] float64, where the window starts in its clip [s]."""
    window: Tensor
    """[] int64, the window's place in its dataset."""


class Batch(NamedTuple):
    """B windows; the fields of `Sample` with a leading batch axis."""

    imu_BLC: Tensor
    video_BTHWC: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    clip_B: Tensor
    start_B: Tensor
    window_B: Tensor


AXES = "xyz"


_NAME = re.compile(r"(acc|gyro)_(.+)_([xyz])")


class Channel(NamedTuple):
    """One axis of an accelerometer or of a gyroscope."""

    kind: str
    """`acc` or `gyro`."""
    segment: str
    axis: str

    @property
    def name(self) -> str:
        """The name in full."""
        return "_".join(self)


def parse(name: str) -> Channel | None:
    """None for a channel that is neither an accelerometer's nor a gyroscope's."""
    found = _NAME.fullmatch(name)
    return Channel(*found.groups()) if found else None


def whole_triads(channels: Sequence[str], kind: str) -> dict[str, list[int]]:
    """The places of x, y and z of each segment's accelerometer (`acc`) or gyroscope (`gyro`) that has all three."""
    places = {channel: place for place, name in enumerate(channels) if (channel := parse(name))}
    segments = dict.fromkeys(channel.segment for channel in places if channel.kind == kind)
    triads = {segment: [Channel(kind, segment, axis) for axis in AXES] for segment in segments}
    return {
        segment: [places[channel] for channel in triad]
        for segment, triad in triads.items()
        if all(channel in places for channel in triad)
    }


class ClassifierOutput(NamedTuple):
    """What an activity classifier makes of B windows."""

    logits_BKA: Tensor
    """[B, K, A], of A activities at K horizons."""
    features_BF: Tensor
    """[B, F], what its heads are given."""
