"""Shared data types: input specifications, samples, batches, classifier outputs and IMU channel names.

Shape letters used in the whole package, also as suffixes of names (`imu_BLC`):

    B  windows in a batch            N  windows in a gathered batch, or in a gallery
    L  IMU samples in a window       C  IMU channels
    T  video frames in a window      H, W  height, width [px]
    M  moments of measured motion    Y, X  rows, columns of the grid of measured motion
    D  embedding size                K  prediction horizons
    P  features of a frozen model, which are kept for M moments of a window

An IMU channel is named after its sensor, body segment and axis: `acc_Left_Foot_x` is the accelerometer of Left_Foot
along x.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Split = Literal["train", "val", "test"]
"""A part of a dataset; no subject is in two of them."""

Modality = Literal["imu", "video"]

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]
"""Unit of a clock; `iso`: dates and times as text."""

Stack = Callable[[tuple[Tensor, ...] | list[Tensor]], Tensor]
"""Stacks tensors along a new first axis, like `torch.stack`."""

UNLABELLED = -1
"""Label of a time outside all activity segments."""


@dataclass(frozen=True)
class ImuSpec:
    """Format of an IMU window: ordered channels, their units, sampling rate and length."""

    channels: tuple[str, ...]
    """Ordered channel names, e.g. `acc_Pelvis_x`."""
    units: tuple[str, ...]
    """Unit of each channel, e.g. `m/s^2`."""
    rate: float
    """Sampling rate [Hz]."""
    window: float
    """Length of a window [s]."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel over the training subjects, in its unit; None if channels are not standardised."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel over the training subjects, in its unit."""

    @property
    def samples(self) -> int:
        """L, the number of samples in a window."""
        return round(self.rate * self.window)


@dataclass(frozen=True)
class MotionSpec:
    """Format of the measured image motion of a window: sampling rate, length and grid."""

    rate: float
    """Moments per second [Hz]."""
    window: float
    """Length of a window [s]."""
    rows: int
    """Y, rows of the grid of cells in which motion is measured."""
    columns: int
    """X, columns of the grid."""

    @property
    def moments(self) -> int:
        """M, the number of moments in a window: moment m is (m + 1/2) / rate [s] after the start of the window."""
        return round(self.rate * self.window)


@dataclass(frozen=True)
class VideoSpec:
    """Format of a video window: number of frames, length, frame size, colour normalisation and measured motion."""

    frames: int
    """Moments at which there are frames, spread evenly over the window, including its first and last moment; 0 if
    windows have no frames."""
    crop: int
    """H = W of the encoder's input [px]."""
    short_side: int
    """Short side of a frame after resizing, before cropping [px]."""
    window: float
    """Length of a window [s]."""
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    """Mean of red, green and blue on the scale 0 to 1; subtracted from the colours."""
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    """Standard deviation of red, green and blue on the scale 0 to 1; the colours are divided by it."""
    burst: int = 1
    """Adjacent frames at each moment. T, the number of frames of a window, is `frames` x `burst`."""
    motion: MotionSpec | None = None
    """Format of the measured motion; None if windows have none."""

    @property
    def images(self) -> int:
        """T, the number of frames of a window, all bursts together."""
        return self.frames * self.burst


class Sample(NamedTuple):
    """One window of a dataset; samples are collated field by field into a `Batch`."""

    imu_LC: Tensor
    """[L, C] float32, in the channels' units."""
    video_THWC: Tensor
    """[T, H, W, 3] uint8, RGB: whole frames for training, their centre crop for evaluation. [0, 0, 0, 3] if windows
    have IMU only."""
    motion_MYX3: Tensor
    """[M, Y, X, 3] float32: motion of the image to the right and down [picture widths / s], and its confidence from 0
    to 1, in each cell of a grid. [0, 0, 0, 3] if windows have no measured motion."""
    features_MP: Tensor
    """[M, P] float32: kept features of the frozen part of the video encoder, see `FeatureFiles`; there are no frames
    then. [0, 0] if they are not kept."""
    label_K: Tensor
    """[K] int64, the activity at each horizon, `UNLABELLED` outside all segments."""
    transition_K: Tensor
    """[K] bool, whether the subject is between two activities at each horizon."""
    clip: Tensor
    """[] int64, index of the clip that contains the window."""
    start: Tensor
    """[] float64, start of the window in its clip [s]."""
    recording: Tensor
    """[] int64, index of the recording that the clip is a piece of."""
    time: Tensor
    """[] float64, start of the window in its recording [s]."""
    window: Tensor
    """[] int64, index of the window in its dataset."""


class Batch(NamedTuple):
    """B windows: the fields of `Sample` with a leading batch axis."""

    imu_BLC: Tensor
    video_BTHWC: Tensor
    motion_BMYX3: Tensor
    features_BMP: Tensor
    label_BK: Tensor
    transition_BK: Tensor
    clip_B: Tensor
    start_B: Tensor
    recording_B: Tensor
    time_B: Tensor
    window_B: Tensor


AXES = "xyz"

_NAME = re.compile(r"(acc|gyro)_(.+)_([xyz])")


class Channel(NamedTuple):
    """One axis of an accelerometer or gyroscope."""

    kind: str
    """`acc` or `gyro`."""
    segment: str
    axis: str

    @property
    def name(self) -> str:
        """The full name."""
        return "_".join(self)


def parse(name: str) -> Channel | None:
    """Parse a channel name. Return None if the channel belongs to neither an accelerometer nor a gyroscope."""
    found = _NAME.fullmatch(name)
    return Channel(*found.groups()) if found else None


def whole_triads(channels: Sequence[str], kind: str) -> dict[str, list[int]]:
    """Return the indices of x, y and z of each accelerometer (`acc`) or gyroscope (`gyro`) that has all three axes.

    The keys are the segments' names.
    """
    places = {channel: place for place, name in enumerate(channels) if (channel := parse(name))}
    segments = dict.fromkeys(channel.segment for channel in places if channel.kind == kind)
    triads = {segment: [Channel(kind, segment, axis) for axis in AXES] for segment in segments}
    return {
        segment: [places[channel] for channel in triad]
        for segment, triad in triads.items()
        if all(channel in places for channel in triad)
    }


class ClassifierOutput(NamedTuple):
    """Output of an activity classifier for B windows."""

    logits_BKA: Tensor
    """[B, K, A], logits of A activities at K horizons."""
    features_BF: Tensor
    """[B, F], input of the heads."""
